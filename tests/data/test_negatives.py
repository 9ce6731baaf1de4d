import numpy as np
import pytest

from recbole_marn.data.negatives import NegativeSampler, first_seen, is_first_event
from recbole_marn.data.rows import TRAIN, first_of_each_pair, sort_events, split_leave_last
from recbole_marn.errors import InputError

N_USERS, N_ITEMS = 40, 120  # ids 1..40 and 1..119
STRATEGIES = ("uniform", "popularity", "matched")


def random_events(seed=0, n_events=700):
    """Skewed popularity; later items appear later; users touch up to a third of the items."""
    rng = np.random.default_rng(seed)
    user = rng.integers(1, N_USERS + 1, n_events)
    item = np.minimum(rng.geometric(0.03, n_events), N_ITEMS - 3)
    time = np.round(rng.random(n_events) * 50 + item / 4)
    key = np.arange(200, dtype=np.uint64)
    return first_of_each_pair(sort_events(user, item, time, user_key=key, item_key=key))


EVENTS = random_events()
TOUCHED = [set(EVENTS.item[EVENTS.user == user]) for user in range(N_USERS + 1)]
COUNT = np.bincount(EVENTS.item[split_leave_last(EVENTS) == TRAIN], minlength=N_ITEMS)
RELEASE = first_seen(EVENTS.item, EVENTS.time, N_ITEMS)


def sampler(**changes):
    arguments = {
        "n_items": N_ITEMS,
        "events": (EVENTS.user, EVENTS.item),
        "train_count": COUNT,
        "release": RELEASE,
        "matched_pool": 10,
    }
    return NegativeSampler(**(arguments | changes))


def draw(sampler, index, number=5, seed=7):
    return sampler.draw(
        user=EVENTS.user[index],
        positive=EVENTS.item[index],
        time=EVENTS.time[index],
        number=number,
        seed=seed,
    )


def eligible_by_loop(index, strategy, source, strict=True):
    user, time = EVENTS.user[index], EVENTS.time[index]
    eligible = set()
    for item in range(1, N_ITEMS):
        released = RELEASE[item] < time or (RELEASE[item] == time and not strict)
        if item in TOUCHED[user] or (source == "released" and not released):
            continue
        if strategy == "popularity" and COUNT[item] == 0:
            continue
        eligible.add(item)
    return eligible


def rows_with_enough(source, number, strict=True, strategy="uniform"):
    enough = [len(eligible_by_loop(i, strategy, source, strict)) >= number for i in range(EVENTS.n_events)]
    kept = np.array(enough)
    if source == "released" and strict:
        kept &= ~is_first_event(EVENTS)
    return np.flatnonzero(kept)


def test_first_seen_and_first_events_against_a_loop():
    for item in range(N_ITEMS):
        times = EVENTS.time[EVENTS.item == item]
        assert RELEASE[item] == (times.min() if times.size else np.inf)
    expected = [
        not any(EVENTS.time[EVENTS.item == item] < time)
        for item, time in zip(EVENTS.item, EVENTS.time, strict=True)
    ]
    np.testing.assert_array_equal(is_first_event(EVENTS), expected)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("source", ["all", "released"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_negatives_are_eligible_and_distinct(strategy, source, strict):
    index = rows_with_enough(source, 5, strict, strategy)
    assert index.size > 300
    negatives = draw(sampler(strategy=strategy, source=source, strict_release=strict), index)
    assert negatives.shape == (index.size, 5) and negatives.dtype == np.int32
    for i, row in zip(index, negatives, strict=True):
        assert len(set(row)) == 5
        assert set(row) <= eligible_by_loop(i, strategy, source, strict)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("source", ["all", "released"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_eligible_count_against_a_loop(strategy, source, strict):
    index = np.arange(0, EVENTS.n_events, 3)
    found = sampler(strategy=strategy, source=source, strict_release=strict).eligible_count(
        user=EVENTS.user[index], time=EVENTS.time[index]
    )
    assert list(found) == [len(eligible_by_loop(i, strategy, source, strict)) for i in index]


@pytest.mark.parametrize("source", ["all", "released"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_fixes_the_negatives(strategy, source):
    index = rows_with_enough(source, 3, strategy=strategy)
    one = draw(sampler(strategy=strategy, source=source), index, number=3, seed=[1, 2])
    np.testing.assert_array_equal(
        one, draw(sampler(strategy=strategy, source=source), index, number=3, seed=[1, 2])
    )
    other = draw(sampler(strategy=strategy, source=source), index, number=3, seed=[1, 3])
    assert (one != other).mean() > 0.5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rejection_and_completion_and_chunks_draw_alike(strategy, monkeypatch):
    """Frequencies of each item over many rows of one user: with rounds, without any, and with tiny chunks."""
    user = int(np.bincount(EVENTS.user).argmax())
    position = int(np.flatnonzero(EVENTS.user == user)[5])
    index = np.full(6_000, position)
    reference = np.bincount(draw(sampler(strategy=strategy), index, number=3).ravel(), minlength=N_ITEMS)
    for name, value in (("_ROUNDS", 0), ("_ROUNDS", 1), ("_DRAWS_AT_ONCE", 500)):
        with monkeypatch.context() as patch:
            patch.setattr(f"recbole_marn.data.negatives.{name}", value)
            found = np.bincount(
                draw(sampler(strategy=strategy), index, number=3, seed=8).ravel(), minlength=N_ITEMS
            )
        seen = reference + found > 0
        chi_square = ((reference - found)[seen] ** 2 / (reference + found)[seen]).sum()
        n_free = np.count_nonzero(seen) - 1
        assert n_free > 5 and chi_square < n_free + 5 * np.sqrt(2 * n_free)


def chi_square_of_single_draws(weight, **arguments):
    """Draws of one negative for one row, against weights of the row's eligible items."""
    index = np.full(30_000, int(np.flatnonzero(~is_first_event(EVENTS) & (EVENTS.time > 40))[0]))
    drawn = draw(sampler(**arguments), index, number=1)
    eligible = eligible_by_loop(index[0], arguments["strategy"], arguments.get("source", "all"))
    expected = np.array([weight[item] if item in eligible else 0.0 for item in range(N_ITEMS)])
    expected *= len(index) / expected.sum()
    found = np.bincount(drawn.ravel(), minlength=N_ITEMS)
    assert (found[expected == 0] == 0).all()
    kept = expected > 0
    n_free = np.count_nonzero(kept) - 1
    return (((found - expected)[kept] ** 2 / expected[kept]).sum() - n_free) / np.sqrt(2 * n_free)


@pytest.mark.parametrize("source", ["all", "released"])
def test_uniform_negatives_are_uniform(source):
    assert abs(chi_square_of_single_draws(np.ones(N_ITEMS), strategy="uniform", source=source)) < 5


@pytest.mark.parametrize("source", ["all", "released"])
def test_popularity_negatives_follow_the_training_count(source):
    assert abs(chi_square_of_single_draws(COUNT, strategy="popularity", source=source)) < 5
    assert chi_square_of_single_draws(np.sqrt(COUNT), strategy="popularity", source=source) > 50


def test_several_uniform_negatives_leave_no_item_behind():
    # Without replacement, every eligible item is in a row's set equally often.
    index = np.full(4_000, 10)
    eligible = sorted(eligible_by_loop(10, "uniform", "all"))
    number = len(eligible) // 2
    found = np.bincount(draw(sampler(), index, number=number).ravel(), minlength=N_ITEMS)[eligible]
    rate = number / len(eligible)
    assert np.abs(found - 4_000 * rate).max() < 5 * np.sqrt(4_000 * rate * (1 - rate))


def test_all_eligible_items_can_be_asked_for():
    for strategy in STRATEGIES:
        eligible = eligible_by_loop(10, strategy, "all")
        negatives = draw(sampler(strategy=strategy), np.array([10, 10]), number=len(eligible))
        assert set(negatives[0]) == set(negatives[1]) == eligible


@pytest.mark.parametrize("source", ["all", "released"])
def test_matched_negatives_have_about_the_positives_count(source):
    index = rows_with_enough(source, 5)
    positive = COUNT[EVENTS.item[index]][:, None]
    distance = {
        strategy: np.abs(COUNT[draw(sampler(strategy=strategy, source=source), index)] - positive).mean()
        for strategy in STRATEGIES
    }
    assert distance["matched"] < 0.35 * min(distance["uniform"], distance["popularity"])


def test_matched_negatives_are_exactly_level_where_the_level_is_large():
    # Sixty items of count 2 and fifty of count 8, a pool of ten: no window needs widening.
    count = np.array([0] + [2] * 60 + [8] * 50)
    user, item = np.array([1, 1, 2, 2]), np.array([1, 61, 2, 62])
    matched = NegativeSampler(
        n_items=111, events=(user, item), train_count=count, strategy="matched", matched_pool=10
    )
    negatives = matched.draw(user=user, positive=item, time=np.zeros(4), number=20, seed=0)
    np.testing.assert_array_equal(count[negatives], np.repeat(count[item], 20).reshape(4, 20))


def test_a_matched_level_that_the_user_has_used_up_is_doubled():
    # Counts 1..40. The user touched 15..25, so within ten of the positive, 20, little is left.
    count = np.arange(41)
    item = np.arange(15, 26)
    matched = NegativeSampler(
        n_items=41, events=(np.ones(11), item), train_count=count, strategy="matched", matched_pool=10
    )
    row = {"user": [1], "positive": [20], "time": [0.0]}
    # Windows: 15..25 (none left), 10..30 (ten left), 1..40.
    assert set(matched.draw(**row, number=10, seed=0)[0]) == set(range(10, 15)) | set(range(26, 31))
    assert set(matched.draw(**row, number=29, seed=0)[0]) == set(range(1, 41)) - set(item)
    for seed in range(20):
        assert set(matched.draw(**row, number=4, seed=seed)[0]) <= set(range(10, 15)) | set(range(26, 31))


def test_a_doubled_level_does_not_favour_what_is_left_of_the_narrow_one():
    # The narrow level, 15..25, has only 15 left; the doubled one 10..15 and 26..30, two of which are drawn.
    touched, n_rows = np.arange(16, 26), 4_000
    matched = NegativeSampler(
        n_items=41,
        events=(np.ones(10), touched),
        train_count=np.arange(41),
        strategy="matched",
        matched_pool=10,
    )
    user, positive, time = np.ones(n_rows), np.full(n_rows, 20), np.zeros(n_rows)
    drawn = matched.draw(user=user, positive=positive, time=time, number=2, seed=0)
    found = np.bincount(drawn.ravel(), minlength=41)[np.r_[10:16, 26:31]]
    assert found.sum() == 2 * n_rows
    rate = 2 / 11
    assert np.abs(found - n_rows * rate).max() < 5 * np.sqrt(n_rows * rate * (1 - rate))


def test_negatives_of_no_rows():
    empty = np.array([], dtype=np.int64)
    assert sampler().draw(user=empty, positive=empty, time=empty, number=4, seed=0).shape == (0, 4)


def test_too_few_eligible_items_are_refused_with_a_way_out():
    few = NegativeSampler(n_items=6, events=([1, 1, 2], [1, 2, 3]), train_count=np.array([0, 1, 1, 1, 0, 0]))
    row = {"user": [2, 1], "positive": [3, 2], "time": [0.0, 0.0], "seed": 0}
    assert set(few.draw(**row, number=3)[1]) == {3, 4, 5}
    with pytest.raises(InputError) as caught:
        few.draw(**row, number=4)
    assert str(caught.value) == (
        "Expected at least 4 items to draw negatives from for every row (strategy 'uniform', source 'all')."
        " Got 3 for some users: 1 of 2 rows have too few."
        " Ask for fewer negatives (eval_negatives, train_negatives), or remove users who touched nearly every item."
    )


def test_too_few_popular_items_are_refused_with_another_strategy():
    popular = NegativeSampler(
        n_items=6,
        events=([1, 1, 2], [1, 2, 3]),
        train_count=np.array([0, 1, 1, 1, 0, 0]),
        strategy="popularity",
    )
    row = {"user": [1], "positive": [2], "time": [0.0], "seed": 0}
    assert popular.draw(**row, number=1).tolist() == [[3]]
    with pytest.raises(InputError, match="at least 2 items.*Got 1 for some users.*use strategy 'uniform' or"):
        popular.draw(**row, number=2)


def test_too_few_released_items_are_refused_with_another_source():
    events = ([1, 1, 2], [1, 2, 3])
    released = NegativeSampler(
        n_items=5,
        events=events,
        train_count=np.ones(5, dtype=int),
        release=np.array([0.0, 0, 1, 2, 9]),
        source="released",
    )
    row = {"user": [1], "positive": [2], "seed": 0}
    assert released.draw(**row, time=[3.0], number=1).tolist() == [[3]]
    with pytest.raises(InputError, match="source 'released'.*Got 0 for some users.*from source 'all', or leave"):
        released.draw(**row, time=[1.5], number=1)


@pytest.mark.parametrize("strict", [True, False])
def test_a_positive_that_was_not_released_itself_is_refused(strict):
    chosen = sampler(source="released", strict_release=strict)
    first = int(np.flatnonzero(is_first_event(EVENTS) & (EVENTS.time > 20))[0])
    row = {"user": EVENTS.user[[first]], "positive": EVENTS.item[[first]], "number": 1, "seed": 0}
    early = {**row, "time": EVENTS.time[[first]] - (0 if strict else 1)}
    with pytest.raises(InputError, match="rows where it is not.*Drop these rows"):
        chosen.draw(**early)
    late = {**row, "time": EVENTS.time[[first]] + (1 if strict else 0)}
    assert chosen.draw(**late).shape == (1, 1)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_positive_that_is_no_event_of_its_user_is_refused(strategy):
    user = EVENTS.user[0]
    foreign = next(item for item in range(1, N_ITEMS) if item not in TOUCHED[user] and COUNT[item] > 0)
    with pytest.raises(InputError, match=f"first item {foreign} of user {user}"):
        sampler(strategy=strategy).draw(user=[user], positive=[foreign], time=[0.0], number=1, seed=0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"strategy": "popular"}, "strategy among uniform, popularity, matched. Got 'popular'"),
        ({"source": "release"}, "source among all, released. Got 'release'"),
        ({"train_count": COUNT[1:]}, r"shape \(120,\). Got shape \(119,\)"),
        ({"events": ([1], [0])}, "item ids from 1 to 119. Got ids from 0 to 0"),
        ({"events": ([1], [120])}, "Got ids from 120 to 120"),
        ({"source": "released", "release": None}, "infer them with first_seen"),
        ({"source": "released", "release": np.full(N_ITEMS, np.nan)}, "Got 119 of 119 missing"),
        ({"strategy": "popularity", "train_count": np.zeros(N_ITEMS)}, "none for strategy 'popularity'"),
        ({"matched_pool": 0}, "matched_pool of 1 or more"),
    ],
)
def test_unusable_arguments_are_refused(changes, text):
    with pytest.raises(InputError, match=text):
        sampler(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"time": [0.0]}, r"\(2,\), \(2,\) and \(1,\)"),
        ({"number": 0}, "number 0"),
        ({"positive": [0, 1]}, "from 0"),
    ],
)
def test_unusable_rows_are_refused(changes, text):
    row = {
        "user": EVENTS.user[:2],
        "positive": EVENTS.item[:2],
        "time": EVENTS.time[:2],
        "number": 1,
        "seed": 0,
    }
    with pytest.raises(InputError, match=text):
        sampler().draw(**(row | changes))
