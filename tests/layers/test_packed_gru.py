import torch

from recbole_marn.layers.kernels.packed_gru import packed_gru

SIZES = (4, 4, 2, 1)
X, H = 3, 5


def random_case():
    x = torch.randn(sum(SIZES), X, dtype=torch.double, requires_grad=True)
    shapes = [(3 * H, X), (3 * H, H), (3 * H,), (3 * H,)]
    return x, tuple(torch.randn(shape, dtype=torch.double, requires_grad=True) for shape in shapes)


def by_torch(x, weights):
    start = x.new_zeros(1, SIZES[0], H)
    return torch.gru(x, torch.tensor(SIZES), start, weights, True, 1, 0.0, True, False)[0]


def test_states_and_all_gradients_equal_torchs_gru():
    torch.manual_seed(0)
    x, weights = random_case()
    states, expected = packed_gru(x, SIZES, weights), by_torch(x, weights)
    assert torch.allclose(states, expected, atol=1e-12)
    probe = torch.randn_like(states)
    inputs = [x, *weights]
    ours = torch.autograd.grad((states * probe).sum(), inputs)
    theirs = torch.autograd.grad((expected * probe).sum(), inputs)
    for grad, expected_grad in zip(ours, theirs, strict=True):
        assert grad.abs().sum() > 0
        assert torch.allclose(grad, expected_grad, atol=1e-12)


def test_gradients_equal_finite_differences():
    torch.manual_seed(1)
    x, weights = random_case()
    assert torch.autograd.gradcheck(lambda *inputs: packed_gru(inputs[0], SIZES, inputs[1:]), (x, *weights))


def test_one_token():
    x, weights = random_case()
    states = packed_gru(x[:1], (1,), weights)
    assert states.shape == (1, H)
    states.sum().backward()


def test_the_gradient_that_comes_in_is_left_alone():
    """It may be that of another path, too, which autograd adds up or hands on."""
    torch.manual_seed(2)
    x, weights = random_case()
    incoming = torch.randn(sum(SIZES), H, dtype=torch.double)
    before = incoming.clone()
    packed_gru(x, SIZES, weights).backward(incoming)
    assert torch.equal(incoming, before)
