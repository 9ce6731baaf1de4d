"""Profile and context for a data set that has none: fields, codes drawn at random, and models that read them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from cases import prepared

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.data.context import ContextField
from recbole_marn.registry import model_class

__all__ = ["FIELDS", "POSITION", "WithContext", "drawn", "in_context"]

FIELDS = (
    ContextField("age", 4, 3, "user"),
    ContextField("tags", 5, 2, "user", bag=3),
    ContextField("position", 7, 3, "context"),
    ContextField("device", 3, 2, "context"),
)
POSITION = 4  # its column


class WithContext:
    """A data set that says it has these fields."""

    def __init__(self, dataset: Any, fields: tuple[ContextField, ...]):
        self._dataset = dataset
        self.context_fields = fields

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


def in_context(name: str, settings: Any, **changed: Any) -> tuple[Any, Any]:
    """Model `name` with all FIELDS, and the training part it was made for."""
    parts = prepared(name, settings, **changed)
    dataset = parts.train.part
    torch.manual_seed(0)
    return model_class(name)(parts.config, WithContext(dataset, FIELDS)), dataset


def drawn(batch: RaggedBatch, generator: torch.Generator) -> RaggedBatch:
    """The same rows, each at a moment drawn at random; 0 is among the codes."""
    columns = [
        torch.randint(0, field.cardinality, (batch.n_rows,), generator=generator)
        for field in FIELDS
        for _ in range(field.bag)
    ]
    return dataclasses.replace(batch, context=torch.stack(columns, dim=1))
