"""Rankings: the likeliest items for a user, of all, of some, or of a short list."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recbole_marn.errors import InputError
from recbole_marn.serving.histories import Behaviours, History, Windows
from recbole_marn.serving.retrieval import Retrieval
from recbole_marn.serving.scores import NOTHING, Scores

__all__ = ["Answers", "Asker", "Ranking"]


class Ranking(NamedTuple):
    """The likeliest items for a user.

    Attributes:
        items: (K,) ids, the likeliest first.
        probability: (K,) of them.
        scored: how many items were scored for it.
        output: (K,) of the model itself, which they are ranked by: probabilities may be alike.
    """

    items: list[str]
    probability: np.ndarray
    scored: int
    output: np.ndarray


@dataclass(frozen=True)
class Asker:
    """A user at a moment.

    Attributes:
        behaviours: what users did.
        start, length: where this one's stand, all of them so far; a model reads the latest.
        time: the moment.
        context: (1, F) codes of profile and context.
        had: numbers of further items the user had, by behaviours of types that no history is made of.
    """

    behaviours: Behaviours
    start: int
    length: int
    time: float
    context: np.ndarray
    had: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def latest(self, most: int) -> slice:
        """Where the latest behaviours stand, at most so many."""
        end = self.start + self.length
        return slice(end - min(self.length, most), end)

    def seen(self) -> np.ndarray:
        """Numbers of the items of all behaviours, whatever their type."""
        return np.concatenate([self.behaviours.item[self.latest(self.length)], self.had])


class Answers(Scores):
    """Scores and rankings of known items for users who are nothing but their behaviours.

    Columns are called as in the training data (`user_id`, `item_id`, `timestamp` unless its settings said otherwise).
    """

    def top(
        self,
        history: History | Sequence[Any],
        k: int = 10,
        candidates: Sequence[Any] | Retrieval | None = None,
        *,
        time: float | None = None,
        unseen: bool = False,
        profile: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Ranking:
        """The k likeliest items for a user.

        Args:
            history: what the user did, oldest first; ids alone where the model reads nothing else.
            candidates: ids to choose from; what makes a short list of them; None: all items known.
            time: of the row; needed where the model reads the time since a behaviour.
            unseen: leave out the items of the history.
            profile: field -> value of the user, where the model reads some.
            context: field -> value of the moment, where the model reads some.

        Raises:
            InputError: k below 1, no time where it is needed, a candidate that nothing is known of, or a value of
                profile and context that is missing or not read.
        """
        history = history if isinstance(history, History) else History(list(history))
        if k < 1:
            raise InputError("k of at least 1", str(k), "Ask for one item or more.")
        asker = self.asker(self.behaviours_of([history]), self.coded(profile, context, 1).codes, time)
        among = candidates if isinstance(candidates, Retrieval) else self.candidates(candidates)
        return self.ranking(asker, k, among, unseen=unseen)

    def asker(self, history: Behaviours, context: np.ndarray, time: float | None = None) -> Asker:
        """The one user of a history, at a moment.

        Args:
            history: of the one user, as `behaviours_of` gives it.
            context: (1, F) codes of profile and context, as `coded` gives them.

        Raises:
            InputError: the model reads the time since a behaviour, and there is none or in another unit; a behaviour
                after it.
        """
        had = {} if history.others is None else {"had": history.others.item}
        return Asker(history, 0, len(history.item), self._moment(time, history), context, **had)

    def top_of(
        self,
        user: np.ndarray,
        time: np.ndarray,
        behaviours: Behaviours,
        k: int,
        among: np.ndarray | Retrieval,
        context: np.ndarray,
        *,
        inclusive: bool = False,
        unseen: bool = False,
    ) -> Iterator[Ranking]:
        """The k likeliest items for each of users (B,) at moments (B,) in contexts (B, F), by behaviours of a table.

        For the others see `ranking` and `score`.
        """
        every = behaviours.before(user, time, len(behaviours.item), inclusive=inclusive)
        others = behaviours.others or NOTHING
        besides = others.before(user, time, len(others.item), inclusive=inclusive)
        for row, moment in enumerate(time):
            had = others.item[besides.start[row] : besides.start[row] + besides.length[row]]
            start, length = int(every.start[row]), int(every.length[row])
            asker = Asker(behaviours, start, length, float(moment), context[row : row + 1], had)
            yield self.ranking(asker, k, among, unseen=unseen)

    def candidates(self, items: Sequence[Any] | None) -> np.ndarray:
        """Numbers of items to choose from, made ready for several rankings; None: of all.

        Raises:
            InputError: one that nothing is known of.
        """
        if items is None:
            return np.arange(1, len(self._tokens))
        numbers = self.numbers(items)
        self._check_known(items, numbers)
        return np.unique(numbers)

    def ranking(self, asker: Asker, k: int, among: np.ndarray | Retrieval, *, unseen: bool = False) -> Ranking:
        """The k likeliest items.

        Args:
            among: numbers of items, all of which are scored; or what makes a short list of them.
            unseen: leave out what the user had.
        """
        seen = asker.seen() if unseen else asker.seen()[:0]
        numbers = self._short_list(asker, among, len(seen)) if isinstance(among, Retrieval) else among
        numbers = np.setdiff1d(numbers, seen) if unseen else numbers
        output = self._of_one(numbers, asker)
        best = np.argsort(-output, kind="stable")[:k]
        items, output = [self._tokens[numbers[place]] for place in best], output[best]
        return Ranking(items, self.rates(output), len(numbers), output)

    def _short_list(self, asker: Asker, retrieval: Retrieval, more: int) -> np.ndarray:
        """Numbers of items, `more` than the retrieval's size."""
        read = asker.behaviours.item[asker.latest(self.facts.longest)]
        user = self.user_vector(read) if len(read) else None
        return retrieval.shortlist(user, lambda numbers: self._of_one(numbers, asker), more)

    def user_vector(self, history: np.ndarray) -> np.ndarray | None:
        """(D,) whose inner products with item vectors rank items as the score does; None: the score is none.

        Args:
            history: (L,) numbers of items, the oldest first.
        """
        return None

    def _of_one(self, numbers: np.ndarray, asker: Asker) -> np.ndarray:
        """(n,) outputs of the model for items."""
        number, latest = len(numbers), asker.latest(self.facts.longest)
        windows = Windows(np.full(number, latest.start), np.full(number, latest.stop - latest.start))
        context = np.repeat(asker.context, number, axis=0)
        return self.outputs(numbers, np.full(number, asker.time), windows, asker.behaviours, context)
