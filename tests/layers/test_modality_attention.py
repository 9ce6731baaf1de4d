import torch

from recbole_marn.layers.modality_attention import ImageFilter, ModalityAttention

PRESENT = torch.tensor([[True, True, True], [True, False, True], [False, False, False]])


def attend(layer, r, present=PRESENT, context=None):
    return layer(r, layer.project(r), present, context)


def test_weights_and_items_by_a_loop():
    layer, r = ModalityAttention(n_modalities=3, width=4, attention_size=2), torch.randn(3, 3, 4)
    for given in (None, torch.randn(3, 2)):
        out, beta = attend(layer, r, context=given)
        for e in range(3):
            score = {}
            for m in range(3):
                projected = r[e, m] @ layer.projection.weight[m] + layer.projection.bias[m]
                projected = projected if given is None else projected + given[e]
                if PRESENT[e, m]:
                    score[m] = (layer.query.weight[0] @ torch.tanh(projected)).exp()
            expected = sum((score[m] / sum(score.values()) * r[e, m] for m in score), torch.zeros(4))
            assert torch.allclose(out[e], expected, atol=1e-6)
            assert torch.allclose(beta[e].sum(), torch.tensor(1.0 if score else 0.0))


def test_absent_modalities_change_nothing_and_get_no_gradient():
    layer, r = ModalityAttention(n_modalities=3, width=4, attention_size=2), torch.randn(3, 3, 4)
    other = r.masked_fill(~PRESENT[:, :, None], torch.nan).requires_grad_()
    out, beta = layer(other, layer.project(r), PRESENT)
    assert torch.allclose(out, attend(layer, r)[0])
    assert not beta[~PRESENT].any()
    out.sum().backward()
    assert not other.grad[~PRESENT].any()
    assert other.grad[PRESENT].all()


def test_the_filter_is_the_formula():
    layer, text, image = ImageFilter(width=3), torch.randn(5, 3), torch.randn(5, 3)
    for t, v, out in zip(text, image, layer(text, image), strict=True):
        both = torch.cat([t, v])
        whole = torch.sigmoid(layer.query.weight[0] @ torch.tanh(layer.whole(both)))
        parts = torch.sigmoid(layer.parts(both))
        assert torch.allclose(out, whole * parts * v, atol=1e-6)


def test_the_filter_only_takes_away():
    layer, text, image = ImageFilter(width=3), torch.randn(50, 3), torch.randn(50, 3)
    out = layer(text, image)
    assert (out.abs() <= image.abs()).all()
    assert not torch.allclose(out, layer(-text, image))
