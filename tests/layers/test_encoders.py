import pytest
import torch

from recbole_marn.layers.encoders import CategoricalEncoder, TextEncoder, VectorEncoder


def test_codes_are_looked_up_concatenated_and_aligned():
    encoder = CategoricalEncoder(cardinalities=[5, 3], sizes=[4, 2], width=6)
    codes = torch.tensor([[1, 2], [4, 1]])
    e = torch.stack([torch.cat([encoder.tables[0].weight[a], encoder.tables[1].weight[b]]) for a, b in codes])
    assert torch.allclose(encoder(codes), e @ encoder.align.weight.T + encoder.align.bias)


def test_code_zero_is_zero_and_stays_zero():
    encoder = CategoricalEncoder(cardinalities=[5, 3], sizes=[4, 2], width=6)
    codes = torch.tensor([[0, 0], [1, 0]])
    assert torch.allclose(encoder(codes)[0], encoder.align.bias)
    optimizer = torch.optim.Adagrad(encoder.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        encoder(codes).square().sum().backward()
        optimizer.step()
    assert all(table.weight[0].abs().sum() == 0 for table in encoder.tables)
    assert encoder.tables[0].weight[1].abs().sum() > 0


def test_fields_and_sizes_must_match():
    with pytest.raises(ValueError, match="Got 2 cardinalities and 1 sizes"):
        CategoricalEncoder(cardinalities=[5, 3], sizes=[4], width=6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_vector_encoder_agrees_with_its_reference(dtype):
    table = torch.randn(20, 7).to(dtype)
    row = torch.randint(0, 20, (11,))
    fast = VectorEncoder(size=7, width=3, chunk=4)
    plain = VectorEncoder(size=7, width=3, reference=True)
    plain.load_state_dict(fast.state_dict())
    probe = torch.randn(11, 3)
    for encoder in (fast, plain):
        (encoder(table, row) * probe).sum().backward()
    assert torch.allclose(fast(table, row), plain(table, row), atol=1e-6)
    assert torch.allclose(fast.align.weight.grad, plain.align.weight.grad, atol=1e-5)
    assert torch.allclose(fast.align.bias.grad, plain.align.bias.grad, atol=1e-5)


def test_vector_encoder_by_hand():
    encoder = VectorEncoder(size=2, width=1)
    with torch.no_grad():
        encoder.align.weight.copy_(torch.tensor([[1.0, 10.0]]))
        encoder.align.bias.fill_(0.5)
    table = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float16)
    assert encoder(table, torch.tensor([1])).tolist() == [[43.5]]


def test_all_encoders_give_float32_of_the_common_width():
    outputs = [
        CategoricalEncoder(cardinalities=[9], sizes=[2], width=5)(torch.tensor([[1], [2]])),
        VectorEncoder(size=3, width=5)(torch.zeros(4, 3, dtype=torch.float16), torch.tensor([0, 3])),
        TextEncoder(width=5, vocabulary=9, word_size=3)(torch.tensor([[1, 2], [3, 0]])),
    ]
    assert all(out.shape == (2, 5) and out.dtype == torch.float32 for out in outputs)
