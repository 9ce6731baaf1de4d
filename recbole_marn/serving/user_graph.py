"""The user side of a model as a file of ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from recbole_marn.serving.dense import UserSide
from recbole_marn.serving.onnx_files import write_onnx
from recbole_marn.serving.scores import Facts

__all__ = ["write_user_side"]


def write_user_side(side: UserSide, facts: Facts, width: int, file: Path) -> None:
    """A user side through torch's exporter, with any number of requests, behaviours and candidates.

    Args:
        facts: what the model reads.
        width: of item vectors.
    """
    requests, behaviours, candidates = 3, 5, 4  # of the example that is traced
    example = {
        "history": torch.randn(requests, behaviours, width),
        "length": torch.tensor([behaviours, 2, 0]),
        "candidate": torch.randn(requests, candidates, width),
    }
    request, behaviour = torch.export.Dim("requests"), torch.export.Dim("behaviours")
    shapes = {
        "history": {0: request, 1: behaviour},
        "length": {0: request},
        "candidate": {0: request, 1: torch.export.Dim("candidates")},
    }
    if facts.needs.kind:
        example["behaviour"] = torch.ones(requests, behaviours, dtype=torch.int64)
        shapes["behaviour"] = {0: request, 1: behaviour}
    if facts.gap is not None:
        example["gap"] = torch.ones(requests, behaviours, len(facts.gap.bins.edges), dtype=torch.int64)
        shapes["gap"] = {0: request, 1: behaviour}
    if facts.context:
        codes = sum(field.size for field in facts.context)
        example["context"] = torch.ones(requests, candidates, codes, dtype=torch.int64)
        shapes["context"] = shapes["candidate"]
    write_onnx(side, example, shapes, list(example), "probability", file)
