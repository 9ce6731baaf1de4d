"""How large the attention of every item is, and what it lets into the item vector."""

from __future__ import annotations

import numpy as np
import torch

from recbole_marn.errors import InputError
from recbole_marn.models.base import EXTRACTION_CHUNK, CTRModel
from recbole_marn.models.marn import MARNItems

__all__ = ["item_sizes"]


@torch.no_grad()
def item_sizes(model: CTRModel) -> dict[str, np.ndarray]:
    """Per item and modality, with the statistics at the end of training; row 0 is item 1. NaN where absent.

    Returns:
        attention norm: (I, M) L2 norm of MAF's attention vector, or the weight of a model with one number a modality.
        fused norm: (I, M) L2 norm of atten_em * s_em, what MAF adds up; of MARN alone.

    Raises:
        InputError: the model has no attention over modalities.
    """
    model.eval()
    sizes: dict[str, list[torch.Tensor]] = {"attention norm": [], "fused norm": []}
    for items in torch.arange(1, model.encoder.n_items, device=model.encoder.frozen["present"].device).split(
        EXTRACTION_CHUNK
    ):
        cells = model.encoder.snapshot(items)
        represented, absent = model.represent(cells), ~cells.present
        attention = represented.attention
        if attention is None:
            raise InputError(
                "a model with attention over modalities, such as MARN with fusion maf, MMSS or NAML",
                type(model).__name__,
                "Analyze a checkpoint of one of them.",
            )
        sizes["attention norm"].append(_norm(attention).masked_fill(absent, torch.nan))
        if isinstance(represented, MARNItems):
            sizes["fused norm"].append(_norm(attention * represented.specific).masked_fill(absent, torch.nan))
    return {name: torch.cat(chunks).cpu().numpy() for name, chunks in sizes.items() if chunks}


def _norm(x: torch.Tensor) -> torch.Tensor:
    """(U, M, D) or (U, M) to (U, M)."""
    return x.abs() if x.dim() == 2 else x.norm(dim=2)
