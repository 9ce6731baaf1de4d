"""RecBole itself, on this machine's libraries, trains its models and ours on the same rows.

CI repeats these tests with the other major version of numpy.
"""

import math

import pytest
from token_rows import MODELS

from recbole_marn import quick_start

pytestmark = pytest.mark.host


@pytest.mark.parametrize("model", MODELS)
def test_a_model_trains_and_is_tested(settings, model):
    result = quick_start.run(config_dict=settings(model, epochs=3, learning_rate=0.05, stopping_step=10))
    assert result["epochs"] == 3
    for part in ("valid", "test"):
        assert set(result[part]) == {"AUC", "UAUC", "LogLoss"}
        assert 0 < result[part]["AUC"] < 1 and math.isfinite(result[part]["LogLoss"])


@pytest.mark.parametrize("model", MODELS)
def test_a_few_epochs_lower_the_loss(settings, model):
    parts = quick_start.prepare_run(
        quick_start.build_config(config_dict=settings(model, epochs=10, learning_rate=0.05, stopping_step=20)),
        quiet=True,
    )
    parts.trainer.fit(parts.train, parts.valid, verbose=False, saved=False)
    name = "click" if model == "MARN" else "loss"
    values = [epoch["losses"][name] for epoch in parts.trainer.history]
    assert values[-1] < values[0] - 0.01, values


def test_all_of_them_on_the_same_rows(settings):
    runs = [quick_start.run(config_dict=settings(model, epochs=1), saved=False) for model in MODELS]
    assert len({run["split_sha256"] for run in runs}) == 1
