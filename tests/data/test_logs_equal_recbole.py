"""ml-100k with labels: plain RecBole has our rows, and on the same weights our scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from same_weights import copy_weights

from recbole_marn.data.export import export_benchmark
from recbole_marn.data.loader import build_loaders
from recbole_marn.quick_start import build_config

from recbole.config import Config  # isort: skip
from recbole.data import create_dataset, data_preparation  # isort: skip
from recbole.utils import get_model, init_seed  # isort: skip

pytestmark = [pytest.mark.thorough, pytest.mark.filterwarnings("ignore::FutureWarning:recbole")]
PARTS = ("train", "valid", "test")
# Users of many ratings alone, for a test of seconds.
SAME = {"user_inter_num_interval": "[350,inf)", "show_progress": False, "use_gpu": False}
COLUMNS = {
    "inter": ["user_id", "item_id", "timestamp", "rating"],
    "user": ["user_id", "age", "gender", "occupation"],
    "item": ["item_id", "movie_title", "release_year", "class"],
}
SPLIT = {"split": {"RS": [8, 1, 1]}, "order": "RO", "group_by": None, "mode": "labeled"}


def size_of(model):
    deep = {} if model in ("LR", "FM") else {"mlp_hidden_size": [8]}
    return {"embedding_size": 8} | deep | ({"cin_layer_size": [4]} if model == "xDeepFM" else {})


def ours(model, **changed):
    config = build_config(model, "ml-100k-labels", config_dict=SAME | size_of(model) | changed)
    loaders = build_loaders(config, create_dataset(config))
    init_seed(1, True)
    return config, loaders, get_model(model)(config, loaders.train.part).eval()


def theirs(model, dataset="ml-100k", files=(), **given):
    config = Config(model=model, dataset=dataset, config_file_list=list(files), config_dict=size_of(model) | given)
    init_seed(config["seed"], True)
    loaders = data_preparation(config, create_dataset(config))
    return loaders, get_model(model)(config, loaders[0]._dataset).eval()


def scores(model, loader):
    """(user, item, label) -> score."""
    found, token = {}, loader._dataset.field2id_token
    with torch.no_grad():
        for batch in loader:
            interaction = batch if not isinstance(batch, tuple) else batch[0]
            score = model.predict(interaction).numpy()
            columns = [interaction[name].numpy() for name in ("user_id", "item_id", "label")]
            for user, item, label, one in zip(*columns, score, strict=True):
                found[token["user_id"][user], token["item_id"][item], int(label)] = one
    return found


@pytest.mark.parametrize(
    ("model", "group_by"), [("LR", None), ("LR", "user"), ("FM", None), ("DeepFM", None), ("xDeepFM", "user")]
)
def test_rows_and_scores_of_plain_recbole(model, group_by):
    split = SPLIT | {"group_by": group_by}
    _, loaders, here = ours(model, eval_args=split)
    plain = {"threshold": {"rating": 4}, "eval_args": split, "load_col": COLUMNS, "metrics": ["AUC", "LogLoss"]}
    plain |= {"train_neg_sample_args": None, "normalize_all": False, "valid_metric": "AUC", "repeatable": False}
    their_loaders, there = theirs(model, **SAME | plain)
    copy_weights(here, loaders.train.part, there, their_loaders[0]._dataset)
    for mine, other in zip(loaders, their_loaders, strict=True):
        expected, found = scores(there, other), scores(here, mine)
        assert found.keys() == expected.keys(), "the same rows with the same labels"
        np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-5)
    assert sum(len(loader.part) for loader in loaders) > 14_000


@pytest.mark.parametrize(("model", "kind"), [("FM", "context"), ("DIN", "sequential"), ("DIEN", "dien")])
def test_exported_rows_have_the_same_scores(tmp_path, model, kind):
    """Histories are made by us: RecBole's own ones hold what was not clicked."""
    config, loaders, here = ours(model, user_inter_num_interval="[500,inf)")
    summary = export_benchmark([loader.part for loader in loaders], tmp_path, name="rows")
    file = Path(summary["folder"]) / f"rows.{kind}.yaml"
    given = {"data_path": str(tmp_path), "show_progress": False, "use_gpu": False}
    their_loaders, there = theirs(model, "rows", [str(file)], **given)
    if model == "DIEN":  # fails on an empty history: one padding item in its place, as through us
        for loader in their_loaders:
            loader._dataset.inter_feat[loader._dataset.config["ITEM_LIST_LENGTH_FIELD"]].clamp_(min=1)
    copy_weights(here, loaders.train.part, there, their_loaders[0]._dataset)
    for mine, other in zip(loaders, their_loaders, strict=True):
        expected, found = scores(there, other), scores(here, mine)
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), rtol=1e-4, atol=1e-6)
