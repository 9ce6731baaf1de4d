"""Every key is known, typed and in range, or the run stops with what was expected, what came and what to do."""

import dataclasses

import pytest

from recbole_marn.errors import InputError
from recbole_marn.host.defaults import our_settings
from recbole_marn.host.keys import WORLD_KEYS, check_host_settings, check_keys, check_names, spell_whole_numbers
from recbole_marn.registry import MODELS
from recbole_marn.settings.data import (
    BehaviourSettings,
    DataSettings,
    IdModality,
    StatisticModality,
    TextModality,
    VectorModality,
    parse_modality,
)
from recbole_marn.settings.host import INSTEAD, NO_REQUESTS, REFUSED, TAKEN, HostSettings
from recbole_marn.settings.models import MARNSettings
from recbole_marn.settings.parsing import from_mapping, nearest
from recbole_marn.settings.training import TrainSettings
from recbole_marn.settings.unread import UNREAD, unread

OURS = [name for name, row in MODELS.items() if row.ours]


def error_of(call, *args, **kwargs):
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    return str(error.value)


# --------------------------------------------------------------------------------------------- values
def test_defaults():
    assert from_mapping(MARNSettings, {}) == MARNSettings()


def test_values_are_taken_over_in_their_type():
    settings = from_mapping(
        MARNSettings, {"width": 32.0, "lambda0": 1, "attention_hidden": [8, 4], "hidden_size": None, "fusion": "conc"}
    )
    assert settings.width == 32 and isinstance(settings.width, int)
    assert settings.lambda0 == 1.0 and isinstance(settings.lambda0, float)
    assert settings.attention_hidden == (8, 4)
    assert settings.hidden_size is None
    assert settings.fusion == "conc"


@pytest.mark.parametrize("key", ["adversary", "projection_activation", "degree_normalise", "gate"])
def test_none_is_a_choice_that_yaml_writes_as_null(key):
    assert getattr(from_mapping(MARNSettings, {key: None}), key) == "none"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"lamda0": 1}, "Got 'lamda0'. Correct the key. Did you mean 'lambda0'?"),
        ({"width": "wide"}, "Expected 'width' to be of type int. Got 'wide' (str). Write a whole number, such as 3."),
        ({"width": 0.5}, "Expected 'width' to be of type int. Got 0.5 (float). Write a whole number, such as 3."),
        ({"width": True}, "Expected 'width' to be of type int. Got True (bool). Write a whole number, such as 3."),
        ({"width": None}, "Expected 'width' to be of type int. Got None (NoneType). Write a whole number, such as 3."),
        ({"width": 0}, "Expected 'width' to be between 1 and 4096. Got 0. Choose a value in that range."),
        ({"width": 5000}, "Expected 'width' to be between 1 and 4096. Got 5000."),
        ({"lambda0": -0.1}, "Expected 'lambda0' to be at least 0. Got -0.1. Choose a value in that range."),
        ({"lambda0": float("nan")}, "Expected 'lambda0' to be at least 0. Got nan."),
        ({"dropout": 0.99}, "Expected 'dropout' to be between 0 and 0.95. Got 0.99."),
        ({"fusion": "mof"}, "Expected 'fusion' to be one of maf, conc. Got 'mof'. Choose one. Did you mean 'maf'?"),
        ({"share_discriminator": 1}, "Expected 'share_discriminator' to be of type bool. Got 1 (int)."),
        ({"attention_hidden": 64}, "Expected 'attention_hidden' to be a list. Got 64. Write it as [a, b]."),
        ({"attention_hidden": [64, "x"]}, "Expected 'attention_hidden' entry to be of type int. Got 'x' (str)."),
        ({"attention_hidden": [0]}, "Expected 'attention_hidden' entry to be between 1 and 65536. Got 0."),
        ({"hidden_size": 0}, "Expected 'hidden_size' to be between 1 and 4096. Got 0."),
    ],
)
def test_a_wrong_value_is_named(given, text):
    assert text in error_of(from_mapping, MARNSettings, given)


def test_a_whole_configuration_may_hold_other_keys():
    assert from_mapping(TrainSettings, {"gpu_id": 0, "threads": 2}, complete=False).threads == 2


def test_nearest():
    assert nearest("lamda0", ["lambda0", "gamma"]) == " Did you mean 'lambda0'?"
    assert nearest("zzz", ["lambda0", "gamma"]) == ""


# ------------------------------------------------------------------------------------------ modalities
def test_modalities():
    data = DataSettings(
        modalities={
            "ids": {"kind": "id", "fields": {"item_id": 8}},
            "image": {"kind": "vector", "file": "image.npy", "size": 6},
            "audio": {"kind": "vector", "field": "sound"},
            "title": {"kind": "text", "field": "title", "windows": [1]},
            "numbers": {"kind": "statistic", "fields": ["price"], "bins": [5]},
        }
    )
    assert data.modality_settings() == {
        "ids": IdModality(fields={"item_id": 8}),
        "image": VectorModality(file="image.npy", size=6),
        "audio": VectorModality(field="sound"),
        "title": TextModality(field="title", windows=(1,)),
        "numbers": StatisticModality(fields=("price",), bins=(5,)),
    }


def test_the_modalities_in_use_keep_the_order_of_the_file():
    given = {name: {"kind": "vector", "file": name} for name in "abc"}
    assert list(DataSettings(modalities=given, use_modalities=("c", "a")).modality_settings()) == ["a", "c"]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "Expected key 'modalities' to map at least one name to {kind: id|vector|text|statistic, ...}. Got {}."),
        (
            {"image": "x.npy"},
            "Expected modality 'image' to be a mapping with kind: one of id, vector, text, statistic.",
        ),
        ({"image": {"kind": "vektor"}}, "Set its kind. Did you mean 'vector'?"),
        ({"title": {"kind": "text"}}, "Expected modality 'title': key 'field'. Got only kind. Add field."),
        ({"image": {"kind": "vector", "fil": "x"}}, "Got 'fil'. Correct the key. Did you mean 'file'?"),
        ({"ids": {"kind": "id", "fields": {}}}, "Expected modality 'ids': 'fields' to have at least 1 entry. Got {}."),
        ({"ids": {"kind": "id", "fields": ["item_id"]}}, "Expected modality 'ids': 'fields' to be a mapping."),
        ({"ids": {"kind": "id", "fields": {"a": 0}}}, "Expected modality 'ids': 'fields' value of a to be at least 1."),
        ({"t": {"kind": "text", "field": "t", "windows": []}}, "'windows' to have at least 1 entry. Got []."),
        ({"s": {"kind": "statistic", "fields": ["p"], "bins": [1]}}, "'bins' entry to be at least 2. Got 1."),
        ({"s": {"kind": "statistic", "fields": []}}, "'fields' to have at least 1 entry. Got []."),
    ],
)
def test_a_wrong_modality_is_named(given, text):
    assert text in error_of(DataSettings(modalities=given).modality_settings)


@pytest.mark.parametrize(
    ("used", "text"),
    [
        (("imag",), "(ids, image). Got 'imag'. Correct the name. Did you mean 'image'?"),
        ((), "Expected use_modalities to name at least one modality. Got an empty list."),
    ],
)
def test_use_modalities_names_what_is_there(used, text):
    given = {"ids": {"kind": "id", "fields": {"item_id": 8}}, "image": {"kind": "vector", "file": "x"}}
    assert text in error_of(DataSettings(modalities=given, use_modalities=used).modality_settings)


def test_behaviour():
    assert DataSettings().behaviour_settings() == BehaviourSettings()
    assert DataSettings(behaviour={"time": "t"}).behaviour_settings().time == "t"
    assert "Did you mean 'time'?" in error_of(DataSettings(behaviour={"tme": "t"}).behaviour_settings)


def test_samplings_are_checked_in_lists_too():
    text = error_of(from_mapping, DataSettings, {"also_test": ["popularty"]})
    assert "Expected 'also_test' entry to be one of uniform, popularity, matched" in text
    assert "Did you mean 'popularity'?" in text


# ----------------------------------------------------------------------------------------- RecBole's keys
DEFAULTS = {
    "metrics": ["AUC", "UAUC"],
    "valid_metric": "UAUC",
    "normalize_all": False,
    "eval_args": {"mode": "labeled"},
}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"epochs": "ten"}, "Expected 'epochs' to be of type int. Got 'ten' (str)."),
        ({"epochs": 0}, "Expected 'epochs' to be between 1 and 1000000. Got 0."),
        ({"train_batch_size": 0}, "Expected 'train_batch_size' to be between 1 and 16777216. Got 0."),
        ({"learning_rate": -1}, "Expected 'learning_rate' to be at least 0. Got -1."),
        ({"learner": "adams"}, "Did you mean 'adam'?"),
        ({"seed": -1}, "Expected 'seed' to be between 0 and 4294967295. Got -1."),
        ({"MAX_ITEM_LIST_LENGTH": 0}, "Expected 'MAX_ITEM_LIST_LENGTH' to be between 1 and 100000. Got 0."),
        ({"metrics": ["NDCG"]}, "Expected metrics among AUC, UAUC, GAUC, LogLoss, MAE, RMSE. Got 'NDCG'."),
        ({"metrics": ["AUC"]}, "Expected valid_metric to be one of the metrics (AUC). Got 'UAUC'."),
        ({"valid_metric": "LogLoss"}, "Expected valid_metric to be one of the metrics (AUC, UAUC). Got 'LogLoss'."),
    ],
)
def test_keys_of_recbole_are_checked(given, text):
    assert text in error_of(check_host_settings, given, DEFAULTS)


def test_keys_of_recbole_that_are_right_pass():
    check_host_settings({"epochs": 3, "metrics": "auc", "valid_metric": "AUC", "normalize_all": False}, DEFAULTS)


def test_a_whole_number_is_an_int_for_recbole():
    given = {"epochs": 3.0, "seed": 7.0, "id_min_count": 2.0, "threads": 1.0, "width": 16.0, "learning_rate": 1.0}
    spell_whole_numbers(given, check_keys(MODELS["MARN"], given, {}))
    assert {key: repr(value) for key, value in given.items()} == {
        "epochs": "3", "seed": "7", "id_min_count": "2", "threads": "1", "width": "16", "learning_rate": "1.0"
    }  # fmt: skip


def test_parse_modality_keeps_the_kind():
    assert parse_modality("image", {"kind": "vector", "file": "x"}).kind == "vector"


@pytest.mark.parametrize("key", [*REFUSED])
def test_keys_of_recbole_that_do_nothing_here_are_refused(key):
    """Whatever the key: a value that changes nothing passes, another one names what does the job."""
    row, defaults = MODELS["MARN"], {"eval_args": {"mode": "labeled"}, "topk": [10]}
    if key not in WORLD_KEYS:
        check_keys(row, {key: defaults.get(key)}, defaults)
    text = error_of(check_keys, row, {key: "something"}, defaults)
    assert f"Got {key}='something'. Leave out {key}: {REFUSED[key]}." in text


def test_all_keys_that_do_nothing_are_named_at_once():
    """Those of RecBole, and those that nobody knows."""
    given = {"topk": 5, "lamda0": 1, "embedding_size": 8, "threshold": {"rating": 4}, "zzz": 2}
    text = error_of(check_keys, MODELS["MARN"], given, {})
    assert "Got topk=5, lamda0=1, embedding_size=8, threshold={'rating': 4}, zzz=2." in text
    assert f"Leave out topk: {NO_REQUESTS}. lamda0 is no key of this run. Did you mean 'lambda0'?" in text
    assert text.endswith("zzz is no key of this run. Leave it out. docs/keys.md has all of them.")


def test_topk_is_of_the_requests_of_a_log():
    row, label = MODELS["MARN"], {"label": {"field": "label"}}
    check_keys(row, {"topk": 5, **label, "request": {"field": "request_id"}}, {"topk": [10]})
    check_keys(row, {"topk": [10]}, {"topk": [10]})
    for given in ({}, label, {"request": None, **label}):
        text = error_of(check_keys, row, {"topk": 5, **given}, {"topk": [10]})
        assert text.endswith(f"Leave out topk: {NO_REQUESTS}. docs/keys.md has all of them.")


LABEL = {"field": "label"}
# key -> another value, what makes it do nothing, and what lets it do something
NEEDY = {
    "adagrad_init": (0.5, {}, {"learner": "adagrad"}),
    "enable_scaler": (True, {}, {"enable_amp": True}),
    "gpu_id": ("1", {"use_gpu": False}, {"use_gpu": True}),
    "shuffle_by": ("row", {"shuffle": False}, {}),
    "wandb_project": ("mine", {}, {"log_wandb": True}),
    "matched_pool": (7, {"eval_sampling": "popularity"}, {"also_test": ["matched"]}),
    "release_field": ("released", {}, {"negatives_from": "released"}),
    "sample_seed": (7, {"label": LABEL}, {"label": LABEL, "keep_negatives": 0.5}),
    "columnar_from_mb": (7, {"label": LABEL}, {}),
    "statistics_until": ("row", {"label": LABEL}, {"label": LABEL, "user": {"fields": {"user_clicks": 2}}}),
    "id_min_count": (7, {"modalities": {"ids": {"kind": "id", "fields": {"class": 2}}}}, {}),
    "lambda0": (0.5, {"adversary": "branch"}, {"adversary": "single"}),
    "specific_stop": ("raw", {"specific_discriminator": False}, {}),
    "degree_target": ("both", {"adversary": "single"}, {}),
    "adversary_items": ("candidate", {"adversary": "branch"}, {"adversary": "branch", "alignment_weight": 0.1}),
    "invariant_norm": ("batch", {"adversary": "none"}, {"adversary": "branch"}),
    "attention_activation": ("sigmoid", {"fusion": "conc"}, {}),
    "gate": ("scale", {"rnn": "gru", "behaviour": {"time": "timestamp"}}, {"behaviour": {"time": "timestamp"}}),
    "attention_values": ("state_and_item", {"pooling": "last"}, {"pooling": "attention"}),
    "dropout": (0.5, {"own_head": True}, {"own_head": False}),
    "auxiliary_hidden": ([7], {"auxiliary_weight": 0}, {}),
    "low_rank": (7, {"mixed": False}, {"mixed": True}),
}


def test_every_key_that_needs_another_is_one_of_ours():
    kinds = [DataSettings, TrainSettings, HostSettings, *(row.settings for row in MODELS.values())]
    known = {field.name for kind in kinds for field in dataclasses.fields(kind)} | TAKEN
    assert {key for row in UNREAD for key in row.keys} <= known
    assert all(NEEDY.keys() & set(row.keys) for row in UNREAD), "a row without a test"


@pytest.mark.parametrize("key", NEEDY)
def test_keys_that_other_keys_switch_off_are_told(key):
    value, off, on = NEEDY[key]
    models = ("NAML", "MultimodalDIEN", "DCNV2")
    fields = {name: {field.name for field in dataclasses.fields(MODELS[name].settings)} for name in models}
    model = next((name for name in models if {key, *off} <= fields[name]), "MARN")
    standing = our_settings("none", MODELS[model]) | {"shuffle": True, "ITEM_ID_FIELD": "item_id"}
    row = next(row for row in UNREAD if key in row.keys and not row.read(standing | off))
    told = f"{key} does nothing in this run: it is read with {row.needs}"
    assert told in unread({key: value}, standing | off | {key: value})
    assert unread({key: value}, standing | on | {key: value}) == []
    assert unread({}, standing | off) == []


def test_a_run_tells_what_it_does_not_read_of_what_its_user_set(run):
    """Not of what its model's file says, nor of what is the default anyway."""
    code, _, log = run("--model=MARNLean", "--lambda0=0.7", "--gamma=3", "--adagrad_init=0.1", "--epochs=1")
    assert code == 0
    notes = [line for line in log.splitlines() if "nothing in this run" in line]
    assert "nothing in this run" not in run("--model=MARNPlus", "--lambda0=0.7", "--epochs=1")[2]
    assert notes == ["note      lambda0, gamma do nothing in this run: they are read with adversary: double or single"]


KEYS_OF_RECBOLES_MODELS = [("DIN", "embedding_size"), ("DIN", "mlp_hidden_size"), ("xDeepFM", "reg_weight")]


@pytest.mark.parametrize(("model", "key"), KEYS_OF_RECBOLES_MODELS)
def test_keys_of_recboles_models_belong_to_them(model, key):
    value = [4] if key == "mlp_hidden_size" else 4
    check_keys(MODELS[model], {key: value}, {})
    assert f"Leave out {key}: {INSTEAD[key]}." in error_of(check_keys, MODELS["MARN"], {key: value}, {})


@pytest.mark.parametrize("given", [{"embedding_size": -1}, {"mlp_hidden_size": "abc"}, {"dropout_prob": 7}])
def test_settings_of_recboles_models_are_checked(given):
    assert "Expected '" in error_of(check_keys, MODELS["DIN"], given, {})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"clip_grad_norm": {"foo": 1}}, "Expected clip_grad_norm to be {max_norm: NUMBER}"),
        ({"clip_grad_norm": {"max_norm": -1}}, "Expected clip_grad_norm to be {max_norm: NUMBER}"),
        ({"clip_grad_norm": {"max_norm": 5, "norm_type": "two"}}, "with a number as norm_type if need be"),
        ({"clip_grad_norm": {"max_norm": 5, "error_if_nonfinite": "no"}}, "Expected clip_grad_norm to be {max_norm:"),
        ({"metrics": 5}, "Expected 'metrics' to be a list. Got 5."),
        ({"nproc": "abc"}, "Expected 'nproc' to be of type int."),
        ({"gpu_id": 7}, "Expected gpu_id to name one of the 0 GPUs of this machine. Got 7."),
        ({"gpu_id": "x"}, "Expected gpu_id to name one of the 0 GPUs"),
    ],
)
def test_values_that_would_end_in_a_traceback(given, text, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert text in error_of(check_host_settings, {"use_gpu": True, **given}, DEFAULTS)


@pytest.mark.parametrize("name", ["../x", "dataset/shop", "", ".", "a\\b", "a\nb"])
def test_names_are_no_paths(name, tmp_path):
    assert "to be a plain name" in error_of(check_names, name, {})
    assert "to be a plain name" in error_of(check_names, "shop", {"run_name": name})
    (tmp_path / "file").touch()
    assert "which is a file" in error_of(check_names, "shop", {"checkpoint_dir": str(tmp_path / "file")})
