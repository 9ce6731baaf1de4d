"""Which behaviours a row sees, against a loop over all of them."""

import numpy as np
import pytest

from recbole_marn.data.fields import Fields
from recbole_marn.data.numbering import token_hashes
from recbole_marn.data.rows import sort_events
from recbole_marn.errors import InputError
from recbole_marn.prepare.tokens import identifier
from recbole_marn.serving.histories import Behaviours, History, Needs, tokens_of

FIELDS = Fields("user_id", "item_id", "timestamp", "kind")


def numbers(tokens):
    return np.array([int(token) for token in tokens], dtype=np.int64)


@pytest.mark.parametrize("inclusive", [False, True])
def test_a_row_sees_the_last_behaviours_before_it(inclusive):
    rng = np.random.default_rng(0)
    n, longest = 300, 3
    user, time = rng.integers(0, 20, n), rng.integers(0, 30, n)
    table = {"user_id": [f"u{u}" for u in user], "item_id": np.arange(n), "timestamp": time}
    needs = Needs(time=True, kind=False, listed=True)
    behaviours = Behaviours.of_table(table, FIELDS, needs, numbers, numbers)
    rows_user, rows_time = rng.integers(0, 25, 200), rng.integers(-1, 32, 200).astype(float)
    tokens = np.array([f"u{u}" for u in rows_user], dtype=object)
    found = behaviours.before(tokens, rows_time, longest, inclusive=inclusive)
    assert len(np.unique(time)) < n / 5, "no equal times"
    for row in range(200):
        seen = [i for i in np.argsort(time, kind="stable") if user[i] == rows_user[row]
                and (time[i] <= rows_time[row] if inclusive else time[i] < rows_time[row])]  # fmt: skip
        start, length = found.start[row], found.length[row]
        assert behaviours.item[start : start + length].tolist() == seen[-longest:]


def test_behaviours_of_one_time_have_the_order_that_training_gives_them():
    """Whatever the order of the table: that of the file decided, and scores were not those of the run."""
    rng = np.random.default_rng(0)
    users, items = np.array(["", "ann", "Bob", "7"]), np.array(["", *(f"{n:02d}" for n in range(1, 9))])
    user, item, time, kind = (rng.integers(*ends, 60) for ends in ((1, 4), (1, 9), (0, 3), (1, 3)))
    keys = {"user_key": token_hashes(users), "item_key": token_hashes(items)}
    events = sort_events(user, item, time, kind, **keys)
    table = {"user_id": users[user], "item_id": items[item], "timestamp": time, "kind": kind}
    found = Behaviours.of_table(table, FIELDS, Needs(time=True, kind=True), numbers, numbers)
    for name in users[1:]:
        at = users.tolist().index(name)
        window = found.before(np.array([name], dtype=object), np.array([9.0]), 60, inclusive=False)
        own = slice(window.start[0], window.start[0] + window.length[0])
        assert found.item[own].tolist() == events.item[events.user == at].tolist()
        assert found.kind[own].tolist() == events.behaviour[events.user == at].tolist()


def test_behaviours_with_unknown_items_are_left_out_and_counted():
    table = {"user_id": [1, 1, 1], "item_id": [5, -1, 7], "timestamp": [1, 2, 3], "kind": [1, 2, 3]}
    behaviours = Behaviours.of_table(table, FIELDS, Needs(time=True, kind=True), numbers, numbers)
    assert behaviours.item.tolist() == [5, 7] and behaviours.kind.tolist() == [1, 3] and behaviours.left_out == 1
    window = behaviours.before(np.array(["1"], dtype=object), np.array([9.0]), 2, inclusive=False)
    assert (window.start.tolist(), window.length.tolist()) == ([0], [2])


def test_histories_of_rows_keep_their_order_and_their_end():
    given = [History([4, 3, 2]), History([]), History([9])]
    behaviours = Behaviours.of_rows(given, Needs(time=False, kind=False), numbers, numbers)
    found = behaviours.all_of(np.array([2, 0, 1]), 2)
    slices = [behaviours.item[s : s + n].tolist() for s, n in zip(found.start, found.length, strict=True)]
    assert slices == [[9], [3, 2], []]


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"user_id": [1], "item_id": [2]}, "without timestamp"),
        ({"user_id": [1], "item_id": [2], "timestamp": [None]}, "Got nan in row 0."),
        ({"user_id": [None], "item_id": [2], "timestamp": [1]}, "Got none in row 0."),
        ("file.csv", "Got str."),
    ],
)
def test_tables_that_cannot_be_read(table, text):
    with pytest.raises(InputError) as error:
        Behaviours.of_table(table, FIELDS, Needs(time=True, kind=False), numbers, numbers)
    assert text in str(error.value)


@pytest.mark.parametrize(("kept", "name", "values"), [
    ({}, "is_click", [1, 1.0, "yes", True, 0]), ({"clicked": None}, "clicked", ["1", "True", "no"]),
    ({"rating": "[4.0,inf)"}, "rating", ["5", 4, 3]), ({"seen": None}, "seen", [True, None]),
    ({"rating": "[1,2];(3,4]"}, "rating", [1, 2.0, "4", 3]), ({"where": ["a", "b"]}, "where", ["a", "b", "c"]),
])  # fmt: skip
def test_lines_that_are_no_clicks_are_no_behaviours(kept, name, values):
    """A log given as behaviours was taken for clicks, line by line."""
    number = len(values)
    table = {"user_id": [1] * number, "item_id": [5] * number, "timestamp": [1] * number, "rank": [0] * number}

    def read(values, **needs):
        return Behaviours.of_table(table | {name: values}, FIELDS, Needs(False, False, **needs), numbers, numbers)

    with pytest.raises(InputError, match=f"column '{name}' with 1 of {number} other values"):
        read(values, clicks=True, kept=kept)
    assert len(read([values[0]] * number, clicks=True, kept=kept).item) == len(read(values).item) == number


@pytest.mark.parametrize("ids", [[True, 1, 1.0, "1"], [1, True, "1", np.True_], [0, False, "a", 0.0]])
def test_true_and_1_are_two_ids(ids):
    expected = [value if isinstance(value, str) else identifier(value) for value in ids]
    assert tokens_of(np.array(ids, dtype=object), "item_id", "rows").tolist() == expected


def test_a_missing_id_beside_true_is_told():
    with pytest.raises(InputError, match="none in row 2"):
        tokens_of(np.array([True, 1, None], dtype=object), "item_id", "rows")
