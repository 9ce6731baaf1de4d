"""One source of defaults: the dataclasses. YAML files have what deviates, and a run gets both."""

import dataclasses
import json
from pathlib import Path

import pytest
import recbole
import yaml

from recbole_marn import cli
from recbole_marn.commands.keys_page import page
from recbole_marn.host.config import build_config
from recbole_marn.host.defaults import UNLISTED, our_settings
from recbole_marn.registry import MODELS, choices, known_datasets, properties_folder, settings_of
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.describe import COMMON
from recbole_marn.settings.host import FIXED, INSTEAD, REFUSED, FileSettings, HostSettings, RunSettings
from recbole_marn.settings.parsing import defaults, from_mapping
from recbole_marn.settings.training import TrainSettings

from recbole.config import Config  # isort: skip

OURS = [name for name, row in MODELS.items() if row.ours]
OF_MODELS = list(dict.fromkeys(row.settings for row in MODELS.values()))


@pytest.mark.parametrize("kind", [DataSettings, TrainSettings, HostSettings, FileSettings, *OF_MODELS])
def test_defaults_are_plain_and_in_their_own_range(kind):
    given = defaults(kind)
    assert from_mapping(kind, given) == kind()
    assert json.loads(json.dumps(given)) == given


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dataset", ["ml-100k", "amazon-clothing-synthetic-log", "nowhere"])
def test_a_run_has_the_defaults_where_nothing_is_chosen(name, dataset):
    config = build_config(name, dataset, config_dict={"same_rows": True})
    chosen = choices("dataset", dataset) | choices("model", name)
    own = [] if MODELS[name].preset_of else [MODELS[name].settings]
    for kind in (DataSettings, TrainSettings, RunSettings, *own):
        for key, value in defaults(kind).items():
            if key not in UNLISTED:
                assert config[key] == chosen.get(key, value), key


def test_defaults_of_one_config_are_not_those_of_another():
    build_config("MARN", "nowhere")["modalities"]["ids"]["fields"]["item_id"] = 7
    DataSettings().modalities["ids"]["kind"] = "text"
    assert build_config("MARN", "nowhere")["modalities"] == {"ids": {"kind": "id", "fields": {"item_id": 32}}}
    build_config("MARN", "nowhere")["eval_args"]["split"]["LS"] = "test_only"
    assert build_config("MARN", "nowhere")["eval_args"]["split"] == FIXED["eval_args"]["split"]
    assert FIXED["eval_args"]["split"] == {"LS": "valid_and_test"}


def test_defaults_said_to_be_recboles_are():
    folder = Path(recbole.__file__).parent / "properties"
    theirs = {}
    for file in ("overall.yaml", "dataset/sample.yaml"):
        theirs |= yaml.safe_load((folder / file).read_text(encoding="utf-8"))
    said = {key: value for key, value in defaults(HostSettings).items() if key not in defaults(RunSettings)}
    said |= {key: value for key, value in defaults(FileSettings).items() if key not in FIXED}
    unlisted = {"nproc", "verbose", "encoding"}
    assert set(said) - set(theirs) == unlisted, "of its functions, and of their parameters"
    assert {key: value for key, value in said.items() if value != theirs.get(key, value)} == {}


@pytest.mark.parametrize("name", [name for name in MODELS if name not in OURS])
def test_defaults_of_recboles_models_are_its_own_but_for_widths_and_dropout(name):
    """Widths are as MARN's and nothing is dropped, so that the anchors differ from it in what they read alone."""
    file = Path(recbole.__file__).parent / "properties" / "model" / f"{name}.yaml"
    theirs = yaml.load(file.read_text(encoding="utf-8"), Loader=Config._build_yaml_loader(None))
    ours = {"embedding_size", "mlp_hidden_size", "dropout_prob", "dropout_probs"}
    said = defaults(MODELS[name].settings)
    assert set(said) - set(theirs) <= UNLISTED
    assert {key: said[key] for key in theirs if key not in ours} == {k: theirs[k] for k in theirs if k not in ours}


# ------------------------------------------------------------------------------------------------ YAML files
@pytest.mark.parametrize("name", OURS)
def test_a_models_yaml_holds_its_own_keys(name):
    given, row = choices("model", name), MODELS[name]
    known = {field.name for kind in (row.settings, DataSettings, TrainSettings, HostSettings, FileSettings)
             for field in dataclasses.fields(kind)}  # fmt: skip
    assert set(given) <= known
    settings_of(name, given)


@pytest.mark.parametrize("name", known_datasets())
def test_a_datasets_yaml_parses(name):
    given = choices("dataset", name)
    data = from_mapping(DataSettings, given, complete=False)
    assert data.modality_settings()
    data.behaviour_settings()


def test_every_option_has_a_help_text():
    of_runs = {kind for _, kind in COMMON}
    for kind in {*OF_MODELS, *of_runs}:
        for field in dataclasses.fields(kind):
            assert field.metadata.get("help"), f"{kind.__name__}.{field.name}"


def test_the_command_says_whose_keys_it_lists(capsys):
    assert cli.main(["keys"]) == 0
    first = "Keys of MARN and of every run; recbole-marn keys MODEL lists another's"
    assert capsys.readouterr().out.splitlines()[0] == first
    assert cli.main(["keys", "BaseModelCONC"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Keys of BaseModelCONC and of every run\n")
    assert "maf | conc, default maf, BaseModelCONC.yaml conc\n" in told, "what holds, where the model chose"
    assert cli.main(["keys", "MRN"]) == 2
    assert "Keys of" not in capsys.readouterr().out


def test_a_preset_without_its_file_is_no_other_model(monkeypatch):
    monkeypatch.setattr("recbole_marn.host.defaults.choices", lambda kind, name: {})
    with pytest.raises(FileNotFoundError, match="BaseModelCONC.yaml"):
        our_settings("ml-100k", MODELS["BaseModelCONC"])
    assert our_settings("ml-100k", MODELS["MARN"])["fusion"] == "maf"


def test_the_page_of_keys_is_the_one_that_the_dataclasses_make():
    written = (properties_folder().parent / "docs" / "keys.md").read_text(encoding="utf-8")
    assert written == page() + "\n", "recbole-marn keys --markdown > docs/keys.md"
    everywhere = [field.name for row in MODELS.values() for field in dataclasses.fields(row.settings)]
    everywhere += [field.name for _, kind in COMMON for field in dataclasses.fields(kind)]
    for key in {*everywhere, *REFUSED, *INSTEAD}:
        assert f"| `{key}` |" in written, key
