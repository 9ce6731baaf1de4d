"""A synthetic log in the layout of Taobao's UserBehavior.csv, of any size: python benchmarks/taobao_log.py --out DIR

    user,item,category,behaviour,unix time      without a header, by user, as the published file

With the published counts (100,150,807 events, 987,994 users, 4,162,024 items, 9,439 categories) the file has 3.6 GB.
Other sizes keep the events per user and per item, unless they are given. Activity and popularity are skewed, a
quarter of the events repeats an item of their user, times are seconds of the nine published days.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

EVENTS, USERS, ITEMS, CATEGORIES = 100_150_807, 987_994, 4_162_024, 9_439
BEHAVIOURS = np.array(["pv", "cart", "fav", "buy"])
SHARES = (0.896, 0.055, 0.029, 0.020)
FIRST_DAY, DAYS = 1_511_539_200, 9  # 2017-11-25, Beijing time
EVENTS_AT_ONCE = 1 << 20
REPEATED = 0.25
COPRIME = 2_654_435_761  # of every number of items below it: a multiplication by it permutes them


def write_log(path: Path, events: int = EVENTS, users: int | None = None, items: int | None = None) -> None:
    """Write a log; the same sizes give the same file."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng(7)
    users = users or max(1, round(events * USERS / EVENTS))
    items = items or max(1, round(events * ITEMS / EVENTS))
    size = _sizes(rng, events, users)
    ids = _spread(np.arange(users), users) + 1
    schema = pa.schema([("user", pa.int32()), ("item", pa.int32()), ("category", pa.int32()),
                        ("behaviour", pa.string()), ("time", pa.int32())])  # fmt: skip
    options = csv.WriteOptions(include_header=False, quoting_style="none")
    done = 0
    with csv.CSVWriter(path, schema, write_options=options) as file:
        for first, last in _pieces(size):
            user = np.repeat(ids[first:last], size[first:last])
            item = _items(rng, user, np.arange(done, done + len(user)), items, events)
            start = np.repeat(np.cumsum(size[first:last]) - size[first:last], size[first:last])
            time = FIRST_DAY + rng.integers(0, DAYS * 86_400, len(user))
            time = time[np.lexsort((time, start))]  # by user, then time
            behaviour = BEHAVIOURS[rng.choice(len(BEHAVIOURS), len(user), p=SHARES)]
            columns = [user, item, 1 + _spread(item, CATEGORIES), behaviour, time]
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
            file.write_table(pa.table(arrays, schema=schema))
            done += len(user)


def _sizes(rng: np.random.Generator, events: int, users: int) -> np.ndarray:
    """Events of each user: at least one, skewed, `events` together."""
    share = rng.lognormal(0, 0.7, users)
    size = np.maximum(1, np.floor(events * share / share.sum())).astype(np.int64)
    while missing := events - int(size.sum()):
        chosen = rng.integers(0, users, abs(missing))
        if missing < 0:
            chosen = np.unique(chosen[size[chosen] > 1])
        np.add.at(size, chosen, np.sign(missing))
    return size


def _pieces(size: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of users with about `EVENTS_AT_ONCE` events each."""
    piece = np.cumsum(size) // EVENTS_AT_ONCE
    ends = np.append(np.flatnonzero(np.diff(piece)) + 1, len(size))
    return list(zip(np.append(0, ends[:-1]).tolist(), ends.tolist(), strict=True))


def _items(rng: np.random.Generator, user: np.ndarray, event: np.ndarray, items: int, events: int) -> np.ndarray:
    """Item ids: popular ones often, every one at least once, a quarter of a user's events on an item they met."""
    rank = (items * rng.random(len(user)) ** 3).astype(np.int64)
    back = rng.geometric(0.3, len(user))
    source = np.arange(len(user)) - back
    again = (rng.random(len(user)) < REPEATED) & (source >= 0)
    again &= user[np.maximum(source, 0)] == user
    rank[again] = rank[source[again]]
    turn = event * items // events  # grows to `items` over the whole log: where it does, the next item has its turn
    new = np.flatnonzero(turn != (event + 1) * items // events)
    rank[new] = turn[new]
    return 1 + _spread(rank, items)


def _spread(number: np.ndarray, size: int) -> np.ndarray:
    """Numbers below `size`, permuted: neighbours come to lie apart."""
    return np.asarray(number, dtype=np.int64) * COPRIME % size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of UserBehavior.csv")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--users", type=int)
    parser.add_argument("--items", type=int)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    write_log(args.out / "UserBehavior.csv", args.events, args.users, args.items)


if __name__ == "__main__":
    main()
