"""What a worker answers with: an export and the items added since, swapped whole while requests go on."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.files import sha256
from recbole_marn.serving.exported import MANIFEST, TOWER, ExportedScorer
from recbole_marn.serving.exported_items import ItemTower
from recbole_marn.serving.new_items import ItemsAdded
from recbole_marn.serving.retrieval import Retrieval
from recbole_marn.serving.service.added_file import AddedFile, AddedItem
from recbole_marn.serving.service.options import ServiceOptions
from recbole_marn.serving.service.shown import Shown

__all__ = ["Answering", "State"]

log = logging.getLogger("recbole_marn.serve")


@dataclass(frozen=True)
class Answering:
    """One request is answered by one of these from its start to its end.

    Attributes:
        scorer: with the items that were added.
        tower: makes vectors of items, or None where the export has none.
        shown: what people see of the items.
        export: the first twelve digits of the manifest's SHA-256, which every answer carries.
        read: bytes of the file of added items that are in it.
        added: ids that were added.
        skipped: items of that file which this export cannot take.
        retrieval: makes the short lists that are scored in place of all items; None: all are.
    """

    scorer: ExportedScorer
    tower: ItemTower | None
    shown: Shown
    export: str
    read: int = 0
    added: frozenset[str] = frozenset()
    skipped: int = 0
    retrieval: Retrieval | None = None

    @classmethod
    def of(cls, folder: Path, retrieve: int | None) -> Answering:
        """An export.

        Args:
            retrieve: items of a short list, where there are more than twice as many.

        Raises:
            InputError: none that can be used.
        """
        export = sha256(folder / MANIFEST)[:12] if (folder / MANIFEST).is_file() else ""
        scorer = ExportedScorer(folder)
        tower = ItemTower(folder, scorer) if TOWER in scorer.manifest["files"] else None
        short = retrieve is not None and 2 * retrieve < len(scorer.items)
        retrieval = scorer.short_lists(retrieve) if short else None
        return cls(scorer, tower, Shown.of(folder, scorer.items), export, retrieval=retrieval)

    def among(self, items: Sequence[str] | None) -> np.ndarray | Retrieval:
        """What a ranking chooses from: items that are known; None: short lists, or all."""
        return self.retrieval if items is None and self.retrieval else self.scorer.candidates(items)

    def encoder(self) -> ItemTower:
        """The item tower.

        Raises:
            InputError: the export has none.
        """
        if self.tower is None:
            raise InputError(
                "an export with an item tower",
                "one without",
                "Export a model that makes item vectors (docs/serving.md).",
            )
        return self.tower

    def with_items(self, items: Sequence[AddedItem]) -> Answering:
        """With items added or replaced.

        Raises:
            InputError: the export takes no items, or not these.
        """
        encoded = self.encoder().encode([item.item for item in items], *_columns(items))
        scorer = self.scorer.with_items([item.item for item in items], encoded.vectors, encoded.without)
        added = self.added | {item.item for item in items}
        return dataclasses.replace(
            self,
            scorer=scorer,
            shown=self.shown.with_items({item.item: item.fields for item in items}),
            added=added,
            retrieval=self.retrieval and self.retrieval.holding(scorer.numbers(sorted(added))),
        )


def _columns(items: Sequence[AddedItem]) -> tuple[dict[str, list], dict[str, list]]:
    """Columns of fields, and rows of vectors by modality; None where an item lacks one."""
    fields = {name: [item.fields.get(name) for item in items] for item in items for name in item.fields}
    vectors = {name: [item.vectors.get(name) for item in items] for item in items for name in item.vectors}
    return fields, vectors


class State:
    """The export of a folder, looked at again and again, and the items added to it.

    Raises:
        InputError: no export, or nowhere to keep what is added.
    """

    def __init__(self, options: ServiceOptions):
        self.options = options
        self.file = AddedFile(options.added)
        self.reload_problem: str | None = None
        self._lock = threading.Lock()  # one at a time reads the file of added items
        self._fingerprint = _fingerprint(options.export)
        self._answering = self._caught_up(Answering.of(options.export, options.retrieve))

    # ------------------------------------------------------------------------------------------------ answers
    def answering(self) -> Answering:
        """What a request that starts now is answered with."""
        if self.file.size() != self._answering.read:
            with self._lock:
                self._answering = self._caught_up(self._answering)
        return self._answering

    def add(self, items: Sequence[AddedItem]) -> ItemsAdded:
        """Add items for all workers and for good; what this export cannot take is refused before.

        Raises:
            InputError: the export takes no items, not these, or no more.
        """
        now = self.answering()
        ids = [item.item for item in items]
        described = now.encoder().encode(ids, *_columns(items)).described
        number = len(now.added | {item.item for item in items})
        if number > self.options.most_added:
            raise InputError(
                f"at most {self.options.most_added} items that are added", f"{number}",
                "Add them to the model with load_scorer, export again, and start with a new file of added items.",
            )  # fmt: skip
        self.file.append(items)
        return described.told(new=int((~now.scorer.knows(ids)).sum()))

    def _caught_up(self, answering: Answering) -> Answering:
        """`answering` with what was added meanwhile."""
        tail = self.file.behind(answering.read)
        skipped = answering.skipped + tail.unreadable
        latest = list({item.item: item for item in tail.items}.values())
        try:
            answering = answering.with_items(latest) if latest else answering
        except InputError:  # made for another export: one by one, to know which
            for item in latest:
                try:
                    answering = answering.with_items([item])
                except InputError as error:
                    skipped += 1
                    log.warning("added item %r is left out: %s", item.item, error)
        return dataclasses.replace(answering, read=tail.end, skipped=skipped)

    # ------------------------------------------------------------------------------------------------- reload
    def look(self) -> bool:
        """Take the export that has taken the place of this one; whether there was one.

        One that cannot be used, because it is being copied say, changes nothing but `reload_problem`.
        """
        found = _fingerprint(self.options.export)
        if found is None or found == self._fingerprint:
            return False
        self._fingerprint = found
        try:
            opened = Answering.of(self.options.export, self.options.retrieve)
        except InputError as error:
            self.reload_problem = str(error)
            log.error("the export that is there now is not used: %s", error)
            return False
        with self._lock:
            opened = self._caught_up(opened)
            self.reload_problem = None  # before the switch: /health would tell it of the new export
            self._answering = opened
        log.info("reloaded export=%s", opened.export)
        return True


def _fingerprint(folder: Path) -> tuple | None:
    """What changes when a file of the folder does; None while the folder is not there."""
    try:
        stats = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
    except OSError:
        return None
    return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
