import pytest
import torch

from recbole_marn.layers.fusion import AttentionFusion, larger_of, pool_invariant, sum_fusion

PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [False, False, False]])


def fusion(n_modalities=3, **changes):
    return AttentionFusion(n_modalities=n_modalities, width=4, **changes)


@pytest.mark.parametrize("n_modalities", [1, 2, 4])
def test_equations_2_and_3(n_modalities):
    layer = fusion(n_modalities)
    s = torch.randn(5, n_modalities, 4)
    fused, attention = layer(s)
    for e in range(5):
        total = torch.zeros(4)
        for m in range(n_modalities):
            a = torch.tanh(s[e, m] @ layer.score.weight[m] + layer.score.bias[m])
            assert torch.allclose(attention[e, m], a, atol=1e-6)
            total = total + a * s[e, m]
        assert torch.allclose(fused[e], total, atol=1e-6)


def test_attention_by_hand():
    """W = 0 and b = atanh(1/2): every weight is one half, so two modalities give half their sum."""
    layer = fusion(2)
    with torch.no_grad():
        layer.score.weight.zero_()
        layer.score.bias.fill_(0.5493061)
    s = torch.tensor([[[2.0, 4.0, 6.0, 8.0], [10.0, 20.0, 30.0, 40.0]]])
    fused, attention = layer(s)
    assert torch.allclose(attention, torch.full_like(s, 0.5))
    assert torch.allclose(fused, torch.tensor([[6.0, 12.0, 18.0, 24.0]]))


def test_rep_is_s_plus_the_largest_weighted_c():
    """The elementwise maximum of degree * c, on a hand-made tensor."""
    layer = fusion(2)
    with torch.no_grad():
        layer.score.weight.zero_()
        layer.score.bias.fill_(0.5493061)
    s = torch.tensor([[[2.0, 0.0, -2.0, 4.0], [2.0, 2.0, 0.0, 0.0]]])
    c = torch.tensor([[[1.0, 8.0, 0.0, -4.0], [3.0, 2.0, 0.0, -8.0]]])
    degree = torch.tensor([[0.5, 0.25]])
    rep = layer(s)[0] + pool_invariant(c, degree)
    # s: [2, 1, -1, 2]; w * c: [.5, 4, 0, -2] and [.75, .5, 0, -2]
    assert torch.allclose(rep, torch.tensor([[2.75, 5.0, -1.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize("garbage", [1e6, float("nan")])
@pytest.mark.parametrize("normalise", [False, True])
def test_absent_modalities_contribute_nothing(garbage, normalise):
    layer = fusion(normalise=normalise)
    s = torch.randn(4, 3, 4)
    with_garbage = s.masked_fill(~PRESENT[:, :, None], garbage).requires_grad_()
    fused, attention = layer(with_garbage, PRESENT)
    for e in range(4):
        here = PRESENT[e].nonzero()[:, 0]
        score = torch.stack([torch.tanh(s[e, m] @ layer.score.weight[m] + layer.score.bias[m]) for m in here]) if len(
            here
        ) else torch.zeros(0, 4)
        weight = score.softmax(0) if normalise else score
        assert torch.allclose(fused[e], (weight * s[e, here]).sum(0), atol=1e-6)
        assert torch.allclose(attention[e, here], weight, atol=1e-6)
    assert attention[~PRESENT].abs().sum() == 0
    fused.sum().backward()
    assert with_garbage.grad[~PRESENT].abs().sum() == 0
    assert layer.score.weight.grad.isfinite().all()


def test_normalised_attention_adds_up_to_one():
    _, attention = fusion(normalise=True)(torch.randn(4, 3, 4), PRESENT)
    assert torch.allclose(attention.sum(1), PRESENT.any(1)[:, None].float().expand(4, 4))


def test_another_activation():
    _, attention = fusion(activation="sigmoid")(torch.randn(50, 3, 4))
    assert attention.min() > 0
    with pytest.raises(ValueError, match="Got 'softmax'"):
        fusion(activation="softmax")


def test_sum_fusion():
    s = torch.randn(4, 3, 4)
    assert torch.allclose(sum_fusion(s), s[:, 0] + s[:, 1] + s[:, 2], atol=1e-6)
    with_garbage = s.masked_fill(~PRESENT[:, :, None], float("nan"))
    expected = torch.stack([s[e, PRESENT[e]].sum(0) for e in range(4)])
    assert torch.allclose(sum_fusion(with_garbage, PRESENT), expected, atol=1e-6)


@pytest.mark.parametrize("how", ["max", "mean"])
@pytest.mark.parametrize("garbage", [1e6, float("nan")])
def test_pooling_against_a_loop(how, garbage):
    c = torch.randn(4, 3, 4) - 3.0  # mostly negative, where an absent 0 would win
    degree = torch.rand(4, 3)
    with_garbage = c.masked_fill(~PRESENT[:, :, None], garbage).requires_grad_()
    pooled = pool_invariant(with_garbage, degree, PRESENT, how)
    for e in range(4):
        weighted = degree[e, PRESENT[e], None] * c[e, PRESENT[e]]
        if PRESENT[e].any():
            expected = weighted.amax(0) if how == "max" else weighted.mean(0)
        else:
            expected = torch.zeros(4)
        assert torch.allclose(pooled[e], expected, atol=1e-6)
    pooled.sum().backward()
    assert with_garbage.grad.isfinite().all()
    assert with_garbage.grad[~PRESENT].abs().sum() == 0
    everywhere = pool_invariant(c, degree, torch.ones_like(PRESENT), how)
    assert torch.equal(pool_invariant(c, degree, how=how), everywhere)


def test_unknown_pooling():
    with pytest.raises(ValueError, match="out of max, mean. Got 'sum'"):
        pool_invariant(torch.zeros(1, 2, 3), torch.ones(1, 2), how="sum")


def test_order_of_the_modalities_does_not_matter():
    """Permuting the modalities together with their private weights leaves the item vector alone."""
    order = torch.tensor([2, 0, 1])
    layer, permuted = fusion(), fusion()
    with torch.no_grad():
        permuted.score.weight.copy_(layer.score.weight[order])
        permuted.score.bias.copy_(layer.score.bias[order])
    s, c, degree = torch.randn(4, 3, 4), torch.randn(4, 3, 4), torch.rand(4, 3)
    rep = layer(s, PRESENT)[0] + pool_invariant(c, degree, PRESENT)
    other = permuted(s[:, order], PRESENT[:, order])[0] + pool_invariant(
        c[:, order], degree[:, order], PRESENT[:, order]
    )
    assert torch.allclose(rep, other, atol=1e-6)


def test_equal_maxima_share_the_gradient():
    c = torch.ones(1, 2, 1, requires_grad=True)
    pool_invariant(c, torch.ones(1, 2)).sum().backward()
    assert c.grad.flatten().tolist() == [0.5, 0.5]


def plain_maximum(c, degree, present):
    """The formula as autograd knows it: `amax` shares the gradient among equal maxima."""
    pooled = (degree[:, :, None] * c).masked_fill(~present[:, :, None], -torch.inf).amax(1)
    return pooled.masked_fill(~present.any(1, keepdim=True), 0.0)


@pytest.mark.parametrize("present", [PRESENT, torch.ones_like(PRESENT)])
def test_maximum_has_the_gradient_of_amax_with_ties(present):
    c = torch.randint(-2, 3, (4, 3, 60)).float().requires_grad_()
    degree, probe = torch.tensor([[1.0, 1.0, 0.5]]).expand(4, -1), torch.randn(4, 60)
    mine = pool_invariant(c, degree, None if present.all() else present)
    theirs = plain_maximum(c, degree, present)
    assert torch.equal(mine, theirs)
    grad, expected = (torch.autograd.grad((out * probe).sum(), c)[0] for out in (mine, theirs))
    assert torch.allclose(grad, expected, atol=1e-6)
    assert (grad[0] != 0).sum() > 60  # ties there were


def test_absent_maxima_may_be_nan():
    c = torch.randn(4, 3, 6).masked_fill(~PRESENT[:, :, None], torch.nan).requires_grad_()
    pool_invariant(c, torch.ones(4, 3), PRESENT).sum().backward()
    assert c.grad.isfinite().all() and c.grad[~PRESENT].abs().sum() == 0 and c.grad.abs().sum() == 3 * 6


def test_the_degree_is_a_constant():
    degree = torch.rand(4, 3, requires_grad=True)
    c = torch.randn(4, 3, 6, requires_grad=True)
    for how in ("max", "mean"):
        pool_invariant(c, degree, PRESENT, how).sum().backward()
    assert degree.grad is None


def test_attention_is_for_looking_at():
    _, attention = fusion()(torch.randn(4, 3, 4, requires_grad=True), PRESENT)
    assert not attention.requires_grad


def test_larger_of_two_rows_against_a_loop():
    """Rows 1 and 4 are absent, whatever they hold; rows 0 and 2 are equal, so that they share the gradient."""
    value = torch.randn(5, 3, dtype=torch.double)
    value[2] = value[0]
    value[4] = torch.nan
    value.requires_grad_()
    present = torch.tensor([True, False, True, True, False])
    pairs = [(0, 3), (3, 0), (0, 2), (1, 3), (3, 4), (1, 4), (0, 0)]
    out = larger_of(value, present, *torch.tensor(pairs).unbind(1))
    expected = []
    for first, second in pairs:
        there = [value[row] for row in (first, second) if present[row]]
        expected.append(torch.stack(there).amax(0) if there else torch.zeros(3, dtype=torch.double))
    assert torch.equal(out, torch.stack(expected))
    probe = torch.randn_like(out)
    (grad,) = torch.autograd.grad((out * probe).sum(), value)
    (expected_grad,) = torch.autograd.grad((torch.stack(expected) * probe).sum(), value)
    assert torch.allclose(grad, expected_grad)
    assert grad[[1, 4]].eq(0).all()


@pytest.mark.parametrize("present", [None, PRESENT])
def test_the_exact_gradient_of_the_attention(present):
    layer = fusion().double()
    s = torch.randn(4, 3, 4, dtype=torch.double, requires_grad=True)
    parameters = tuple(layer.parameters())
    assert torch.autograd.gradcheck(lambda *_: layer(s, present)[0], (s, *parameters))


def test_attention_under_autocast_is_that_of_eq_3_in_bfloat16():
    layer, s = fusion(), torch.randn(5, 3, 4)
    with torch.autocast("cpu"):
        fused, attention = layer(s)
    assert attention.dtype == torch.bfloat16
    assert torch.allclose(fused.float(), layer(s)[0], atol=0.1)
