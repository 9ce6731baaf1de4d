"""Row-sparse AdaGrad is the dense one; what is not AdaGrad stays dense."""

import copy

import pytest
import torch
from torch import nn

from recbole_marn import quick_start
from recbole_marn.errors import InputError
from recbole_marn.layers.context import ContextEncoder
from recbole_marn.layers.encoders import CategoricalEncoder
from recbole_marn.training import trainer
from recbole_marn.training.optimizers import build_adagrad, build_adam, build_lazy_adam, read_by_row


def model():
    torch.manual_seed(0)
    return nn.Sequential(CategoricalEncoder(cardinalities=(40, 6), sizes=(3, 2), width=4), nn.Linear(4, 1))


def groups(net):
    return [(1.0, list(net[0].parameters())), (0.5, list(net[1].parameters()))]


def train(net, optimizer, steps=100, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        codes = torch.stack([torch.randint(0, n, (5,), generator=generator) for n in (40, 6)], dim=1)
        optimizer.zero_grad()
        net(codes).square().sum().backward()
        optimizer.step()


def largest_difference(a, b):
    return max((x - y).abs().max() for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("initial", [0.0, 0.1])
def test_row_sparse_updates_equal_dense_ones_over_a_hundred_steps(initial):
    dense, sparse = model(), model()
    by_row = read_by_row(sparse, least=40)
    assert [weight is sparse[0].tables[0].weight for weight in by_row] == [True]
    for net, chosen in ((dense, ()), (sparse, by_row)):
        train(net, build_adagrad(groups(net), rate=0.1, initial=initial, by_row=chosen))
    assert sparse[0].tables[0].weight.grad.is_sparse and not sparse[0].tables[1].weight.grad.is_sparse
    assert largest_difference(dense, sparse) < 1e-5
    assert largest_difference(dense, model()) > 0.1
    assert sparse[0].tables[0].weight[0].abs().sum() == 0  # padding stays


def test_tables_of_profile_and_context_are_read_by_row_too():
    """Fields of one code lie in one table; a list has one of its own, whose padding adds nothing."""
    torch.manual_seed(0)
    dense = ContextEncoder(cardinalities=(40, 6, 30), widths=(3, 3, 3), bags=(1, 1, 2))
    sparse = copy.deepcopy(dense)
    by_row = read_by_row(sparse, least=30)
    assert [tuple(weight.shape) for weight in by_row] == [(46, 3), (30, 3)]
    for net, chosen in ((dense, ()), (sparse, by_row)):
        optimizer = build_adagrad([(1.0, list(net.parameters()))], rate=0.1, initial=0.1, by_row=chosen)
        generator = torch.Generator().manual_seed(1)
        for _ in range(50):
            codes = torch.stack([torch.randint(0, n, (5,), generator=generator) for n in (40, 6, 30, 30)], dim=1)
            optimizer.zero_grad()
            sum(field.square().sum() for field in net(codes)).backward()
            optimizer.step()
    assert all(weight.grad.is_sparse for weight in by_row)
    assert largest_difference(dense, sparse) < 1e-5
    assert largest_difference(dense, ContextEncoder(cardinalities=(40, 6, 30), widths=(3, 3, 3), bags=(1, 1, 2))) > 0.1


def test_it_equals_torchs_own_adagrad_with_its_rates():
    ours, plain = model(), model()
    train(ours, build_adagrad(groups(ours), rate=0.1, initial=0.1, weight_decay=0.01))
    rates = [{"params": parameters, "lr": 0.1 * factor} for factor, parameters in groups(plain)]
    train(plain, torch.optim.Adagrad(rates, initial_accumulator_value=0.1, weight_decay=0.01))
    assert largest_difference(ours, plain) < 1e-5


def test_tables_below_the_limit_stay_dense():
    net = model()
    assert read_by_row(net) == [] and not any(table.sparse for table in net[0].tables)


def test_a_state_goes_on_where_it_was():
    straight, resumed = model(), model()
    by_row = read_by_row(straight, least=40)
    train(straight, build_adagrad(groups(straight), rate=0.1, by_row=by_row), steps=20)
    first = build_adagrad(groups(resumed), rate=0.1, by_row=read_by_row(resumed, least=40))
    train(resumed, first, steps=20)
    second = build_adagrad(groups(resumed), rate=0.1, by_row=read_by_row(resumed, least=40))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    train(resumed, second, steps=20, seed=2)
    optimizer = build_adagrad(groups(straight), rate=0.1, by_row=by_row)
    optimizer.load_state_dict(copy.deepcopy(first.state_dict()))
    train(straight, optimizer, steps=20, seed=2)
    assert largest_difference(straight, resumed) == 0


def test_adam_is_torchs_adam():
    ours, plain = model(), model()
    train(ours, build_adam(groups(ours), rate=0.01))
    rates = [{"params": parameters, "lr": 0.01 * factor} for factor, parameters in groups(plain)]
    train(plain, torch.optim.Adam(rates))
    assert largest_difference(ours, plain) < 1e-5


def lazy(net, least=40):
    return build_lazy_adam(groups(net), rate=0.01, by_row=read_by_row(net, least=least))


def test_lazy_adam_is_adam_where_every_step_has_every_row():
    ours, plain = model(), model()
    optimizers = [lazy(ours, least=1), build_adam(groups(plain), rate=0.01)]
    codes = torch.tensor([[1 + row % 39, 1 + row % 5] for row in range(195)])
    for _ in range(20):
        for net, optimizer in zip((ours, plain), optimizers, strict=True):
            optimizer.zero_grad()
            net(codes).square().sum().backward()
            optimizer.step()
    assert ours[0].tables[0].weight.grad.is_sparse and ours[0].tables[1].weight.grad.is_sparse
    assert largest_difference(ours, plain) < 1e-5 and largest_difference(ours, model()) > 0.05


def test_lazy_adam_moves_the_rows_of_the_batch_and_no_others():
    """Row 5 occurs once; dense Adam's moments carry it on afterwards, lazy Adam does not. Adam's equations by hand."""
    moved = {}
    for name, build in (("lazy", lazy), ("dense", lambda net: build_adam(groups(net), rate=0.01))):
        net = model()
        optimizer, weights = build(net), [net[0].tables[0].weight[5].detach().clone()]
        for row in (5, 6, 6, 6):
            optimizer.zero_grad()
            net(torch.tensor([[row, 1]])).square().sum().backward()
            if row == 5:
                gradient = net[0].tables[0].weight.grad.to_dense()[5].clone()
            optimizer.step()
            weights.append(net[0].tables[0].weight[5].detach().clone())
        moved[name] = [bool((after != before).any()) for before, after in zip(weights, weights[1:], strict=False)]
        step = 0.01 * gradient / (gradient.abs() + 1e-8)  # both corrections cancel in the first step
        torch.testing.assert_close(weights[1], weights[0] - step)
    assert moved == {"lazy": [True, False, False, False], "dense": [True] * 4}


def test_every_part_of_lazy_adam_has_the_rate_of_its_group():
    net = model()
    optimizer = build_lazy_adam([(3.0, list(net.parameters()))], rate=0.01, by_row=read_by_row(net, least=40))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.03, 0.03])


def test_lazy_adam_without_a_large_table_is_adam():
    assert type(lazy(model(), least=41)) is torch.optim.Adam


def test_lazy_adam_goes_on_where_it_was():
    straight, resumed = model(), model()
    train(straight, optimizer := lazy(straight), steps=10)
    resumed.load_state_dict(straight.state_dict())
    second = lazy(resumed)
    second.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for group in second.param_groups + optimizer.param_groups:
        group["lr"] /= 2  # a rate set from outside is that of both parts
    train(straight, optimizer, steps=10, seed=2)
    train(resumed, second, steps=10, seed=2)
    assert largest_difference(straight, resumed) == 0
    with pytest.raises(ValueError, match="a state of dense, sparse"):
        second.load_state_dict(build_adam(groups(resumed), rate=0.01).state_dict())


@pytest.mark.host
def test_a_run_with_lazy_adam_resumes_to_the_same_result(settings, monkeypatch):
    monkeypatch.setattr(trainer, "read_by_row", lambda net: read_by_row(net, least=1))
    changed = settings("MARN", lazy_adam=True, run_name="lazy", epochs=3)
    straight = quick_start.run("MARN", "tiny", config_dict=changed)

    class Killed(BaseException):
        pass

    def kill(self, epoch):
        save(self, epoch)
        if epoch == 1:
            raise Killed

    save = trainer.CTRTrainer._save_state
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(trainer.CTRTrainer, "_save_state", kill)
        quick_start.run("MARN", "tiny", config_dict=changed | {"run_name": "in two"})
    resumed = quick_start.run("MARN", "tiny", config_dict=changed | {"run_name": "in two", "resume": True})
    assert resumed["test"] == straight["test"]
    dense = quick_start.run("MARN", "tiny", config_dict=changed | {"lazy_adam": False}, saved=False)
    assert dense["test"] != straight["test"]


@pytest.mark.parametrize("other", [{"learner": "adagrad"}, {"weight_decay": 0.1}, {"learner": "sgd"}])
def test_lazy_adam_is_refused_where_it_would_do_nothing(settings, other):
    with pytest.raises(InputError, match="lazy_adam"):
        quick_start.run("MARN", "tiny", config_dict=settings("MARN", lazy_adam=True, epochs=1) | other, saved=False)


@pytest.mark.host
def test_a_run_ends_the_same_by_row(settings, monkeypatch):
    """The trainer asks for row-sparse tables, unless weight decay moves every row."""
    asked = []

    def every_table(model):
        asked.append(model)
        return read_by_row(model, least=1)

    changed = settings("MARN", learner="adagrad", epochs=2)
    dense = quick_start.run("MARN", "tiny", config_dict=changed, saved=False)
    monkeypatch.setattr(trainer, "read_by_row", every_table)
    by_row = quick_start.run("MARN", "tiny", config_dict=changed, saved=False)
    assert all(table.sparse for table in asked[0].encoder.encoders["ids"].tables)
    assert by_row["test"] == pytest.approx(dense["test"], abs=1e-6)
    for other in ({"weight_decay": 0.1}, {"clip_grad_norm": {"max_norm": 5, "norm_type": 2}}, {"learner": "adam"}):
        quick_start.run("MARN", "tiny", config_dict=changed | {"epochs": 1} | other, saved=False)
    assert len(asked) == 1
