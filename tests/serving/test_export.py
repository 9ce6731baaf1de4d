"""An export answers as its model does; what was changed, cut off or is missing is told before anything is used."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import OUR_MODELS, prepared
from contexts import drawn, in_context

import recbole_marn
from recbole_marn.cli import main
from recbole_marn.errors import InputError
from recbole_marn.registry import model_class
from recbole_marn.serving.exported import ExportedScorer
from recbole_marn.serving.histories import History
from recbole_marn.serving.user_sides import user_side

EXPORTED = [name for name in OUR_MODELS if model_class(name).makes_item_vectors]
VARIANTS = [(name, {}) for name in EXPORTED] + [
    ("MARN", {"pooling": "last"}),
    ("MARN", {"attention_hidden": []}),
    ("MARN", {"gate": "prop_only", "attention_values": "state_and_item", "prediction_product": True}),
    ("MARN", {"behaviour": {"time": "timestamp", "size": 2, "bins": [3]}}),
    ("MARN", {"behaviour": None, "rnn": "gru"}),
    ("NAML", {"own_head": True}),
    ("NAML", {"pooling": "attention"}),
    ("MultimodalDIN", {"attention_normalise": True}),
    ("DUPN", {"behaviour": None}),
    ("MARN", {"gate": "scale"}),
]


def padded(batch, vector):
    """A ragged batch whose rows have histories of their own, as the user side takes it; one candidate a row."""
    length, n = batch.length[batch.row_sequence], batch.n_rows
    start = (batch.length.cumsum(0) - batch.length)[batch.row_sequence]
    place = start[:, None] + torch.arange(int(length.max()))
    place = torch.where(torch.arange(int(length.max())) < length[:, None], place, 0)
    given = {
        "history": vector[batch.token][place],  # whatever stands behind the end must not be read
        "length": length,
        "candidate": vector[batch.candidate].reshape(n, 1, -1),
        "behaviour": None if batch.behaviour is None else batch.behaviour[place],
        "gap": None if batch.gap is None else batch.gap[place],
    }
    return given


@pytest.mark.parametrize(("model", "changed"), VARIANTS, ids=str)
def test_the_user_side_of_a_model_is_its_score(settings, model, changed):
    parts = prepared(model, settings, **changed)
    model, batch = parts.model.eval(), parts.test.part.batch(np.arange(24)).batch
    assert len(batch.length.unique()) > 1
    with torch.no_grad():
        vector = model.item_vectors(batch.entity_id)
        expected = torch.sigmoid(model.score(vector, batch))
        side, given = user_side(model), padded(batch, vector)
        if side.property is None:
            given["behaviour"] = given["gap"] = None
        found = side(**given)[:, 0]
        assert torch.allclose(found, expected, atol=1e-6)
        nobody = side(**given | {"length": torch.zeros_like(given["length"])})
        assert nobody.isfinite().all()


# Counts of tiers stand beside the context, which alone is multiplied with the candidate.
IN_CONTEXT = [(name, {}) for name in EXPORTED] + [("SimTier", {"prediction_product": True})]


@pytest.mark.parametrize(("model", "changed"), IN_CONTEXT, ids=str)
def test_the_user_side_reads_profile_and_context(settings, model, changed):
    model, dataset = in_context(model, settings, **changed)
    model.eval()
    batch = drawn(dataset.batch(np.arange(24)).batch, torch.Generator().manual_seed(0))
    with torch.no_grad():
        vector = model.item_vectors(batch.entity_id)
        expected = torch.sigmoid(model.score(vector, batch))
        side, given = user_side(model), padded(batch, vector)
        if side.property is None:
            given["behaviour"] = given["gap"] = None
        found = side(**given, context=batch.context[:, None])[:, 0]
    assert torch.allclose(found, expected, atol=1e-6)


class NoSide(torch.nn.Module):
    pass


def test_a_model_without_a_user_side_says_what_to_use():
    with pytest.raises(InputError, match="recbole-marn predict scores it"):
        user_side(NoSide())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_packages_that_are_missing_are_named(served, monkeypatch, package):
    from recbole_marn.serving.export import export

    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    with pytest.raises(InputError, match=r"recbole-marn\[serve\]"):
        export(served.scorer(), "out")
    assert not Path("out").exists()


def test_scoring_an_export_imports_neither_torch_nor_recbole():
    code = "import sys, recbole_marn.serving.exported; print([m for m in ('torch', 'recbole') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---------------------------------------------------------------------------------------- with ONNX Runtime
@pytest.mark.parametrize("model", ["MARN", "MultimodalDIEN", "SimTier", "DecoupledMF", "TransformerDCN", "HSTU"])
def test_an_export_scores_as_the_run_did(exported, model):
    served, folder = exported(model)
    scorer = ExportedScorer(folder)
    np.testing.assert_allclose(scorer.score(served.rows, served.histories), served.expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(scorer.item_vectors(), served.scorer().item_vectors())
    assert scorer.items == served.scorer().items
    parity = json.loads((folder / "manifest.json").read_text())["parity"]
    assert 0 < parity["largest_difference"] < 1e-5
    assert set(parity["by_candidates"]) == {"1", "100", "1000"}
    for engines in parity["by_candidates"].values():
        for told in engines.values():
            assert 0 < told["p50_ms"] <= told["p95_ms"] <= told["p99_ms"] and told["candidates_per_cpu_second"] > 0


def test_users_items_and_numbers_of_candidates_of_every_kind(exported):
    served, folder = exported()
    scorer, ours = ExportedScorer(folder), served.scorer()
    behaviours = {"user_id": ["a", "b", "b"], "item_id": ["003", "004", "005"], "timestamp": [1e5, 1e5, 2e5],
                  "kind": ["view", "buy", "never seen"]}  # fmt: skip
    rows = {"user_id": ["b", "a", "new", "b", "b"], "item_id": ["001", "002", "unknown", "003", "unknown"],
            "timestamp": [3e5, 3e5, 3e5, 3e5, 1.5e5]}  # fmt: skip
    np.testing.assert_allclose(scorer.score(rows, behaviours), ours.score(rows, behaviours), atol=1e-6)
    history = History(["003", "004"], [1e5, 2e5], ["view", "buy"])
    mine, theirs = scorer.top(history, 5, time=3e5, unseen=True), ours.top(history, 5, time=3e5, unseen=True)
    assert mine.items == theirs.items
    empty = {name: [] for name in behaviours}
    assert scorer.score({name: [] for name in rows}, empty).shape == (0,)


def test_items_that_were_added_are_exported(exported, tmp_path):
    from recbole_marn.serving.export import export

    served, _ = exported()
    scorer = served.scorer()
    scorer.add_items({"item_id": ["new"], "title": ["red house"]})
    export(scorer, tmp_path / "out")
    np.testing.assert_array_equal(ExportedScorer(tmp_path / "out").item_vectors(["new"]), scorer.item_vectors(["new"]))


def test_the_command_scores_the_test_part_where_the_data_are(exported, capsys, settings):
    path = recbole_marn.run(config_dict=settings(epochs=1, checkpoint_dir="saved"))["checkpoint"]
    capsys.readouterr()
    assert main(["export", path, "--out", "out"]) == 0
    test = json.loads(capsys.readouterr().out.splitlines()[-1])["parity"]["test"]
    assert test["AUC"] == pytest.approx(test["record"]["AUC"], abs=1e-4)
    assert test["UAUC"] == pytest.approx(test["record"]["UAUC"], abs=1e-4)
    assert test["largest_difference"] < 1e-5
    assert main(["export", path, "--out", "out"]) == 2, "an export that is there is not replaced unasked"
    assert main(["export", path, "--out", "out", "--overwrite", "--no-test"]) == 0
    assert "test" not in json.loads(capsys.readouterr().out.splitlines()[-1])["parity"]


def test_scores_beside_the_checkpoint_that_are_gone_or_damaged(exported, capsys, settings):
    """Both ended in a traceback, and a flipped byte in nothing."""
    exported()  # skips where the extra is missing
    path = recbole_marn.run(config_dict=settings(epochs=1, checkpoint_dir="saved"))["checkpoint"]
    (scores,) = Path("saved").glob("*.npz")
    scores.write_bytes(scores.read_bytes()[:-100])
    assert main(["export", path, "--out", "out"]) == 2
    assert "the score file was altered" in capsys.readouterr().err and not Path("out").exists()
    scores.unlink()
    assert main(["export", path, "--out", "out"]) == 0
    assert "largest_difference" not in json.loads(capsys.readouterr().out.splitlines()[-1])["parity"]["test"]


@pytest.mark.parametrize("name", ["scorer.onnx", "items.npy", "items.ids", "codes.json"])
@pytest.mark.parametrize("how", ["changed", "cut off", "missing"])
def test_a_file_that_is_not_as_it_was_exported(exported, name, how):
    _, folder = exported()
    shutil.copytree(folder, "copy")
    file = Path("copy") / name
    whole = file.read_bytes()
    if how == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-1] if how == "cut off" else whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError) as error:
        ExportedScorer("copy")
    assert f"copy/{name} as it was exported" in str(error.value)


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"format": 1, "files": {}}', '{"format": 99, "files": {}}', '{"format": "1"}']
)
def test_a_folder_that_is_no_export(exported, manifest):
    exported()
    Path("folder").mkdir()
    (Path("folder") / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match="Expected a(n| whole) export"):
        ExportedScorer("folder")


def test_what_fails_half_way_leaves_no_export(exported, monkeypatch):
    from recbole_marn.serving import export as module

    def fail(*args):
        raise KeyboardInterrupt

    served, _ = exported()
    monkeypatch.setattr(module, "latency_and_difference", fail)
    with pytest.raises(KeyboardInterrupt):
        module.export(served.scorer(), "out")
    assert not list(Path().iterdir())
