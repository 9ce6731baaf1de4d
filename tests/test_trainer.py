"""Losses by name, the optimizers, early stopping, metrics, and a resume that changes nothing."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from recbole_marn import quick_start
from recbole_marn.quick_start import build_config, prepare_run
from recbole_marn.training import checkpoint
from recbole_marn.training.identity import run_name
from recbole_marn.training.log import describe

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
        ({"adversary": "branch"}, ["click"]),
        ({"adversary": "single"}, ["click", "specific", "D1"]),
        ({"specific_discriminator": False}, ["click", "D0", "D1"]),
    ],
)
def test_a_loss_that_is_switched_off_has_no_name(settings, switches, names):
    parts = prepared(settings(epochs=1, **switches))
    fit(parts, saved=False)
    assert list(parts.trainer.history[0]["losses"]) == names


@pytest.mark.parametrize("model", ["LR", "DIEN"])
def test_the_loss_of_a_model_of_recbole_is_one_number(settings, model):
    parts = prepared(settings(model, epochs=1))
    fit(parts, saved=False)
    assert list(parts.trainer.history[0]["losses"]) == ["loss"] and parts.trainer.history[0]["diagnostics"] == {}


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
    first = [float(loss[0] if isinstance(loss, tuple) else loss) for loss in losses]
    logged = next(iter(parts.trainer.history[0]["losses"].values()))
    assert logged == pytest.approx(sum(first) / len(first), rel=1e-5)


def test_the_log_and_tensorboard_show_the_names(settings, caplog):
    parts = prepare_run(build_config(config_dict=settings(epochs=1)))
    scalars = {}
    parts.trainer.tensorboard.add_scalar = lambda name, value, step: scalars.update({name: value})
    logging.getLogger().addHandler(caplog.handler)  # a run replaces the handlers
    parts.trainer.fit(parts.train, parts.valid, saved=False)
    text = "".join(record.getMessage() for record in caplog.records).replace("\033[0m", "").replace("\033[1;34m", "")
    for name, value in parts.trainer.history[0]["losses"].items():
        assert f"{name} {value:.4f}" in text
        assert scalars[f"Loss/Train/{name}"] == value
    assert re.search(r"D1 accuracy .*image \d", text) and re.search(r"\|c\| .*ids \d", text)
    assert "Diagnostics/degree title" in scalars


def test_nested_settings_of_the_user_are_named_in_the_log(settings):
    config = build_config(config_dict=settings(prediction_hidden=[8]))
    facts = {"train_rows": 2, "users": 1, "items": 3, "events": 4}
    (line,) = (line for line in describe(config, facts, [], 5) if line.startswith("yours"))
    assert "modalities (ids, image, title, statistic)" in line and "prediction_hidden [8]" in line
    assert "{" not in line


def test_diagnostics_are_means_over_every_eighth_step(settings, monkeypatch):
    parts = prepare_run(
        build_config("MARN", "tiny", config_dict=settings("MARN", train_batch_size=8, epochs=2)), quiet=True
    )
    looked_into = []
    record = parts.model.diagnostics.record

    def spy(name, value, of=()):
        if name == "degree":
            looked_into.append((parts.model.step, value.clone()))
        record(name, value, of)

    monkeypatch.setattr(parts.model.diagnostics, "record", spy)
    parts.trainer.fit(parts.train, parts.valid, verbose=False, saved=False)
    per_epoch = len(parts.train)
    assert per_epoch > 9
    for number, epoch in enumerate(parts.trainer.history):
        own = [value for step, value in looked_into if step // per_epoch == number]
        assert [step % per_epoch for step, _ in looked_into if step // per_epoch == number] == list(
            range(0, per_epoch, 8)
        )
        assert epoch["diagnostics"]["degree ids"] == pytest.approx(float(sum(value[0] for value in own)) / len(own))


def test_the_schedule_runs_over_the_training_and_stands_still_in_evaluation(settings):
    parts = prepared(settings(epochs=2))
    assert parts.model.progress == 0
    fit(parts, saved=False)
    assert parts.model.step == 2 * len(parts.train) == parts.model.total_steps
    assert parts.model.progress == 1
    parts.trainer.evaluate(parts.test, load_best_model=False)
    parts.model.eval()
    with torch.no_grad():
        parts.model.calculate_loss(next(iter(parts.train)))
    assert parts.model.step == 2 * len(parts.train)


def test_the_schedule_can_end_before_the_training(settings):
    parts = prepared(settings(epochs=3, adversary_epochs=1))
    fit(parts, saved=False)
    assert parts.model.total_steps == len(parts.train)
    assert parts.model.progress == 1


# ------------------------------------------------------------------------------------------------ optimizers
def test_what_is_too_small_for_a_fast_processor_is_zero_while_a_model_trains_and_then_no_more(settings, monkeypatch):
    if not torch.set_flush_denormal(False):
        pytest.skip("a processor that cannot")
    parts, seen = prepared(settings(epochs=1)), []
    losses = parts.model.calculate_loss

    def product():
        return torch.tensor(1e-40).mul(1.0).item()

    monkeypatch.setattr(parts.model, "calculate_loss", lambda rows: seen.append(product()) or losses(rows))
    fit(parts, saved=False)
    assert set(seen) == {0.0} and product() > 0


def test_every_epoch_of_every_seed_draws_its_own_chance(settings, monkeypatch):
    drawn = []
    for seed in (1, 2):
        parts = prepared(settings(epochs=3, seed=seed))
        calculate_loss = parts.model.calculate_loss

        def spy(batch, calculate_loss=calculate_loss):
            if not drawn or drawn[-1] != torch.initial_seed():
                drawn.append(torch.initial_seed())
            return calculate_loss(batch)

        monkeypatch.setattr(parts.model, "calculate_loss", spy)
        fit(parts, saved=False)
    assert len(drawn) == len(set(drawn)) == 6


def test_adam_is_fused(settings):
    optimizer = prepared(settings(learner="adam", weight_decay=0.01)).trainer.optimizer
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.defaults["fused"] and optimizer.defaults["weight_decay"] == 0.01
    assert optimizer.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("start", [0.1, 0.0, 1.5])
def test_adagrad_starts_from_the_accumulator_asked_for(settings, start):
    optimizer = prepared(settings(learner="adagrad", adagrad_init=start)).trainer.optimizer
    assert type(optimizer) is torch.optim.Adagrad and optimizer.param_groups[0]["fused"]
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
    assert {id(p) for p in groups[1]["params"]} == {id(p) for p in parts.model.invariant.discriminator1.parameters()}


@pytest.mark.parametrize("model", ["MARN", "DIN"])
@pytest.mark.parametrize("learner", ["adam", "adagrad"])
def test_training_lowers_the_click_loss(settings, model, learner):
    rate = {"adam": 0.03, "adagrad": 0.3}[learner]
    parts = prepared(settings(model, epochs=12, learner=learner, learning_rate=rate, stopping_step=20))
    fit(parts, saved=False)
    losses = [next(iter(epoch["losses"].values())) for epoch in parts.trainer.history]
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
    assert len(user) == parts.test.part.rows.n_rows
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


# ------------------------------------------------------------------------------------------------------- names
def test_the_name_of_a_run_says_what_it_computes_and_not_where(settings):
    def name(**changed):
        return run_name(build_config(config_dict=settings(**changed)))

    assert name() == name(checkpoint_dir="elsewhere", show_progress=True, resume=True, also_test=["popularity"])
    assert name().startswith("MARN-tiny-2020-")
    assert len({name(), name(seed=1), name(width=4), name(sample_seed=3), name(epochs=9)}) == 5


def test_a_run_can_be_named(settings):
    assert Path(quick_start.run(config_dict=settings(run_name="mine"))["record"]) == Path("saved/mine.json")
    files = {path.name for path in Path("saved").iterdir() if not path.name.endswith(".items.pt")}
    assert files == {"mine.json", "mine.scores.npz", "mine.pth", "mine.last.pth"}
