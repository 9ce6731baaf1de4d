import torch

from recbole_marn.layers.kernels.hashing import uniform_hash

N = 20_000


def reference(keys, seed):
    """The same in Python's integers, modulo 2^64."""
    full = 2**64 - 1

    def scramble(value):
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = ((value ^ (value >> shift)) * factor) & full
        return value ^ (value >> 31)

    value = seed
    for key in keys:
        value = (scramble((value + 0x9E3779B97F4A7C15) & full) + key) & full
    return (scramble((value + 0x9E3779B97F4A7C15) & full) >> 40) / 2**24


def test_agrees_with_unsigned_integers():
    user, item = torch.randint(0, 2**40, (2, 50))
    expected = [reference(keys, 7) for keys in zip(user.tolist(), item.tolist(), strict=True)]
    assert uniform_hash(user, item, seed=7).tolist() == expected


def test_is_uniform_and_neighbours_are_unrelated():
    value = uniform_hash(torch.arange(N), torch.ones(N, dtype=torch.int64))
    assert abs(value.mean() - 0.5) < 4 * (1 / 12 / N) ** 0.5
    share = torch.histc(value, bins=20, min=0, max=1) / N
    assert (share - 0.05).abs().max() < 5 * (0.05 * 0.95 / N) ** 0.5
    assert abs(torch.corrcoef(torch.stack([value[1:], value[:-1]]))[0, 1]) < 4 / N**0.5


def test_order_of_keys_and_seed_matter():
    user, item = torch.arange(100), torch.arange(100) + 5
    value = uniform_hash(user, item)
    assert torch.equal(value, uniform_hash(user, item))
    assert (value != uniform_hash(item, user)).all()
    assert (value != uniform_hash(user, item, seed=1)).all()
