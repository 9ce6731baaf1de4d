"""After `import recbole_marn`, RecBole's own entry points know every model by name."""

import importlib
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import fresh
import numpy as np
import pytest
import tiny
import torch
import yaml

from recbole_marn import plugin, quick_start
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.errors import InputError
from recbole_marn.host.config import plain_config, rebuild_config
from recbole_marn.host.torch_load import TRUST
from recbole_marn.registry import MODELS, choices, model_class
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.host import RunSettings
from recbole_marn.training.trainer import CTRTrainer

from recbole.config import Config  # isort: skip
from recbole.data import create_dataset, data_preparation  # isort: skip
from recbole.quick_start import load_data_and_model, objective_function, run_recbole  # isort: skip
from recbole.utils import ModelType, get_model, get_trainer  # isort: skip

OURS = [name for name, row in MODELS.items() if row.ours]
THEIRS = [name for name, row in MODELS.items() if not row.ours]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_path):
    """A finished run of MARN, and its scores of the test part."""
    folder = tmp_path_factory.mktemp("finished")
    result = quick_start.run(config_dict=tiny.settings(data_path, checkpoint_dir=str(folder)))
    scores = np.load(Path(result["record"]).with_suffix(".scores.npz"))
    return result, scores


# ------------------------------------------------------------------------------------------------- by name
@pytest.mark.parametrize("name", OURS)
def test_every_model_of_ours_is_found_by_name(name):
    assert get_model(name) is model_class(name)
    assert get_model(name).__name__ == name


@pytest.mark.parametrize("name", THEIRS)
def test_models_of_recbole_stay_its_own(name):
    assert get_model(name) is model_class(name)
    assert get_model(name).__module__.startswith("recbole.model.")


def test_the_chain_by_hand(settings):
    config = Config(config_dict=settings())
    dataset = create_dataset(config)
    train, valid, test = data_preparation(config, dataset)
    model = get_model("MARN")(config, train.part)
    trainer = get_trainer(config["MODEL_TYPE"], "MARN")(config, model)
    assert type(dataset) is CTRDataset
    assert {type(loader) for loader in (train, valid, test)} == {CTRDataLoader}
    assert type(trainer) is CTRTrainer
    trainer.fit(train, valid, verbose=False, saved=False)
    assert trainer.evaluate(test, load_best_model=False).keys() == {"auc", "uauc", "logloss"}


def test_run_recbole_gives_what_our_run_gives(settings, finished):
    result = run_recbole(model="MARN", dataset="tiny", config_dict=settings())
    assert result["test_result"] == finished[0]["test_result"]
    assert result["best_valid_score"] == finished[0]["best_valid_score"]


def test_recboles_objective_function(settings, finished):
    result = objective_function(config_dict=settings())
    assert result["best_valid_result"] == finished[0]["best_valid_result"]


def test_our_objective_function_does_not_look_at_the_test_part(settings, finished):
    result = quick_start.objective_function(settings())
    assert result["best_valid_result"] == finished[0]["best_valid_result"]
    assert result["test_result"] == {}
    assert not list(Path("saved").glob("*")), "a trial leaves nothing behind unless asked to"


def test_load_data_and_model(finished):
    result, scores = finished
    config, model, dataset, _, _, test = load_data_and_model(result["checkpoint"])
    assert isinstance(config, Config)
    assert type(dataset) is CTRDataset
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    np.testing.assert_array_equal(trainer.scores(test)["score"], scores["test_score"])


@pytest.mark.parametrize("word", ["argument", "variable"])
def test_load_data_and_model_reads_ours_with_trust_too(finished, monkeypatch, word):
    if word == "variable":
        monkeypatch.setenv(TRUST, "1")
    given = {"trust": True} if word == "argument" else {}
    config, model, *_ = load_data_and_model(finished[0]["checkpoint"], **given)
    assert config["model"] == type(model).__name__ == "MARN"


def test_load_data_and_model_of_a_model_of_recbole_on_our_rows(settings):
    result = quick_start.run(config_dict=settings("DIN"))
    config, model, dataset, _, _, test = load_data_and_model(result["checkpoint"])
    assert type(dataset) is CTRDataset
    again = get_trainer(config["MODEL_TYPE"], "DIN")(config, model).evaluate(test, load_best_model=False)
    assert again == result["test_result"]


@pytest.mark.thorough
def test_a_spawned_process_that_imports_recbole_first(finished, settings):
    """The other import order: this process imported recbole_marn first. One process for all, for each takes seconds."""
    result, scores = finished
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(fresh.recbole_first, result["checkpoint"], settings()).result(timeout=180)
        trial = pool.submit(quick_start.objective_function, settings()).result(timeout=180)
    assert not found["anomaly"]
    assert found["model"] == "recbole_marn.models.marn"
    assert (found["dataset"], found["loader"]) == ("CTRDataset", "CTRDataLoader")
    np.testing.assert_array_equal(found["score"], scores["test_score"])
    assert found["auc"] == result["test_result"]["auc"]
    assert trial["best_valid_result"] == result["best_valid_result"]


@pytest.mark.slow
def test_a_ray_worker(settings, finished):
    ray = pytest.importorskip("ray", reason="ray is not installed or does not import here")
    if not hasattr(ray, "init"):
        pytest.skip("ray does not import here; recbole_marn put a stub in its place")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        worker = ray.remote(quick_start.objective_function)
        result = ray.get(worker.remote(settings()), timeout=120)
    finally:
        ray.shutdown()
    assert result["best_valid_result"] == finished[0]["best_valid_result"]


# ------------------------------------------------------------------------------------- plain RecBole stays plain
@pytest.mark.filterwarnings("ignore::FutureWarning:recbole")
@pytest.mark.parametrize("name", ["DIN", "DIEN", "LR"])
def test_recboles_models_train_on_recboles_rows_unless_told_otherwise(settings, name):
    from recbole.data.dataset import SequentialDataset
    from recbole.trainer import Trainer

    given = {"data_path": settings()["data_path"], "epochs": 1, "show_progress": False, "use_gpu": False,
             "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "uni1"},
             "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
             "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1, "alpha": 1.0, "dynamic": False},
             "metrics": ["AUC"], "valid_metric": "AUC", "embedding_size": 4}  # fmt: skip
    given |= {} if name == "LR" else {"mlp_hidden_size": [8]}
    config = Config(model=name, dataset="tiny", config_dict=given)
    dataset = create_dataset(config)
    trainer = get_trainer(config["MODEL_TYPE"], name)
    assert not isinstance(dataset, CTRDataset)
    assert isinstance(dataset, SequentialDataset) == (name != "LR")
    if name == "DIEN":
        assert type(dataset).__name__ == "DIENDataset"
    train, valid, _ = data_preparation(config, dataset)
    trainer = trainer(config, get_model(name)(config, train._dataset))
    assert isinstance(trainer, Trainer) and not isinstance(trainer, CTRTrainer)
    trainer.fit(train, valid, verbose=False, saved=True)
    # Its own checkpoint is a pickle, which runs what it says.
    with pytest.raises(InputError, match="a pickle, which can run code .* trust=True"):
        load_data_and_model(trainer.saved_model_file)
    load_data_and_model(trainer.saved_model_file, trust=True)


def test_our_files_do_not_touch_plain_recbole_runs(settings):
    plain = Config(model="DIN", dataset="tiny", config_dict={"data_path": "x"})
    assert plain["valid_metric"] == "AUC" and plain["eval_negatives"] is None
    assert Config(model="BPR", dataset="tiny")["valid_metric"] == "MRR@10"


def test_registering_again_changes_nothing():
    import recbole.data.dataset
    import recbole.data.utils

    before = (
        Config._load_internal_config_dict, recbole.data.utils.get_dataloader, recbole.data.dataset.DIENDataset,
        sys.modules["recbole.model.sequential_recommender.marn"],
    )  # fmt: skip
    plugin.watch()
    assert before == (
        Config._load_internal_config_dict, recbole.data.utils.get_dataloader, recbole.data.dataset.DIENDataset,
        sys.modules["recbole.model.sequential_recommender.marn"],
    )  # fmt: skip


@pytest.mark.thorough
def test_loading_modules_again_changes_nothing(settings, finished):
    """Notebooks do so; RecBole's functions were then replaced twice, and called themselves."""
    import recbole.quick_start
    import recbole.quick_start.quick_start as inside

    importlib.reload(recbole.quick_start)
    assert recbole.quick_start.run("MARN", "tiny", config_dict=settings())["test_result"] == finished[0]["test_result"]
    assert recbole.quick_start.load_data_and_model(finished[0]["checkpoint"])[0]["model"] == "MARN"
    for patch in plugin.PATCHES:
        if patch.module == "recbole.quick_start":
            patch.after(inside)
    assert inside.run("MARN", "tiny", config_dict=settings())["test_result"] == finished[0]["test_result"]


def test_every_patch_is_in_place():
    import recbole.utils.argument_list
    import recbole.utils.utils

    assert "modalities" in recbole.utils.argument_list.dataset_arguments
    os.makedirs("there")
    recbole.utils.utils.ensure_dir("there")  # RecBole's own would ask first
    assert recbole.utils.utils.ensure_dir.func is os.makedirs
    for patch in plugin.PATCHES:
        assert importlib.import_module(patch.module) and patch.what and patch.why and patch.without
        file, _, name = patch.test.partition("::")
        text = (Path(__file__).parent / file).read_text(encoding="utf-8")
        assert not name or f"def {name}(" in text, patch.test


def test_a_hostile_pickle_is_refused_by_recboles_own_loading(tmp_path):
    path = tmp_path / "theirs.pth"
    torch.save({"config": Dropper()}, path)
    with pytest.raises(InputError) as error:
        load_data_and_model(str(path))
    assert not os.path.exists("dropped")
    assert "weights_only" not in str(error.value)
    with pytest.raises(TypeError):  # what it held was no Config
        load_data_and_model(str(path), trust=True)
    assert os.path.exists("dropped"), "the user's word was given"


class Dropper:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("dropped",)


# ------------------------------------------------------------------------------------------------ precedence
def test_command_line_over_dictionary_over_files_over_defaults(tmp_path, settings, monkeypatch):
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({"lambda0": 0.11, "gamma": 5.0, "seed": 3, "train_batch_size": 7}))
    given = settings()
    del given["train_batch_size"]
    monkeypatch.setattr(sys, "argv", ["prog", "--seed=5"])
    config = Config(config_dict=given | {"gamma": 6.0, "seed": 4}, config_file_list=[str(file)])
    assert config["seed"] == 5, "command line over dictionary"
    assert config["gamma"] == 6.0, "dictionary over file"
    assert config["train_batch_size"] == 7, "file over default"
    assert config["lambda0"] == 0.11, "file over the model's default"
    assert config["fusion"] == "maf", "the model's default"
    assert config["valid_metric"] == "UAUC", "default over RecBole's files"


def test_model_file_over_dataset_file_over_defaults():
    config, dataset = Config(model="MARN", dataset="ml-100k"), choices("dataset", "ml-100k")
    assert config["modalities"] == dataset["modalities"] != DataSettings().modalities
    assert config["epochs"] == dataset["epochs"] != RunSettings().epochs
    assert Config(model="Popularity", dataset="ml-100k")["epochs"] == choices("model", "Popularity")["epochs"] == 1


# ----------------------------------------------------------------------------------------------------- errors
def test_an_unknown_model_is_named_with_the_nearest():
    with pytest.raises(
        InputError, match=r"Expected model to be one of MARN, .*\. Got 'MRN'\. .* Did you mean 'MARN'\?"
    ):
        model_class("MRN")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"lamda0": 1}, "Got lamda0=1. lamda0 is no key of this run. Did you mean 'lambda0'?"),
        ({"epoch": 1}, "Got epoch=1. epoch is no key of this run. Did you mean 'epochs'?"),
        ({"save_dataset": True}, "Got save_dataset=True. Leave out save_dataset: rows are built anew"),
        ({"eval_args": {"mode": "full"}}, "Got eval_args={'mode': 'full'}. Leave out eval_args: split, train_sampling"),
        ({"normalize_all": True}, "Got normalize_all=True. Leave out normalize_all: times stay seconds"),
    ],
)
def test_settings_of_the_run_are_checked(settings, given, text):
    with pytest.raises(InputError) as error:
        quick_start.build_config(config_dict=settings() | given)
    assert text in str(error.value)


def test_a_key_of_another_model_is_unknown(settings):
    with pytest.raises(InputError, match="run of DIN .* lambda0=0.1. Leave out lambda0: DIN has no such key; MARN "):
        quick_start.build_config(config_dict=settings("DIN") | {"lambda0": 0.1})


def test_the_config_of_a_checkpoint_is_rebuilt_as_it_was(finished, settings):
    before = quick_start.build_config(config_dict=settings(checkpoint_dir=str(Path(finished[0]["checkpoint"]).parent)))
    content = torch.load(finished[0]["checkpoint"], weights_only=True)
    after = rebuild_config(content["config"])
    assert plain_config(after) == plain_config(before) == content["config"]
    assert after["MODEL_TYPE"] == ModelType.SEQUENTIAL
