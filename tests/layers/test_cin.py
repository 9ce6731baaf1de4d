import torch

from recbole_marn.layers.cin import CompressedInteraction


def test_layers_are_the_double_sum_of_the_paper():
    layer = CompressedInteraction(n_fields=3, layer_sizes=(4, 2, 5))
    fields = torch.randn(5, 3, 6)
    out, x = [], fields
    for weight in layer.weights:  # (after, fields, before)
        after = torch.zeros(5, len(weight), 6)
        for h in range(len(weight)):
            for i in range(x.shape[1]):
                for j in range(3):
                    after[:, h] += weight[h, j, i] * x[:, i] * fields[:, j]
        out.append(after.sum(2))
        x = after
    assert torch.allclose(layer(fields), torch.cat(out, dim=1), atol=1e-5)
    assert layer.output_size == 11


def test_the_second_layer_is_of_third_degree():
    layer, fields = CompressedInteraction(n_fields=3, layer_sizes=(4, 2)), torch.randn(2, 3, 6)
    once, twice = layer(fields), layer(2 * fields)
    assert torch.allclose(twice[:, :4], 4 * once[:, :4], atol=1e-4)
    assert torch.allclose(twice[:, 4:], 8 * once[:, 4:], atol=1e-4)


def test_fields_of_zeros_only_give_zero():
    assert not CompressedInteraction(n_fields=3, layer_sizes=(4,))(torch.zeros(2, 3, 6)).any()
