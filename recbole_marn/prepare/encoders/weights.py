"""Published weights into a network, without running anything that a weights file may contain."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from recbole_marn.errors import InputError

__all__ = ["load_weights"]


def load_weights(network: nn.Module, path: Path, ignored: tuple[str, ...] = ()) -> nn.Module:
    """Fill `network` from a file of tensors and freeze it; entries that start with `ignored` are passed over.

    Raises:
        InputError: the file is no plain mapping of tensors, or one for another network.
    """
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        kept = {name: value for name, value in tensors.items() if not name.startswith(ignored or ("\0",))}
        network.load_state_dict(kept)
    except Exception as error:  # on foreign bytes torch's reader fails in any way it likes
        raise InputError(
            f"weights of {type(network).__name__} in {path}",
            f"something else ({type(error).__name__}: {str(error)[:200]})",
            "Give the file that the network's publisher provides, or leave --encoder-weights out.",
        ) from error
    return network.eval().requires_grad_(False)
