import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from recbole_marn.layers.kernels.segment import (
    expand_rows,
    last_state,
    packed_order,
    segment_softmax,
    segment_sum,
    weighted_sum,
)

# sequences of 2, 0, 3, 0 and 1 tokens; rows share and skip them
LENGTH = torch.tensor([2, 0, 3, 0, 1])
ROW_SEQUENCE = torch.tensor([2, 0, 1, 2, 4, 3])


def test_expand_rows_by_hand():
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    assert token.tolist() == [2, 3, 4, 0, 1, 2, 3, 4, 5]
    assert row.tolist() == [0, 0, 0, 1, 1, 3, 3, 3, 4]


@pytest.mark.parametrize("seed", range(5))
def test_expand_rows_against_a_loop(seed):
    torch.manual_seed(seed)
    length = torch.randint(0, 4, (6,))
    row_sequence = torch.randint(0, 6, (9,))
    token, row = expand_rows(length, row_sequence)
    sequences = torch.arange(int(length.sum())).split(length.tolist())
    assert token.tolist() == [t for s in row_sequence for t in sequences[s].tolist()]
    assert row.tolist() == [b for b, s in enumerate(row_sequence) for _ in sequences[s]]


@pytest.mark.parametrize("length", [[], [0, 0]])
def test_expand_rows_of_nothing(length):
    token, row = expand_rows(torch.tensor(length, dtype=torch.long), torch.arange(len(length)))
    assert token.shape == row.shape == (0,)
    assert token.dtype == row.dtype == torch.long


def test_softmax_and_sum_against_a_loop():
    _, row = expand_rows(LENGTH, ROW_SEQUENCE)
    score = torch.randn(len(row), dtype=torch.double, requires_grad=True)
    value = torch.randn(len(row), 3, dtype=torch.double)
    alpha = segment_softmax(score, row, 6)
    total = segment_sum(alpha[:, None] * value, row, 6)
    expected = torch.stack([score[row == b].softmax(0) @ value[row == b] for b in range(6)])
    assert torch.allclose(total, expected)
    assert total[[2, 5]].abs().sum() == 0  # rows without tokens
    probe = torch.randn_like(total)
    (grad,) = torch.autograd.grad((total * probe).sum(), score, retain_graph=True)
    (expected_grad,) = torch.autograd.grad((expected * probe).sum(), score)
    assert torch.allclose(grad, expected_grad)
    assert torch.autograd.gradcheck(lambda x: segment_softmax(x, row, 6), score)


def test_softmax_of_huge_scores_is_finite():
    score = torch.tensor([1e4, 1e4 - 1, -1e4, -1e4], requires_grad=True)
    alpha = segment_softmax(score, torch.tensor([0, 0, 2, 2]), 3)
    assert alpha.tolist() == pytest.approx([0.7310586, 0.2689414, 0.5, 0.5])
    alpha[0].backward()
    assert score.grad.isfinite().all()


def test_sum_of_scalars_and_of_nothing():
    assert segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1, 1, 2]), 4).tolist() == [0, 3, 3, 0]
    none = torch.zeros(0, dtype=torch.long)
    assert segment_sum(torch.zeros(0, 2), none, 3).tolist() == [[0, 0]] * 3
    assert segment_softmax(torch.zeros(0), none, 3).shape == (0,)


def test_weighted_sum_against_a_loop():
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    value = torch.randn(6, 3, dtype=torch.double, requires_grad=True)
    weight = torch.randn(len(row), dtype=torch.double, requires_grad=True)
    total = weighted_sum(value, weight, token, row, 6)
    assert total[[2, 5]].eq(0).all()  # rows without tokens
    for b in range(6):
        expected = sum((weight[t] * value[token[t]] for t in range(len(row)) if row[t] == b), value.new_zeros(3))
        assert torch.allclose(total[b], expected)
    assert torch.autograd.gradcheck(lambda v, w: weighted_sum(v, w, token, row, 6), (value, weight))


@pytest.mark.parametrize("n_rows", [0, 2])
def test_weighted_sum_of_nothing(n_rows):
    value, nothing = torch.zeros(0, 3, requires_grad=True), torch.zeros(0, dtype=torch.long)
    total = weighted_sum(value, torch.zeros(0), nothing, nothing, n_rows)
    assert total.shape == (n_rows, 3) and total.eq(0).all()
    total.sum().backward()
    assert value.grad.shape == (0, 3)


def test_last_state():
    state = torch.arange(6.0)[:, None] + torch.tensor([1.0, 10.0])
    state.requires_grad_()
    last = last_state(state, LENGTH)
    assert last.tolist() == [[2, 11], [0, 0], [5, 14], [0, 0], [6, 15]]
    last.sum().backward()
    assert state.grad[:, 0].tolist() == [0, 1, 0, 0, 1, 1]
    assert last_state(torch.zeros(0, 2), torch.tensor([0, 0])).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("seed", range(5))
def test_packed_order_is_that_of_torch(seed):
    torch.manual_seed(seed)
    length = torch.randint(0, 5, (7,))
    x = torch.arange(int(length.sum()))
    there, back, batch_sizes = packed_order(length)
    packed = pack_sequence([s for s in x.split(length.tolist()) if len(s)], enforce_sorted=False)
    # sequences of equal length may be in any order; torch's sort is not stable, so compare step by step
    assert batch_sizes.tolist() == packed.batch_sizes.tolist()
    for ours, theirs in zip(x[there].split(batch_sizes.tolist()), packed.data.split(batch_sizes.tolist()), strict=True):
        assert sorted(ours.tolist()) == sorted(theirs.tolist())
    assert torch.equal(x[there][back], x)
    # each sequence keeps its place among those that are still going on
    start = length.cumsum(0) - length
    rank = {}
    for t, tokens in enumerate(x[there].split(batch_sizes.tolist())):
        for place, token in enumerate(tokens.tolist()):
            sequence = int((start <= token).logical_and(length > 0).nonzero().max())
            assert token - start[sequence] == t
            assert rank.setdefault(sequence, place) == place
