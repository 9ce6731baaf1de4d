"""Modules as ONNX files, through torch's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["write_onnx"]


def write_onnx(
    module: nn.Module, example: dict[str, Any], shapes: dict[str, Any], inputs: Sequence[str], output: str, file: Path
) -> None:
    """Write a module that is called with `example`.

    Args:
        shapes: of the inputs, which sizes are free, as `torch.onnx.export` takes them.
        inputs: names of the graph's inputs, in the order of `example`.
        output: name of its output.
    """
    for talker in ("torch.onnx", "onnx_ir", "onnxscript"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own, on its own code
        program = torch.onnx.export(
            module, kwargs=example, dynamic_shapes=shapes, input_names=list(inputs), output_names=[output],
            dynamo=True, external_data=False, verbose=False,
        )  # fmt: skip
    program.save(str(file), external_data=False)
