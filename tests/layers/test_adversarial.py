import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from recbole_marn.layers.adversarial import (
    Discriminator,
    adversarial_schedule,
    modality_accuracy,
    modality_degree,
    modality_loss,
)
from recbole_marn.layers.gradient_reversal import reverse_gradient

PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
COUNT = torch.tensor([1.0, 3.0, 2.0, 5.0])


def loop_loss(logits, present, count, weight, reduction):
    """Position by position, with items repeated as often as they occur."""
    losses = [[] for _ in range(logits.shape[1])]
    for e in range(len(logits)):
        for m in range(logits.shape[1]):
            for _ in range(int(count[e])):
                if present[e, m]:
                    losses[m].append(-weight[e, m] * torch.log(logits[e, m].softmax(0)[m]))
    if reduction == "mean":
        return torch.stack([x for column in losses for x in column]).mean()
    return sum(torch.stack(column).mean() for column in losses if column)


def test_the_discriminator_is_one_matrix_unless_asked():
    discriminator = Discriminator(width=5, n_modalities=3)
    assert {tuple(p.shape) for p in discriminator.parameters()} == {(3, 5), (3,)}
    assert discriminator(torch.randn(4, 3, 5)).shape == (4, 3, 3)
    deep = Discriminator(width=5, n_modalities=3, hidden_sizes=[8])
    assert [tuple(p.shape) for p in deep.parameters()] == [(8, 5), (8,), (3, 8), (3,)]


@pytest.mark.parametrize("n_modalities", [2, 4])
def test_an_untrained_discriminator_gives_one_minus_one_over_m(n_modalities):
    """softmax of zeros gives every modality 1 / M."""
    discriminator = Discriminator(width=5, n_modalities=n_modalities)
    for parameter in discriminator.parameters():
        nn.init.zeros_(parameter)
    degree = modality_degree(discriminator(torch.randn(6, n_modalities, 5)))
    assert torch.allclose(degree, torch.full((6, n_modalities), 1 - 1 / n_modalities))


def test_degree_by_hand():
    """Each row of logits is for a true modality; its own column counts, not the largest."""
    logits = torch.tensor([[[0.0, math.log(3.0)], [0.0, math.log(9.0)]]])
    degree = modality_degree(logits)
    assert torch.allclose(degree, torch.tensor([[0.75, 0.1]]))


def test_degree_lies_in_0_to_1_is_a_constant_and_0_where_absent():
    logits = (torch.randn(4, 3, 3) * 20).requires_grad_()
    degree = modality_degree(logits, PRESENT)
    assert degree.min() >= 0 and degree.max() <= 1
    assert not degree.requires_grad
    assert degree[~PRESENT].abs().sum() == 0
    assert (modality_degree(torch.zeros(4, 3, 3), PRESENT) > 0).equal(PRESENT)


@pytest.mark.parametrize("reduction", ["mean", "sum_modalities"])
@pytest.mark.parametrize("weighted", [False, True])
def test_loss_against_a_loop(reduction, weighted):
    logits = torch.randn(4, 3, 3, requires_grad=True)
    weight = torch.rand(4, 3) if weighted else torch.ones(4, 3)
    loss = modality_loss(
        logits, PRESENT, count=COUNT, weight=weight if weighted else None, reduction=reduction
    )
    expected = loop_loss(logits, PRESENT, COUNT, weight, reduction)
    assert torch.allclose(loss, expected)
    (grad,) = torch.autograd.grad(loss, logits)
    (expected_grad,) = torch.autograd.grad(expected, logits)
    assert torch.allclose(grad, expected_grad, atol=1e-6)


def test_loss_without_masks_is_cross_entropy():
    logits = torch.randn(5, 3, 3)
    truth = torch.arange(3).repeat(5)
    assert torch.allclose(modality_loss(logits), F.cross_entropy(logits.flatten(0, 1), truth))
    assert torch.allclose(modality_loss(logits, reduction="sum_modalities"), 3 * modality_loss(logits))


def test_what_stands_in_absent_entries_does_not_matter():
    logits = torch.randn(4, 3, 3)
    garbage = logits.masked_fill(~PRESENT[:, :, None], float("nan")).requires_grad_()
    for reduction in ("mean", "sum_modalities"):
        loss = modality_loss(garbage, PRESENT, count=COUNT, reduction=reduction)
        assert torch.equal(loss, modality_loss(logits, PRESENT, count=COUNT, reduction=reduction))
        (grad,) = torch.autograd.grad(loss, garbage)
        assert grad[~PRESENT].abs().sum() == 0 and grad[PRESENT].abs().min() > 0
    assert modality_degree(garbage, PRESENT).isfinite().all()


@pytest.mark.parametrize("reduction", ["mean", "sum_modalities"])
@pytest.mark.parametrize("n_items", [0, 2])
def test_nothing_present_gives_a_differentiable_zero(reduction, n_items):
    logits = torch.randn(n_items, 3, 3, requires_grad=True)
    nobody = torch.zeros(n_items, 3, dtype=torch.bool)
    loss = modality_loss(logits, nobody, count=torch.ones(n_items), reduction=reduction)
    assert loss.item() == 0
    loss.backward()
    assert logits.grad.abs().sum() == 0


def test_the_weight_gets_no_gradient():
    logits, weight = torch.randn(4, 3, 3, requires_grad=True), torch.rand(4, 3, requires_grad=True)
    modality_loss(logits, weight=weight).backward()
    assert weight.grad is None and logits.grad is not None


def test_accuracy():
    logits = torch.zeros(4, 3, 3)
    logits[0, 0, 0] = logits[1, 0, 0] = 1.0  # modality 0: right where present
    logits[0, 1, 1] = logits[2, 1, 0] = 1.0  # modality 1: right once (count 1), wrong twice (count 2)
    logits[0, 2, 0] = logits[1, 2, 2] = 1.0  # modality 2: wrong (count 1), right (count 3)
    accuracy = modality_accuracy(logits.requires_grad_(), PRESENT, COUNT)
    assert accuracy.tolist() == pytest.approx([1.0, 1 / 3, 0.75])
    assert not accuracy.requires_grad
    assert modality_accuracy(logits, torch.zeros_like(PRESENT), COUNT).isnan().all()
    assert modality_accuracy(logits)[2].item() == 0.25


def test_an_unknown_reduction_is_named():
    with pytest.raises(ValueError, match="Got 'total'. Choose one of them"):
        modality_loss(torch.zeros(1, 2, 2), reduction="total")


def test_the_schedule():
    """Zero at the start, rising, lambda0 at the end; values of the formula in between."""
    assert adversarial_schedule(0.0, 0.05) == 0.0
    assert adversarial_schedule(1.0, 0.05) == pytest.approx(0.05, rel=1e-4)
    shares = [adversarial_schedule(p, 1.0) for p in (0.1, 0.25, 0.5)]
    assert shares == pytest.approx([0.4621, 0.8483, 0.9866], abs=1e-4)
    assert adversarial_schedule(-3.0, 0.05) == 0.0
    assert adversarial_schedule(7.0, 0.05) == adversarial_schedule(1.0, 0.05)
    assert adversarial_schedule(0.1, 2.0, gamma=1.0) == pytest.approx(2 * math.tanh(0.05))


def test_reversed_game_gradients():
    """I gets the negative of what it would get without reversal, D1 gets the same."""
    invariant, discriminator = nn.Linear(5, 5), Discriminator(width=5, n_modalities=3)
    e, weight = torch.randn(6, 3, 5), torch.rand(6, 3)
    plain = modality_loss(discriminator(invariant(e)), weight=weight)
    played = modality_loss(discriminator(reverse_gradient(invariant(e))), weight=weight)
    assert plain.item() == played.item()
    below = torch.autograd.grad(plain, [invariant.weight, discriminator.mlp.layers[0].weight])
    reversed_ = torch.autograd.grad(played, [invariant.weight, discriminator.mlp.layers[0].weight])
    assert torch.allclose(reversed_[0], -below[0]) and below[0].abs().sum() > 0
    assert torch.equal(reversed_[1], below[1])


def test_equation_8_on_a_discrete_problem():
    """A discriminator free to choose any D(x) for each of five values x ends at D_m(x) = q_m(x) / sum_k q_k(x),
    where q_m = w^m P_m is the weighted mass of modality m at x: eq. (8)."""
    n_values, n_modalities, n_items = 5, 3, 300
    probabilities = torch.rand(n_modalities, n_values, dtype=torch.double)
    value = torch.stack([p.multinomial(n_items, replacement=True) for p in probabilities], dim=1)  # (E, M)
    degree_of_value = 0.1 + torch.rand(n_modalities, n_values, dtype=torch.double)
    degree = degree_of_value.T[value, torch.arange(n_modalities)]  # (E, M)
    count = torch.randint(1, 4, (n_items,)).double()
    present = torch.rand(n_items, n_modalities) < 0.8

    table = torch.zeros(n_values, n_modalities, dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([table], max_iter=200, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value_of_loss = modality_loss(table[value], present, count=count, weight=degree)
        value_of_loss.backward()
        return value_of_loss

    optimizer.step(loss)
    mass = torch.zeros(n_values, n_modalities, dtype=torch.double)
    for e in range(n_items):
        for m in range(n_modalities):
            mass[value[e, m], m] += count[e] * degree[e, m] * present[e, m]
    assert torch.allclose(table.detach().softmax(1), mass / mass.sum(1, keepdim=True), atol=1e-4)


@pytest.mark.parametrize("reduction", ["mean", "sum_modalities"])
@pytest.mark.parametrize("present", [None, PRESENT])
def test_the_exact_gradient_of_the_loss(reduction, present):
    logits = torch.randn(4, 3, 3, dtype=torch.double, requires_grad=True)
    weight = torch.rand(4, 3, dtype=torch.double)
    assert torch.autograd.gradcheck(
        lambda x: modality_loss(x, present, count=COUNT, weight=weight, reduction=reduction), logits
    )


@pytest.mark.parametrize("hidden_sizes", [(), (7,)])
def test_the_discriminator_is_its_mlp_whatever_the_layout(hidden_sizes):
    discriminator = Discriminator(width=5, n_modalities=3, hidden_sizes=hidden_sizes)
    for x in (torch.randn(6, 3, 5), torch.randn(3, 6, 5).transpose(0, 1), torch.randn(0, 3, 5)):
        assert torch.allclose(discriminator(x), discriminator.mlp(x), atol=1e-6)
