"""From a log's exposures to labelled rows: requests, split, histories, kept negatives, statistics, fingerprint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from recbole_marn.data import log_checks
from recbole_marn.data.arrays import kept
from recbole_marn.data.context_codes import Column
from recbole_marn.data.event_checks import period
from recbole_marn.data.fingerprint import LookedUp, Widened, split_sha256
from recbole_marn.data.item_features import MovingStatistics
from recbole_marn.data.log_context import LogContext
from recbole_marn.data.log_histories import (
    GivenHistories,
    Histories,
    LogBehaviours,
    given_histories,
    histories_before,
    is_one_of,
)
from recbole_marn.data.log_requests import Exposures, group
from recbole_marn.data.log_splits import note_on_rows_in_several_parts, note_on_short_users, split_requests
from recbole_marn.data.log_statistics import LogCounts
from recbole_marn.data.logged_rows import LoggedRows, Requests
from recbole_marn.data.negatives import NegativeSampler
from recbole_marn.data.rows import PARTS, TEST, TRAIN, Events
from recbole_marn.data.statistics import InteractionCounts
from recbole_marn.errors import InputError
from recbole_marn.settings.data import DataSettings
from recbole_marn.settings.logs import RATES, STATISTICS, USER_STATISTICS

__all__ = ["LogProtocol"]


@dataclass
class LogProtocol:
    """One log under one set of `DataSettings`; everything that decides which rows exist.

    Args:
        exposures: the rows in the order of the file.
        behaviours: what histories are made of.
        columns: profile and context, in the order of the settings.
        extra: (R,) columns for RecBole's models, in the order of the file.
        settings: how to split.
        n_items, n_users: numbers of ids including the padding.
        max_history: L, longest history kept.
        request_token: name of each request id, for messages.
        sealed: there may be no test row.

    Raises:
        InputError: a part without rows, or of one class, a request with two users, two times or two parts, a column
            that tells the label.
    """

    exposures: Exposures
    behaviours: LogBehaviours
    columns: Sequence[Column]
    extra: Mapping[str, np.ndarray]
    settings: DataSettings
    n_items: int
    n_users: int
    max_history: int
    request_token: np.ndarray | None = None
    notes: list[str] = field(default_factory=list)
    sealed: bool = False

    # ------------------------------------------------------------------------------------ requests and parts
    @cached_property
    def requests(self) -> Requests:
        """All requests, whatever their part."""
        rows = self.exposures
        if rows.request is not None:
            said = self.request_token
            for name, values in (("user", rows.user), ("time", rows.time), ("history", rows.history)):
                if values is not None:
                    how = "Correct the rows, or name another column under request, or leave the key out."
                    log_checks.check_one_each(rows, values, said, what=f"requests of one {name}", how=how)
            if rows.part is not None:
                how = "Move them to one part: a request that is split tells of its own clicks."
                log_checks.check_one_each(rows, rows.part, said, what="requests of one part", how=how)
        return group(rows)

    @cached_property
    def part_of_request(self) -> np.ndarray:
        """(Q,) TRAIN, VALID or TEST.

        Raises:
            InputError: a part without rows.
        """
        requests, given = self.requests, self.exposures.part
        part = (
            split_requests(self.settings, requests.user, requests.time)
            if given is None
            else given[requests.line[requests.first[:-1]]]
        )
        if self.settings.split == "leave_last" and (note := note_on_short_users(requests.user)):
            self.notes.append(note)
        if given is not None and (note := note_on_rows_in_several_parts(requests, part)):
            self.notes.append(note)
        number = np.bincount(part, minlength=3)
        for name, which in PARTS.items():
            if number[which] == 0 and not (self.sealed and which == TEST):
                raise InputError(
                    f"rows in the {name} part",
                    f"none of {requests.n_rows}, from {period(requests.time)} (UTC)",
                    "Move the split: split_times, split_ratios, split_field or the files.",
                )
        return part

    @cached_property
    def part_of_row(self) -> np.ndarray:
        """(R,) TRAIN, VALID or TEST, in the order of requests."""
        return self.requests.of_rows(self.part_of_request)

    # ------------------------------------------------------------------------------------------- histories
    @cached_property
    def histories(self) -> Histories:
        """Behaviours, and which of them are each request's history."""
        source = self.behaviours.source
        if isinstance(source, GivenHistories):
            found, late = given_histories(source, self.requests, self.max_history)
            if late:
                self.notes.append(f"histories: {late} given behaviours that are not before their row were left out")
            return found
        time = self.requests.time if self.behaviours.timed else None
        return histories_before(source, self.requests.user, time, self.max_history)

    @property
    def events(self) -> Events:
        """Behaviours, which histories are slices of."""
        return self.histories.events

    @cached_property
    def evaluation_starts(self) -> float:
        """Time of the first request that is not for training."""
        return float(self.requests.time[self.part_of_request != TRAIN].min())

    @cached_property
    def part_of_event(self) -> np.ndarray:
        """(E,) TRAIN for behaviours that a model may be fitted to, else TEST.

        Clicked rows are of their own part, and given histories of the part of their request. Other behaviours are
        known in training if they are before the first validation or test row, or have no times.
        """
        events = self.events
        if isinstance(self.behaviours.source, GivenHistories):
            ends = self.histories.start + self.histories.length
            request = np.searchsorted(ends, np.arange(events.n_events), side="right")
            known = self.part_of_request[request] == TRAIN
        elif self.behaviours.are_clicks:
            known = ~is_one_of(events, self.requests, self.requests.label & (self.part_of_row != TRAIN))
        else:
            known = np.nan_to_num(events.time, nan=-np.inf) < self.evaluation_starts
        return np.where(known, TRAIN, TEST).astype(np.int8)

    @cached_property
    def unclicked_item(self) -> np.ndarray:
        """(E,) beside each behaviour of training an item that its user did not touch in training, for DIEN; else 0.

        Where parts overlap in time, histories of training rows also hold behaviours of other parts. They get an item,
        too, or a model would learn to tell the padding from them; drawn apart, so that those of training stay the same.
        """
        item = np.zeros(self.events.n_events, dtype=np.int64)
        known = self.part_of_event == TRAIN
        seed = [self.settings.sample_seed, len(PARTS)]
        self._draw_unclicked(item, known, touched=known, seed=seed)
        further = self._read_in_training & ~known
        self._draw_unclicked(item, further, touched=known | further, seed=[*seed, 1])
        return item

    def _draw_unclicked(self, item: np.ndarray, of: np.ndarray, *, touched: np.ndarray, seed: list[int]) -> None:
        """Fill in, beside the behaviours `of` (E,), items that their users touched in none of `touched` (E,)."""
        if not of.any():
            return
        events = self.events
        sampler = NegativeSampler(
            n_items=self.n_items,
            events=(events.user[touched], events.item[touched]),
            train_count=self.counts.snapshot(),
            release=None,
            strategy="uniform",
            source="all",
            strict_release=False,
            matched_pool=self.settings.matched_pool,
        )
        some, time = np.flatnonzero(of), np.nan_to_num(events.time)
        some = some[sampler.eligible_count(user=events.user[some], time=time[some]) > 0]
        if some.size:
            item[some] = sampler.draw(
                user=events.user[some], positive=events.item[some], time=time[some], number=1, seed=seed
            )[:, 0]

    @property
    def _read_in_training(self) -> np.ndarray:
        """(E,) whether a behaviour is in the history of a training row."""
        training = self.part_of_request == TRAIN
        begin, length = self.histories.start[training], self.histories.length[training]
        n = self.events.n_events
        change = np.bincount(begin, minlength=n + 1) - np.bincount(begin + length, minlength=n + 1)
        return change.cumsum()[:n] > 0

    # ------------------------------------------------------------------------------------------ statistics
    @cached_property
    def log_counts(self) -> LogCounts:
        """What the statistics of a log are counted from."""
        return LogCounts(
            requests=self.requests,
            training=self.part_of_row == TRAIN,
            n_items=self.n_items,
            n_users=self.n_users,
            events=self.behaviours.counted if self.behaviours.timed else None,
            purchase_types=self.behaviours.purchase_types,
            evaluation_starts=self.evaluation_starts,
            split=self.settings.split,
            until=self.settings.statistics_until,
        )

    @property
    def counts(self) -> InteractionCounts:
        """Training clicks of every item over time."""
        return self.log_counts.clicks

    def moving_statistics(self) -> MovingStatistics:
        """The statistics that the modalities in use name."""
        named = self.settings.statistic_fields()
        wanted = [name for name in STATISTICS if name in named]
        training = {name: self.log_counts.of_items(name) for name in wanted}
        evaluation = None
        if self.settings.statistics_until == "row":
            evaluation = {name: self.log_counts.of_items(name, whole=True) for name in wanted}
        trained_on = self.requests.item[self._kept(TRAIN)]
        return MovingStatistics(training, np.bincount(trained_on, minlength=self.n_items), evaluation)

    # -------------------------------------------------------------------------------------------- context
    @cached_property
    def context(self) -> LogContext:
        """Profile and context of every row."""
        return LogContext(self.columns, self.requests, self._kept(TRAIN), self.log_counts, self.settings)

    # ---------------------------------------------------------------------------------------------- facts
    def latest(self) -> float:
        """The last moment of the rows that statistics are of."""
        time = self.requests.time
        return float((time if self.settings.statistics_until == "row" else time[self.part_of_request == TRAIN]).max())

    def facts(self, name: str) -> dict[str, int]:
        """Sizes for the record."""
        requests, part = self.requests, self.part_of_row == PARTS[name]
        return {
            "users": len(np.unique(requests.user)),
            "items": len(np.unique(requests.item)),
            "events": int(self.events.n_events),
            "exposures": requests.n_rows,
            "requests": int((self.part_of_request == PARTS[name]).sum()),
            "clicks": int(requests.label[part].sum()),
        }

    def check_columns(self) -> None:
        """Look for columns of profile and context that tell the label, see `LogContext.check`."""
        self.notes += self.context.check(np.flatnonzero(self.part_of_row == TRAIN))

    # ------------------------------------------------------------------------------------------------ rows
    def _kept(self, which: int) -> np.ndarray:
        """(R,) the rows of a part; of training clicks, and a share of the others, drawn once."""
        rows = self.part_of_row == which
        share = self.settings.keep_negatives
        if which == TRAIN and share < 1:
            draw = np.random.default_rng([self.settings.sample_seed, 7]).random(self.requests.n_rows)
            rows = rows & (self.requests.label | (draw < share))
        return rows

    def labelled(self, name: str) -> LoggedRows:
        """The rows of a part."""
        which = PARTS[name]
        of_part = self._kept(which)
        requests, request = self.requests.take(of_part)
        share = f", of which keep_negatives: {self.settings.keep_negatives:g} keeps that share without a click"
        few = which == TRAIN and self.settings.keep_negatives < 1
        log_checks.check_classes(requests.label, f"the {name} part{share if few else ''}")
        return LoggedRows(
            self.histories.events,
            requests,
            self.histories.start[request],
            self.histories.length[request],
            self.context.rows(of_part),
            {name: values[requests.line] for name, values in self.extra.items()},
        )

    def notes_on(self, name: str, rows: LoggedRows) -> list[str]:
        """What rows of a part there are, and what was left out or is unknown."""
        requests = rows.requests
        clicks, empty = int(requests.label.sum()), int((rows.history_length == 0).sum())
        said = [
            f"{name}: {requests.n_rows} rows in {requests.n_requests} requests, {clicks} clicks"
            f" ({100 * clicks / requests.n_rows:.3g} %), from {period(requests.time)} (UTC)"
        ]
        if dropped := int((self.part_of_row == PARTS[name]).sum()) - requests.n_rows:
            said.append(f"{name}: {dropped} rows without a click were left out, as keep_negatives says")
        if empty == rows.n_groups:
            said.append(f"{name}: there are no histories")
        elif empty:
            said.append(f"{name}: {empty} of {rows.n_groups} requests have no history")
        if name == "train":
            smoothed = self.settings.log_statistics().intersection(RATES)
            said += [f"{rate} is smoothed towards {self.log_counts.prior(rate):.6g}" for rate in sorted(smoothed)]
        else:
            for column, number in self.context.unknown(np.flatnonzero(self.part_of_row == PARTS[name])).items():
                said.append(f"{name}: {number} values of {column} that no training row has are unknown")
        return said

    # ---------------------------------------------------------------------------------------- fingerprint
    def sha256(self, parts: Mapping[str, LoggedRows], user_key: np.ndarray, item_key: np.ndarray) -> str:
        """Fingerprint of behaviours, rows, labels, requests, histories, profile and context by token hash.

        Args:
            parts: rows of the parts in order; of a sealed data set those of training and validation.
        """
        events = self.events
        described = [
            {
                "user": LookedUp(user_key, events.user),
                "item": LookedUp(item_key, events.item),
                "time": Widened(events.time, np.float64),
            }
        ]
        if events.behaviour is not None:
            described[0]["kind"] = Widened(events.behaviour, np.int64)
        for column in self.columns:
            if column.by_user:
                described[0][f"of user {column.name}"] = column.hashed(column.values)
        by_row = [c for c in self.context.ordered if not c.by_user and c.name not in USER_STATISTICS]
        for name, rows in parts.items():
            requests, of_part = rows.requests, self._kept(PARTS[name])
            described.append(
                {
                    "user": LookedUp(user_key, requests.user),
                    "time": requests.time,
                    "first": requests.first,
                    "item": LookedUp(item_key, requests.item),
                    "label": requests.label,
                    "start": Widened(rows.history_start, np.int64),
                    "length": rows.history_length,
                }
            )
            for column in by_row:
                described[-1][f"of row {column.name}"] = column.hashed(kept(column.values, of_part))
        return split_sha256(described)
