"""Which part each request of a log, or each of its rows, belongs to."""

from __future__ import annotations

import numpy as np
import torch

from recbole_marn.data.arrays import begins, runs
from recbole_marn.data.logged_rows import Requests
from recbole_marn.data.rows import PARTS, Events, last_two_days, split_leave_last
from recbole_marn.errors import InputError
from recbole_marn.settings.data import DataSettings

__all__ = [
    "cut_by_ratio", "note_on_rows_in_several_parts", "note_on_short_users", "parts_of_words", "split_requests",
    "split_rows_at_random",
]  # fmt: skip


def split_requests(settings: DataSettings, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(Q,) TRAIN, VALID or TEST of requests that are sorted by user and time.

    `leave_last`: a user's last request is for test, the one before for validation; users too short for three parts
    feed training first, then test. `time`: two moments for all. `random`: shares of all requests, or of each user's.

    Raises:
        InputError: `split_times` are not two increasing times, or `split_ratios` not three shares.
    """
    if settings.split == "leave_last":
        return split_leave_last(Events(user, user, time))
    if settings.split == "random":
        order = (
            np.random.default_rng(settings.sample_seed).permutation(len(user))
            if settings.split_order == "random"
            else np.argsort(time, kind="stable")
        )
        return cut_by_ratio(order, user if settings.split_group == "user" else None, settings.split_ratios)
    times = settings.split_times
    if times is None:
        times = last_two_days(time)
    if len(times) != 2 or not times[0] < times[1]:
        raise InputError("split_times to be [validation start, test start]", repr(times), "Give two increasing times.")
    return ((time >= times[0]).astype(np.int8) + (time >= times[1])).astype(np.int8)


def note_on_short_users(user: np.ndarray) -> str | None:
    """Whose requests `leave_last` holds out in part or not at all; None where it holds out those of every user.

    Args:
        user: (Q,) of requests, sorted.
    """
    size = np.diff(runs(user), append=len(user))
    alone, untried = int((size < 3).sum()), int((size == 3).sum())
    if not alone + untried:
        return None
    return (
        f"leave_last: of {len(size)} users {alone} with one or two requests are in training alone, and {untried} with"
        " three have no request in validation"
    )


def note_on_rows_in_several_parts(requests: Requests, part: np.ndarray) -> str | None:
    """How often one user, item and time is found in several parts, which come with the rows; None where never.

    Args:
        part: (Q,) of requests.
    """
    together = np.flatnonzero(begins(requests.user, requests.time))
    size = np.diff(together, append=requests.n_requests)
    several = np.repeat(np.minimum.reduceat(part, together) != np.maximum.reduceat(part, together), size)
    row = np.flatnonzero(requests.of_rows(several))
    request = requests.request_of(row)
    moment, item, of_part = np.repeat(np.arange(len(size)), size)[request], requests.item[row], part[request]
    order = np.lexsort((of_part, item, moment))
    moment, item, of_part = moment[order], item[order], of_part[order]
    first = np.flatnonzero(begins(moment, item))
    found = int((np.maximum.reduceat(of_part, first) != of_part[first]).sum()) if row.size else 0
    told = f"{found} rows stand in several parts, by user, item and time: what is trained on is tested"
    return told if found else None


def split_rows_at_random(settings: DataSettings, user: np.ndarray, time: np.ndarray) -> np.ndarray:
    """(R,) the part of each row in the order of the file, as RecBole's ratio split (RS) cuts them.

    With order random (RO) the rows are those of plain RecBole whose `seed` is our `sample_seed`: its permutation is
    torch's after that seed.
    """
    if settings.split_order == "random":
        order = torch.randperm(len(user), generator=torch.Generator().manual_seed(settings.sample_seed)).numpy()
    else:
        order = np.argsort(time, kind="stable")
    return cut_by_ratio(order, user if settings.split_group == "user" else None, settings.split_ratios)


def cut_by_ratio(order: np.ndarray, group: np.ndarray | None, ratios: tuple[float, ...]) -> np.ndarray:
    """Cut what stands in an order by shares, all of it or group by group, with RecBole's rounding.

    Parts but the first are rounded down; one that would have less than one gets one, the last part first, while the
    first part keeps one.

    Args:
        order: (n,) a permutation.
        group: (n,) ids, or None.
        ratios: three shares; they need not add up to 1.

    Returns:
        (n,) int8 part of each.
    """
    if len(ratios) != 3 or sum(ratios) <= 0:
        raise InputError("split_ratios of three parts", repr(list(ratios)), "Write e.g. [0.8, 0.1, 0.1].")
    share = [ratio / sum(ratios) for ratio in ratios]
    key = np.zeros(len(order), dtype=np.int64) if group is None else group[order]
    by_group = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[by_group], prepend=key[by_group][:1] - 1))
    total = np.diff(first, append=len(order))
    count = [(one * total).astype(np.int64) for one in share]
    count[0] = total - count[1] - count[2]
    going = np.ones(len(total), dtype=bool)
    for part in (2, 1):
        going &= count[0] > 1
        short = going & (share[part] * total > 0) & (share[part] * total < 1)
        count[part] = count[part] + short
        count[0] = count[0] - short
    rank = np.arange(len(order)) - np.repeat(first, total)
    part = (rank >= np.repeat(count[0], total)).astype(np.int8) + (rank >= np.repeat(count[0] + count[1], total))
    found = np.empty(len(order), dtype=np.int8)
    found[order[by_group]] = part
    return found


def parts_of_words(code: np.ndarray, words: np.ndarray, field: str) -> np.ndarray:
    """(R,) parts of a column of the words train, valid and test.

    Args:
        code: (R,) index into `words`.
        words: the tokens of the column, the first of them padding.

    Raises:
        InputError: another word.
    """
    part = np.array([-1, *(PARTS.get(str(word).strip().lower(), -1) for word in words[1:])], dtype=np.int8)
    other = np.flatnonzero(part[code] < 0)
    if other.size:
        wrong = code[other[0]]
        raise InputError(
            f"the words train, valid and test in the split column {field}",
            f"{'an empty cell' if wrong == 0 else repr(str(words[wrong]))} and {other.size - 1} more other values",
            "Write one of these words in every row.",
        )
    return part[code]
