"""Items that training never saw (the paper's Table 5)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recbole_marn.analysis.context import Context
from recbole_marn.analysis.section import Figure, Section, Table
from recbole_marn.analysis.subject import Subject, fitted
from recbole_marn.errors import InputError
from recbole_marn.evaluation.pairs import clustered_means
from recbole_marn.evaluation.recall import Places, recall_at
from recbole_marn.evaluation.reliability import wilson_interval
from recbole_marn.models.base import CTRModel
from recbole_marn.models.baselines.item_cf import ItemCF
from recbole_marn.plots.intervals import Series, intervals
from recbole_marn.plots.lines import Line, lines

__all__ = ["cold_items", "cold_start", "places_in_catalogue"]

KS = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 1000)
# Items ranked in one go: bounds the memory of a catalogue of any size.
PIECE = 2_000
# Non-clicked items drawn for each click where AUC is taken.
DRAWN = 20
CLICKS = 5_000


@dataclass(frozen=True)
class Cold:
    """Items by what was known of them before the rows of the part.

    Attributes:
        cold: (n_items,) bool, never seen before; the padding is neither cold nor warm.
        click: rows of the part that are clicks on cold items.
    """

    cold: np.ndarray
    click: np.ndarray


def cold_items(context: Context) -> Cold:
    """Items without an event in training, nor for test rows in validation, and the clicks on them."""
    seen = context.train_count > 0
    part, columns = context.part, context.subject.columns
    if part.name == "test":
        seen = seen.copy()
        before = context.subject.prepared.valid.part.rows
        columns_before = before.columns(np.arange(before.n_rows))
        # Of drawn negatives nothing was seen; of a log every exposure was.
        chosen = slice(None) if part.is_log else columns_before["label"] > 0
        seen[columns_before["item"][chosen]] = True
    cold = ~seen
    cold[0] = False
    return Cold(cold, np.flatnonzero((columns["label"] > 0) & cold[columns["item"]]))


def cold_start(context: Context) -> Section:
    """Recall of cold items in the whole catalogue, and AUC against cold and warm items."""
    found = cold_items(context)
    if not len(found.click):
        raise InputError(
            f"clicks on items that training never saw, in the {context.part.name} rows",
            f"none, with {int(found.cold.sum())} such items",
            "Hold out a period by split: time, or data with new items.",
        )
    extra = [fitted(name, context.subject) for name in ("RandomScore", "ItemCF")]
    models = [subject for subject in extra if subject is not None] + [*context.rivals, context.subject]
    names = [model.label for model in models]
    ranked = _sample(context, found.click, max(1, context.pairs // (context.part.item_num - 1)), purpose=1)
    places = {model.label: places_in_catalogue(model, ranked) for model in models}
    auc = _against_drawn(context, found, models)
    recall = _recall_table(context, places, ranked)
    return Section(
        "Cold start",
        "A cold item has no event before these rows, so only its content speaks for it. Recall@K is the share of "
        "clicks on cold items that a model ranks among the first K of the whole catalogue; AUC is how often such a "
        "click beats an item that was not clicked.",
        "It cannot say how new items do once people have seen them. And the catalogue holds items that would have been "
        "clicked had they been shown.",
        tables=[recall, auc],
        figures=[_recall_figure(recall, names), _auc_figure(auc, names)],
        notes=_notes(context, found, ranked, names),
    )


def _sample(context: Context, rows: np.ndarray, number: int, purpose: int) -> np.ndarray:
    """At most `number` of the rows, in their order."""
    if len(rows) <= number:
        return rows
    return np.sort(context.rng(purpose).choice(rows, size=number, replace=False))


# ----------------------------------------------------------------------------------------------- recall@K
def places_in_catalogue(model: Subject, row: np.ndarray) -> Places:
    """Where the items of rows (n,) stand among all items but those of the row's own history.

    A block of rows and a piece of the catalogue at a time; nothing of the size of rows times items is ever held.
    """
    rows = model.part.rows
    size = min(PIECE, model.part.item_num - 1)
    step = max(1, 100_000 // size)
    blocks = []
    for at in range(0, len(row), step):
        block = row[at : at + step]
        event, length = rows.history(block)
        known = np.zeros((len(block), model.part.item_num), dtype=bool)
        known[np.repeat(np.arange(len(block)), length), rows.events.item[event]] = True
        known[np.arange(len(block)), rows.columns(block)["item"]] = True  # the item is no rival of itself
        blocks.append(
            sum(
                (Places.among(own, scores, ~known[:, item]) for own, scores, item in _catalogue(model, block, size)),
                start=Places(np.zeros(len(block), np.int64), np.zeros(len(block), np.int64)),
            )
        )
    return Places(*(np.concatenate([getattr(block, name) for block in blocks]) for name in ("higher", "tied")))


def _catalogue(model: Subject, row: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """As `Subject.catalogue`; ItemCF has all items at once by one product of sparse matrices."""
    if not isinstance(model.model, ItemCF):
        yield from model.catalogue(row, size)
        return
    rows = model.part.rows
    event, length = rows.history(row)
    evidence = model.model.similarity.to_catalogue(rows.events.item[event], length)
    own = evidence[np.arange(len(row)), rows.columns(row)["item"]]
    yield own, evidence[:, 1:], np.arange(1, evidence.shape[1])


def _recall_table(context: Context, places: dict[str, Places], row: np.ndarray) -> Table:
    users = len(np.unique(context.subject.columns["user"][row]))
    rows = [[k] for k in KS]
    for found in places.values():
        recall = recall_at(found, KS).mean(axis=0)
        low, high = wilson_interval(recall * users, np.full(len(KS), users))
        for cells, *values in zip(rows, recall, low, high, strict=True):
            cells += map(float, values)
    return Table(
        "recall",
        f"Recall@K of {len(row):,} clicks on cold items among the whole catalogue but the row's own history, ties in "
        f"random order; Wilson's 95 % intervals, the {users:,} users taken as independent.",
        ["K", *(name for label in places for name in (label, f"{label} low", f"{label} high"))],
        rows,
    )


def _recall_figure(recall: Table, names: list[str]) -> Figure:
    columns = list(zip(*recall.rows, strict=True))
    curves = {name: Line(KS, *columns[1 + 3 * at : 4 + 3 * at]) for at, name in enumerate(names)}
    picture = lines(curves, title="Recall of cold items", x_axis="K", y_axis="recall@K", log_x=True)
    return Figure("recall", "Recall@K of clicks on cold items, K logarithmic; bands are 95 % intervals.", picture)


# -------------------------------------------------------------------------------------------------- AUC
def _against_drawn(context: Context, found: Cold, models: list[Subject]) -> Table:
    """Clicks on cold and on warm items, against cold and warm items drawn for each."""
    columns, rows = context.subject.columns, []
    warm_click = np.flatnonzero((columns["label"] > 0) & ~found.cold[columns["item"]])
    warm = ~found.cold
    warm[0] = False
    for what, click in (("cold", found.click), ("warm", warm_click)):
        click = _sample(context, click, CLICKS, purpose=2)
        for against, pool in (("cold", np.flatnonzero(found.cold)), ("warm", np.flatnonzero(warm))):
            if not len(click) or len(pool) < 2:
                continue
            drawn = context.rng(3).choice(pool, size=(len(click), min(DRAWN, len(pool))))
            usable = ~_touched(context, click, drawn)
            user = columns["user"][click]
            for model in models:
                scores = model.facing(click, drawn)
                means = clustered_means(_accuracy(scores[:, 0], scores[:, 1:], usable)[:, None], user)
                ends = np.clip([means.low[0], means.high[0]], 0.0, 1.0)  # few clicks have wide intervals
                rows.append([model.label, what, against, means.values, float(means.mean[0]), *map(float, ends)])
    return Table(
        "auc",
        f"AUC of clicks on cold and on warm items, each against {DRAWN} items drawn from the cold or the warm ones "
        "that its user has not touched; the mean over clicks, with 95 % intervals over users.",
        ["model", "click on", "against", "clicks", "AUC", "low", "high"],
        rows,
    )


def _auc_figure(auc: Table, names: list[str]) -> Figure:
    pairs = list(dict.fromkeys((row[1], row[2]) for row in auc.rows))
    series = {
        name: Series(*zip(*(row[4:] for row in auc.rows if row[0] == name), strict=True)) for name in names
    }
    picture = intervals(
        [f"{click}\nagainst {other}" for click, other in pairs], series, title="AUC of cold and warm items",
        x_axis="AUC", zero=0.5,
    )  # fmt: skip
    return Figure("auc", "AUC of clicks on cold and warm items against both, with 95 % intervals.", picture)


def _accuracy(own: np.ndarray, other: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(n,) share of the usable rivals that score less, ties half; NaN without any."""
    won = (other < own[:, None]) + 0.5 * (other == own[:, None])
    number = usable.sum(axis=1)
    return np.divide((won * usable).sum(axis=1), number, out=np.full(len(own), np.nan), where=number > 0)


def _touched(context: Context, row: np.ndarray, item: np.ndarray) -> np.ndarray:
    """(n, K) whether the user of each row has an event, or a click of the part, on the item at any time."""
    protocol, size = context.part.protocol, context.part.item_num
    columns = context.subject.columns
    clicked = columns["label"] > 0

    def pair(user: np.ndarray, item: np.ndarray) -> np.ndarray:
        return user.astype(np.int64) * size + item  # ids may be narrow, and users times items are many

    of_part = pair(columns["user"][clicked], columns["item"][clicked])
    known = np.unique(np.concatenate([pair(protocol.events.user, protocol.events.item), of_part]))
    asked = pair(columns["user"][row][:, None], item)
    at = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return known[at] == asked


def _notes(context: Context, found: Cold, ranked: np.ndarray, names: list[str]) -> list[str]:
    notes = [
        f"{int(found.cold.sum()):,} of {len(found.cold) - 1:,} items are cold; {len(found.click):,} of "
        f"{int((context.subject.columns['label'] > 0).sum()):,} clicks are on them."
    ]
    clicked = len(np.unique(context.subject.columns["item"][found.click]))
    if not context.part.is_log and clicked > found.cold.sum() / 2:
        notes.append(
            f"{clicked} of the cold items were clicked in these rows: the catalogue has hardly an item that nobody "
            "clicked, so that a model which prefers whatever it does not know is right by construction."
        )
    if len(ranked) < len(found.click):
        notes.append(
            f"{len(ranked):,} of the clicks, drawn at random, were ranked in the catalogue (--pairs {context.pairs:,}; "
            "more give narrower intervals). The AUC is of more clicks."
        )
    if "BaseModelIDs" not in names:
        notes.append("No BaseModelIDs was given with --against: it shows what IDs alone know of new items.")
    if "ItemCF" not in names:
        notes.append("RandomScore and ItemCF are fitted beside models of this package only.")
    model = context.subject.model
    if isinstance(model, CTRModel) and model.encoder.id_columns and not model.settings.id_dropout:
        notes.append(
            f"{context.subject.label} was trained without id_dropout: the id of a cold item brings an embedding that "
            "nothing has trained."
        )
    return notes
