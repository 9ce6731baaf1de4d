import pytest
import torch

from recbole_marn.layers.candidate_attention import CandidateAttention

LENGTH = torch.tensor([2, 0, 4, 1])
ROW_SEQUENCE = torch.tensor([2, 0, 1, 2, 3, 2])
H, D = 3, 5


def problem(item_size=0, hidden_sizes=(6, 4)):
    layer = CandidateAttention(state_size=H, candidate_size=D, hidden_sizes=hidden_sizes, item_size=item_size).double()
    n = int(LENGTH.sum())
    state, candidate, item = (
        torch.randn(size, dtype=torch.double, requires_grad=True) for size in [(n, H), (len(ROW_SEQUENCE), D), (n, D)]
    )
    return layer, state, candidate, item if item_size else None


def padded(layer, state, candidate, item):
    """The formula on histories padded to the longest, with the concatenated input and one weight matrix."""
    weights = [layer.from_token.weight, layer.from_candidate.weight]
    if item is not None:
        weights.append(layer.from_product.weight)
    weight = torch.cat(weights, dim=1)
    bias = 0 if layer.from_token.bias is None else layer.from_token.bias
    tokens = [x.split(LENGTH.tolist()) for x in (state, item) if x is not None]
    read = torch.zeros(len(LENGTH), 4, layer.output_size, dtype=state.dtype)
    for s, parts in enumerate(zip(*tokens, strict=True)):
        read[s, : len(parts[0])] = torch.cat(parts, dim=1)
    read = read[ROW_SEQUENCE]  # (B, L, H or H + D)
    target = candidate[:, None, :].expand(-1, 4, -1)
    seen = [read, target] if item is None else [read, target, read[:, :, H:] * target]
    score = layer.rest(torch.cat(seen, dim=2) @ weight.T + bias)[:, :, 0]
    real = torch.arange(4) < LENGTH[ROW_SEQUENCE][:, None]
    alpha = score.masked_fill(~real, -1e30).softmax(1) * real
    return (alpha[:, :, None] * read).sum(1), alpha[real]


@pytest.mark.parametrize("item_size", [0, D])
@pytest.mark.parametrize("hidden_sizes", [(), (6,), (6, 4)])
def test_equals_the_padded_formula_with_gradients(item_size, hidden_sizes):
    layer, state, candidate, item = problem(item_size, hidden_sizes)
    u, alpha = layer(state, candidate, LENGTH, ROW_SEQUENCE, item)
    expected_u, expected_alpha = padded(layer, state, candidate, item)
    assert u.shape == (len(ROW_SEQUENCE), H + item_size)
    assert torch.allclose(u, expected_u, atol=1e-10)
    assert torch.allclose(alpha, expected_alpha, atol=1e-10)
    inputs = [state, candidate, *layer.parameters()] + ([] if item is None else [item])
    probe = torch.randn_like(u)
    grads = torch.autograd.grad((u * probe).sum(), inputs)
    for grad, expected_grad in zip(grads, torch.autograd.grad((expected_u * probe).sum(), inputs), strict=True):
        assert torch.allclose(grad, expected_grad, atol=1e-10)


@pytest.mark.parametrize("item_size", [0, D])
def test_weights_add_up_to_one_and_empty_histories_give_zero(item_size):
    layer, state, candidate, item = problem(item_size)
    u, alpha = layer(state, candidate, LENGTH, ROW_SEQUENCE, item)
    lengths = LENGTH[ROW_SEQUENCE].tolist()
    assert [a.sum().item() for a in alpha.split(lengths)] == pytest.approx([1, 1, 0, 1, 1, 1])
    assert u[2].abs().sum() == 0
    last = state[-1] if item is None else torch.cat([state[-1], item[-1]])
    assert torch.allclose(u[4], last)  # one token: it gets all the attention


def test_the_candidate_decides_where_to_look():
    layer, state, candidate, _ = problem()
    _, alpha = layer(state, candidate, LENGTH, ROW_SEQUENCE)
    assert not torch.allclose(alpha[:4], alpha[6:10])  # rows 0 and 3 read the same history
    same = candidate.detach().clone()
    same[3] = same[0]
    _, alpha = layer(state, same, LENGTH, ROW_SEQUENCE)
    assert torch.allclose(alpha[:4], alpha[6:10])


def test_rows_are_independent():
    layer, state, candidate, _ = problem()
    u, _ = layer(state, candidate, LENGTH, ROW_SEQUENCE)
    order = torch.tensor([5, 2, 0, 4, 1, 3])
    shuffled, _ = layer(state, candidate[order], LENGTH, ROW_SEQUENCE[order])
    assert torch.allclose(shuffled, u[order])


def test_item_and_candidate_must_have_one_width():
    with pytest.raises(ValueError, match="item_size 0 or 5, the candidate's. Got 4"):
        CandidateAttention(state_size=H, candidate_size=D, item_size=4)
