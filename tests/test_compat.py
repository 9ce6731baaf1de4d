"""RecBole 1.2.1 works on today's libraries, and nobody else notices."""

import functools
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

from recbole_marn.errors import InputError
from recbole_marn.host import compat, torch_load

from recbole.config import Config  # isort: skip

pytestmark = pytest.mark.thorough


class Dropper:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("dropped",)


def in_a_new_process(code):
    """What `code` prints in a process that has imported nothing."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# What a third party may look at, before and after.
LOOK = """
import numpy, torch, json, sys
def look():
    torches = [torch.load is LOAD, torch.save is SAVE, torch.is_anomaly_enabled()]
    old = ["float_", "complex_", "unicode_", "bool8", "float", "int", "long", "object", "str", "unicode", "bool"]
    return [*torches, [name for name in old if name in vars(numpy)], "ray" in sys.modules]
LOAD, SAVE = torch.load, torch.save
"""


NOTICED = """
before = look()
import recbole_marn, warnings
warnings.simplefilter("ignore")
import recbole.quick_start.quick_start, recbole.model.sequential_recommender, recbole.trainer
assert look() == before, [a for a, b in zip(look(), before) if a != b]
"""


def test_nobody_else_notices():
    """torch, numpy and ray are as they were, also when torch comes first; RecBole's Config alone gives numpy names."""
    assert in_a_new_process(LOOK + NOTICED + "print('same')") == "same"


def test_the_import_is_light():
    code = (
        "import sys, recbole_marn\nheavy = {'torch', 'recbole', 'numpy', 'pandas', 'ray', 'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert in_a_new_process(code) == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["models"], ["datasets"], ["keys"], ["verify", "--help"]])
def test_jobs_that_do_without_torch(arguments):
    code = (
        "import sys\nfrom recbole_marn import cli\ntry:\n    cli.main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'recbole', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize("report", [lambda _metric=None, **kwargs: kwargs, lambda metrics, *, checkpoint=None: metrics])
def test_a_report_reaches_ray_in_its_own_words(report, monkeypatch):
    """RecBole gives metrics by name, as Ray once took them; Ray of today takes them as one dictionary."""
    told, ray, tune = [], types.ModuleType("ray"), types.ModuleType("ray.tune")

    @functools.wraps(report)
    def kept(*args, **metrics):
        told.append(report(*args, **metrics))

    ray.is_initialized, tune.report = lambda: True, kept
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.tune", tune)
    compat.report_to_ray(auc=0.5, logloss=0.7)
    assert told == [{"auc": 0.5, "logloss": 0.7}]


def test_recbole_is_imported_without_ray():
    """And, as recbole_marn comes first here, again nobody else notices: a process for each would take seconds."""
    code = (
        f"import sys\nsys.modules['ray'] = None\nimport recbole_marn\n{LOOK}{NOTICED}"
        "print(recbole.quick_start.quick_start.tune.report(auc=0.5), sys.modules['ray'])"
    )
    assert in_a_new_process(code) == "None None"


def test_anomaly_detection_is_off_after_the_import():
    from recbole.model import sequential_recommender

    assert sequential_recommender.sine.__name__ in sys.modules, "the module that switches it on"
    assert not torch.is_anomaly_enabled()


def test_a_config_needs_no_name_that_numpy_dropped(monkeypatch, settings):
    for name in ("float_", "complex_", "unicode_"):
        monkeypatch.delitem(vars(np), name, raising=False)
    Config(config_dict=settings())
    assert np.float is np.float64 and np.long is np.int_


def test_recboles_trainer_reads_its_own_files_alone(tmp_path):
    from recbole.trainer import trainer

    path = tmp_path / "theirs.pth"
    torch.save({"config": Dropper()}, path)
    with pytest.raises(InputError, match=f"{torch_load.TRUST}=1"):
        trainer.torch.load(path)
    assert not os.path.exists("dropped")
    trainer.torch.save({"config": Dropper()}, path)
    trainer.torch.load(path)
    assert os.path.exists("dropped"), "this process has written it itself"
    os.rmdir("dropped")
    torch.save({"config": Dropper(), "more": 1}, path)  # and somebody else over it
    with pytest.raises(InputError):
        trainer.torch.load(path)
    assert not os.path.exists("dropped")
    assert trainer.torch.Tensor is torch.Tensor


def test_the_word_of_the_user_is_taken_back():
    before = os.environ.get(torch_load.TRUST)
    with torch_load.trusted():
        assert torch_load.is_trusted()
    assert os.environ.get(torch_load.TRUST) == before


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
