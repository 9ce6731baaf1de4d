"""Losses by name, the optimizers, early stopping, metrics, and a resume that changes nothing."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from recbole_marn import checkpoint, quick_start
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config, prepare_run
from recbole_marn.trainer import CTRTrainer, run_name

MODALITIES = list(tiny.MODALITIES)


def prepared(settings):
    return prepare_run(build_config(config_dict=settings), quiet=True)


def fit(parts, **kwargs):
    return parts.trainer.fit(parts.train, parts.valid, verbose=False, **kwargs)


# --------------------------------------------------------------------------------------------- named losses
def test_losses_and_diagnostics_of_marn_have_names(settings):
    parts = prepared(settings())
    fit(parts, saved=False)
    assert [list(epoch["losses"]) for epoch in parts.trainer.history] == [["click", "specific", "D0", "D1"]] * 2
    expected = {f"{kind} {name}" for kind in ("D0 accuracy", "D1 accuracy", "degree", "|c|") for name in MODALITIES}
    for epoch in parts.trainer.history:
        assert set(epoch["diagnostics"]) == expected
        assert np.isfinite(list(epoch["losses"].values())).all()
        for name, value in epoch["diagnostics"].items():
            assert 0 <= value <= 1 or name.startswith("|c|"), name


@pytest.mark.parametrize(
    ("switches", "names"),
    [
        ({"adversary": "none"}, ["click"]),
        ({"adversary": "single"}, ["click", "specific", "D1"]),
        ({"specific_discriminator": False}, ["click", "D0", "D1"]),
    ],
)
def test_a_loss_that_is_switched_off_has_no_name(settings, switches, names):
    parts = prepared(settings(epochs=1, **switches))
    fit(parts, saved=False)
    assert list(parts.trainer.history[0]["losses"]) == names


@pytest.mark.parametrize("model", ["MARN", "DIN"])
def test_a_logged_loss_is_its_mean_over_the_batches(settings, model):
    parts = prepared(settings(model, learning_rate=0.0, epochs=1, lambda0=0.0) if model == "MARN" else
                     settings(model, learning_rate=0.0, epochs=1))  # fmt: skip
    fit(parts, saved=False)
    parts.train.set_epoch(0)
    # Training mode: RecBole's DIN has a batch normalisation.
    parts.model.train()
    with torch.no_grad():
        losses = [parts.model.calculate_loss(interaction) for interaction in parts.train]
    click = [loss[0] if isinstance(loss, tuple) else loss for loss in losses]
    assert parts.trainer.history[0]["losses"]["click"] == pytest.approx(float(sum(click)) / len(click), rel=1e-5)


def test_the_log_and_tensorboard_show_the_names(settings, caplog):
    parts = prepare_run(build_config(config_dict=settings(epochs=1)))
    scalars = {}
    parts.trainer.tensorboard.add_scalar = lambda name, value, step: scalars.update({name: value})
    logging.getLogger().addHandler(caplog.handler)  # a run replaces the handlers
    parts.trainer.fit(parts.train, parts.valid, saved=False)
    text = "".join(record.getMessage() for record in caplog.records).replace("\033[0m", "").replace("\033[1;34m", "")
    for name, value in parts.trainer.history[0]["losses"].items():
        assert f"{name}: {value:.4f}" in text
        assert scalars[f"Loss/Train/{name}"] == value
    assert "D1 accuracy image: " in text and "|c| ids: " in text
    assert "Diagnostics/degree title" in scalars


def test_the_schedule_runs_over_the_training_and_stands_still_in_evaluation(settings):
    parts = prepared(settings(epochs=2))
    assert parts.model.progress == 0
    fit(parts, saved=False)
    assert parts.model.step == 2 * len(parts.train) == parts.model.total_steps
    assert parts.model.progress == 1
    parts.trainer.evaluate(parts.test, load_best_model=False)
    assert parts.model.step == 2 * len(parts.train)


def test_the_schedule_can_end_before_the_training(settings):
    parts = prepared(settings(epochs=3, adversary_epochs=1))
    fit(parts, saved=False)
    assert parts.model.total_steps == len(parts.train)
    assert parts.model.progress == 1


# ------------------------------------------------------------------------------------------------ optimizers
def test_adam_is_fused(settings):
    optimizer = prepared(settings(learner="adam", weight_decay=0.01)).trainer.optimizer
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["fused"] and optimizer.defaults["weight_decay"] == 0.01
    assert optimizer.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("start", [0.1, 0.0, 1.5])
def test_adagrad_starts_from_the_accumulator_asked_for(settings, start):
    optimizer = prepared(settings(learner="adagrad", adagrad_init=start)).trainer.optimizer
    assert type(optimizer) is torch.optim.Adagrad and optimizer.defaults["fused"]
    for parameter in optimizer.param_groups[0]["params"]:
        assert (optimizer.state[parameter]["sum"] == start).all()


def test_other_learners_are_recboles(settings):
    optimizer = prepared(settings(learner="sgd")).trainer.optimizer
    assert type(optimizer) is torch.optim.SGD


def test_every_parameter_is_in_the_optimizer_once(settings):
    for changed in ({}, {"discriminator_rate": 3.0}):
        parts = prepared(settings(**changed))
        held = [id(p) for group in parts.trainer.optimizer.param_groups for p in group["params"]]
        assert sorted(held) == sorted(id(p) for p in parts.model.parameters() if p.requires_grad)


def test_the_discriminator_can_have_a_rate_of_its_own(settings):
    parts = prepared(settings(discriminator_rate=3.0))
    groups = parts.trainer.optimizer.param_groups
    assert [group["lr"] for group in groups] == [0.01, pytest.approx(0.03)]
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in parts.model.discriminator1.parameters()}


@pytest.mark.parametrize("model", ["MARN", "DIN"])
@pytest.mark.parametrize("learner", ["adam", "adagrad"])
def test_training_lowers_the_click_loss(settings, model, learner):
    rate = {"adam": 0.03, "adagrad": 0.3}[learner]
    parts = prepared(settings(model, epochs=12, learner=learner, learning_rate=rate, stopping_step=20))
    fit(parts, saved=False)
    losses = [epoch["losses"]["click"] for epoch in parts.trainer.history]
    assert losses[-1] < losses[0] - 0.05


# ---------------------------------------------------------------------------------------------------- metrics
def pairs_won(label, score):
    """AUC by counting pairs, ties 0.5."""
    positive, negative = score[label == 1][:, None], score[label == 0][None, :]
    return float(((positive > negative) + 0.5 * (positive == negative)).mean())


@pytest.mark.parametrize("model", ["MARN", "LR"])
def test_metrics_are_those_of_the_scores(settings, model):
    parts = prepared(settings(model, epochs=1, eval_batch_size=16))
    fit(parts, saved=False)
    result = parts.trainer.evaluate(parts.test, load_best_model=False)
    rows = parts.trainer.scores(parts.test)
    user, label, score = rows["user"], rows["label"], rows["score"].astype(np.float64)
    assert len(user) == parts.test._dataset.rows.n_rows
    assert result["auc"] == pytest.approx(pairs_won(label, score), abs=2e-6)
    per_user = [pairs_won(label[user == u], score[user == u]) for u in np.unique(user)]
    assert result["uauc"] == pytest.approx(np.mean(per_user), abs=2e-6)
    click = -np.mean(label * np.log(score) + (1 - label) * np.log(1 - score))
    assert result["logloss"] == pytest.approx(click, abs=2e-6)


def test_scores_do_not_depend_on_the_batches(settings):
    parts, small = prepared(settings(epochs=1)), prepared(settings(epochs=1, eval_batch_size=4))
    small.model.load_state_dict(parts.model.state_dict())
    one, other = parts.trainer.scores(parts.test), small.trainer.scores(small.test)
    for name in ("user", "item", "label"):
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_allclose(one["score"], other["score"], rtol=1e-5)


def test_the_best_epoch_is_tested_and_training_stops_early(settings):
    parts = prepared(settings(epochs=30, learning_rate=0.05, stopping_step=1))
    best, _ = fit(parts)
    history = parts.trainer.history
    values = [epoch["valid_score"] for epoch in history]
    assert len(values) < 30
    chosen = int(np.argmax(values))
    assert best == values[chosen] and chosen == len(values) - 3, "stopping_step + 1 epochs without a better one"
    content = checkpoint.load(parts.trainer.saved_model_file)
    assert content["epoch"] == chosen
    last = {name: value.clone() for name, value in parts.model.state_dict().items() if torch.is_tensor(value)}
    parts.trainer.evaluate(parts.test)
    best_state = {name: value for name, value in parts.model.state_dict().items() if torch.is_tensor(value)}
    assert any(not torch.equal(last[name], best_state[name]) for name in last)
    assert all(torch.equal(best_state[name], content["state_dict"][name]) for name in last)


def test_validation_by_a_metric_that_should_be_small(settings):
    parts = prepared(settings(epochs=3, valid_metric="LogLoss"))
    best, _ = fit(parts)
    assert best == min(epoch["valid_score"] for epoch in parts.trainer.history)


# ----------------------------------------------------------------------------------------------------- resume
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
        if content["epoch"] == 1 and "optimizer" in content:
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
        "optimizer": json.dumps(checkpoint.plain(parts.trainer.optimizer.state_dict()), default=torch.Tensor.tolist),
        "history": [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in parts.trainer.history],
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
    for key in ("valid", "test", "test_popularity", "epochs", "split_sha256"):
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
    sha, theirs = other.test._dataset.split_sha256[:12], parts.test._dataset.split_sha256[:12]
    assert f"Expected a checkpoint of this data set and split (SHA-256 {sha}...)." in text
    assert f"Got {file} of tiny (SHA-256 {theirs}...). Use the data set, split and sample_seed" in text


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


def test_a_checkpoint_of_a_newer_format_is_refused(settings, monkeypatch):
    parts = prepared(settings(epochs=1))
    with monkeypatch.context() as newer:
        newer.setattr(checkpoint, "FORMAT", 2)
        fit(parts)
    assert "Expected a checkpoint of format 1 or older." in error_of(parts.trainer.evaluate, parts.test)
    again = prepared(settings(epochs=1, resume=True))
    assert "Expected a checkpoint of format 1 or older." in error_of(fit, again)


# ------------------------------------------------------------------------------------------------------- names
def test_the_name_of_a_run_says_what_it_computes_and_not_where(settings):
    def name(**changed):
        return run_name(build_config(config_dict=settings(**changed)))

    assert name() == name(checkpoint_dir="elsewhere", show_progress=True, resume=True, also_test=["popularity"])
    assert name().startswith("MARN-tiny-2020-")
    assert len({name(), name(seed=1), name(width=4), name(sample_seed=3), name(epochs=9)}) == 5


def test_a_run_can_be_named(settings):
    assert Path(quick_start.run(config_dict=settings(run_name="mine"))["record"]) == Path("saved/mine.json")
    assert {path.name for path in Path("saved").iterdir()} == {
        "mine.json", "mine.scores.npz", "mine.pth", "mine.last.pth",
    }  # fmt: skip
