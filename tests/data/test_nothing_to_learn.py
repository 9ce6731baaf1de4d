"""Items released over time, every choice uniform among those released: their counts tell nothing."""

import numpy as np
import pytest

from recbole_marn.data.negatives import NegativeSampler, first_seen, is_first_event
from recbole_marn.data.rows import TEST, TRAIN, VALID, Events, rows_of_part, split_leave_last
from recbole_marn.data.statistics import InteractionCounts


@pytest.fixture(scope="module")
def indifferent():
    """Events without any preference, about six an item; their part, and the true release times."""
    rng = np.random.default_rng(11)
    n_users, n_items, size = 700, 1001, 9
    release = np.sort(np.maximum(rng.uniform(-0.3, 1.0, n_items), 0.0))
    user = np.repeat(np.arange(1, n_users + 1), size)
    time = rng.random((n_users, size))
    time.sort(axis=1)
    time = time * 0.9 + 0.1
    item = np.empty((n_users, size), dtype=np.int64)
    for i in range(n_users):
        for j in range(size):
            free = np.setdiff1d(np.flatnonzero(release[1:] <= time[i, j]) + 1, item[i, :j])
            item[i, j] = rng.choice(free)
    events = Events(user=user, item=item.ravel(), time=time.ravel())
    return events, split_leave_last(events), release


def count_only_auc(
    indifferent,
    which,
    *,
    inferred=False,
    source="released",
    strategy="uniform",
    counted=False,
    drop=True,
    snapshot=False,
):
    """AUC and its standard error, over rows, of a scorer that knows an item's training count only."""
    events, part, release = indifferent
    n_items, training = len(release), part == TRAIN
    counts = InteractionCounts(item=events.item[training], time=events.time[training], n_items=n_items)
    position = rows_of_part(events, part, which, max_history=20).position
    if inferred:
        release = first_seen(events.item, events.time, n_items)
        if drop:
            position = position[~is_first_event(events)[position]]
    sampler = NegativeSampler(
        n_items=n_items,
        events=(events.user, events.item),
        train_count=counts.snapshot(),
        release=release,
        source=source,
        strategy=strategy,
        matched_pool=12,
        strict_release=inferred and drop,
    )
    enough = sampler.eligible_count(user=events.user[position], time=events.time[position]) >= 10
    position = position[enough]
    user, positive, time = events.user[position], events.item[position], events.time[position]
    negative = sampler.draw(user=user, positive=positive, time=time, number=10, seed=3, counted=counted)
    if snapshot:
        score, rival = counts.snapshot()[positive], counts.snapshot()[negative]
    else:
        score, rival = counts.as_of(positive, time), counts.as_of(negative, time[:, None])
    won = ((score[:, None] > rival) + 0.5 * (score[:, None] == rival)).mean(axis=1)
    return won.mean(), won.std() / np.sqrt(len(won))


@pytest.mark.parametrize("which", [TRAIN, VALID, TEST])
@pytest.mark.parametrize("inferred", [False, True])
def test_counts_at_the_rows_time_tell_nothing_where_there_is_nothing_to_learn(indifferent, inferred, which):
    auc, error = count_only_auc(indifferent, which, inferred=inferred)
    assert error < 0.015
    assert abs(auc - 0.5) < 4 * error


@pytest.mark.parametrize("which", [TRAIN, VALID, TEST])
@pytest.mark.parametrize("inferred", [False, True])
def test_counts_tell_nothing_against_negatives_of_the_same_count_either(indifferent, inferred, which):
    auc, error = count_only_auc(
        indifferent, which, inferred=inferred, strategy="matched", counted=which == TRAIN
    )
    assert abs(auc - 0.5) < 4 * error


def test_the_indifferent_world_shows_the_leaks_it_is_meant_to_show(indifferent):
    leaks = {
        "items of the future as negatives": {"source": "all"},
        "a row's own event in its count": {"snapshot": True},
        "an item's first event with its release inferred": {"inferred": True, "drop": False},
        "a row's own event in the level it is matched on": {"strategy": "matched"},
    }
    for leak, arguments in leaks.items():
        auc, error = count_only_auc(indifferent, TRAIN, **arguments)
        assert abs(auc - 0.5) > 10 * error, leak
