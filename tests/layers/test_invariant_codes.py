import numpy as np
import pytest
import torch
from torch import nn

from recbole_marn.layers.invariant_codes import BalancedCodes, alignment_loss

PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])
COUNT = torch.tensor([1.0, 3.0, 2.0, 5.0])


# ------------------------------------------------------------------------------------------------ codes
def codes(n_codes=4, width=5, **kwargs):
    layer = BalancedCodes(n_modalities=3, n_codes=n_codes, width=width, **kwargs)
    nn.init.normal_(layer.price)
    return layer


def test_each_modality_gets_the_code_of_the_highest_bid_and_the_prices_follow_the_load():
    layer, x = codes(rate=0.2), torch.randn(4, 3, 5)
    before = layer.price.clone()
    out = layer(x, PRESENT, COUNT)
    load = np.zeros((3, 4))
    for e, m in np.ndindex(4, 3):
        if not PRESENT[e, m]:
            assert not out[e, m].any()
            continue
        bids = [(layer.code[k] @ x[e, m]).item() / 5**0.5 + before[m, k].item() for k in range(4)]
        best = int(np.argmax(bids))
        assert torch.allclose(out[e, m], layer.code[best], atol=1e-6)
        load[m, best] += COUNT[e]
    load /= load.sum(1, keepdims=True)
    assert torch.allclose(layer.price, before + 0.2 * (1 - 4 * torch.from_numpy(load).float()), atol=1e-6)


def test_backward_the_choice_counts_as_its_softmax():
    layer, x = codes(), torch.randn(4, 3, 5, requires_grad=True)
    probe = torch.randn(4, 3, 5)
    fixed = layer.code.detach().clone()
    bids = (x @ fixed.t() / 5**0.5 + layer.price).softmax(-1)
    (expected,) = torch.autograd.grad((bids @ fixed * probe).sum(), x)
    layer.rate = 0.0
    (gradient,) = torch.autograd.grad((layer(x) * probe).sum(), x)
    assert torch.allclose(gradient, expected, atol=1e-6)


def test_evaluation_and_a_modality_that_nobody_has_leave_the_prices_alone():
    layer, nobody = codes(), torch.zeros(4, 3, dtype=torch.bool)
    before = layer.price.clone()
    layer(torch.randn(4, 3, 5), nobody)
    layer.eval()(torch.randn(4, 3, 5))
    assert torch.equal(layer.price, before)


def test_in_time_every_modality_uses_every_code_equally_though_their_inputs_have_nothing_in_common():
    """The claim that makes the law of c the same in all modalities, one of them with twenty distinct values only."""
    torch.manual_seed(0)
    x = torch.randn(2_000, 3, 5)
    x[:, 0] = x[:20, 0].repeat(100, 1)
    x[:, 1] = 3 * x[:, 1] + 2
    layer = BalancedCodes(n_modalities=3, n_codes=4, width=5)
    for _ in range(300):
        layer(x)
    used = layer.eval()(x)
    share = (used[:, :, None] == layer.code).all(-1).float().mean(0)  # (M, K)
    assert share.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert (share - 0.25).abs().max() < 0.06


# -------------------------------------------------------------------------------------------- alignment
def test_alignment_against_a_loop():
    c = torch.randn(4, 3, 5)
    apart = []
    for e in range(4):
        here = [m for m in range(3) if PRESENT[e, m]]
        for m in here:
            mean = sum(c[e, k] for k in here) / len(here)
            apart += [sum((c[e, m] - mean) ** 2) / 5] * int(COUNT[e])
    garbage = c.masked_fill(~PRESENT[:, :, None], float("nan")).requires_grad_()
    loss = alignment_loss(garbage, PRESENT, COUNT)
    assert torch.allclose(loss, torch.stack(apart).mean())
    loss.backward()
    assert garbage.grad.isfinite().all() and not garbage.grad[~PRESENT].any()


def test_alignment_without_masks_and_without_items():
    c = torch.randn(4, 3, 5)
    assert torch.allclose(alignment_loss(c), 2 / 3 * c.var(1).mean())  # var divides by M - 1
    nothing = torch.zeros(0, 3, 5, requires_grad=True)
    alignment_loss(nothing).backward()
    assert alignment_loss(nothing) == 0
    assert alignment_loss(c[:, :1]) == 0
