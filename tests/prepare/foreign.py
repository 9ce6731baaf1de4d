"""Tables as others write them: a few events of a shop, in any spelling."""

import pytest

__all__ = ["ITEMS", "START", "USERS", "events", "parquet"]

USERS, ITEMS, START = 6, 10, 1_600_000_000


def events(item=lambda i: f"i{i}", time=lambda t: t, sep=",", more=("", lambda k: "")):
    lines = [sep.join(["user_id", "item_id", "timestamp"]) + more[0]]
    for k in range(USERS * ITEMS):
        cells = [f"u{k % USERS}", str(item(k % ITEMS)), str(time(START + 3600 * k))]
        lines.append(sep.join(cells) + more[1](k))
    return "\n".join(lines) + "\n"


def parquet(path, **columns):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path
