import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.sections import separation as module
from recbole_marn.analysis.sections.separation import embedded
from recbole_marn.analysis.subject import Subject
from recbole_marn.quick_start import build_config, prepare_run


def test_the_same_seed_gives_the_same_picture_and_groups_stay_apart():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(30, 8)), rng.normal(size=(30, 8)) + 8])
    plane = embedded(points, 3)
    assert plane.shape == (60, 2) and (plane == embedded(points, 3)).all()
    apart = np.linalg.norm(plane[:30].mean(axis=0) - plane[30:].mean(axis=0))
    assert apart > 2 * max(plane[:30].std(), plane[30:].std())


def test_points_that_never_vary_are_drawn_all_the_same():
    assert np.isfinite(embedded(np.ones((6, 4)), 0)).all()


def test_the_picture_of_both_branches_has_every_modality_in_equal_number(settings, monkeypatch, blunt_probes):
    drawn = {}
    monkeypatch.setattr(module, "POINTS", 32)
    monkeypatch.setattr(module, "_picture", lambda groups, name, *rest: drawn.update({name: groups}) or [])
    parts = prepare_run(build_config(config_dict=settings()), quiet=True)
    module.separation(Context(Subject("MARN", parts, parts.test.part)))
    for branch in ("s", "c"):
        together = {tuple(vector) for vector in drawn["tsne_both"][f"{branch}_m"].tolist()}
        for of in drawn[f"tsne_{branch}"].values():
            assert {tuple(vector) for vector in of[:4].tolist()} <= together
        assert len(drawn["tsne_both"][f"{branch}_m"]) == 16


def test_the_pictures_show_items_from_the_whole_catalogue_the_same_each_time(settings, monkeypatch, blunt_probes):
    monkeypatch.setattr(module, "DRAWN", 8)
    drawn = []
    monkeypatch.setattr(module, "_picture", lambda groups, name, *rest: drawn.append(groups) or [])
    parts = prepare_run(build_config(config_dict=settings()), quiet=True)
    catalogue = module._represented(parts.model, np.arange(1, parts.train.part.item_num))[0].specific[:, 0].numpy()
    for _ in range(2):
        module.separation(Context(Subject("MARN", parts, parts.test.part)))
    first, again = drawn[0]["ids"], drawn[len(drawn) // 2]["ids"]
    place = [int(np.flatnonzero(np.isclose(catalogue, vector, atol=1e-6).all(1))[0]) for vector in first]
    assert len(place) == 8 and max(place) >= 8 and (first == again).all()
