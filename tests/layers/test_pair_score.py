import pytest
import torch

from recbole_marn.layers.kernels.segment import expand_rows
from recbole_marn.layers.pair_score import PairScore

LENGTH, ROW_SEQUENCE = torch.tensor([3, 1]), torch.tensor([0, 0, 1])


def plain_mlp(layer, read):
    """The layer's MLP on what one pair reads, with the first layer put together again."""
    parts = [layer.from_token, layer.from_candidate, layer.from_product]
    first = torch.cat([part.weight for part in parts if part is not None], dim=1)
    return layer.rest(first @ read + layer.from_token.bias)[0]


@pytest.mark.parametrize("product", [False, True])
@pytest.mark.parametrize("hidden_sizes", [(), (5,), (5, 3)])
def test_every_pair_scores_as_the_mlp_of_its_concatenation(product, hidden_sizes):
    layer = PairScore(token_size=4, candidate_size=4, hidden_sizes=hidden_sizes, product=product)
    x, candidate = torch.randn(4, 4), torch.randn(3, 4)
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    score = layer(x, candidate, token, row)
    for value, t, b in zip(score, token, row, strict=True):
        read = [x[t], candidate[b]] + ([x[t] * candidate[b]] if product else [])
        assert torch.allclose(value, plain_mlp(layer, torch.cat(read)), atol=1e-6)


def test_the_difference_that_din_reads_is_absorbed():
    """a . x + b . c + d . (x - c) is (a + d) . x + (b - d) . c: a layer with x - c has an equal one without."""
    layer = PairScore(token_size=4, candidate_size=4, hidden_sizes=(5,), product=True)
    with_difference = torch.randn(5, 4)
    x, candidate = torch.randn(4, 4), torch.randn(3, 4)
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    first = layer.from_token(x)[token] + layer.from_candidate(candidate)[row]
    first = first + layer.from_product(x[token] * candidate[row]) + (x[token] - candidate[row]) @ with_difference.t()
    expected = layer.rest(first)[:, 0]
    with torch.no_grad():
        layer.from_token.weight += with_difference
        layer.from_candidate.weight -= with_difference
    assert torch.allclose(layer(x, candidate, token, row), expected, atol=1e-6)


def test_tokens_and_candidates_may_differ_in_width_without_product():
    layer = PairScore(token_size=6, candidate_size=4)
    token, row = expand_rows(LENGTH, ROW_SEQUENCE)
    assert layer(torch.randn(4, 6), torch.randn(3, 4), token, row).shape == (7,)
    with pytest.raises(ValueError, match="Got 6 and 4. Change the sizes."):
        PairScore(token_size=6, candidate_size=4, product=True)


@pytest.mark.parametrize("hidden_sizes", [(), (5,), (5, 3)])
def test_without_bias_the_score_of_nothing_has_no_constant(hidden_sizes):
    """Biases of hidden layers stay; only the one that a softmax cancels is gone."""
    biases = [
        sum(name.endswith("bias") for name, _ in layer.named_parameters())
        for layer in (
            PairScore(token_size=4, candidate_size=4, hidden_sizes=hidden_sizes, bias=bias) for bias in (True, False)
        )
    ]
    assert biases == [len(hidden_sizes) + 1, len(hidden_sizes)]
