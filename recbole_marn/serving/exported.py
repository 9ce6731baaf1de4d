"""A folder written by `recbole-marn export`: checked before it is used, scored by ONNX Runtime."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn.data.arrays import slices
from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.fields import Fields
from recbole_marn.data.statistics import EqualFrequencyBins, GapBins
from recbole_marn.data.vector_file import open_vectors
from recbole_marn.errors import InputError, entries_of
from recbole_marn.evaluation.calibration import Calibration
from recbole_marn.evaluation.record import digest
from recbole_marn.files import check_plain_name, sha256
from recbole_marn.serving.answers import Answers
from recbole_marn.serving.histories import Behaviours, History, Needs
from recbole_marn.serving.laid import Laid
from recbole_marn.serving.onnx_session import open_graph
from recbole_marn.serving.retrieval import Retrieval
from recbole_marn.serving.scores import PAIRS, UNKNOWN, Asked, Facts

__all__ = [
    "CODES", "EXPORT_AGAIN", "FORMAT", "IDS", "MANIFEST", "SCORER", "SHOWN", "STATISTICS", "TOWER", "VECTORS",
    "WITHOUT", "ExportedScorer",
]  # fmt: skip

FORMAT = 1
EXPORT_AGAIN = "Export the checkpoint again: recbole-marn export CHECKPOINT --out DIR --overwrite."
FEW = 1_000  # padded pairs that are scored in about the time that a run takes whatever it does
INPUTS = {"history", "length", "candidate", "behaviour", "gap", "context"}  # of the graph; a model reads some
MANIFEST, CODES, VECTORS, IDS, SCORER = "manifest.json", "codes.json", "items.npy", "items.ids", "scorer.onnx"
# Of items beside their vectors; the first two come together, and a service that lacks one of these says so.
TOWER, STATISTICS, WITHOUT, SHOWN = "tower.onnx", "statistics.npy", "items.without.npy", "items.shown.jsonl"


class ExportedScorer(Answers):
    """Scores rows by an export; see `Answers`. Nothing in the folder is code, and every file is what its manifest says.

    Args:
        folder: written by `recbole-marn export`.
        threads: of ONNX Runtime.

    Raises:
        InputError: no export, one of another version, a file missing or changed, or no ONNX Runtime.
    """

    def __init__(self, folder: str | Path, *, threads: int = 1):
        folder = Path(folder)
        self.manifest = _checked_manifest(folder)
        codes = json.loads((folder / CODES).read_text(encoding="utf-8"))
        with entries_of(f"{folder / CODES}", EXPORT_AGAIN):
            facts = _facts(self.manifest["model"], codes)
            self._click_rates = [Calibration.from_state(step) for step in codes["click_rates"]]
            self._unknown = np.array(codes["unknown_item"], dtype=np.float32)
            self.modalities: list[str] = list(codes["modalities"])
        super().__init__(facts, ["", *(folder / IDS).read_text(encoding="utf-8").split("\n")[:-1]])
        self._vectors = open_vectors(folder / VECTORS, what="item vectors", missing="Export again.")
        if len(self._vectors) != len(self.items) or len(self._unknown) != self._vectors.shape[1]:
            raise InputError(
                f"one vector an id in {folder}", f"{len(self._vectors)} and {len(self.items)}", "Export again."
            )
        self._session = open_graph(folder / SCORER, threads=threads)
        self._without = None
        if WITHOUT in self.manifest["files"]:
            self._without = open_vectors(folder / WITHOUT, what="vectors without a modality", missing="Export again.")
        self._laid = Laid.nothing(len(self.modalities), self._vectors.shape[1])
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        if unknown := sorted(set(self._inputs) - INPUTS):
            raise InputError(f"a graph of {', '.join(sorted(INPUTS))} in {folder / SCORER}", unknown[0], EXPORT_AGAIN)

    def item_vectors(self, items: Sequence[Any] | None = None) -> np.ndarray:
        """(n, D) float32 vectors of items, or of all, in the order of `items`.

        Raises:
            InputError: an item that nothing is known of.
        """
        numbers = np.arange(1, len(self._tokens)) if items is None else self.numbers(items)
        self._check_known(items, numbers)
        return self._vectors_of(numbers)

    def _vectors_of(self, numbers: np.ndarray) -> np.ndarray:
        found = np.asarray(self._vectors[(numbers - 1).clip(0, len(self._vectors) - 1)])
        found[numbers == UNKNOWN] = self._unknown
        own, row = self._laid.rows(numbers)
        found[own] = self._laid.vectors[row]
        return found

    def short_lists(self, size: int) -> Retrieval:
        """What makes short lists of the items of the export, whose vectors stay where they are.

        Raises:
            InputError: a size below 1.
        """
        return Retrieval(np.arange(1, len(self._vectors) + 1), self._vectors, size)

    def with_items(self, items: Sequence[str], vectors: np.ndarray, without: np.ndarray) -> ExportedScorer:
        """A scorer that knows items besides, or knows other vectors of known ones; this one stays as it is.

        Args:
            items: n different ids.
            vectors: (n, D).
            without: (n, M, D) their vectors if they lacked the m-th modality, NaN where they lack it anyway.
        """
        twin = copy.copy(self)
        new = [item for item in items if item not in self._number]
        twin._tokens = self._tokens + new
        twin._number = self._number | {item: len(self._tokens) + place for place, item in enumerate(new)}
        twin._laid = self._laid.over(twin.numbers(items), vectors, without)
        return twin

    def without_modalities(
        self, history: History, items: Sequence[Any], *, profile: Any = None, context: Any = None, time: Any = None
    ) -> np.ndarray:
        """(C, M) probabilities of items (C,) as in `score_request`, if they lacked the m-th modality.

        NaN where an item lacks it anyway, or where the export does not know. The history stays as it is.

        Raises:
            InputError: as `score_request` does.
        """
        numbers = self.numbers(items)
        self._check_known(items, numbers)
        codes = self.coded(profile, context, len(items)).codes
        return self.numbers_without_modalities(self.behaviours_of([history]), numbers, codes, time)

    def numbers_without_modalities(
        self, history: Behaviours, item: np.ndarray, context: np.ndarray, time: float | None = None
    ) -> np.ndarray:
        """`without_modalities` of known items by number; takes what `score_numbers` takes."""
        without = self._without_of(item)  # (C, M, D)
        found = np.full(without.shape[:2], np.nan, dtype=np.float32)
        has = np.isfinite(without).all(axis=2)
        if has.any():
            beyond = len(self._tokens) + np.arange(int(has.sum()))  # numbers of no item
            twin = copy.copy(self)
            twin._laid = self._laid.over(beyond, without[has], np.empty((len(beyond), *without.shape[1:])))
            found[has] = twin.score_numbers(history, beyond, context[np.nonzero(has)[0]], time)
        return found

    def _without_of(self, numbers: np.ndarray) -> np.ndarray:
        shape = (len(numbers), len(self.modalities), self._vectors.shape[1])
        found = np.full(shape, np.nan, dtype=np.float32)
        if self._without is not None:
            of_export = numbers <= len(self._vectors)
            found[of_export] = self._without[numbers[of_export] - 1].reshape(-1, *shape[1:])
        own, row = self._laid.rows(numbers)
        found[own] = self._laid.without[row]
        return found

    def _answers(self, asked: Asked, behaviours: Behaviours) -> np.ndarray:
        """Requests of about as many candidates go together, padded."""
        order = np.argsort(asked.request, kind="stable")
        number = np.bincount(asked.request, minlength=len(asked.start))
        first = np.cumsum(number) - number
        output = np.empty(len(asked.item), dtype=np.float32)
        for requests in _alike(number, np.maximum(asked.length, 1)):
            width = int(number[requests].max())
            place = first[requests, None] + np.arange(width)
            valid = np.arange(width) < number[requests, None]
            row = order[np.where(valid, place, first[requests, None])]
            found = self._run(asked, requests, asked.item[row], asked.context[row], behaviours)
            output[row[valid]] = found[valid]
        return output

    def _run(
        self, asked: Asked, requests: np.ndarray, item: np.ndarray, context: np.ndarray, behaviours: Behaviours
    ) -> np.ndarray:
        """item (S, C) and context (S, C, F) of requests (S,) -> (S, C)."""
        length, start = asked.length[requests], asked.start[requests]
        longest = max(1, int(length.max()))
        event = slices(start, length)
        valid = np.arange(longest) < length[:, None]  # (S, T)

        def padded(values: np.ndarray) -> np.ndarray:
            whole = np.zeros((*valid.shape, *values.shape[1:]), dtype=values.dtype)
            whole[valid] = values
            return whole

        given = {
            "history": padded(self._vectors_of(behaviours.item[event])),
            "length": length,
            "candidate": self._vectors_of(item.ravel()).reshape(*item.shape, -1),
        }
        if behaviours.kind is not None:
            given["behaviour"] = padded(behaviours.kind[event])
        if self.facts.gap is not None:
            since = np.repeat(asked.time[requests], length) - behaviours.time[event]
            given["gap"] = padded(self.facts.gap.codes(since))
        given["context"] = context
        return self.run(given)

    def run(self, given: Mapping[str, np.ndarray]) -> np.ndarray:
        """(S, C) outputs of the model for what the graph takes: before correction and calibration.

        Args:
            given: by the graph's names; what this model does not read is left out.
        """
        return self._session.run(None, {name: given[name] for name in self._inputs})[0]

    def rates(self, output: np.ndarray) -> np.ndarray:
        for step in self._click_rates:
            output = step.apply(output.astype(np.float64)).astype(np.float32)
        return output


def _facts(model: str, codes: Mapping[str, Any]) -> Facts:
    gap = codes["gap"]
    return Facts(
        model=model,
        fields=Fields(**codes["fields"]),
        needs=Needs(**codes["needs"]),
        longest=codes["longest"],
        kinds={token: code for code, token in enumerate(codes["behaviour_types"]) if code},
        gap=None if gap is None else GapBins(EqualFrequencyBins.from_state(gap)),
        latest=codes["latest"],
        context=tuple(FieldVocabulary.from_state(field) for field in codes["context"]),
    )


def _alike(number: np.ndarray, length: np.ndarray) -> list[np.ndarray]:
    """Requests in groups of at most PAIRS padded (candidate, behaviour) pairs, those with most candidates first.

    Of a group that is worth a run of its own the smallest are at least half as large as the largest.
    """
    order = np.lexsort((-length, -number))
    order = order[number[order] > 0]
    groups, start = [], 0
    while start < len(order):
        rest = order[start:]
        pairs = number[rest[0]] * np.maximum.accumulate(length[rest]) * np.arange(1, len(rest) + 1)
        smaller = (2 * length[rest] < length[rest[0]]) | (2 * number[rest] < number[rest[0]])
        ends = (pairs > PAIRS) | (smaller & (pairs > FEW))
        stop = start + (max(1, int(ends.argmax())) if ends.any() else len(rest))
        groups.append(order[start:stop])
        start = stop
    return groups


def _checked_manifest(folder: Path) -> dict[str, Any]:
    file = folder / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
        format_, files, found = manifest["format"], manifest["files"], digest(manifest)
        complete = {CODES, VECTORS, IDS, SCORER} <= set(files) and all("sha256" in entry for entry in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"an export in {folder}, with {MANIFEST}", f"none that can be read ({type(error).__name__})",
            "Write one with recbole-marn export.",
        ) from None  # fmt: skip
    if not isinstance(format_, int) or format_ > FORMAT or not complete:
        raise InputError(
            f"a whole export of format {FORMAT}",
            f"format {format_!r} in {file}",
            "Upgrade recbole_marn, or export again.",
        )
    if (sealed := manifest.get("sha256")) != found:
        raise InputError(
            f"{file} as it was exported (SHA-256 {str(sealed)[:12]}...)", "another content",
            "It was changed or cut off: copy the whole folder again, or export again.",
        )  # fmt: skip
    for name, expected in files.items():
        check_plain_name(f"a file of {file}", name, "an export is one folder")
        path = folder / name
        found = sha256(path) if path.is_file() else "no file"
        if found != expected["sha256"]:
            raise InputError(
                f"{path} as it was exported (SHA-256 {str(expected['sha256'])[:12]}...)",
                found if found == "no file" else "another content",
                "It was changed or cut off: copy the whole folder again, or export again.",
            )
    return manifest
