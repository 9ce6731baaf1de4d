"""The columns of an atomic file through its twin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recbole_marn.data.atomic import AtomicTable
from recbole_marn.data.twin import about, arrow, build_twin, open_twin, twin_places

__all__ = ["read_columns"]


def read_columns(
    text: Path, *, separator: str, encoding: str, keep: Callable[[str], bool], whole: str
) -> AtomicTable | None:
    """The columns of an atomic file through its twin, which is built where there is none.

    Args:
        text: the atomic file.
        separator, encoding, keep: as in `read_atomic`.
        whole: the column of times, which stay integers where all of them are.

    Returns:
        What `read_atomic` returns, with token columns as categories in the order of first appearance; None where the
        text has to be read: without pyarrow, with columns of lists, in another encoding than UTF-8, or where the fast
        parser would read it otherwise.
    """
    if arrow() is None or encoding.lower().replace("_", "-") not in ("utf-8", "utf8"):
        return None
    notes = []
    for place in twin_places(text):
        batch, state = open_twin(place, text, separator)
        if state == "stale":
            notes = [f"{text.name} has changed since {place.name} was built from it; it was built anew"]
        if batch is not None:
            return _table(batch, keep, whole, [])
    for place in twin_places(text):
        try:
            if not build_twin(text, place, separator):
                return None
        except OSError:  # not to be written to, or a full disk
            continue
        batch, _ = open_twin(place, text, separator)
        return None if batch is None else _table(batch, keep, whole, notes)
    return None


def _table(batch: Any, keep: Callable[[str], bool], whole: str, notes: list[str]) -> AtomicTable:
    known = about(batch)
    header = known["header"]
    columns = {}
    for field in filter(keep, header):
        column = batch.column(batch.schema.get_field_index(field))
        if header[field] == "token":
            codes = column.indices
            codes = codes.to_numpy() if not codes.null_count else codes.fill_null(-1).to_numpy(zero_copy_only=False)
            words = pd.Index(pd.arrays.ArrowExtensionArray(column.dictionary))
            words._cache["is_unique"] = True  # as a twin's tokens are; pandas would hash millions of them to see it
            columns[field] = pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(words))
        else:
            numbers = column.to_numpy()
            columns[field] = numbers if field == whole else numbers.astype(np.float64, copy=False)
    frame = pd.DataFrame(columns, copy=False)
    return AtomicTable(frame, header, known["notes"] + notes)
