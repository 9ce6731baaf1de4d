"""Ten users: what they did, how the model ranks, and what each modality added."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.photos import Photos
from recbole_marn.analysis.section import Case, Item, Section, Table
from recbole_marn.analysis.worth import without_modalities
from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.errors import InputError
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.models.base import CTRModel
from recbole_marn.settings.data import TextModality

__all__ = ["cases"]

USERS = 10
HISTORY = 8  # items shown, the latest ones
RANKED = 8  # candidates shown, the highest ones, and the clicked ones below them
SHORTEST = 3  # behaviours that make a history worth a look
PHOTOS = 3  # photos that are enough for a case


def cases(context: Context) -> Section:
    """Histories and rankings with titles and photos."""
    known = _Items(context)
    rows = context.part.rows.take(_chosen(context, known))
    columns = context.subject.scores_of(rows)
    added = _added(context, rows, columns)
    told = [_case(known, rows, columns, added, group) for group in range(rows.n_groups)]
    numbers = Table(
        "rankings",
        "The same as numbers.",
        ["user", "place", "item", "title", context.field, "clicked", "predicted", *(f"added by {m}" for m in added)],
        [
            [case.user, item.place, item.token, item.title, item.category, int(item.clicked), item.predicted,
             *item.added.values()]
            for case in told
            for item in case.ranking
        ],
        shown=0,
    )  # fmt: skip
    notes = [f"{len(told)} users were drawn at random among those with {SHORTEST} behaviours and a click."]
    if context.photos:
        notes.append(f"Users with photos to show come before others, up to {PHOTOS} photos.")
    else:
        notes.append("Photos are shown with --photos FOLDER, of files named after the items.")
    if known.photos.unreadable:
        notes.append(f"{known.photos.unreadable} photos could not be read.")
    return Section(
        "Cases",
        "Above are each user's latest behaviours, below what the model ranked, the likeliest first. What a modality "
        "added is the log-odds of a click minus those that the model gives when no item has the modality; the bar is "
        "to the right where it made the click likelier.",
        "Ten users prove nothing about the others. What a modality added depends on what the others had already "
        "brought.",
        tables=[numbers],
        notes=notes,
        cases=told,
    )


def _case(
    known: _Items,
    rows: GroupedRows,
    columns: Mapping[str, np.ndarray],
    added: Mapping[str, np.ndarray],
    group: int,
) -> Case:
    """The case of one group of `rows`, whose scores are `columns`."""
    own = rows.rows_of_groups(np.array([group]))
    event, _ = rows.history(own[:1])
    order = own[np.argsort(-ranked_by(columns)[own], kind="stable")]
    ranking = [
        known.item(
            columns["item"][row],
            place=place,
            predicted=float(columns["score"][row]),
            added={name: float(of[row]) for name, of in added.items()},
            clicked=bool(columns["label"][row] > 0),
        )
        for place, row in enumerate(order, 1)
        if place <= RANKED or columns["label"][row] > 0
    ]
    history = [known.item(item) for item in rows.events.item[event[-HISTORY:]]]
    return Case(known.user(columns["user"][own[0]]), history, ranking)


def _chosen(context: Context, known: _Items) -> np.ndarray:
    """Groups of ten users, one each, with a history, a click and something it is compared with."""
    rows = context.part.rows
    group, label = rows.group_of(np.arange(rows.n_rows)), context.subject.columns["label"] > 0
    clicks, size = np.bincount(group, weights=label), np.bincount(group)
    _, length = rows.windows(np.arange(rows.n_groups))
    usable = np.flatnonzero((clicks > 0) & (size > clicks) & (length >= SHORTEST))
    if not len(usable):
        raise InputError(
            f"requests with a click, a non-click and a history of {SHORTEST} behaviours",
            "none",
            "Name the column of requests (request: {field: ...}), or analyze data with histories.",
        )
    usable = context.rng(8).permutation(usable)
    if context.photos:
        enough = np.minimum(_photos_shown(context, known, usable), PHOTOS)
        usable = usable[np.argsort(-enough, kind="stable")]
    user = rows.columns(rows.first_row(usable))["user"]
    _, first = np.unique(user, return_index=True)
    return np.sort(usable[np.sort(first)[:USERS]])


def _photos_shown(context: Context, known: _Items, groups: np.ndarray) -> np.ndarray:
    """How many of the items that a case of each group (G,) would show have a photo."""
    rows, columns = context.part.rows, context.subject.columns
    event, length = rows.history(rows.first_row(groups))
    to_last = np.repeat(np.cumsum(length), length) - np.arange(len(event))  # 1 for the latest
    seen = known.pictured[rows.events.item[event]] & (to_last <= HISTORY)
    before = np.bincount(np.repeat(np.arange(len(groups)), length), weights=seen, minlength=len(groups))
    group = rows.group_of(np.arange(rows.n_rows))
    order = np.lexsort((-ranked_by(columns), group))
    first = np.searchsorted(group[order], group[order])  # where the row's group begins
    shown = (np.arange(len(order)) - first < RANKED) | (columns["label"][order] > 0)
    ranked = np.bincount(group[order], weights=known.pictured[columns["item"][order]] & shown)
    return before + ranked[groups]


def _added(
    context: Context, rows: GroupedRows, columns: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """(B,) log-odds that each modality adds; nothing for models without modalities."""
    model = context.subject.model
    if not isinstance(model, CTRModel):
        return {}
    full, added = _log_odds(columns["score"]), {}
    for name in model.encoder.names:
        with without_modalities(model, {name}):
            added[name] = full - _log_odds(context.subject.scores_of(rows)["score"])
    return added


def _log_odds(probability: np.ndarray) -> np.ndarray:
    clipped = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(clipped / (1 - clipped))


class _Items:
    """How users and items are called, and what items look like."""

    def __init__(self, context: Context):
        part = context.part
        self.photos = Photos(context.photos)
        self._user, self._token = (part.field2id_token[field] for field in (part.uid_field, part.iid_field))
        try:
            categories = context.categories
            self._category = {item: categories.label.get(int(code), "") for item, code in enumerate(categories.code)}
        except InputError:
            self._category = {}
        fields = [m.field for m in part.modality_settings.values() if isinstance(m, TextModality)]
        columns = [] if part.item_feat is None else list(part.item_feat.columns)
        field = next((name for name in [*fields, "title"] if name in columns), None)
        self._words = None if field is None else part.item_feat[field].numpy()
        self._word = None if field is None else part.field2id_token[field]

    @cached_property
    def pictured(self) -> np.ndarray:
        """(n_items,) whether there is a photo."""
        return np.array([str(token) in self.photos for token in self._token])

    def user(self, user: int) -> str:
        """The token of a user."""
        return str(self._user[user])

    def item(self, item: int, **ranked: Any) -> Item:
        """Of a ranking with what `Item` has for that."""
        item, token = int(item), str(self._token[item])
        title = ""
        if self._words is not None:
            title = " ".join(str(self._word[word]) for word in np.atleast_1d(self._words[item]) if word)
        return Item(token, title, self._category.get(item, ""), self.photos.of(token), **ranked)
