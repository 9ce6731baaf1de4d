"""amazon-clothing-synthetic-log: byte for byte what is committed, and true to its own truth."""

import collections
import json
import math
from pathlib import Path

import numpy as np
import pytest
from prepare.raw_files import atomic, vectors

from recbole_marn.evaluation.bootstrap import bootstrap_over_clusters
from recbole_marn.files import sha256
from recbole_marn.prepare.datasets import synthetic_log, synthetic_log_truth
from recbole_marn.prepare.datasets import synthetic_log_world as made
from recbole_marn.prepare.datasets.synthetic_words import TITLE_WORDS
from recbole_marn.prepare.log_files import write_log
from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options

pytestmark = pytest.mark.thorough

NAME = synthetic_log.NAME
COMMITTED = Path(__file__).parents[2] / "dataset_atomic" / NAME
SMALL = made.Sizes(users=40, items=120, requests=150)


@pytest.fixture(scope="module")
def truth():
    return json.loads((COMMITTED / f"{NAME}.truth.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def probability():
    return np.load(COMMITTED / f"{NAME}.truth.npy", allow_pickle=False).astype(float)


@pytest.fixture(scope="module")
def exposures():
    return atomic(COMMITTED / f"{NAME}.inter")[1]


@pytest.fixture(scope="module")
def label(exposures):
    return np.array([int(row["label"]) for row in exposures])


@pytest.fixture(scope="module")
def behaviours():
    return atomic(COMMITTED / f"{NAME}.behaviours")[1]


@pytest.fixture(scope="module")
def world():
    """As `synthetic_log.make` draws it."""
    draw = np.random.RandomState(synthetic_log.SEED)
    world = made.World(draw, made.Sizes())
    log = made.make_log(world, draw, made.Sizes().requests)
    return world, log, made.make_behaviours(world, log, draw)


def day(row):
    return (int(row["timestamp"]) - made.START) // made.DAY


def test_it_is_made_again_byte_for_byte(tmp_path):
    prepare(NAME, tmp_path / "raw", tmp_path)
    again = tmp_path / NAME
    assert {path.name for path in again.iterdir()} == {path.name for path in COMMITTED.iterdir()}
    for path in again.iterdir():
        assert path.read_bytes() == (COMMITTED / path.name).read_bytes(), path.name


def test_it_can_be_made_smaller(tmp_path):
    for folder in ("once", "twice"):
        write_log(synthetic_log.make(SMALL), "small", tmp_path / folder, Options(), overwrite=False, made_by={})
    for path in (tmp_path / "once/small").iterdir():
        assert path.read_bytes() == (tmp_path / "twice/small" / path.name).read_bytes(), path.name
    _, rows = atomic(tmp_path / "once/small/small.inter")
    assert len(rows) == 10 * SMALL.requests == len(np.load(tmp_path / "once/small" / f"{NAME}.truth.npy"))


def test_no_committed_file_was_changed_by_hand():
    record = json.loads((COMMITTED / f"{NAME}.prepare.json").read_text("utf-8"))
    hashes = {path.name: sha256(path) for path in COMMITTED.iterdir() if not path.name.endswith(".prepare.json")}
    assert hashes == {entry["name"]: entry["sha256"] for entry in record["files"]}
    assert any("SYNTHETIC" in note for note in record["notes"]) and "versions" not in record
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) < 9_000_000


def test_requests_show_ten_items_to_one_user_at_one_time(exposures):
    assert len(exposures) % 10 == 0
    for start in range(0, len(exposures), 10):
        shown = exposures[start : start + 10]
        for field in ("request_id", "user_id", "timestamp", "device", "hour"):
            assert len({row[field] for row in shown}) == 1, field
        assert len({row["item_id"] for row in shown}) == 10
        assert [row["position"] for row in shown] == [str(place) for place in range(1, 11)]
        assert int(shown[0]["hour"]) == int(shown[0]["timestamp"]) % made.DAY // 10_800 * 3
    assert len({row["request_id"] for row in exposures}) == len(exposures) / 10
    times = [int(row["timestamp"]) for row in exposures]
    assert times == sorted(times) and {day(row) for row in exposures} == set(range(made.DAYS))


def test_one_exposure_in_twenty_five_is_clicked_as_often_as_it_is_likely(label, probability):
    """Observed clicks within three standard errors of the sum of their probabilities, overall and by tenth."""
    assert 0.038 < label.mean() < 0.042
    order = np.argsort(probability)
    for rows in (order, *np.array_split(order, 10)):
        spread = math.sqrt((probability[rows] * (1 - probability[rows])).sum())
        assert abs(label[rows].sum() - probability[rows].sum()) < 3 * spread


def test_every_day_has_the_clicks_it_is_expected_to_have(exposures, label, probability):
    """Systematic sampling: at most one off; and it says nothing of which rows, in requests or out of them."""
    days = np.array([day(row) for row in exposures])
    for number in range(made.DAYS):
        of = days == number
        assert abs(label[of].sum() - probability[of].sum()) < 1
    clicks = label.reshape(-1, 10).sum(1)
    expected = probability.reshape(-1, 10)
    spread = (expected * (1 - expected)).sum(1)
    assert np.mean((clicks - expected.sum(1)) ** 2 / spread) == pytest.approx(1, abs=0.06), "as drawn one by one"


def test_the_probabilities_follow_from_the_files(truth, exposures, probability):
    """Row by row, from the tokens in the files and the effects in the truth file; city and price are not asked."""
    users = {row["user_id"]: row for row in atomic(COMMITTED / f"{NAME}.user")[1]}
    items = {row["item_id"]: row for row in atomic(COMMITTED / f"{NAME}.item")[1]}
    photos = vectors(COMMITTED)
    taste = {user: int(sign) for sign, users in truth["taste"].items() for user in users.split()}
    eager = set(truth["eager"].split())
    effect = truth["log_odds"]
    for number in range(0, len(exposures), 7):
        row = exposures[number]
        user, item = row["user_id"], items[row["item_id"]]
        age, photo = users[user]["age"], effect["photo"]
        z = effect["base"] + effect["position"][row["position"]] + effect["device"][row["device"]]
        z += 0.75 * math.cos(2 * math.pi * (int(row["hour"]) - 21) / 24)
        z += effect["profile"][age]
        z += effect["profile"]["liked" if item["category"] in truth["likes"][age].split() else "not liked"]
        if row["item_id"] in photos:
            z += (photo["style"] + photo["taste x style"] * taste[user]) * truth["style"][row["item_id"]]
        else:
            z += photo["no photo"]
        z += effect["title"]["a degree of its first word"] * (TITLE_WORDS[0].index(item["title"].split()[0]) - 3)
        z += effect["eagerness"]["eager" if user in eager else "not eager"]
        assert probability[number] == pytest.approx(1 / (1 + math.exp(-z)), rel=2e-3), row


def test_the_ceiling_is_what_a_slow_count_of_pairs_gives(truth, exposures, label, probability):
    for part, days in (("valid", 6), ("test", 7)):
        of = np.array([day(row) == days for row in exposures])
        clicked, other = probability[of & (label == 1)], probability[of & (label == 0)]
        wins = sum((other < p).sum() + 0.5 * (other == p).sum() for p in clicked)
        assert truth["parts"][part]["auc"] == round(wins / (len(clicked) * len(other)), 4)
        loss = -sum(math.log(p) for p in clicked) - sum(math.log(1 - p) for p in other)
        assert truth["parts"][part]["log_loss"] == pytest.approx(loss / of.sum(), abs=1e-5)
    assert all(0.84 < part["auc"] < 0.87 for part in truth["parts"].values())


def test_behaviours_are_the_clicks_of_the_log_and_more_in_the_order_of_time(exposures, behaviours):
    times = [int(row["timestamp"]) for row in behaviours]
    assert times == sorted(times) and times[-1] < made.START + made.DAYS * made.DAY
    assert times[0] >= made.START - made.BEFORE * made.DAY
    kinds = collections.Counter(row["behavior_type"] for row in behaviours)
    assert kinds["click"] > kinds["cart"] > kinds["purchase"] > 0.05 * len(behaviours)

    seen = collections.defaultdict(list)
    for row in behaviours:
        seen[row["user_id"], row["item_id"], row["behavior_type"]].append(int(row["timestamp"]))
    for (user, item, kind), moments in seen.items():
        for before in {"click": (), "cart": ("click",), "purchase": ("click", "cart")}[kind]:
            assert min(seen[user, item, before]) < min(moments), "a cart follows a click, a purchase a cart"
    for row in exposures:
        if row["label"] == "1":
            assert int(row["timestamp"]) in seen[row["user_id"], row["item_id"], "click"]


def test_no_history_has_a_click_of_its_own_request(exposures, behaviours):
    """At the very time of a request its user did nothing but click what it shows; so strictly before is clean."""
    at = collections.defaultdict(list)
    for row in behaviours:
        at[row["user_id"], row["timestamp"]].append(row)
    clicks = collections.Counter()
    requests = {}
    for row in exposures:
        requests[row["user_id"], row["timestamp"]] = row["request_id"]
        clicks[row["user_id"], row["timestamp"]] += row["label"] == "1"
    assert len(requests) == len(exposures) / 10, "no user has two requests at one time"
    for moment in requests:
        assert len(at[moment]) == clicks[moment] and all(row["behavior_type"] == "click" for row in at[moment])


def test_some_items_are_new_on_the_test_day_and_some_have_no_photo(truth, exposures, behaviours):
    new = set(truth["new_on_the_test_day"].split())
    assert len(new) > 20 and {row["item_id"] for row in exposures if day(row) == 7} >= new
    assert not new & {row["item_id"] for row in exposures if day(row) < 7}
    assert not new & {row["item_id"] for row in behaviours if day(row) < 7}
    shown = collections.Counter(row["item_id"] for row in exposures)
    assert 0.88 < len(vectors(COMMITTED)) / len(shown) < 0.96
    assert np.percentile(list(shown.values()), 25) < 130, "many items are shown rarely"


@pytest.mark.parametrize("part", ["position", "context", "profile", "photo", "eagerness"])
def test_each_part_matters_on_the_test_day(part, world):
    """AUC of the true probabilities without it, by user: the interval of what is lost excludes zero."""
    parts, log = made.log_odds(world[0], world[1]), world[1]
    parts["context"] = parts.pop("device") + parts.pop("hour")
    z = sum(parts.values())
    lost = _lost(log, z, z - parts[part])
    assert lost[0] > 0.01 and lost[1] > 0


def test_the_type_of_a_behaviour_matters_on_the_test_day(world, truth):
    typed, untyped = (synthetic_log_truth.expected(*world, typed=typed) for typed in (True, False))
    lost = _lost(world[1], typed, untyped)
    assert lost[0] > 0.003 and lost[1] > 0
    observer = truth["observer"]
    assert observer["with the types of behaviours"]["lost"]["test"] < 0.005, "carts tell nearly the whole taste"
    assert observer["without a history"]["lost"]["test"] > 0.02, "which nothing else does"


def _lost(log, better, worse):
    """Estimate and low end of the AUC of the test day that is lost."""
    of = log.of_part("test")
    scores = np.stack([better[of], worse[of]])
    found = bootstrap_over_clusters(log.user[of], log.label[of], scores, "AUC", resamples=400)
    return found.difference(0, 1)


def test_who_knows_all_but_the_tastes_reckons_as_bayes_in_a_slow_loop():
    draw = np.random.RandomState(5)
    world = made.World(draw, SMALL)
    log = made.make_log(world, draw, SMALL.requests)
    behaviours = made.make_behaviours(world, log, draw)
    shares = world.chosen_elsewhere()
    kinds = ((0, 0), (0, 1), (1, 0), (1, 1))
    given = [made.sigmoid(made.BASE + sum(made.log_odds(world, log, *kind).values())) for kind in kinds]
    for typed in (True, False):
        found = synthetic_log_truth.expected(world, log, behaviours, typed=typed)
        for row in range(0, len(log.user), 37):
            weights = []
            for number, (taste, eager) in enumerate(kinds):
                weight = 1.0
                for user, item, time, carted in behaviours.elsewhere.tolist():
                    if user == log.user[row] and time < log.time[row]:
                        rate = made.CARTS[eager]
                        own, other = (rate, 0.03) if carted else (1 - rate, 0.97)
                        own, other = (own, other) if typed else (1, 1)
                        weight *= 0.5 * shares[taste, item] * own + 0.5 * shares[1 - taste, item] * other
                for other in np.flatnonzero((log.user == log.user[row]) & (log.time < log.time[row])):
                    weight *= given[number][other] if log.label[other] else 1 - given[number][other]
                weights.append(weight)
            expected = sum(w * p[row] for w, p in zip(weights, given, strict=True)) / sum(weights)
            assert found[row] == pytest.approx(expected, rel=1e-9)


def test_the_photo_shows_the_style_and_nothing_else_does(truth):
    """Linear read-out of the style: R2 near one from photos, near zero from category, appeal and price."""
    items = {row["item_id"]: row for row in atomic(COMMITTED / f"{NAME}.item")[1]}
    photos = vectors(COMMITTED)
    style = np.array([truth["style"][item] for item in photos])

    def explained(columns):
        columns = np.column_stack([np.ones(len(style)), columns])
        found, *_ = np.linalg.lstsq(columns, style, rcond=None)
        return 1 - (style - columns @ found).var() / style.var()

    category = np.array([items[item]["category"] for item in photos])
    one_hot = (category[:, None] == np.unique(category)[1:]).astype(float)
    word = np.array([TITLE_WORDS[0].index(items[item]["title"].split()[0]) for item in photos])
    assert explained(np.column_stack([np.stack(list(photos.values())).astype(float), one_hot])) > 0.9
    assert explained(np.column_stack([one_hot, word])) < 0.05
