"""Checkpoints hold plain data and tensors, are whole or absent, and loading one runs no code."""

import enum
import json
import os

import numpy as np
import pytest
import torch

from recbole_marn.errors import InputError
from recbole_marn.files import plain, write_aside
from recbole_marn.training import checkpoint


class Dropper:
    """A pickle that leaves a file behind when it is loaded."""

    def __reduce__(self):
        return os.mkdir, ("dropped",)


class Colour(enum.Enum):
    RED = "red"


class Label(str):
    """Text that is not quite text."""


def error_of(path):
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    return str(error.value)


def test_round_trip():
    content = {"epoch": 3, "best": 0.5, "name": "x", "none": None, "flag": True, "list": [1, {"a": 2}],
               "state_dict": {"weight": torch.arange(6.0).view(2, 3), "step": torch.tensor(7)}}  # fmt: skip
    checkpoint.save("folder/that/is/new/a.pth", content)
    loaded = checkpoint.load("folder/that/is/new/a.pth")
    assert torch.equal(loaded["state_dict"]["weight"], content["state_dict"]["weight"])
    assert {key: loaded[key] for key in ("epoch", "best", "name", "none", "flag", "list")} == {
        key: content[key] for key in ("epoch", "best", "name", "none", "flag", "list")
    }


def test_what_numpy_and_enums_leave_behind_is_plain_afterwards():
    content = {"score": np.float64(0.25), "half": np.float32(0.5), "count": np.int64(3), "flag": np.bool_(True),
               "zero": np.array(4), "colour": Colour.RED, "label": Label("x"), "tuple": (1, np.float64(2)),
               np.str_("key"): 1, 3: "integer keys stay"}  # fmt: skip
    made = plain(content)
    assert json.loads(json.dumps({str(key): value for key, value in made.items()})) == {
        "score": 0.25, "half": 0.5, "count": 3, "flag": True, "zero": 4, "colour": "Colour.RED", "label": "x",
        "tuple": [1, 2.0], "key": 1, "3": "integer keys stay",
    }  # fmt: skip
    assert type(made["score"]) is float and type(made["label"]) is str
    assert {type(key) for key in made} == {str, int}
    checkpoint.save("a.pth", content)
    checkpoint.load("a.pth")


def test_loading_a_hostile_pickle_runs_nothing():
    torch.save({"recbole_marn": {"format": 1}, "config": Dropper()}, "hostile.pth")
    assert "Expected a checkpoint of plain data and tensors. Got hostile.pth, which cannot be read so" in error_of(
        "hostile.pth"
    )
    assert not os.path.exists("dropped")


def test_no_file():
    assert error_of("no.pth") == "Expected a checkpoint file. Got no.pth, which does not exist. Check the path."


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_truncated_file(size):
    checkpoint.save("a.pth", {"weight": torch.arange(100.0)})
    whole = open("a.pth", "rb").read()
    with open("a.pth", "wb") as file:
        file.write(whole[:size])
    assert "Got a.pth, which cannot be read so" in error_of("a.pth")
    assert "It is damaged or was not written by this package; train again." in error_of("a.pth")


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"recbole_marn": "yes"}])
def test_a_file_of_somebody_else(content):
    torch.save(content, "theirs.pth")
    assert "Expected a checkpoint written by this package. Got theirs.pth, which has no mark of it." in error_of(
        "theirs.pth"
    )


def test_a_newer_format(monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(checkpoint, "FORMAT", 2)
        newer.setattr(checkpoint, "__version__", "9.1")
        checkpoint.save("newer.pth", {})
    assert error_of("newer.pth") == (
        "Expected a checkpoint of format 1 or older. Got newer.pth of format 2 (recbole_marn 9.1). "
        "Upgrade recbole_marn."
    )


def test_an_interrupted_write_leaves_what_was_there():
    def fail(path):
        with open(path, "w") as file:
            file.write("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_aside("result.json", fail)
    assert os.listdir() == []
    write_aside("result.json", lambda path: path.write_text("whole"))
    with pytest.raises(KeyboardInterrupt):
        write_aside("result.json", fail)
    assert os.listdir() == ["result.json"]
    assert open("result.json").read() == "whole"


def test_an_interrupted_save_leaves_no_file(monkeypatch):
    def fail(payload, path):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save("a.pth", {})
    assert os.listdir() == []


def test_a_file_is_under_its_final_name_only_once_whole():
    def look(path):
        path.write_text("whole")
        assert not os.path.exists("result.json")

    write_aside("result.json", look)
    assert os.path.exists("result.json")


def test_a_disk_that_is_full_is_an_error_of_the_disk(tmp_path, monkeypatch):
    """What torch raises where a file cannot be written to its end, seen on a full file system."""
    checkpoint.save(tmp_path / "a.pth", {"x": 1})
    before = (tmp_path / "a.pth").read_bytes()

    def full(*args):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 6464 vs 6358")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="the disk may be full"):
        checkpoint.save(tmp_path / "a.pth", {"x": 2})
    assert (tmp_path / "a.pth").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# ------------------------------------------------------------------------------------------------ damage
RUN = {
    "config": {"model": "MARN", "dataset": "tiny"},
    "split_sha256": "0" * 64,
    "epoch": 1,
    "cur_step": 0,
    "best_valid_score": 0.5,
    "best_valid_result": {"auc": 0.5},
    "history": [],
    "state_dict": {"weight": torch.arange(64.0).view(8, 8), "bias": torch.zeros(8)},
}


def test_a_flipped_byte_is_noticed_wherever_it_lies():
    """Of the numbers themselves: torch reads them without a look at the archive's check sums."""
    checkpoint.save("a.pth", RUN)
    whole = bytearray(open("a.pth", "rb").read())
    start = bytes(whole).index(RUN["state_dict"]["weight"].numpy().tobytes())
    for offset in (0, 17, 128, 255):
        damaged = whole.copy()
        damaged[start + offset] ^= 0x10
        with open("b.pth", "wb") as file:
            file.write(damaged)
        assert "whose content has another" in error_of_load("b.pth")


def test_a_flipped_digit_of_plain_data_is_noticed():
    checkpoint.save("a.pth", RUN)
    content = torch.load("a.pth", weights_only=True)
    for key, value in [("epoch", 2), ("best_valid_score", 0.75), ("split_sha256", "1" * 64), ("history", [{}])]:
        torch.save(content | {key: value}, "b.pth")
        assert "whose content has another" in error_of_load("b.pth")


def error_of_load(path):
    with pytest.raises(InputError) as error:
        checkpoint.load(path)
    return str(error.value)


def test_a_checkpoint_of_0_1_0_has_no_digest_and_is_read():
    torch.save({"recbole_marn": {"format": 1, "version": "0.1.0"}, **RUN}, "old.pth")
    assert checkpoint.load("old.pth")["epoch"] == 1


@pytest.mark.parametrize("key", list(RUN))
@pytest.mark.parametrize("value", ["missing", None])
def test_a_checkpoint_without_a_part_of_it(key, value):
    content = {name: entry for name, entry in RUN.items() if name != key} if value else RUN | {key: None}
    with pytest.raises(InputError, match=f"Expected a checkpoint of a run, with {key} "):
        checkpoint.fill(torch.nn.Linear(8, 8), content, "a.pth")


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"weight": torch.zeros(8, 8)},
        {"weight": torch.zeros(4, 4), "bias": torch.zeros(8)},
        {"weight": torch.zeros(8, 8), "bias": torch.zeros(8), "more": torch.zeros(1)},
        {"weight": "text", "bias": torch.zeros(8)},
        {"weight": None, "bias": torch.zeros(8)},
        {3: torch.zeros(8)},
    ],
)
def test_weights_of_another_model(state):
    with pytest.raises(InputError, match="Expected the weights of this Linear in a.pth"):
        checkpoint.fill(torch.nn.Linear(8, 8), RUN | {"state_dict": state}, "a.pth")


@pytest.mark.parametrize("state", [None, {}, {"state": {}}, {"state": {}, "param_groups": []}, "text"])
def test_the_state_of_another_optimizer(state):
    optimizer = torch.optim.Adam(torch.nn.Linear(8, 8).parameters())
    with pytest.raises(InputError, match="Expected the state of this Adam in a.pth"):
        checkpoint.fill_optimizer(optimizer, RUN | {"optimizer": state}, "a.pth")


def test_a_refusal_does_not_pass_on_advice_to_run_what_a_file_says():
    torch.save({"recbole_marn": {"format": 1}, "config": Dropper()}, "hostile.pth")
    text = error_of_load("hostile.pth")
    assert "weights_only" not in text and "allowlist" not in text and "safe_globals" not in text
