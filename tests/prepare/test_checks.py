"""Counts, coverage, histograms and leak checks against numbers found by hand."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import numpy as np
import pytest

from recbole_marn.data import rows
from recbole_marn.prepare import checks
from recbole_marn.prepare.checks import leak_checks
from recbole_marn.prepare.pictures import histogram_counts, histograms_svg
from recbole_marn.prepare.record import coverage_of_items
from recbole_marn.prepare.report import render, summarise
from recbole_marn.prepare.tables import EventBuilder, RawItems

# user, item, time: u's last item z is in no training event of anyone; v repeats x; w is too short for a test row
EVENTS = [("u", "x", 1), ("u", "y", 2), ("u", "p", 3), ("u", "z", 4), ("v", "x", 2), ("v", "y", 3), ("v", "x", 4),
          ("v", "p", 4), ("w", "p", 9)]  # fmt: skip


@pytest.fixture
def events():
    builder = EventBuilder()
    for user, item, time in EVENTS:
        builder.add(user, item, float(time))
    return builder.build()


def test_counts(events):
    items = RawItems(("category",), {"x": {"category": "c"}, "y": {"category": "c"}, "z": {"category": ""}})
    assert summarise(events, items, events.items) == {
        "users": 3, "items": 4, "categories": 1, "events": 9, "distinct_pairs": 8, "samples": 12,
    }  # fmt: skip


def test_coverage_counts_items_and_events(events):
    popularity = np.bincount(events.item, minlength=len(events.items) + 1)
    items = RawItems(("brand", "price"), {"x": {"brand": "", "price": 0.0}, "p": {"brand": "b"}})
    written = {"image": SimpleNamespace(tokens=["x", "unseen"])}
    assert coverage_of_items(popularity, [*events.items, "unseen"], items, written) == {
        "brand": {"items": 1 / 5, "events": 3 / 9, "missing_items": 4},  # an empty one is none
        "price": {"items": 1 / 5, "events": 3 / 9, "missing_items": 4},  # a price of 0 is one
        "image": {"items": 2 / 5, "events": 3 / 9, "missing_items": 3},
    }


def test_leaks(events):
    found = leak_checks(events)
    assert found["repeats"] == 1 and found["one_user_in"] == 1
    assert found["rows"] == {"training": 2, "validation": 1, "test": 2}
    # test targets: z of u, in no training event; p of v: in training, for w has nothing held out
    assert found["cold"] == {"training": 0.0, "validation": 0.0, "test": 0.5}
    assert found["target_in_history"] == found["future_in_history"] == found["negatives_touched"] == 0
    # u touched all four items, so nothing is left to be drawn for its three rows
    assert found["no_negative"] == 3
    # of p, one training event is after v's test row at time 4; of z there is none at any time
    assert found["counts_differ"] == 0.5
    assert found["tied"] == pytest.approx(2 / 9), "v has x and p at time 4"


def test_leaks_are_seen_where_there_are_any(events, monkeypatch):
    monkeypatch.setattr(rows, "first_of_each_pair", lambda events: events)
    assert leak_checks(events)["target_in_history"] == 1
    monkeypatch.undo()
    monkeypatch.setattr(checks.NegativeSampler, "draw", lambda self, positive, **rest: positive[:, None])
    assert leak_checks(events)["negatives_touched"] == 2
    monkeypatch.undo()
    sort_events = rows.sort_events

    def backwards(*columns, **keys):
        ordered = sort_events(*columns, **keys)
        return rows.Events(ordered.user, ordered.item, -ordered.time)

    monkeypatch.setattr(rows, "sort_events", backwards)
    assert leak_checks(events)["future_in_history"] > 0


def test_many_events_are_sampled_by_user(events):
    found = leak_checks(events, most_events=5)
    assert found["one_user_in"] == 2 and found["rows"]["test"] == 1


def test_histograms_double():
    edges, counts = histogram_counts(np.array([0, 1, 1, 2, 3, 4, 7, 8]))
    assert edges.tolist() == [1, 2, 4, 8] and counts.tolist() == [2, 2, 2, 1]
    text = histograms_svg([("A", "users", np.array([1, 5])), ("B", "items", np.array([], int))])
    ElementTree.fromstring(text)
    assert "4 to 7: 1 users" in text and "nan" not in text


def test_the_report_puts_ours_beside_the_published(events):
    record = {
        "dataset": "d", "counts": {"users": 39_000}, "published": {"users": 39_387}, "vectors": {},
        "coverage": {"image": {"items": 0.5, "events": 0.25}}, "skipped": {"f": "3 x odd"}, "notes": ["n"],
        "checks": leak_checks(events),
    }  # fmt: skip
    text = render(record)
    assert "39,000        39,387" in text and "50.00%        25.00%" in text
    assert "f: 3 x odd" in text and "note: n" in text and "test 50.0% of 2" in text
