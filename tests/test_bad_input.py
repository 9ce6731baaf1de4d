"""Bad input stops a run before a record: exit code 2, what was expected, what came, what to do, and no traceback."""

import json
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from recbole_marn.errors import InputError


@pytest.fixture
def refused(run):
    """Call it with input it must refuse; returns the one line that says why."""

    def call(*arguments, **kwargs):
        code, out, err = run(*arguments, **kwargs)
        assert code == 2
        assert "Traceback" not in err + out
        assert "{" not in out, "no result"
        lines = [line for line in err.splitlines() if line.startswith("InputError: ")]
        assert len(lines) == 1, err
        text = lines[0].removeprefix("InputError: ")
        assert re.fullmatch(r"Expected .+\. Got .+\. .+[.?]", text), text
        assert not list(Path().glob("saved/*.json")), "stopped before a record"
        return text

    return call


@pytest.fixture
def copied(tmp_path, data_path):
    """A copy of the data set that may be damaged; returns the folder and an argument that chooses it."""
    shutil.copytree(data_path / "tiny", tmp_path / "copy/tiny")
    return tmp_path / "copy/tiny", f"--data_path={tmp_path / 'copy'}"


def test_settings_beside_the_data_that_nobody_read(refused, run, copied):
    folder, where = copied
    said = Path("base.yaml").read_text()
    (folder / "tiny.yaml").write_text(said)
    Path("base.yaml").write_text("epochs: 1\n")
    text = refused(where)
    assert f"Got a run without {folder / 'tiny.yaml'}, which says modalities." in text
    assert f"Add --config_files={folder / 'tiny.yaml'}, or set modalities yourself." in text
    assert run(where, files=str(folder / "tiny.yaml"))[0] == 0
    Path("base.yaml").write_text(said)
    assert run(where)[0] == 0, "the user's own description"


def test_a_file_of_settings_without_any(run):
    Path("nothing.yaml").write_text("# nothing yet\n")
    assert run(files="base.yaml nothing.yaml")[0] == 0


@pytest.mark.parametrize("name", ["items", "type", "'my.ids'", "''", "1"])
def test_a_modality_that_torch_cannot_name(refused, name):
    text = refused(f"--modalities={{{name}: {{kind: id, fields: {{item_id: 4}}}}}}")
    got = name if name == "1" else repr(name.strip("'"))
    assert f"Expected a name of a modality that torch takes, too. Got {got}." in text


# --------------------------------------------------------------------------------------------- unknown names and keys
def test_an_unknown_model(refused):
    text = refused(model="MRN")
    assert text.startswith("Expected model to be one of MARN, ")
    assert text.endswith("Got 'MRN'. Choose one of them. Did you mean 'MARN'?")


def test_an_unknown_dataset(refused, data_path):
    text = refused(dataset="tinny")
    assert text.startswith(f"Expected the data set 'tinny' as {data_path}/tinny/tinny.inter. Got no such file.")
    assert "Put its atomic files there, or correct the name. Did you mean 'tiny'?" in text
    assert "On this machine you can run: ml-100k, " in text


def test_a_known_dataset_that_is_not_on_this_machine(refused, monkeypatch):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", no_network)
    text = refused(dataset="ml-1m")
    assert re.search(
        r"the data set 'ml-1m' as .*ml-1m\.inter, or its raw files in raw/ml-1m or raw to prepare it from\.", text
    )
    assert re.search(r"no network.*Unpack https.* Files: ratings\.dat .*; movies\.dat .*; posters .*optional\)\.", text)
    assert "If they lie elsewhere: recbole-marn prepare ml-1m --raw DIR." in text
    assert re.search(r"On this machine you can run: ml-100k, .*tiny", text)


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--lamda0=1", "Got lamda0=1. lamda0 is no key of this run. Did you mean 'lambda0'?"),
        ("--epoch=1", "Got epoch=1. epoch is no key of this run. Did you mean 'epochs'?"),
        ("--mode=full", "Got mode='full'. mode is no key of this run. Did you mean 'model'?"),
        ("--lambda0=x", "Expected 'lambda0' to be of type float. Got 'x' (str). Write a number, such as 0.5."),
        ("--lambda0=-1", "Expected 'lambda0' to be at least 0. Got -1. Choose a value in that range."),
        ("--width=0", "Expected 'width' to be between 1 and 4096. Got 0. Choose a value in that range."),
        ("--fusion=mof", "Expected 'fusion' to be one of maf, conc. Got 'mof'. Choose one. Did you mean 'maf'?"),
        ("--epochs=many", "Expected 'epochs' to be of type int. Got 'many' (str)."),
        ("--learning_rate=-1", "Expected 'learning_rate' to be at least 0. Got -1."),
        ("--train_batch_size=0", "Expected 'train_batch_size' to be between 1 and 16777216. Got 0."),
        ("--seed=-1", "Expected 'seed' to be between 0 and 4294967295. Got -1."),
        ("--metrics=[NDCG]", "Expected metrics among AUC, UAUC, GAUC, LogLoss, MAE, RMSE. Got 'NDCG'."),
        ("--valid_metric=AUCC", "Got 'AUCC'. Choose one of them, or add it to metrics. Did you mean 'AUC'?"),
        ("--use_modalities=[imag]", "Got 'imag'. Correct the name. Did you mean 'image'?"),
        ("--modalities={a: {kind: imag}}", "Expected modality 'a' to be a mapping with kind: one of id, vector"),
        ("--behaviour={tme: timestamp}", "Got 'tme'. Correct the key. Did you mean 'time'?"),
        ("--learning_rate=.inf", "Expected 'learning_rate' to be a finite number. Got inf."),
        ("--split_times=[1]", None),
        ("--also_test=[popularty]", "Did you mean 'popularity'?"),
        ("--save_dataset=True", "Got save_dataset=True. Leave out save_dataset: rows are built anew"),
        ("lambda0=1", "Expected settings as --key=value. Got 'lambda0=1'. Write it with two dashes"),
        ("--lambda0", "Expected settings as --key=value. Got '--lambda0'."),
    ],
)
def test_a_wrong_setting(refused, argument, text):
    if text is None:
        assert "Expected split_times to be [validation start, test start]." in refused("--split=time", argument)
    else:
        assert text in refused(argument)


@pytest.mark.parametrize("times", ["[2026-10-20, 2026-10-25]", "['2026-10-20 00:00', 1792800000]"])
def test_a_date_where_a_number_is_meant_is_answered_with_the_number(refused, times):
    assert "1792454400 for 2026-10-20T00:00:00+00:00" in refused("--split=time", f"--split_times={times}")


def test_a_setting_with_two_values(refused):
    text = refused("--width=8", "--width=16")
    assert text == "Expected each setting once. Got --width with 8 and with 16. Leave one of them out."
    assert "'width' to be between" in refused("--width=0", "--width=0")  # the same twice is one


def test_a_configuration_file_that_is_not_there(refused):
    text = refused(files="bse.yaml")
    assert text == "Expected configuration files that exist. Got bse.yaml. Correct the path. Did you mean 'base.yaml'?"


# ------------------------------------------------------------------------------------------------- modality files
def test_a_vector_file_that_is_missing(refused, copied):
    folder, where = copied
    (folder / "image.npy").unlink()
    assert f"Expected the vectors of modality 'image'. Got no file {folder}/image.npy." in refused(where)


def test_an_ids_file_that_is_missing(refused, copied):
    folder, where = copied
    (folder / "image.ids").unlink()
    assert f"Expected the ids of modality 'image', one item token per line. Got no file {folder}/image.ids." in refused(
        where
    )


def test_a_vector_file_that_is_truncated(refused, copied):
    folder, where = copied
    whole = (folder / "image.npy").read_bytes()
    (folder / "image.npy").write_bytes(whole[:-20])
    text = refused(where)
    assert "Expected a whole .npy file of the vectors of modality 'image'" in text
    assert "It is truncated or of another format; write it anew." in text


def test_vectors_of_the_wrong_width(refused):
    modality = "{kind: vector, file: image.npy, size: 4096}"
    text = refused(f"--modalities={{image: {modality}}}")
    assert text == (
        "Expected vectors of modality 'image' 4096 wide. Got 6 numbers per vector. "
        "Give the file of the right encoder, or correct 'size'."
    )


def test_a_statistic_without_any_value(refused, copied):
    folder, where = copied
    header, *lines = (folder / "tiny.item").read_text(encoding="utf-8").splitlines()
    assert header.endswith("price:float")
    bare = [line.rsplit("\t", 1)[0] + "\t" for line in lines]
    (folder / "tiny.item").write_text("\n".join([header, *bare]) + "\n", encoding="utf-8")
    assert "Expected a price of some item with training events, for modality 'statistic'." in refused(where)


def test_vectors_that_are_no_matrix(refused, copied):
    folder, where = copied
    np.save(folder / "image.npy", np.zeros(22, dtype=np.float32))
    assert "of modality 'image' to be a matrix (items, width) of float16 or float32. Got shape (22,)" in refused(
        where
    )


def test_vectors_with_nan(refused, copied):
    folder, where = copied
    matrix = np.load(folder / "image.npy")
    matrix[7, 2] = np.nan
    np.save(folder / "image.npy", matrix)
    text = refused(where)
    assert "Expected finite numbers in the vectors of modality 'image'. Got NaN or infinity in row 7" in text
    assert "Leave that item out: an item without a vector is masked." in text


def test_an_ids_file_of_another_length(refused, copied):
    folder, where = copied
    with open(folder / "image.ids", "a") as file:
        file.write("024\n")
    text = refused(where)
    assert "Got 23 ids in image.ids and 22 vectors in image.npy. Write both files anew from the same list" in text


def test_ids_of_other_items(refused, copied):
    folder, where = copied
    (folder / "image.ids").write_text("".join(f"x{index}\n" for index in range(22)))
    assert "Expected ids of modality 'image' that are items of this data set. Got none of 22 ids known" in refused(
        where
    )


def test_an_item_without_a_vector_is_counted_masked_and_reported(run):
    code, out, err = run("--run_name=mine")
    assert code == 0
    note = "image: 3 of 25 items have no vector and are masked"
    assert note in err
    assert note in json.loads(Path("saved/mine.json").read_text())["notes"]


def test_a_column_that_is_missing_or_of_another_type(refused):
    text = refused("--modalities={a: {kind: text, field: titel}}")
    assert "Expected column 'titel' (token_seq) of the items for modality 'a'." in text
    assert "Did you mean 'title'?" in text
    assert "Expected item column price:token_seq. Got price:float." in refused(
        "--modalities={a: {kind: text, field: price}}"
    )


def test_vectors_of_several_widths_in_the_item_file(refused, copied):
    folder, where = copied
    rows = [(token, "1 2" if token == "004" else "1 2 3") for token in tiny.item_tokens(25)]
    tiny.write_table(folder / "tiny.item", ["item_id:token", "sound:float_seq"], rows)
    assert "Expected vectors of one width in field 'sound'. Got widths [2, 3]. Write every vector in full." in refused(
        where, "--modalities={sound: {kind: vector, field: sound}}"
    )


# --------------------------------------------------------------------------------------------------------- events
def rewrite(folder, change):
    file = folder / "tiny.inter"
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *change(lines)]) + "\n")


def test_no_time_column(refused, copied):
    folder, where = copied
    tiny.write_table(
        folder / "tiny.inter",
        ["user_id:token", "item_id:token", "kind:token"],
        [(user, item, kind) for user, item, _, kind in tiny.read_events(folder.parent)],
    )
    text = refused(where)
    assert "Expected column timestamp:float in tiny.inter. Got columns user_id, item_id, kind." in text
    assert "Add the column, or correct the key that names it (load_col, TIME_FIELD, behaviour)." in text


def test_a_time_column_of_another_type(refused, copied):
    folder, where = copied
    file = folder / "tiny.inter"
    file.write_text(file.read_text().replace("timestamp:float", "timestamp:token"))
    assert "Expected column timestamp:float in tiny.inter. Got timestamp:token." in refused(where)


def test_an_event_without_a_time(refused, copied):
    folder, where = copied
    rewrite(folder, lambda lines: ["u0\t025\t\tview", *lines])
    assert "Expected a number in every timestamp of tiny.inter. Got 1 empty or infinite." in refused(where)


def test_a_header_without_types(refused, copied):
    folder, where = copied
    file = folder / "tiny.inter"
    file.write_text(file.read_text().replace("timestamp:float", "timestamp"))
    text = refused(where)
    assert f"Expected a header of name:type columns in {file}" in text
    assert "Got 'timestamp'." in text


def test_a_filter_of_a_column_that_is_not_there(refused):
    text = refused("--val_interval={rating: '[4,inf)'}")
    assert "Got 'Field [rating] not defined in dataset.' (ValueError) from it. Check val_interval: an interval" in text


def test_no_events(refused, copied):
    folder, where = copied
    rewrite(folder, lambda lines: [])
    assert "Expected events in tiny.inter. Got an empty table." in refused(where)


def test_no_items_below_the_header(refused, copied):
    folder, where = copied
    file = folder / "tiny.item"
    file.write_text(file.read_text().partition("\n")[0] + "\n")
    assert f"Expected lines below the header of {file}. Got none. Write one for each item" in refused(where)


def test_duplicate_events(refused, copied):
    folder, where = copied
    rewrite(folder, lambda lines: [lines[0], lines[1], *lines])
    text = refused(where)
    assert "Expected each (user, item) pair once. Got 2 of 131 events that repeat a pair." in text
    assert "Set repeats: first to keep each pair's first event, or repeats: keep if repeating is behaviour." in text


def test_a_user_with_one_event_is_reported(run):
    code, _, err = run()
    assert code == 0
    assert "users: 4 with a single event have no row (their event still counts)" in err


def test_only_users_with_one_event(refused, tmp_path):
    tiny.write_dataset(tmp_path / "short", most_events=1)
    text = refused(f"--data_path={tmp_path / 'short'}")
    assert "Expected rows in the train part. Got none of 30 events." in text
    assert "split: leave_last needs users with 4 events or more" in text


def test_fewer_items_than_negatives_need(refused):
    text = refused("--eval_negatives=20")
    assert "Expected at least 20 items to draw negatives from for every row" in text
    assert "Ask for fewer negatives (eval_negatives, train_negatives)" in text


# ----------------------------------------------------------------------------------------------------- checkpoints
def test_the_state_of_another_dataset(refused, run, copied):
    folder, where = copied
    assert run("--run_name=mine")[0] == 0
    Path("saved/mine.json").unlink()
    rewrite(folder, lambda lines: lines[:-3])
    text = refused(where, "--run_name=mine", "--resume=True")
    assert "Expected a checkpoint of this data set and split (SHA-256 " in text
    assert "Use the data set, split and sample_seed it was trained with, or train anew." in text


def test_the_state_of_a_newer_version(refused, run):
    assert run("--run_name=mine")[0] == 0
    Path("saved/mine.json").unlink()
    content = torch.load("saved/mine.last.pth", weights_only=True)
    content["recbole_marn"] = {"format": 99, "version": "7.0"}
    torch.save(content, "saved/mine.last.pth")
    text = refused("--run_name=mine", "--resume=True")
    assert (
        "Expected a checkpoint of format 1 or older. Got saved/mine.last.pth of format 99 (recbole_marn 7.0)." in text
    )
    assert text.endswith("Upgrade recbole_marn.")


def test_the_state_of_other_settings(refused, run):
    assert run("--run_name=mine")[0] == 0
    Path("saved/mine.json").unlink()
    text = refused("--run_name=mine", "--resume=True", "--width=4")
    assert "Expected a state of the same settings in saved/mine.last.pth. Got width: 8 there and 4 here." in text


def test_a_damaged_state(refused, run):
    assert run("--run_name=mine")[0] == 0
    Path("saved/mine.json").unlink()
    Path("saved/mine.last.pth").write_bytes(b"")
    assert "It is damaged or was not written by this package; train again." in refused(
        "--run_name=mine", "--resume=True"
    )


def test_the_error_has_three_sentences():
    error = InputError("this", "that", "Do so.")
    assert str(error) == "Expected this. Got that. Do so."
    assert isinstance(error, ValueError)
