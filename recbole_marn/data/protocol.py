"""From sorted events to labelled rows: split, negatives, statistics at the row's time, fingerprint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recbole_marn.data import rows as row_rules
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.negatives import NegativeSampler, first_seen, is_first_event
from recbole_marn.data.rows import TEST, TRAIN, VALID, Events, Rows
from recbole_marn.data.statistics import InteractionCounts, split_sha256
from recbole_marn.errors import InputError
from recbole_marn.settings import DataSettings

__all__ = ["PARTS", "Protocol"]

PARTS = {"train": TRAIN, "valid": VALID, "test": TEST}
DAY = 86_400.0


@dataclass
class Protocol:
    """One data set's events under one set of `DataSettings`; everything that decides which rows exist.

    Args:
        events: sorted events, repeats already treated.
        settings: how to split and draw.
        n_items: number of item ids including the padding.
        max_history: L, longest history kept.
        release: (n_items,) release times given with the items, or None.

    Raises:
        InputError: a part without rows, or fewer eligible items than negatives asked for.
    """

    events: Events
    settings: DataSettings
    n_items: int
    max_history: int
    release: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)

    @cached_property
    def part_of_event(self) -> np.ndarray:
        """(E,) TRAIN, VALID or TEST."""
        if self.settings.split == "leave_last":
            return row_rules.split_leave_last(self.events)
        times = self.settings.split_times
        if times is None:
            last_day = np.floor(self.events.time.max() / DAY) * DAY
            times = (last_day - DAY, last_day)
        if len(times) != 2:
            raise InputError("split_times to be [validation start, test start]", repr(times), "Give two times.")
        return row_rules.split_by_time(self.events, valid_start=float(times[0]), test_start=float(times[1]))

    @cached_property
    def counts(self) -> InteractionCounts:
        """Training interactions of every item over time."""
        training = self.part_of_event == TRAIN
        return InteractionCounts(item=self.events.item[training], time=self.events.time[training], n_items=self.n_items)

    @property
    def release_is_inferred(self) -> bool:
        return self.settings.negatives_from == "released" and self.release is None

    def positives(self, part: str) -> Rows:
        """Positives of a part with their histories."""
        rows = row_rules.rows_of_part(self.events, self.part_of_event, PARTS[part], max_history=self.max_history)
        if self.release_is_inferred:
            # An item's very first event releases it: its count of 0 would give the positive away.
            keep = ~is_first_event(self.events)[rows.position]
            self.notes.append(f"{part}: {int((~keep).sum())} rows whose item had never been seen were left out")
            rows = Rows(rows.position[keep], rows.history_start[keep], rows.history_length[keep])
        if len(rows.position) == 0:
            raise InputError(
                f"rows in the {part} part",
                f"none of {self.events.n_events} events",
                "split: leave_last needs users with 4 events or more; split: time needs events in every period.",
            )
        return rows

    def labelled(self, part: str, *, sampling: str | None = None, epoch: int = 0) -> LabelledRows:
        """The rows of a part; negatives depend on `sample_seed`, the part, the sampling and the epoch alone."""
        rows, settings = self.positives(part), self.settings
        train = part == "train"
        negatives = self._draw(
            rows.position,
            sampling=sampling or (settings.train_sampling if train else settings.eval_sampling),
            number=settings.train_negatives if train else settings.eval_negatives,
            seed=[settings.sample_seed, PARTS[part], epoch],
        )
        return LabelledRows(self.events, rows, negatives)

    def unclicked_items(self) -> np.ndarray:
        """(E,) beside each event an item its user never touched, for models that learn from such pairs (DIEN)."""
        everything = np.arange(self.events.n_events)
        seed = [self.settings.sample_seed, len(PARTS)]
        return self._draw(everything, sampling="uniform", number=1, seed=seed, source="all")[:, 0]

    def _draw(
        self, position: np.ndarray, *, sampling: str, number: int, seed: list[int], source: str | None = None
    ) -> np.ndarray:
        """(len(position), number) negatives for the events at `position`."""
        source = source or self.settings.negatives_from
        release = None
        if source == "released":
            release = self.release
            if release is None:
                release = first_seen(self.events.item, self.events.time, self.n_items)
        sampler = NegativeSampler(
            n_items=self.n_items,
            events=(self.events.user, self.events.item),
            train_count=self.counts.snapshot(),
            release=release,
            strategy=sampling,
            source=source,
            strict_release=self.release_is_inferred,
            matched_pool=self.settings.matched_pool,
        )
        return sampler.draw(
            user=self.events.user[position],
            positive=self.events.item[position],
            time=self.events.time[position],
            number=number,
            seed=seed,
        )

    def resampled(self, rows: LabelledRows, epoch: int) -> LabelledRows:
        """Training rows with this epoch's negatives."""
        return dataclasses.replace(rows, negatives=self.labelled("train", epoch=epoch).negatives)

    def sha256(self, parts: dict[str, LabelledRows], user_key: np.ndarray, item_key: np.ndarray) -> str:
        """Fingerprint of every event, row and negative by token hash, so that it does not hang on internal ids."""
        described = [
            {
                "user": user_key[self.events.user],
                "item": item_key[self.events.item],
                "time": self.events.time,
                "part": self.part_of_event,
            }
        ]
        for name in PARTS:
            rows = parts[name]
            described.append(
                {
                    "position": rows.rows.position,
                    "history": rows.rows.history_length,
                    "negatives": item_key[rows.negatives],
                }
            )
        return split_sha256(described)
