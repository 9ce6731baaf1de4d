import pytest
import torch

from recbole_marn.layers.gradient_reversal import reverse_gradient


@pytest.mark.parametrize("strength", [1.0, 0.25, 0.0])
def test_forward_is_the_identity_and_backward_changes_the_sign(strength):
    x = torch.randn(3, 4, requires_grad=True)
    weight = torch.randn(3, 4)
    y = reverse_gradient(x, strength)
    assert torch.equal(y, x)
    (y * weight).sum().backward()
    assert torch.equal(x.grad, -strength * weight)


def test_default_strength_is_one():
    x = torch.ones(2, requires_grad=True)
    reverse_gradient(x).sum().backward()
    assert x.grad.tolist() == [-1.0, -1.0]


def test_one_descent_step_moves_the_two_sides_apart():
    """The layer above goes down the loss, the layer below goes up."""
    feature, judge = torch.tensor([1.0], requires_grad=True), torch.tensor([2.0], requires_grad=True)
    loss = (reverse_gradient(feature) * judge).sum()
    loss.backward()
    assert judge.grad.item() == 1.0  # as without reversal
    assert feature.grad.item() == -2.0
