"""Opening ONNX files: a graph is data, run by ONNX Runtime's own operators alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError, first_line
from recbole_marn.prepare.encoders import need

__all__ = ["open_graph"]


def open_graph(file: Path, *, threads: int = 1) -> Any:
    """A session of ONNX Runtime on CPUs.

    Raises:
        InputError: no ONNX Runtime, or a file that is no graph of its operators.
    """
    runtime = need("onnxruntime", "serve", "scoring an export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return runtime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no base of their own
        raise InputError(
            f"a graph that ONNX Runtime {runtime.__version__} can run in {file}",
            first_line(error),
            "Export again, or upgrade onnxruntime.",
        ) from None
