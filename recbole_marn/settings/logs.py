"""Keys of a click log: where labels, requests, histories, profile and context are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass
from typing import Any

from recbole_marn.settings.parsing import option

__all__ = [
    "OF_BEHAVIOURS", "PURCHASES", "RATES", "STATISTICS", "USER_STATISTICS", "BehavioursSettings",
    "ContextSettings", "LabelSettings", "PositionSettings", "RequestSettings",
]  # fmt: skip

# What is counted from the rows of a log, and what from behaviours.
OF_ROWS = ("exposures", "clicks", "click_rate")
OF_BEHAVIOURS = ("purchases", "purchase_rate")
RATES = ("click_rate", "purchase_rate")
# Names a statistic modality may use; clicks are the training interactions of a log.
STATISTICS = (*OF_ROWS, *OF_BEHAVIOURS, "train_interactions")
# Names that the fields of `user` may use.
USER_STATISTICS = {f"user_{name}": name for name in (*OF_ROWS, *OF_BEHAVIOURS)}
# Types of behaviours that are purchases where the settings name none, in whatever case.
PURCHASES = ("purchase", "purchases", "buy", "bought", "order")


@dataclass(frozen=True)
class LabelSettings:
    """Which rows were clicked."""

    field: str = option("label", "column of .inter: 0/1, true/false or yes/no; or a number with at_least", least=1)
    at_least: float | None = option(None, "a row is a click where the column is at least this; null: it holds labels")


@dataclass(frozen=True)
class RequestSettings:
    """Which rows were shown together."""

    field: str = option("request_id", "column of .inter: rows of one value are one request", least=1)


@dataclass(frozen=True)
class ContextSettings:
    """What is known of the user (`user`) or of the moment and place (`context`)."""

    fields: Mapping[str, int] = option(MISSING, "column -> width of its embedding", low=1, high=4096)
    bins: Sequence[int] = option((10, 100), "numbers of equal-frequency bins of float columns", low=2, least=1)
    allow: Sequence[str] = option((), "columns that may tell the label almost perfectly")


@dataclass(frozen=True)
class PositionSettings:
    """A context field that is fixed when scores are served or compared."""

    field: str = option("position", "a field of context", least=1)
    at_serving: Any = option(1, "its value then")


@dataclass(frozen=True)
class BehavioursSettings:
    """What histories are made of; null: the clicked rows of the log."""

    file: str | None = option(None, "file beside .inter with user, item, and time and type if known; null: .inter")
    types: Sequence[str] | None = option(None, "types of behaviour.kind that histories are made of; null: all", least=1)
    row_types: Sequence[str] | None = option(None, "types that are rows, without a file; null: all others", least=1)
    purchase_types: Sequence[str] | None = option(
        None, f"types that purchases and purchase_rate count; null: {', '.join(PURCHASES)}", least=1
    )
