"""Items released over time, every choice uniform among those released: nothing is to be learned, so none may.

A model that scores better than chance here has been told something by the rows: that a negative did not exist yet, that
a count includes the row's own event, or that an item is new.
"""

import numpy as np
import pytest
import tiny

from recbole_marn import quick_start
from recbole_marn.registry import MODELS

USERS, ITEMS, EVENTS, NEGATIVES = 1500, 300, 6, 5
# Standard error of an AUC of 1,500 positives and 7,500 negatives whose scores have one distribution.
STANDARD_ERROR = np.sqrt((USERS * (1 + NEGATIVES) + 1) / (12 * USERS * USERS * NEGATIVES))
FAST = ["LR", "FM", "DIN", "statistic"]
STATISTIC = {"statistic": {"kind": "statistic", "fields": ["train_interactions"], "bins": [10, 30], "size": 4}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(5)
    # A third is there from the start; the others come one by one until the end.
    release = np.maximum(rng.uniform(-0.5, 1.0, ITEMS), 0.0)
    tokens = tiny.item_tokens(ITEMS)
    events = []
    for user in range(USERS):
        taken = []
        # Users come and go too, so that test rows lie all over the time.
        for time in rng.uniform(0.05, 0.95) + np.sort(rng.uniform(0, 0.05, EVENTS)):
            free = np.setdiff1d(np.flatnonzero(release <= time), taken)
            taken.append(rng.choice(free))
            events.append((f"u{user}", tokens[taken[-1]], round(time * 1e6, 1), "view"))
    path = tmp_path_factory.mktemp("turnover")
    tiny.write_dataset(path, n_items=ITEMS, events=events)
    rows = [(token, f"{moment * 1e6:.1f}") for token, moment in zip(tokens, release, strict=True)]
    tiny.write_table(path / "tiny/tiny.item", ["item_id:token", "release:float"], rows)
    return path


def settings(folder, name, **changed):
    """Settings of a model of the table, or of MARN that knows statistics alone."""
    model = "MARN" if name == "statistic" else name
    modalities = STATISTIC if name == "statistic" else {"ids": {"kind": "id", "fields": {"item_id": 8}}, **STATISTIC}
    sizes = {} if MODELS[model].ours else {"embedding_size": 8}
    given = {
        "data_path": str(folder), "model": model, "dataset": "tiny", "modalities": modalities, "behaviour": None,
        "negatives_from": "released", "release_field": "release", "eval_negatives": NEGATIVES, "epochs": 3,
        "stopping_step": 3, "learning_rate": 0.01, "train_batch_size": 512, "MAX_ITEM_LIST_LENGTH": 5,
        "show_progress": False, "use_gpu": False, **sizes,
    }  # fmt: skip
    if MODELS[model].ours:
        given["width"] = 16
    if model in ("xDeepFM", "DIN", "DIEN"):
        given["mlp_hidden_size"] = [16]
    if model == "BaseModelIMAGE":
        given["use_modalities"] = None
    return given | changed


def auc_of(folder, name, **changed):
    return quick_start.run(config_dict=settings(folder, name, **changed), saved=False)["test"]["AUC"]


def test_the_error_is_stated():
    assert STANDARD_ERROR == pytest.approx(0.0082, abs=1e-4)


@pytest.mark.parametrize("name", FAST)
def test_there_is_nothing_to_learn(folder, name):
    assert abs(auc_of(folder, name) - 0.5) < 4 * STANDARD_ERROR


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in FAST])
def test_there_is_nothing_to_learn_for_any_model(folder, name):
    assert abs(auc_of(folder, name) - 0.5) < 4 * STANDARD_ERROR


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LR", "DIN", "statistic"])
@pytest.mark.parametrize(
    "changed",
    # Levels of a third of the catalogue (the default 100 items) would not do: at both ends of the order of counts
    # they reach to one side only, and an item there is drawn less often than it is chosen.
    [{"release_field": None}, {"train_sampling": "matched", "eval_sampling": "matched", "matched_pool": 12}],
    ids=["inferred", "matched"],
)
def test_nor_with_inferred_releases_or_matched_negatives(folder, name, changed):
    assert abs(auc_of(folder, name, **changed) - 0.5) < 4 * STANDARD_ERROR


def test_the_count_at_a_rows_time_tells_nothing_about_its_label(folder):
    """Without training: the statistic itself, as rows of each part see it, ranks no better than chance."""
    parts = quick_start.prepare_run(quick_start.build_config(config_dict=settings(folder, "statistic")), quiet=True)
    for loader in (parts.train, parts.valid, parts.test):
        dataset = loader.part
        columns = dataset.rows.columns(np.arange(dataset.rows.n_rows))
        counts = dataset.protocol.counts
        train = loader.part.name == "train"
        seen = counts.as_of(columns["item"], columns["time"]) if train else counts.snapshot()[columns["item"]]
        positive, negative = seen[columns["label"] == 1], seen[columns["label"] == 0]
        edges = np.sort(negative)
        below = np.searchsorted(edges, positive, side="left") + np.searchsorted(edges, positive, side="right")
        auc = below.mean() / (2 * len(edges))
        error = np.sqrt((len(seen) + 1) / (12 * len(positive) * len(negative)))
        assert abs(auc - 0.5) < 4 * error, loader.part.name


def test_negatives_that_did_not_exist_yet_would_tell(folder):
    """The tests above can fail: drawn from all items, a negative is often one that comes later, so a late one."""
    assert auc_of(folder, "LR", negatives_from="all", release_field=None) > 0.5 + 10 * STANDARD_ERROR
