"""MIND (Microsoft News): impressions with their clicks, histories without times, and the news."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.logs import RawBehaviours, RawExposures, RawLog
from recbole_marn.prepare.sources import Options, RawFile, Source, locate_all, require
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean, identifier

__all__ = ["SOURCE", "read"]

SOURCE = Source(
    "mind",
    (
        RawFile("behaviors.tsv", "impression, user, time, history, items shown with -0 or -1; no header"),
        RawFile("news.tsv", "id, category, subcategory, title, abstract, url, entities; no header"),
    ),
    "Get MINDsmall_train.zip (and _dev) from https://msnews.github.io (its licence is asked for first) and unpack them "
    "there, each in its folder or behaviors.tsv and news.tsv alone.",
)
_TIME = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}) (\d{1,2}):(\d\d):(\d\d) ([AP])M")


def read(raw: Path, options: Options) -> RawLog:
    """Every item shown is a row; the history of a user is that of the first impression, oldest click first.

    Impressions of all folders are taken (`MINDsmall_train`, `MINDsmall_dev`); with more than one, `split` names the
    folder of a row. Those without labels (MINDlarge_test) cannot be used and are left out with a note.
    """
    require(SOURCE, raw, "behaviors.tsv")
    require(SOURCE, raw, "news.tsv")
    behaviors = locate_all(raw, "behaviors.tsv")
    news = sorted({*raw.glob("news*.tsv*"), *raw.glob("*/news*.tsv*")})
    log = RawExposures({"split": "token"} if len(behaviors) > 1 else {})
    log.features = ()
    reader = _Impressions(log)
    tallies = []
    for path in behaviors:
        tallies.append(Tally(str(path.relative_to(raw)), options.max_skipped))
        reader.read(path, tallies[-1], path.parent.name if len(behaviors) > 1 else "")
    reader.check_labels(behaviors)
    items = RawItems(("category", "subcategory", "title"), types={"subcategory": "token"})
    for path in news:
        tallies.append(Tally(str(path.relative_to(raw)), options.max_skipped))
        _read_news(path, tallies[-1], items, options.title_words)
    return RawLog(log, items, None, reader.behaviours(), [*behaviors, *news], tallies=tallies, notes=reader.notes())


class _Impressions:
    """Collects impressions and, for each user, the history of the first of them."""

    def __init__(self, log: RawExposures):
        self._log = log
        self._history: dict[str, tuple[float, list[str]]] = {}
        self._grown = 0
        self._unlabelled = 0

    def read(self, path: Path, tally: Tally, folder: str) -> None:
        for number, parts in _rows(path, tally):
            if len(parts) != 5:
                tally.skip("not impression, user, time, history, items shown", number)
                continue
            impression, user, time, history, shown = parts
            at = _seconds(time)
            pairs = [entry.rpartition("-") for entry in shown.split()]
            if at is None:
                tally.skip("time is not such as 11/12/2019 2:14:46 PM", number, time)
            elif not identifier(user) or not identifier(impression):
                tally.skip("missing id", number)
            elif pairs and all(not dash for _, dash, _ in pairs):
                self._unlabelled += 1
            elif not pairs or any(label not in ("0", "1") or not identifier(item) for item, _, label in pairs):
                tally.skip("items shown are not such as N1-0 N2-1", number, shown)
            else:
                self._add(f"{folder}-{impression}" if folder else impression, user, at, history.split(), pairs, folder)
        tally.check()

    def check_labels(self, files: list[Path]) -> None:
        """Of the test part of MIND nobody is told what was clicked."""
        if self._unlabelled and not len(self._log):
            raise InputError(
                f"items shown with -0 or -1 in {', '.join(map(str, files))}",
                f"{self._unlabelled:,} impressions without labels",
                "The test part of MIND has none: take its training and validation parts (train, dev).",
            )

    def _add(self, request: str, user: str, at: float, history: list[str], pairs: list, folder: str) -> None:
        context = {"split": folder} if folder else {}
        for item, _, label in pairs:
            self._log.add(user, item, at, int(label), request=request, context=context)
        known = self._history.get(user)
        if known is not None:
            self._grown += history != known[1]
        if known is None or at < known[0]:
            self._history[user] = (at, history)

    def behaviours(self) -> RawBehaviours:
        behaviours = RawBehaviours()
        for user, (_, history) in self._history.items():
            for item in history:
                behaviours.add(user, item)
        return behaviours

    def notes(self) -> list[str]:
        notes = [
            "histories have an order and no times; the order of the items shown says nothing, so there is no position"
        ]
        if self._grown:
            notes.append(
                f"{self._grown:,} impressions have another history than the user's others; that of the first one was "
                "taken, for a later one may hold clicks of the log"
            )
        if self._unlabelled:
            notes.append(f"{self._unlabelled:,} impressions have no labels and are left out")
        return notes


def _rows(path: Path, tally: Tally) -> Iterator[tuple[int, list[str]]]:
    """Yield `(line number, cells)`; lines that are no UTF-8 are counted."""
    for number, line in read_lines(path, tally):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            tally.skip("not utf-8", number)
            continue
        yield number, text.split("\t")


def _seconds(text: str) -> float | None:
    """Unix seconds of MIND's American clock, taken as UTC."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    month, day, year, hour, minute, second = map(int, match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour % 12 + 12 * (match[7] == "P"), minute, second, tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment.timestamp() if 1 <= hour <= 12 else None


def _read_news(path: Path, tally: Tally, items: RawItems, longest: int) -> None:
    for number, parts in _rows(path, tally):
        token = identifier(parts[0])
        if len(parts) < 4 or not token:
            tally.skip("not id, category, subcategory, title, ...", number)
            continue
        if token in items.rows:
            items.duplicates += 1  # each folder brings the news of its own, most of them the same
            continue
        title, cut = title_words(parts[3], longest)
        items.titles_cut += cut
        items.rows[token] = {"category": clean(parts[1]), "subcategory": clean(parts[2]), "title": title}
    tally.check()
