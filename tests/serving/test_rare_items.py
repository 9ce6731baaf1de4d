"""With `id_min_count` items that training hardly saw share one embedding of their id, and so do those it never saw."""

import collections

import numpy as np
import pytest
import tiny

from recbole_marn.quick_start import build_config
from recbole_marn.training.identity import run_name

LEAST = 4


@pytest.fixture(scope="module")
def shop(serve):
    return serve("MARN", id_min_count=LEAST, modalities={"ids": {"kind": "id", "fields": {"item_id": 4}}})


def test_the_count_is_that_of_training(shop):
    """By hand: an event of a user's last two, or of their last one of three, counts for nothing."""
    by_user = collections.defaultdict(list)
    for user, item, time, _ in shop.events:
        by_user[user].append((time, item))
    count = collections.Counter()
    for seen in by_user.values():
        held_out = {1: 0, 2: 0, 3: 1}.get(len(seen), 2)
        count.update(item for _, item in sorted(seen)[: len(seen) - held_out])
    part = shop.run.train.part
    tokens, table = part.field2id_token["item_id"], part.item_table.modalities["ids"]
    often = [token for token in tokens[1:] if count[token] >= LEAST]
    assert 3 < len(often) < len(tokens) - 4
    assert table.cardinalities == (2 + len(often),)
    assert [int(table.codes[row, 0]) > 1 for row in range(1, len(tokens))] == [t in often for t in tokens[1:]]
    assert shop.run.model.encoder.encoders["ids"].tables[0].weight.shape == (2 + len(often), 4)


def test_scores_from_the_checkpoint_are_those_of_the_run(shop):
    np.testing.assert_allclose(shop.scorer().score(shop.rows, shop.histories), shop.expected, rtol=0, atol=1e-6)


def test_a_new_item_is_a_rare_one(shop):
    scorer, table = shop.scorer(), shop.run.train.part.item_table.modalities["ids"]
    rare = np.flatnonzero(table.codes[:, 0] == 1)[:2] - 1
    vectors = scorer.item_vectors()
    np.testing.assert_array_equal(vectors[rare[0]], vectors[rare[1]])
    scorer.add_items({"item_id": ["never seen", scorer.items[0]]})
    np.testing.assert_allclose(scorer.item_vectors(["never seen"])[0], vectors[rare[0]], atol=1e-6)
    np.testing.assert_allclose(scorer.item_vectors([scorer.items[0]])[0], vectors[0], atol=1e-6)


@pytest.mark.parametrize(
    ("added", "changes"), [({"id_min_count": 2}, True), ({"lazy_adam": True}, True), ({"columnar_from_mb": 0}, False)]
)
def test_runs_of_old_keep_their_names(data_path, added, changes):
    """The name is of the settings that were there before, as long as the new ones change nothing."""
    config = build_config(config_dict=tiny.settings(data_path))
    off = {"id_min_count": None, "lazy_adam": False}
    assert run_name(config) == run_name(build_config(config_dict=tiny.settings(data_path, **off)))
    assert (run_name(build_config(config_dict=tiny.settings(data_path, **added))) != run_name(config)) == changes
    without = build_config(config_dict=tiny.settings(data_path))
    for key in off:
        without.final_config_dict.pop(key)
    assert run_name(without) == run_name(config)
