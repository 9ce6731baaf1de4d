"""The speed suite as a package, wherever it is installed, and sizes at which nothing takes time."""

import pytest
import torch

from recbole_marn.commands.bench import benchmarks

benchmarks()

from recbole_marn.benchmarks.bench import Bench, Sizes  # noqa: E402
from recbole_marn.benchmarks.synthetic import Shape  # noqa: E402

TINY = Shape(
    users=60,
    items=80,
    most_events=14,
    categories=5,
    image_width=6,
    image_rows=70,
    words=30,
    word_size=5,
    title_words=6,
    static_statistics=1,
    history=8,
)


@pytest.fixture
def shape():
    return TINY


@pytest.fixture
def sizes():
    return Sizes(small=8, large=16, largest=16, histories=6, evaluation=16, extracted=20, rounds=2)


@pytest.fixture
def bench(shape):
    torch.manual_seed(0)
    return Bench(shape, width=8)
