"""The columns of profile and context of a log, as the settings name them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from recbole.utils import FeatureType

from recbole_marn.data.context_codes import Column, as_codes
from recbole_marn.errors import InputError
from recbole_marn.settings.logs import USER_STATISTICS
from recbole_marn.settings.parsing import nearest

__all__ = ["profile_and_context"]

KINDS = {FeatureType.TOKEN: "token", FeatureType.FLOAT: "float", FeatureType.TOKEN_SEQ: "token_seq"}


def profile_and_context(dataset: Any, is_row: np.ndarray) -> list[Column]:
    """Columns of profile, then of context, in the order of the settings.

    Args:
        dataset: a `LogDataset` whose tokens are numbered.
        is_row: which lines of .inter are rows.

    Raises:
        InputError: a column that is not there, of a kind that is no feature, or that is the label, time or item.
    """
    settings, found = dataset.settings, []
    for source, wanted in (("user", settings.user_settings()), ("context", settings.context_settings())):
        for name, width in wanted.fields.items():
            found.append(_column(dataset, is_row, source, name, width))
    names = [column.name for column in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError("each field of user and context once", f"'{twice[0]}' twice", "Leave one out.")
    position = settings.position_settings()
    if position is not None and position.field not in settings.context_settings().fields:
        raise InputError(
            f"position: a field of context ({', '.join(settings.context_settings().fields) or 'none'})",
            f"'{position.field}'",
            "Name it under context: {fields: ...}, too.",
        )
    return found


def _column(dataset: Any, is_row: np.ndarray, source: str, name: str, width: int) -> Column:
    tables = [table for table in (dataset.user_feat, dataset.inter_feat) if table is not None]
    if name in USER_STATISTICS and any(name in table for table in tables):
        raise InputError(
            f"no column {name} in the files, for what is called so is counted from the training rows",
            "one",
            "Give the column another name, in the file and in load_col.",
        )
    if source == "user" and name in USER_STATISTICS:
        return Column(name, width, source, np.zeros(0), "float", False)
    if source == "user" and name == dataset.uid_field:
        ids = np.arange(dataset.user_num)
        return Column(name, width, source, ids, "token", True, dataset.field2id_token[name])
    label = dataset.settings.label_settings().field
    if name in (label, dataset.iid_field, dataset.time_field, dataset.uid_field):
        raise InputError(
            f"fields of {source} that are known of a user or a moment",
            f"'{name}', which is {'the label' if name == label else 'a column of its own'}",
            "Leave it out.",
        )
    return _read(dataset, is_row, source, name, width)


def _read(dataset: Any, is_row: np.ndarray, source: str, name: str, width: int) -> Column:
    """A column of .user, or where that has none of the name of .inter."""
    with_users = source == "user" and dataset.user_feat is not None
    tables = [dataset.user_feat, dataset.inter_feat] if with_users else [dataset.inter_feat]
    table = next((table for table in tables if name in table), None)
    if table is None:
        known = list(dict.fromkeys(field for table in tables for field in table if not field.startswith(":")))
        counted = USER_STATISTICS if source == "user" else ()
        raise InputError(
            f"column '{name}' of {'.user or .inter' if source == 'user' else '.inter'} for {source}: {{fields: ...}}",
            f"columns {', '.join(known)}",
            f"Add it to the file and to load_col, or correct the name.{nearest(name, [*known, *counted])}",
        )
    kind = KINDS.get(dataset.field2type[name])
    if kind is None:
        raise InputError(
            f"{name} to be a token, a float or a token_seq", dataset.field2type[name].value, "Leave it out."
        )
    by_user = table is dataset.user_feat
    if kind == "float":
        values, tokens = dataset.numbers["user" if by_user else "inter", name], None
    else:
        tokens = dataset.field2id_token[name]
        ids = table[name].to_numpy(dtype=np.int64) if kind == "token" else _matrix(list(table[name]))
        values = as_codes(ids, len(tokens))
    return Column(name, width, source, values if by_user else values[is_row], kind, by_user, tokens)


def _matrix(lists: Sequence[np.ndarray]) -> np.ndarray:
    """Lists of ids (n,) as (n, longest), zeros behind."""
    length = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    matrix = np.zeros((len(lists), max(1, int(length.max(initial=0)))), dtype=np.int64)
    matrix[np.arange(matrix.shape[1]) < length[:, None]] = np.concatenate([np.zeros(0), *lists]).astype(np.int64)
    return matrix
