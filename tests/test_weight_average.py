"""The falling learning rate and the average of the weights, against the same by hand."""

import math

import pytest
import torch
from torch import nn

from recbole_marn.quick_start import build_config, load_run, prepare_run, run
from recbole_marn.training.optimizers import rate_left
from recbole_marn.training.trainer import CTRTrainer
from recbole_marn.training.weight_average import WARM_UP, WeightAverage


def prepared(settings):
    return prepare_run(build_config(config_dict=settings), quiet=True)


def fit(parts, **kwargs):
    return parts.trainer.fit(parts.train, parts.valid, verbose=False, **kwargs)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items() if torch.is_tensor(value)}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_average_is_the_sum_written_out():
    """Of n steps, step k weighs (1 - d_k) d_k+1 ... d_n."""
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    average, seen = WeightAverage(net, 0.5), [weights(net)]
    for step in range(30):
        with torch.no_grad():
            for value in net.state_dict().values():
                value.add_(step + 1)
        average.step()
        seen.append(weights(net))
    decay = [min(0.5, n / (n + WARM_UP)) for n in range(1, 31)]
    share = [math.prod(decay)] + [(1 - d) * math.prod(decay[k + 1 :]) for k, d in enumerate(decay)]
    assert sum(share) == pytest.approx(1)
    average.put_in()
    average.put_in()  # which changes nothing, and does not lose the model's own
    for name, value in weights(net).items():
        expected = seen[-1][name]
        if value.is_floating_point():
            expected = sum(s * each[name].double() for s, each in zip(share, seen, strict=True)).float()
        torch.testing.assert_close(value, expected)
    average.take_out()
    assert same(weights(net), seen[-1])


@pytest.mark.parametrize(
    ("decay", "left"),
    [("none", [1, 1, 1, 1]), ("linear", [1, 0.75, 0.5, 0.25]), ("cosine", [1, 0.8535534, 0.5, 0.1464466])],
)
def test_the_rate_that_is_left(decay, left):
    assert [rate_left(decay, step / 4) for step in range(4)] == pytest.approx(left)


@pytest.mark.parametrize("model", ["MARN", "LR"])
@pytest.mark.parametrize("decay", ["linear", "cosine"])
def test_the_rate_falls_step_by_step_for_every_group(settings, monkeypatch, model, decay):
    changed = {"discriminator_rate": 2.0} if model == "MARN" else {}
    parts = prepared(settings(model, epochs=3, learning_rate_decay=decay, learning_rate=0.01, **changed))
    factors = [1.0, 2.0] if model == "MARN" else [1.0]
    seen, calculate = [], parts.model.calculate_loss
    monkeypatch.setattr(parts.model, "calculate_loss", calculate)
    parts.trainer.optimizer.register_step_post_hook(
        lambda optimizer, *_: seen.append([group["lr"] for group in optimizer.param_groups])
    )
    fit(parts, saved=False)
    total = 3 * len(parts.train)
    assert len(seen) == total
    for step, rates in enumerate(seen):
        assert rates == pytest.approx([0.01 * factor * rate_left(decay, step / total) for factor in factors])


@pytest.mark.parametrize("model", ["MARN", "DIN"])
def test_the_average_is_what_is_validated_kept_and_scored(settings, monkeypatch, model):
    """Beside a run, the average by hand: the weights of each step as they are, without the key."""
    given = settings(model, epochs=3, weight_average=0.9, stopping_step=10)
    plain = prepared(settings(model, epochs=3))
    average = {name: value.double() for name, value in weights(plain.model).items()}
    steps = []

    def follow(*_):
        steps.append(1)
        weight = 1 - min(0.9, len(steps) / (len(steps) + WARM_UP))
        for name, value in weights(plain.model).items():
            average[name] += weight * (value.double() - average[name])

    plain.trainer.optimizer.register_step_post_hook(follow)
    fit(plain, saved=False)
    parts = prepared(given)
    fit(parts)
    state = parts.model.state_dict()
    moved = [name for name, value in state.items() if torch.is_tensor(value) and value.is_floating_point()]
    for name in moved:
        torch.testing.assert_close(parts.model.state_dict()[name].double(), average[name], rtol=1e-4, atol=1e-6)
    assert not all(torch.allclose(parts.model.state_dict()[n], plain.model.state_dict()[n], atol=1e-4) for n in moved)
    # The value that chose the epoch is that of the checkpoint's weights.
    kept = load_run(parts.trainer.saved_model_file)
    again = kept.trainer.evaluate(kept.valid, load_best_model=False)
    assert dict(again) == dict(parts.trainer.best_valid_result)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("model", ["MARN", "DIN"])
def test_a_killed_run_goes_on_to_the_same_weights(settings, monkeypatch, model):
    given = {"epochs": 4, "weight_average": 0.9, "learning_rate_decay": "cosine", "stopping_step": 10}
    straight = prepared(settings(model, run_name="straight", **given))
    fit(straight)
    save = CTRTrainer._save_state

    def kill(self, epoch):
        save(self, epoch)
        if epoch == 1:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(CTRTrainer, "_save_state", kill)
        fit(prepared(settings(model, run_name="in two", **given)))
    resumed = prepared(settings(model, run_name="in two", resume=True, **given))
    fit(resumed)
    assert resumed.trainer.start_epoch == 2
    assert same(weights(resumed.model), weights(straight.model))
    ours, theirs = resumed.trainer._average.state(), straight.trainer._average.state()
    assert ours["steps"] == theirs["steps"] and same(ours["own"], theirs["own"])


def test_a_run_without_both_is_the_run_it_was(settings):
    plain = run("MARN", "tiny", config_dict=settings("MARN", epochs=2), saved=False)
    off = {"learning_rate_decay": "none", "weight_average": None}
    assert run("MARN", "tiny", config_dict=settings("MARN", epochs=2, **off), saved=False)["test"] == plain["test"]
    on = settings("MARN", epochs=2, weight_average=0.0)  # which is the last weights
    assert run("MARN", "tiny", config_dict=on, saved=False)["test"] == plain["test"]
