"""The command line of `prepare`: exit codes, help, and what it prints."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prepare.raw_files import amazon_2014

from recbole_marn.cli import main
from recbole_marn.prepare.registry import DATASETS, reader_of, source_of

PROPERTIES = Path(__file__).parents[2] / "properties" / "dataset"


def run(*words):
    return main(["prepare", *(str(word) for word in words)])


def test_done_is_zero_and_prints_the_report(tmp_path, capsys):
    raw = amazon_2014(tmp_path / "raw")
    assert run("amazon-clothing", "--raw", raw, "--out", tmp_path / "out", "--no-download", "--title-words", "3") == 0
    printed = capsys.readouterr().out
    assert "39,387" in printed and "leak checks" in printed and "out/amazon-clothing" in printed
    record = json.loads((tmp_path / "out/amazon-clothing/amazon-clothing.prepare.json").read_text())
    assert record["command"] == (
        f"recbole-marn prepare amazon-clothing --no-download --out {tmp_path}/out --raw {tmp_path}/raw --title-words 3"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ml-1"], "Did you mean 'ml-1m'"),
        (["ml-1m", "--raw", "{tmp}/absent", "--no-download"], "ratings.dat .* in .*absent.*movies.dat"),
        (["custom", "--events", "x.csv"], "--name NAME"),
        (["ml-1m", "--name", "other", "--items", "x"], "--name, --items with `custom` only"),
        (["custom", "--name", "x", "--column", "titel=name"], "ROLE=COLUMN with one of the roles user_id.*'titel'"),
        (["custom", "--name", "x", "--column", "timestamp"], "--column ROLE=COLUMN"),
    ],
)
def test_input_at_fault_is_two_and_says_why(tmp_path, capsys, words, message):
    assert run(*[word.format(tmp=tmp_path) for word in words], "--out", tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert re.search(message, printed.err) and "Traceback" not in printed.err and printed.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [["--max-skipped", "2"], ["--title-words", "0"], ["--encoder", "x"], ["--time-unit", "h"], ["--max-skipped", "x"]],
)
def test_options_out_of_range_are_refused(words, capsys):
    with pytest.raises(SystemExit) as error:
        run("ml-1m", *words)
    assert error.value.code == 2 and "usage" in capsys.readouterr().err


def test_every_dataset_of_the_table_can_be_read():
    for dataset in [*DATASETS, "amazon-clothing"]:
        assert callable(reader_of(dataset))
        source = source_of(dataset, Path("."))
        assert source is None or source.how


# Statistics that are counted and not read.
COUNTED = {"train_interactions", "exposures", "clicks", "click_rate", "purchases"}


@pytest.mark.parametrize("path", sorted(PROPERTIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_dataset_settings_fit_what_prepare_writes(path):
    settings = yaml.safe_load(path.read_text("utf-8"))
    reader_of(settings.get("atomic_files") or path.stem)
    for modality in settings["modalities"].values():
        fields = {*modality.get("fields", ()), *filter(None, [modality.get("field")])} - COUNTED
        assert fields <= set(settings["load_col"]["item"])
    of_history = settings["load_col"]["inter"]
    if "behaviours" in settings:  # histories are not made of the rows
        of_history = ["user_id", "item_id", "timestamp", "behavior_type"]
    for field in (settings["behaviour"]["kind"], settings["behaviour"]["time"]):
        assert field is None or field in of_history
    assert settings["normalize_all"] is False
