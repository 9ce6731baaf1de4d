"""RecBole 1.2.1 works on today's libraries, and nobody else notices."""

import os
import pickle
import sys

import numpy as np
import pytest
import torch

import recbole_marn  # noqa: F401  (importing it applies every fix)
from recbole_marn import checkpoint, compat

from recbole.config import Config  # isort: skip


class Dropper:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("dropped",)


def load_as(module, path, **kwargs):
    """`torch.load` called from a module of that name."""
    names = {"__name__": module, "torch": torch}
    exec("def call(path, **kwargs):\n    return torch.load(path, **kwargs)", names)
    return names["call"](path, **kwargs)


def test_anomaly_detection_is_off_after_the_import():
    assert "recbole.model.sequential_recommender.sine" in sys.modules, "the module that switches it on"
    assert not torch.is_anomaly_enabled()


def test_applying_again_changes_nothing():
    load, convert = torch.load, Config._convert_config_dict
    compat.apply()
    checkpoint.scope_torch_load()
    assert torch.load is load
    assert Config._convert_config_dict is convert


def test_numpy_has_the_names_that_recbole_looks_up(monkeypatch):
    for name, value in {
        "float_": np.float64,
        "complex_": np.complex128,
        "unicode_": np.str_,
        "bool8": np.bool_,
    }.items():
        monkeypatch.delitem(vars(np), name, raising=False)
        compat.restore_numpy_names()
        assert getattr(np, name) is value


def test_numpy_names_that_exist_are_left_alone(monkeypatch):
    monkeypatch.setitem(vars(np), "float_", "theirs")
    compat.restore_numpy_names()
    assert np.float_ == "theirs"


def test_a_missing_ray_is_stubbed_for_the_one_call_recbole_makes():
    def of_ray():
        return [name for name in sys.modules if name == "ray" or name.startswith("ray.")]

    kept = {name: sys.modules.pop(name) for name in of_ray()}
    try:
        sys.modules["ray"] = None  # an import of it raises ModuleNotFoundError
        compat.stub_ray()
        from ray import tune

        assert tune.report(auc=0.5) is None
    finally:
        for name in of_ray():
            del sys.modules[name]
        sys.modules.update(kept)


def test_only_recbole_may_load_arbitrary_pickles(tmp_path):
    path = tmp_path / "theirs.pth"
    torch.save({"config": Dropper()}, path)
    for module in ("somebody.else", "recbole_other.trainer", "recbole_marn.checkpoint", "__main__"):
        with pytest.raises(pickle.UnpicklingError):
            load_as(module, path)
        assert not os.path.exists("dropped")
    with pytest.raises(pickle.UnpicklingError):
        load_as("recbole.trainer.trainer", path, weights_only=True)
    assert not os.path.exists("dropped")
    load_as("recbole.trainer.trainer", path)
    assert os.path.exists("dropped"), "RecBole's own checkpoints are such pickles"


def test_settings_given_as_text_are_read_and_not_run(settings):
    code = "__import__('os').mkdir('evaluated')"
    given = settings(run_name=code, mlp_hidden_size="[64, 32]", state="INFO", use_gpu="False", model="DIN")
    config = Config(config_dict=given | {"same_rows": False, "wandb_project": "2 * 3"})
    assert not os.path.exists("evaluated")
    assert config["run_name"] == code
    assert config["mlp_hidden_size"] == [64, 32]
    assert config["use_gpu"] is False
    assert config["wandb_project"] == "2 * 3"


def test_the_command_line_reaches_recbole_only_where_it_should(settings, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prog", "--seed=7"])
    assert Config(config_dict=settings())["seed"] == 7
    assert compat.without_arguments(Config)(config_dict=settings())["seed"] == 2020
    assert sys.argv == ["prog", "--seed=7"]


def test_the_command_line_is_given_back_after_an_error(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["prog", "--seed=7"])

    @compat.without_arguments
    def fail():
        assert sys.argv == ["prog"]
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fail()
    assert sys.argv == ["prog", "--seed=7"]


def test_exhaustive_search_gets_a_generator_that_hyperopt_accepts():
    from recbole.trainer import hyper_tuning

    state = hyper_tuning.np.random.RandomState(3)
    assert state.integers(5, size=4).tolist() == np.random.RandomState(3).randint(5, size=4).tolist()
    assert hyper_tuning.np.prod is np.prod
    assert hyper_tuning.np.random.rand is np.random.rand
    assert not hasattr(np.random.RandomState, "integers"), "numpy itself is untouched"
