"""Bins are fitted on what training rows saw, and padding, unknown words and missing values stay what they are."""

from pathlib import Path

import numpy as np
import pytest

from recbole_marn.data.item_features import TRAIN_INTERACTIONS, ItemFeatures, MovingStatistics
from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.data.rows import Events, Rows
from recbole_marn.data.statistics import EqualFrequencyBins, InteractionCounts
from recbole_marn.settings.data import BehaviourSettings, IdModality, StatisticModality, TextModality

N_ITEMS = 8


class Columns:
    """Item columns by hand; item 0 is the padding, and 6 and 7 have no training event."""

    n_items, id_field = N_ITEMS, "item_id"

    def __init__(self, folder=Path(), words=None, vocabulary=()):
        self.folder = folder
        self._words = words
        self._vocabulary = {word: index for index, word in enumerate(("[PAD]", *vocabulary))}

    def fields(self):
        return ["item_id", "price", "title", "category"]

    def codes(self, field):
        return (np.arange(N_ITEMS)[:, None], N_ITEMS) if field == "item_id" else (np.arange(N_ITEMS)[:, None] % 3, 3)

    def numbers(self, field):
        return np.array([50.0, 1, 2, 3, 4, np.nan, 900, 1000])  # a number at the padding too, as a mean fills it

    def words(self, field):
        return self._words, self._vocabulary

    def vectors(self, field):
        raise NotImplementedError

    def token_id(self):
        return {}


def training():
    """User 1 clicks items 1, 2, .., 5 an hour apart; user 2 the same backwards, days later."""
    item = np.array([1, 2, 3, 4, 5, 5, 4, 3, 2, 1])
    time = np.concatenate([np.arange(5) * 3600.0, 10 * 86_400 + np.arange(5) * 60.0])
    events = Events(np.repeat([1, 2], 5), item, time)
    position = np.array([1, 2, 3, 4, 6, 7, 8, 9])
    start = np.array([0, 0, 0, 0, 5, 5, 5, 5])
    rows = LabelledRows(events, Rows(position, start, position - start), np.full((8, 1), 6))
    return rows, InteractionCounts(item=item, time=time, n_items=N_ITEMS)


def build(modality, columns=None, behaviour=BehaviourSettings()):  # noqa: B008 (frozen)
    rows, counts = training()
    moving = MovingStatistics({TRAIN_INTERACTIONS: counts}, counts.snapshot())
    return ItemFeatures.build(columns or Columns(), {"it": modality}, behaviour, rows, moving), rows, counts


def test_count_bins_are_fitted_on_counts_as_of_the_row():
    """At the end of training items 1 to 5 have 2 events each; at their rows positives had 0 or 1, negatives 0."""
    found, rows, counts = build(StatisticModality(fields=["train_interactions"], bins=[4]))
    seen = rows.columns(np.arange(rows.n_rows))
    expected = EqualFrequencyBins.fit(counts.as_of(seen["item"], seen["time"]), bins=[4])
    np.testing.assert_equal(found.at_time.statistics[0][1].edges, expected.edges)
    assert found.at_time.statistics[0][1].edges[0].max() == 1, "no row saw a count of 2"


def test_bins_of_a_number_are_fitted_on_items_with_training_events():
    found, _, _ = build(StatisticModality(fields=["price"], bins=[4]))
    codes = found.table.statistic[:, 0]
    assert codes[1:5].tolist() == [1, 2, 3, 4], "the four prices of trained items fill the four bins"
    assert codes[6] == codes[7] == 4, "prices never trained on lie in the last one"
    assert codes[5] == 0, "missing"


def test_the_padding_has_nothing():
    found, _, _ = build(StatisticModality(fields=["price"], bins=[4]))
    assert found.table.statistic[0, 0] == 0 and not found.table.present[0].any()
    words = np.array([[1, 2], *[[1, 0]] * 7])  # as if the padding had a title
    found, _, _ = build(TextModality(field="title"), Columns(words=words, vocabulary=("a", "b")))
    assert found.table.present[:, 0].tolist() == [False] + [True] * 7


@pytest.mark.parametrize(("most", "kept"), [(1, 1), (2, 2), (9, 3)])
def test_titles_are_cut_to_max_words(most, kept):
    words = np.zeros((N_ITEMS, 5), dtype=np.int64)
    words[1, :3] = [1, 2, 3]
    words[2, :1] = 2
    found, _, _ = build(TextModality(field="title", max_words=most), Columns(words=words, vocabulary=("a", "b", "c")))
    np.testing.assert_array_equal(found.table.modalities["it"].words, words[:, :kept])


def test_words_without_a_vector_have_zeros(tmp_path):
    np.save(tmp_path / "words.npy", np.array([[1, 2], [3, 4]], np.float32))
    (tmp_path / "words.ids").write_text("a\nc\n")
    words = np.zeros((N_ITEMS, 3), dtype=np.int64)
    words[1] = [1, 2, 3]
    columns = Columns(tmp_path, words, ("a", "b", "c"))
    found, _, _ = build(TextModality(field="title", word_vectors="words.npy"), columns)
    vectors = found.table.modalities["it"].word_vectors
    np.testing.assert_array_equal(vectors, [[0, 0], [1, 2], [0, 0], [3, 4]])


def test_gaps_are_the_time_from_a_behaviour_to_the_row():
    found, rows, _ = build(
        StatisticModality(fields=["price"], bins=[4]), behaviour=BehaviourSettings(time="timestamp", bins=[3])
    )
    gaps = [
        rows.events.time[p] - rows.events.time[e]
        for p, start, length in zip(rows.rows.position, rows.rows.history_start, rows.rows.history_length, strict=True)
        for e in range(start, start + length)
    ]
    assert sorted(set(gaps)) == [60, 120, 180, 240, 3600, 7200, 10_800, 14_400]
    np.testing.assert_equal(found.gap.bins.edges, EqualFrequencyBins.fit(np.array(gaps), bins=[3]).edges)
    batch = found.seen_by(rows, training=True).ragged(
        np.array([4]), static=found.table.statistic
    )  # row 3 of user 1
    assert batch.gap[:, 0].tolist() == found.gap.codes(np.array([10_800.0, 7200, 3600]))[:, 0].tolist()


def test_training_rows_see_statistics_of_their_time_and_evaluation_rows_the_snapshot():
    found, rows, _ = build(StatisticModality(fields=["train_interactions"], bins=[4]))
    assert found.seen_by(rows, training=True).at_time is found.at_time
    assert found.seen_by(rows, training=False).at_time is None


def test_rare_items_share_a_code_by_their_count_in_training():
    rows, counts = training()
    moving = MovingStatistics({}, np.array([9, 2, 1, 5, 2, 0, 7, 3]))
    modality = IdModality({"category": 2, "item_id": 4})

    def table(least):
        features = ItemFeatures.build(Columns(), {"it": modality}, BehaviourSettings(), rows, moving, least)
        return features.table.modalities["it"]

    of_all, of_frequent = table(None), table(3)
    assert of_all.shared is None and of_all.codes[:, 1].tolist() == list(range(N_ITEMS))
    assert of_frequent.codes[:, 1].tolist() == [0, 1, 1, 2, 1, 1, 3, 4]
    assert of_frequent.cardinalities == (3, 5) and of_frequent.shared == 1
    assert of_frequent.codes[:, 0].tolist() == of_all.codes[:, 0].tolist()
    assert table(1).codes[:, 1].tolist() == [0, 2, 3, 4, 5, 1, 6, 7], "an item of the catalogue alone is a rare one"
