import torch

from recbole_marn.layers.pooling import AdditiveAttention, sequence_mean

LENGTH = torch.tensor([2, 0, 3])


def test_sequence_mean_is_the_mean_of_each_sequence_by_hand():
    value = torch.tensor([[1.0, 2.0], [3.0, 6.0], [1.0, 1.0], [2.0, 2.0], [6.0, 0.0]])
    assert sequence_mean(value, LENGTH).tolist() == [[2.0, 4.0], [0.0, 0.0], [3.0, 1.0]]


def test_sequence_mean_keeps_further_axes_and_lone_values():
    value = torch.randn(5, 3, 2)
    assert torch.allclose(sequence_mean(value, LENGTH)[2], value[2:].mean(0))
    assert sequence_mean(value[:, 0, 0], LENGTH).shape == (3,)


def test_sequence_mean_of_nothing_is_zero():
    assert sequence_mean(torch.zeros(0, 4), torch.tensor([0, 0])).tolist() == [[0.0] * 4] * 2


def test_additive_attention_agrees_with_a_loop_over_sequences():
    layer, x = AdditiveAttention(width=4, attention_size=3), torch.randn(5, 4)
    out = layer(x, LENGTH)
    for s, tokens in enumerate([x[:2], x[:0], x[2:]]):
        score = [(layer.query.weight[0] @ torch.tanh(layer.project(token))).exp() for token in tokens]
        expected = sum((a / sum(score) * token for a, token in zip(score, tokens, strict=True)), torch.zeros(4))
        assert torch.allclose(out[s], expected, atol=1e-6)


def test_additive_attention_survives_huge_scores():
    layer = AdditiveAttention(width=4, attention_size=3)
    with torch.no_grad():
        layer.query.weight.fill_(1e4)
    assert layer(torch.randn(5, 4), LENGTH).isfinite().all()
