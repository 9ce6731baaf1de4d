"""A run that was killed ends, once resumed, as if it had not been; a state of something else is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from recbole_marn import quick_start
from recbole_marn.errors import InputError
from recbole_marn.files import plain
from recbole_marn.quick_start import build_config, prepare_run
from recbole_marn.training import checkpoint
from recbole_marn.training.identity import check_same_settings
from recbole_marn.training.trainer import CTRTrainer


def prepared(settings):
    return prepare_run(build_config(config_dict=settings), quiet=True)


def fit(parts, **kwargs):
    return parts.trainer.fit(parts.train, parts.valid, verbose=False, **kwargs)


EPOCHS = 4
CHANGED = {
    # Everything that draws random numbers: dropout, the order, the negatives.
    "MARN": {"dropout": 0.3, "resample_negatives": True, "learner": "adagrad", "learning_rate": 0.2},
    "DIN": {"dropout_prob": 0.3, "resample_negatives": True},
    "DIEN": {"resample_negatives": True},
}


class Killed(BaseException):
    """Not an Exception, as SIGTERM's would not be."""


def kill_in_the_middle_of_epoch_2(parts, monkeypatch):
    calls, calculate = [], parts.model.calculate_loss

    def count(interaction):
        calls.append(1)
        if len(calls) == len(parts.train) + 2:
            raise Killed
        return calculate(interaction)

    monkeypatch.setattr(parts.model, "calculate_loss", count)


def kill_between_epochs(parts, monkeypatch):
    save = parts.trainer._save_state

    def stop(epoch):
        save(epoch)
        raise Killed

    monkeypatch.setattr(parts.trainer, "_save_state", stop)


def kill_before_the_state_of_epoch_2_is_written(parts, monkeypatch):
    save = parts.trainer._save_state

    def stop(epoch):
        if epoch == 1:
            raise Killed
        save(epoch)

    monkeypatch.setattr(parts.trainer, "_save_state", stop)


def kill_while_the_state_of_epoch_2_is_written(parts, monkeypatch):
    save = torch.save

    def stop(content, path):
        save(content, path)
        if content.get("epoch") == 1 and "optimizer" in content:
            Path(path).write_bytes(Path(path).read_bytes()[:100])
            raise Killed

    monkeypatch.setattr(torch, "save", stop)


KILLS = [
    kill_in_the_middle_of_epoch_2,
    kill_between_epochs,
    kill_before_the_state_of_epoch_2_is_written,
    kill_while_the_state_of_epoch_2_is_written,
]


def outcome(parts):
    """All that a run ends with."""
    return {
        "weights": {name: value.tolist() if torch.is_tensor(value) else value
                    for name, value in parts.model.state_dict().items()},
        "optimizer": json.dumps(plain(parts.trainer.optimizer.state_dict()), default=torch.Tensor.tolist),
        "history": [{key: epoch[key] for key in epoch if key != "seconds"} for epoch in parts.trainer.history],
        "best": (parts.trainer.best_valid_score, dict(parts.trainer.best_valid_result)),
        "test": dict(parts.trainer.evaluate(parts.test)),
        "tested": [value.tolist() for value in parts.trainer.scores(parts.test).values()],
    }  # fmt: skip


@pytest.fixture(scope="module")
def uninterrupted(data_path, tmp_path_factory):
    """model -> outcome of a run that nothing stops."""
    found = {}
    for model, changed in CHANGED.items():
        folder = str(tmp_path_factory.mktemp(model))
        parts = prepared(tiny.settings(data_path, model, epochs=EPOCHS, checkpoint_dir=folder, **changed))
        fit(parts)
        found[model] = outcome(parts)
    return found


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.__name__)
@pytest.mark.parametrize("model", list(CHANGED))
def test_a_killed_run_ends_as_if_it_had_not_been(settings, uninterrupted, model, kill):
    given = settings(model, epochs=EPOCHS, **CHANGED[model])
    parts = prepared(given)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill(parts, patch)
        fit(parts)
    again = prepared(given | {"resume": True})
    fit(again)
    assert again.trainer.start_epoch == 1, "the first epoch is not trained twice"
    assert outcome(again) == uninterrupted[model]


def test_a_run_killed_before_its_first_state_starts_anew(settings, uninterrupted):
    given = settings("DIN", epochs=EPOCHS, **CHANGED["DIN"])
    parts = prepared(given)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(parts.trainer, "_save_state", lambda epoch: (_ for _ in ()).throw(Killed))
        fit(parts)
    again = prepared(given | {"resume": True})
    fit(again)
    assert outcome(again) == uninterrupted["DIN"]


def test_a_finished_run_is_not_trained_further(settings, uninterrupted, monkeypatch):
    given = settings(epochs=EPOCHS, **CHANGED["MARN"])
    fit(prepared(given))
    again = prepared(given | {"resume": True})
    monkeypatch.setattr(again.model, "calculate_loss", None)
    fit(again)
    assert outcome(again) == uninterrupted["MARN"]


def test_a_run_that_stopped_early_is_not_trained_further(settings, monkeypatch):
    given = settings(epochs=30, learning_rate=0.05, stopping_step=0)
    parts = prepared(given)
    fit(parts)
    assert len(parts.trainer.history) < 30
    again = prepared(given | {"resume": True})
    monkeypatch.setattr(again.model, "calculate_loss", None)
    fit(again)
    assert outcome(again) == outcome(parts)


def test_without_resume_a_run_starts_anew(settings):
    given = settings(epochs=1)
    fit(prepared(given))
    again = prepared(given)
    fit(again)
    assert again.trainer.start_epoch == 0 and len(again.trainer.history) == 1


def test_records_and_scores_of_a_killed_run_equal_those_of_another(settings, monkeypatch):
    given = settings(epochs=3, also_test=["popularity"])
    whole = quick_start.run(config_dict=given | {"checkpoint_dir": "whole"})
    with monkeypatch.context() as patch, pytest.raises(Killed):
        save = CTRTrainer._save_state

        def stop(self, epoch):
            save(self, epoch)
            raise Killed

        patch.setattr(CTRTrainer, "_save_state", stop)
        quick_start.run(config_dict=given)
    assert not list(Path("saved").glob("*.json")) and not list(Path("saved").glob("*.npz"))
    resumed = quick_start.run(config_dict=given | {"resume": True})
    assert Path(resumed["record"]).name == Path(whole["record"]).name
    one, other = (json.loads(Path(result["record"]).read_text()) for result in (whole, resumed))
    for key in ("metrics", "data", "epochs"):
        assert one[key] == other[key], key
    assert one["scores"]["sha256"] == other["scores"]["sha256"]


def test_a_trial_leaves_no_state(settings):
    fit(prepared(settings(epochs=1)), saved=False)
    assert not list(Path("saved").glob("*"))


# ------------------------------------------------------------------------------------------- wrong checkpoints
def error_of(call, *args, **kwargs):
    with pytest.raises(InputError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_a_checkpoint_of_other_rows_is_refused(settings):
    parts = prepared(settings(epochs=1))
    fit(parts)
    file = parts.trainer.saved_model_file
    other = prepared(settings(epochs=1, sample_seed=7))
    text = error_of(other.trainer.evaluate, other.test, model_file=file)
    sha, theirs = other.test.part.split_sha256[:12], parts.test.part.split_sha256[:12]
    assert f"Expected a checkpoint of this data set and split (SHA-256 {sha}...)." in text
    assert f"Got {file} of tiny (SHA-256 {theirs}...). Use the data set, split and sample_seed" in text


def describe_otherwise(folder, what):
    """Other values of some items, by which no token gets another number."""
    if what == "image":
        return np.save(folder / "image.npy", -np.load(folder / "image.npy"))
    header, *rows = [line.split("\t") for line in (folder / "tiny.item").read_text().splitlines()]
    column = header.index({"category": "category:token", "title": "title:token_seq", "price": "price:float"}[what])
    if what == "price":
        for row, price in zip(rows, [row[column] for row in rows][::-1], strict=True):
            row[column] = price
    else:
        rows[-1][column] = next(row[column] for row in rows if row[column] not in ("", rows[-1][column]))
    tiny.write_table(folder / "tiny.item", header, rows)


OF_ITEMS = [("MARN", what) for what in ("category", "title", "price", "image")]


@pytest.mark.parametrize(("model", "what"), [*OF_ITEMS, ("DIN", "category")])
def test_a_checkpoint_is_refused_where_items_are_described_otherwise(data_path, tmp_path, model, what):
    shutil.copytree(data_path / "tiny", tmp_path / "copy" / "tiny")
    mine = tiny.settings(tmp_path / "copy", model, epochs=1, run_name="mine")
    parts = prepared(mine)
    fit(parts)
    quick_start.load_run(parts.trainer.saved_model_file)
    describe_otherwise(tmp_path / "copy" / "tiny", what)
    text = "Expected the items of tiny as saved/mine.* knows them. Got the same rows, with items that are described"
    with pytest.raises(InputError, match=text):
        quick_start.load_run(parts.trainer.saved_model_file)
    with pytest.raises(InputError, match=text):
        fit(prepared(mine | {"resume": True}))


@pytest.mark.parametrize("model", ["MARN", "DIN"])
def test_a_checkpoint_is_refused_where_types_of_behaviours_have_changed_places(data_path, tmp_path, model):
    shutil.copytree(data_path / "tiny", tmp_path / "copy" / "tiny")
    mine = tiny.settings(tmp_path / "copy", model, epochs=1, run_name="mine")
    parts = prepared(mine)
    fit(parts)
    file = tmp_path / "copy" / "tiny" / "tiny.inter"
    words = {"view": "buy", "buy": "view"}
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    file.write_text("\n".join("\t".join([*line[:-1], words.get(line[-1], line[-1])]) for line in lines) + "\n")
    assert prepared(mine).train.part.split_sha256 == parts.train.part.split_sha256
    with pytest.raises(InputError, match="Got the same rows, with other numbers"):
        quick_start.load_run(parts.trainer.saved_model_file)


def test_a_state_of_other_rows_or_settings_is_refused(settings):
    fit(prepared(settings(epochs=1, run_name="mine")))
    other = prepared(settings(epochs=1, run_name="mine", resume=True, sample_seed=7))
    assert "Expected a checkpoint of this data set and split" in error_of(fit, other)
    other = prepared(settings(epochs=1, run_name="mine", resume=True, width=4, fusion="conc"))
    assert (
        "Expected a state of the same settings in saved/mine.last.pth. Got fusion: 'maf' there and 'conc' here, "
        "width: 8 there and 4 here. Take those settings again, give another run_name, or train anew"
    ) in error_of(fit, other)
    other = prepared(settings("LR", epochs=1, run_name="mine", resume=True))
    assert "model: 'MARN' there and 'LR' here" in error_of(fit, other)


def test_the_best_model_of_another_run_of_the_same_name_is_not_tested(settings):
    """Two runs at once under one run_name: the first was tested with the model of the second, and said nothing."""
    one, other = (prepared(settings(run_name="one", epochs=1, learning_rate=rate)) for rate in (0.01, 0.02))
    fit(one)
    one.trainer.evaluate(one.test)
    fit(other)
    with pytest.raises(InputError, match=r"learning_rate: 0.02 there and 0.01 here.*give another run_name"):
        one.trainer.evaluate(one.test)


def test_an_earlier_epoch_of_a_second_run_of_the_same_settings_is_not_tested(settings):
    """The first of two at once was tested with a model of the second's first epochs, under the first one's record."""
    given = settings(epochs=3)
    one, other = prepared(given), prepared(given)
    best, _ = fit(one)
    one.trainer.evaluate(one.test)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_between_epochs(other, patch)
        fit(other)
    with pytest.raises(InputError, match=rf"the best model of this run in saved/.* \(UAUC {best} on validation\)"):
        one.trainer.evaluate(one.test)


def test_of_two_runs_of_one_name_at_once_the_later_is_refused(settings, monkeypatch):
    given, begun = settings("LR", epochs=1), []
    fit_once = CTRTrainer.fit

    def fit_while_another_starts(self, *args, **kwargs):
        if not begun:
            begun.append(self)
            assert "one run at a time that writes saved/LR-tiny" in error_of(quick_start.run, config_dict=given)
            assert quick_start.run(config_dict=given | {"checkpoint_dir": "elsewhere"})["checkpoint"]
        return fit_once(self, *args, **kwargs)

    monkeypatch.setattr(CTRTrainer, "fit", fit_while_another_starts)
    quick_start.run(config_dict=given)
    quick_start.run(config_dict=given)
    assert {path.suffix for path in Path("saved").iterdir()} == {".pth", ".json", ".npz"}


def test_a_record_goes_with_the_model_it_tells_of(settings, monkeypatch):
    """Begun again and stopped, a run left the record of its first time beside the weights of a first epoch."""
    given = settings("LR", epochs=2)
    record = Path(quick_start.run(config_dict=given)["record"])

    def stop(self, epoch):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(CTRTrainer, "_save_state", stop)
        quick_start.run(config_dict=given)
    assert not record.exists() and not list(Path("saved").glob("*.npz"))


def test_a_full_disk_leaves_the_finished_run_as_it_was(settings, monkeypatch):
    given = settings("LR", epochs=1)
    quick_start.run(config_dict=given)
    before = {path.name: path.read_bytes() for path in Path("saved").iterdir()}

    def full(content, path):
        raise RuntimeError("unexpected pos 128 vs 0")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="the disk may be full"):
        quick_start.run(config_dict=given)
    assert {path.name: path.read_bytes() for path in Path("saved").iterdir()} == before


def test_fields_in_another_order_are_other_settings():
    """Tables of the same shapes were filled with those of another field, and the run was scored by them."""
    before = {"config": {"model": "MARN", "user": {"fields": {"age": 8, "gender": 8}}}}
    check_same_settings(before, "a.pth", {"model": "MARN", "user": {"fields": {"age": 8, "gender": 8}}})
    with pytest.raises(InputError, match="a state of the same settings"):
        check_same_settings(before, "a.pth", {"model": "MARN", "user": {"fields": {"gender": 8, "age": 8}}})


def test_a_checkpoint_of_a_newer_format_is_refused(settings, monkeypatch):
    parts = prepared(settings(epochs=1))
    with monkeypatch.context() as newer:
        newer.setattr(checkpoint, "FORMAT", 2)
        fit(parts)
    assert "Expected a checkpoint of format 1 or older." in error_of(parts.trainer.evaluate, parts.test)
    again = prepared(settings(epochs=1, resume=True))
    assert "Expected a checkpoint of format 1 or older." in error_of(fit, again)


def test_a_state_from_before_a_key_existed_goes_on():
    """As with shuffle_by, which version 0.1.0 did not know: its default changes nothing."""
    before = {"config": {"model": "MARN", "train_negatives": 1}}
    check_same_settings(before, "a.pth", {"model": "MARN", "train_negatives": 1, "shuffle_by": "group"})
    with pytest.raises(InputError, match="shuffle_by: None there and 'row' here"):
        check_same_settings(before, "a.pth", {"model": "MARN", "train_negatives": 1, "shuffle_by": "row"})
