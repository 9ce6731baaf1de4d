"""Answers for a file of rows, streamed: probabilities, or the likeliest items of each user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.files import write_aside
from recbole_marn.prepare.columns import Assignment, no_such_column
from recbole_marn.prepare.times import EARLIEST
from recbole_marn.serving.answers import Ranking
from recbole_marn.serving.contexts import Context, columns_read
from recbole_marn.serving.histories import Behaviours
from recbole_marn.serving.retrieval import Retrieval, agreement
from recbole_marn.serving.scorer import CTRScorer
from recbole_marn.serving.tables import ReadTable, in_order, open_answers, read_vectors
from recbole_marn.settings.data import IdModality, StatisticModality, TextModality, VectorModality
from recbole_marn.settings.parsing import nearest

__all__ = ["PredictRequest", "predict"]

COMPARED = 20  # rows whose short list is compared with all items
TABLES = ("rows", "behaviours", "items", "candidates")


@dataclass(frozen=True)
class PredictRequest:
    """Which rows to answer, with what, and where to.

    Attributes:
        rows: users, items and times; with `top` users and times.
        out: `.csv` or `.parquet`.
        behaviours: users, items, times and, where it matters, types; None: no user did anything.
        items: ids and content of items to add.
        vectors, vector_ids: modality -> file, of those items or alone; "" is the only modality.
        top: rank so many items for every row; None: score the rows' items.
        candidates: ids to rank; None: all.
        inclusive: behaviours at the very time of a row were before it.
        unseen: rank no item that the user had.
        retrieve: score this many items of a short list for every user, in place of all; see `retrieval`.
        index: how the list is searched for, one of `retrieval.INDICES`.
        time_unit: of times that are numbers.
        columns: `[TABLE.]NAME` of a column of training -> what yours is called; TABLE is one of `TABLES`.
    """

    rows: Path
    out: Path
    behaviours: Path | None = None
    items: Path | None = None
    vectors: Mapping[str, Path] = field(default_factory=dict)
    vector_ids: Mapping[str, Path] = field(default_factory=dict)
    top: int | None = None
    candidates: Path | None = None
    inclusive: bool = False
    unseen: bool = False
    retrieve: int | None = None
    index: str = "exact"
    time_unit: str = "s"
    columns: Mapping[str, str] = field(default_factory=dict)


def predict(scorer: CTRScorer, request: PredictRequest) -> dict[str, Any]:
    """Write the answers, whole or not at all: the columns of the rows as they stand there, and what is answered.

    Returns:
        Counts for the user: rows, rows of unknown users and items, what became of added items, what was not used.

    Raises:
        InputError: files that cannot be read or lack what the model needs.
    """
    _check(request)
    return _Prediction(scorer, request).write()


def _check(request: PredictRequest) -> None:
    if request.out.suffix not in (".csv", ".parquet"):
        raise InputError("--out to end in .csv or .parquet", repr(request.out.name), "Name the file so.")
    read = [request.rows, request.behaviours, request.items, request.candidates]
    if request.out.exists() and any(file is not None and file.exists() and file.samefile(request.out) for file in read):
        raise InputError("--out to be another file than those that are read", str(request.out), "Choose another name.")
    for name in ("candidates", "unseen", "retrieve"):
        if request.top is None and getattr(request, name):
            raise InputError(f"--top with --{name}", "none", "Say how many items to rank, or leave it out.")
    if request.retrieve is None and request.index != PredictRequest.index:
        raise InputError(f"--retrieve with --index {request.index}", "none", "Say how many to list, or leave it out.")
    if request.top is not None and request.top < 1:
        raise InputError("--top of at least 1", str(request.top), "Ask for one item or more.")


def _renamed(scorer: CTRScorer, request: PredictRequest) -> list[Assignment]:
    """What the columns of the tables are called.

    Raises:
        InputError: of a table or a column that is none.
    """
    fields = scorer.facts.fields
    known = dict.fromkeys([fields.user, fields.item, fields.time, fields.behaviour])
    known |= dict.fromkeys(columns_read(scorer.facts.context))
    for modality in scorer.item_codes.settings.values():
        if isinstance(modality, (IdModality, StatisticModality)):
            known |= dict.fromkeys(modality.fields)
        elif isinstance(modality, (TextModality, VectorModality)):
            known[modality.field] = None
    known.pop(None, None)
    found = []
    for name, column in request.columns.items():
        table, dot, role = name.rpartition(".")
        if (dot and table not in TABLES) or role not in known:
            raise InputError(
                f"--column NAME=COLUMN with NAME one that the model reads ({', '.join(known)})", repr(name),
                "A column that the model does not read needs no --column and stays. For one table alone, "
                f"write TABLE.NAME with a table of {', '.join(TABLES)}.{nearest(role, list(known))}",
            )  # fmt: skip
        found.append(Assignment(table, role, column))
    return found


class _Prediction:
    """A request while it is answered, and what there is to tell the user of it.

    Attributes:
        told: counts so far.
    """

    def __init__(self, scorer: CTRScorer, request: PredictRequest):
        self.scorer, self.request, self.fields = scorer, request, scorer.facts.fields
        counted = ("rows", "unknown_users", "rows_without_history", "rows_with_later_behaviours")
        self.told: dict[str, Any] = dict.fromkeys(counted, 0)
        self.told |= {"unknown_values": {}} if scorer.facts.context else {}
        self.told |= {"rows_before_the_end_of_statistics": 0} if scorer.catalogue.moving else {}
        self.read = columns_read(scorer.facts.context)
        self.renamed = _renamed(scorer, request)
        self.tables: list[ReadTable] = []
        names = [self.fields.user] if request.top else [self.fields.user, self.fields.item]
        self.rows = self._open(request.rows, "--rows", names, self.fields.time, others=self.read)
        self._add_items()
        self.ranker = None if request.top is None else _Ranker(scorer, request, self._candidates())
        self.behaviours = self._read_behaviours()
        if unused := [entry for entry in self.renamed if not entry.used]:
            raise no_such_column(unused[0], [table.table for table in self.tables])
        answered = {"probability"} if request.top is None else {"rank", self.fields.item, "probability"}
        self.given = [name for name in self.rows.table.names if name not in answered]
        self.told["columns_not_used"] = self.rows.unread(self.read)
        if replaced := [name for name in self.rows.table.names if name in answered]:
            self.told["columns_replaced"] = replaced

    def _open(
        self, path: Path, option: str, ids: Sequence[str], time: str | None = None, others: Sequence[str] = ()
    ) -> ReadTable:
        facts, fields = self.scorer.facts, self.fields
        known = {fields.item: self.scorer.item_codes.codes[fields.item], fields.behaviour or "": facts.kinds}
        table = ReadTable(
            path, option, ids, time, self.request.time_unit, others, self.renamed, known, facts.latest >= EARLIEST
        )
        self.tables.append(table)
        return table

    def write(self) -> dict[str, Any]:
        """Write the answers; returns what there is to tell."""

        def write(path: Path) -> None:
            with open_answers(path, self.request.out.suffix, self.rows.table.types()) as writer:
                for chunk, given in self.rows.chunks_beside(self.given, self.read):
                    for answers in self._answers(chunk, given):
                        writer(answers)

        write_aside(self.request.out, write)
        if self.ranker is not None and self.ranker.retrieval is not None:
            self.told["retrieved"] = self.ranker.told()
        return self.told | {"out": str(self.request.out)}

    def _answers(
        self, chunk: dict[str, np.ndarray], given: dict[str, np.ndarray]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Columns of the answers to some rows, behind those given: of all, or with `top` of one after another."""
        fields = self.fields
        users, times = chunk[fields.user], chunk[fields.time]
        context = self.scorer.context_of(chunk, len(users))
        self._count(users, times, context)
        if self.ranker is None:
            unknown = int((~self.scorer.knows(chunk[fields.item])).sum())
            self.told["unknown_items"] = self.told.get("unknown_items", 0) + unknown
            probability = self.scorer.score(chunk, self.behaviours, inclusive=self.request.inclusive)
            yield given | {"probability": probability}
            return
        for row, ranking in enumerate(self.ranker.rankings(users, times, self.behaviours, context.codes)):
            number = len(ranking.items)
            yield {name: np.repeat(values[row : row + 1], number) for name, values in given.items()} | {
                "rank": np.arange(1, number + 1),
                fields.item: np.array(ranking.items, dtype=object),
                "probability": ranking.probability,
            }

    def _count(self, users: np.ndarray, times: np.ndarray, context: Context) -> None:
        self.told["rows"] += len(users)
        self.told["unknown_users"] += sum(user not in self.behaviours.users for user in users)
        all_of_them, inclusive = len(self.behaviours.item), self.request.inclusive
        before = self.behaviours.before(users, times, all_of_them, inclusive=inclusive).length
        ever = self.behaviours.before(users, np.full(len(users), np.inf), all_of_them, inclusive=inclusive).length
        self.told["rows_without_history"] += int((before == 0).sum())
        self.told["rows_with_later_behaviours"] += int((before < ever).sum())
        for name, number in context.unknown.items():
            self.told["unknown_values"][name] = self.told["unknown_values"].get(name, 0) + number
        if self.scorer.catalogue.moving:
            self.told["rows_before_the_end_of_statistics"] += int((times <= self.scorer.facts.latest).sum())

    def _read_behaviours(self) -> Behaviours:
        scorer, request, fields = self.scorer, self.request, self.fields
        if request.behaviours is None:
            names = (fields.user, fields.item, fields.time, fields.behaviour)
            return scorer.behaviours({name: [] for name in names if name})
        kinds = [fields.behaviour] if scorer.facts.needs.typed else []
        table = self._open(request.behaviours, "--behaviours", [fields.user, fields.item, *kinds], fields.time)
        behaviours = scorer.behaviours(table.whole(scorer.facts.needs.telling(table.others)))
        self.told |= {
            "behaviours": len(behaviours.item),
            "behaviours_with_unknown_items_left_out": behaviours.left_out,
            "behaviour_columns_not_used": table.unread(),
        }
        if scorer.facts.needs.types is not None:
            self.told["behaviours_of_other_types_left_out"] = behaviours.of_other_types
        if scorer.facts.needs.once:
            self.told["repeated_behaviours_left_out"] = behaviours.repeated
        if behaviours.kind is not None:
            self.told["behaviours_of_unknown_type"] = int(np.count_nonzero(behaviours.kind == 0))
        return behaviours

    def _add_items(self) -> None:
        request, item = self.request, self.fields.item
        ids_files, files = self._of_modalities(request.vector_ids), self._of_modalities(request.vectors)
        if unused := [name for name in ids_files if name not in files]:
            raise InputError("--vectors FILE with its ids", f"ids of {unused[0]} alone", "Give both, or neither.")
        given = {name: read_vectors(file, ids_files.get(name)) for name, file in files.items()}
        columns: dict[str, Any] = {}
        if request.items is not None:
            table = self._open(request.items, "--items", [item])
            columns = table.whole(table.others)
        elif given:
            ids = dict.fromkeys(token for own, _ in given.values() for token in own)
            columns = {item: np.array(list(ids), dtype=object)}
        else:
            return
        vectors, others = {}, 0
        for name, (own, matrix) in given.items():
            vectors[name], more = in_order(own, matrix, columns[item].tolist())
            others += more
        if given:
            self.told["vectors_of_other_items_not_used"] = others
        self.told["items"] = asdict(self.scorer.add_items(columns, vectors))

    def _candidates(self) -> np.ndarray | None:
        """Items that are ranked, or None for all."""
        if self.request.candidates is None:
            return None
        item = self.fields.item
        return self._open(self.request.candidates, "--candidates", [item]).whole()[item]

    def _of_modalities(self, files: Mapping[str, Path]) -> dict[str, Path]:
        """The files by modality, the one without a name under that of the model's only one."""
        names = self.scorer.item_codes.vector_modalities
        if files and not names:
            raise InputError("a model that reads vectors, for --vectors", "one that reads none", "Leave --vectors out.")
        if "" in files and max(len(files), len(names)) > 1:
            raise InputError(f"MODALITY=FILE with one of {', '.join(names)}", str(files[""]), "Name its modality.")
        return {name or names[0]: file for name, file in files.items()}


class _Ranker:
    """The likeliest items of many users, of all or of a short list, and how the two agree for the first users."""

    def __init__(self, scorer: CTRScorer, request: PredictRequest, among: np.ndarray | None):
        self.scorer, self.request = scorer, request
        self.numbers = scorer.candidates(among)
        self.retrieval = None
        if request.retrieve is not None:
            if request.retrieve < request.top:
                raise InputError(
                    f"--retrieve of at least --top ({request.top})", str(request.retrieve), "Retrieve some hundred."
                )
            vectors = scorer.item_vectors(None if among is None else [scorer.items[n - 1] for n in self.numbers])
            self.retrieval = Retrieval(self.numbers, vectors, request.retrieve, request.index)
        self.agreements: list[float] = []

    def rankings(
        self, users: np.ndarray, times: np.ndarray, behaviours: Behaviours, context: np.ndarray
    ) -> Iterator[Ranking]:
        """Of users (B,) at moments (B,) in contexts (B, F)."""

        def of(some: slice, among: np.ndarray | Retrieval) -> Iterator[Ranking]:
            return self.scorer.top_of(
                users[some], times[some], behaviours, self.request.top, among, context[some],
                inclusive=self.request.inclusive, unseen=self.request.unseen,
            )  # fmt: skip

        if self.retrieval is None:
            yield from of(slice(None), self.numbers)
            return
        for row, ranking in enumerate(of(slice(None), self.retrieval)):
            if len(self.agreements) < COMPARED:
                full = next(of(slice(row, row + 1), self.numbers))
                self.agreements.append(agreement(ranking.output, full.output))
            yield ranking

    def told(self) -> dict[str, Any]:
        """How much of the full ranking the short lists hold."""
        return {
            "items": len(self.numbers),
            "listed": self.retrieval.size,
            "index": self.request.index,
            "recall_of_full_scoring": round(float(np.mean(self.agreements)), 4),
            "rows_compared": len(self.agreements),
        }
