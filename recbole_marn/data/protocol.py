"""From sorted events to labelled rows: split, negatives, statistics at the row's time, fingerprint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recbole_marn.data import rows as row_rules
from recbole_marn.data.event_checks import period
from recbole_marn.data.fingerprint import LookedUp, Widened, split_sha256
from recbole_marn.data.item_features import TRAIN_INTERACTIONS, MovingStatistics
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.negatives import NegativeSampler, first_seen, is_first_event
from recbole_marn.data.rows import PARTS, TRAIN, Events, Rows
from recbole_marn.data.statistics import InteractionCounts
from recbole_marn.errors import InputError
from recbole_marn.settings.data import DataSettings

__all__ = ["Protocol"]


@dataclass
class Protocol:
    """One data set's events under one set of `DataSettings`; everything that decides which rows exist.

    Args:
        events: sorted events, repeats already treated.
        settings: how to split and draw.
        n_items: number of item ids including the padding.
        max_history: L, longest history kept.
        release: (n_items,) release times given with the items, or None.
        sealed: there may be no test row.

    Raises:
        InputError: a part without rows, or fewer eligible items than negatives asked for.
    """

    events: Events
    settings: DataSettings
    n_items: int
    max_history: int
    release: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    sealed: bool = False

    @cached_property
    def part_of_event(self) -> np.ndarray:
        """(E,) TRAIN, VALID or TEST.

        Raises:
            InputError: `split_times` are not two.
        """
        if self.settings.split == "leave_last":
            return row_rules.split_leave_last(self.events)
        times = self.settings.split_times
        if times is None:
            times = row_rules.last_two_days(self.events.time)
        if len(times) != 2:
            raise InputError("split_times to be [validation start, test start]", repr(times), "Give two times.")
        starts = {"valid_start": float(times[0]), "test_start": float(times[1])}
        return row_rules.split_by_time(self.events, **starts, with_test=not self.sealed)

    @cached_property
    def counts(self) -> InteractionCounts:
        """Training interactions of every item over time."""
        training = self.part_of_event == TRAIN
        return InteractionCounts(item=self.events.item[training], time=self.events.time[training], n_items=self.n_items)

    def latest(self) -> float:
        """The last moment of training."""
        return float(self.events.time[self.part_of_event == TRAIN].max())

    def moving_statistics(self) -> MovingStatistics:
        """What a statistic modality may name beside columns of the items."""
        return MovingStatistics({TRAIN_INTERACTIONS: self.counts}, self.counts.snapshot())

    @property
    def release_is_inferred(self) -> bool:
        """Whether an item counts as released at its first event, for want of a column that says when it was."""
        return self.settings.negatives_from == "released" and self.release is None

    def positives(self, part: str) -> Rows:
        """Positives of a part with their histories."""
        latest = self.settings.train_last if part == "train" else None
        rows = row_rules.rows_of_part(
            self.events,
            self.part_of_event,
            PARTS[part],
            max_history=self.max_history,
            latest=latest,
            earlier=self.settings.histories == "earlier",
        )
        if latest is not None:
            of = row_rules.count_rows(self.events, self.part_of_event, PARTS[part])
            self._note(part, of - rows.n_rows, of, f"before their user's last {latest}")
        if self.release_is_inferred:
            # An item's very first event releases it: its count of 0 would give the positive away.
            rows = self._keep(rows, ~is_first_event(self.events)[rows.position], part, "whose item had never been seen")
        return self._some(rows, part)

    def _some(self, rows: Rows, part: str) -> Rows:
        if rows.n_rows == 0:
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
        sampling = sampling or (settings.train_sampling if train else settings.eval_sampling)
        number = settings.train_negatives if train else settings.eval_negatives
        sampler = self._sampler(sampling, settings.negatives_from)
        there = sampler.eligible_count(user=self.events.user[rows.position], time=self.events.time[rows.position])
        if settings.negatives_from == "released":
            rows = self._keep(rows, there >= number, part, f"with fewer than {number} items released before them")
        else:
            rows = self._keep(rows, there > 0, part, "of users who touched every item that can be drawn")
        rows = self._some(rows, part)
        # A training positive is one of the events that were counted: "of the same count" must not see that one.
        negatives = self._draw(
            sampler, rows.position, number=number, seed=[settings.sample_seed, PARTS[part], epoch], counted=train
        )
        return LabelledRows(self.events, rows, negatives)

    def _keep(self, rows: Rows, keep: np.ndarray, part: str, why: str) -> Rows:
        left = int((~keep).sum())
        self._note(part, left, len(keep), why)
        return rows.take(keep) if left else rows

    def _note(self, part: str, left: int, of: int, why: str) -> None:
        note = f"{part}: {left} of {of} rows {why} were left out"
        if left and note not in self.notes:
            self.notes.append(note)

    @cached_property
    def unclicked_item(self) -> np.ndarray:
        """(E,) beside each event an item its user never touched, for models that learn from such pairs (DIEN).

        0, the padding, where the user touched every item: such a user has no row, and these events no history.
        """
        sampler = self._sampler("uniform", "all")
        item = np.zeros(self.events.n_events, dtype=self.events.item.dtype)
        some = np.flatnonzero(sampler.eligible_count(user=self.events.user, time=self.events.time))
        seed = [self.settings.sample_seed, len(PARTS)]
        item[some] = self._draw(sampler, some, number=1, seed=seed)[:, 0]
        return item

    def _sampler(self, sampling: str, source: str) -> NegativeSampler:
        """A sampler, made once: it holds what every user touched."""
        if (sampling, source) not in self._samplers:
            self._samplers[sampling, source] = self._make_sampler(sampling, source)
        return self._samplers[sampling, source]

    @cached_property
    def _samplers(self) -> dict[tuple[str, str], NegativeSampler]:
        return {}

    def _make_sampler(self, sampling: str, source: str) -> NegativeSampler:
        release = None
        if source == "released":
            release = first_seen(self.events.item, self.events.time, self.n_items)
            if self.release is not None:
                # An item cannot have been bought before it was there: a later date is an error of the data.
                release = np.fmin(self.release, release)
        return NegativeSampler(
            n_items=self.n_items,
            events=(self.events.user, self.events.item),
            train_count=self.counts.snapshot(),
            release=release,
            strategy=sampling,
            source=source,
            strict_release=self.release_is_inferred,
            matched_pool=self.settings.matched_pool,
        )

    def _draw(
        self, sampler: NegativeSampler, position: np.ndarray, *, number: int, seed: list[int], counted: bool = False
    ) -> np.ndarray:
        """(len(position), number) negatives for the events at `position`."""
        return sampler.draw(
            user=self.events.user[position],
            positive=self.events.item[position],
            time=self.events.time[position],
            number=number,
            seed=seed,
            counted=counted,
        )

    def resampled(self, rows: LabelledRows, epoch: int) -> LabelledRows:
        """Training rows with this epoch's negatives."""
        return dataclasses.replace(rows, negatives=self.labelled("train", epoch=epoch).negatives)

    def notes_on(self, name: str, rows: LabelledRows) -> list[str]:
        """When rows of a part happened, what their histories lack, and how many negatives nobody ever clicked."""
        positives, time = rows.rows, rows.events.time[rows.rows.position]
        notes = [f"{name}: {positives.n_rows} clicks from {period(time)} (UTC)"]
        if empty := int(np.count_nonzero(positives.history_length == 0)):
            notes.append(f"{name}: {empty} of {positives.n_rows} clicks have no behaviour of an earlier time")
        if name == "train":
            return notes
        last = positives.history_start + positives.history_length - 1
        if tied := int(np.count_nonzero((positives.history_length > 0) & (rows.events.time[last] == time))):
            notes.append(
                f"{name}: {tied} of {positives.n_rows} clicks have behaviours of their very time in their history;"
                " serving has none of them, and histories: earlier leaves them out"
            )
        share = float(1 - self._is_clicked[rows.negatives].mean())
        if share >= 0.01:
            notes.append(
                f"{name}: {100 * share:.0f} % of the negatives are items that nobody ever clicked, which popularity"
                " alone tells from clicks: leave such items out of .item, or set eval_sampling to popularity or matched"
            )
        return notes

    @cached_property
    def _is_clicked(self) -> np.ndarray:
        """(n_items,) bool: whether anybody ever clicked an item."""
        is_clicked = np.zeros(self.n_items, dtype=bool)
        is_clicked[self.events.item] = True
        return is_clicked

    def sha256(self, parts: dict[str, LabelledRows], user_key: np.ndarray, item_key: np.ndarray) -> str:
        """Fingerprint of every event, row and negative by token hash, so that it does not hang on internal ids.

        Args:
            parts: rows of the parts in order; of a sealed data set those of training and validation.
        """
        described = [
            {
                "user": LookedUp(user_key, self.events.user),
                "item": LookedUp(item_key, self.events.item),
                "time": Widened(self.events.time, np.float64),
                "part": self.part_of_event,
            }
        ]
        for rows in parts.values():
            described.append(
                {
                    "position": Widened(rows.rows.position, np.int64),
                    "history": Widened(rows.rows.history_length, np.int64),
                    "negatives": LookedUp(item_key, rows.negatives),
                }
            )
        return split_sha256(described)
