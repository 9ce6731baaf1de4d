import torch

from recbole_marn.layers.dense_fusion import DenseFusion

PRESENT = torch.tensor([[True, True, True], [True, False, True]])


def private(layer, m, x):
    return x @ layer.weight[m] + layer.bias[m]


def test_levels_by_a_loop():
    layer, e = DenseFusion(n_modalities=3, width=4, levels=3), torch.randn(2, 3, 4)
    out = layer(e, PRESENT)
    for i in range(2):
        h, g = {m: e[i, m] for m in range(3) if PRESENT[i, m]}, None
        for level in range(3):
            h = {m: private(layer.private[level], m, x).relu() for m, x in h.items()}
            met = sum(private(layer.shared[level], m, x) for m, x in h.items())
            g = (met if g is None else met + layer.carried[level - 1](g)).relu()
        assert torch.allclose(out[i], g, atol=1e-6)


def test_sums_are_joined_at_every_level():
    """Two cells with the modalities of one item between them give the item."""
    layer, e = DenseFusion(n_modalities=3, width=4, levels=2), torch.randn(1, 3, 4)
    first, second = torch.tensor([[True, False, True]]), torch.tensor([[False, True, False]])
    cells, present = e.repeat(2, 1, 1), torch.cat([first, second])
    joined = layer(cells, present, lambda value: value.sum(0, keepdim=True))
    assert torch.allclose(joined, layer(e, first | second), atol=1e-6)


def test_an_item_without_modalities_is_finite_and_an_absent_one_has_no_effect():
    layer, e = DenseFusion(n_modalities=3, width=4), torch.randn(2, 3, 4)
    changed = e.clone()
    changed[1, 1] = 100.0
    assert torch.equal(layer(e, PRESENT), layer(changed, PRESENT))
    assert layer(e, torch.zeros(2, 3, dtype=torch.bool)).tolist() == [[0.0] * 4] * 2
