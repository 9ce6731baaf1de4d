"""A part is a value, loaders are built in one way, and errors of RecBole's data code become messages at one place."""

import dataclasses

import numpy as np
import pytest
import torch
from token_rows import PARTS, delivered

from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.host_errors import host_errors
from recbole_marn.data.loader import build_loaders
from recbole_marn.data.part import Part
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config

from recbole.data import create_dataset, data_preparation  # isort: skip
from recbole.data.transform import construct_transform  # isort: skip


@pytest.fixture(scope="module")
def made(data_path):
    import tiny

    config = build_config(config_dict=tiny.settings(data_path))
    return config, CTRDataset(config)


def test_a_part_cannot_be_changed_from_outside(loaders):
    part = loaders["MARN"]["train"].part
    assert isinstance(part, Part)
    for name in (field.name for field in dataclasses.fields(Part)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(part, name, None)


def test_cutting_parts_does_not_change_the_data_set(made):
    _, dataset = made
    first, second = dataset.parts(), dataset.parts()
    assert first.train.split_sha256 == second.train.split_sha256 and first.train.notes == second.train.notes
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.rows.negatives, other.rows.negatives)


def test_a_sealed_data_set_has_no_test_part(made):
    config, dataset = made
    sealed = dataset.parts(sealed=True)
    assert sealed.test is None and [part.name for part in sealed[:2]] == ["train", "valid"]
    assert not [note for note in sealed.train.notes if note.startswith("test")]
    assert sealed.train.split_sha256 != dataset.parts().train.split_sha256
    assert build_loaders(config, dataset, sealed=True).test is None


def test_resampling_gives_another_part(made):
    part = made[1].parts().train
    before = part.rows.negatives.copy()
    other = part.resampled(3)
    assert other is not part and (other.rows.negatives != before).any()
    np.testing.assert_array_equal(part.rows.negatives, before)
    np.testing.assert_array_equal(part.resampled(3).rows.negatives, other.rows.negatives)
    assert other.rows.at_time is part.rows.at_time and other.rows.gap is part.rows.gap


def test_facts_are_the_sizes_of_the_record(made, data_path):
    import tiny

    events = tiny.read_events(data_path)
    parts = made[1].parts()
    for part in parts:
        assert part.facts() == {
            "users": len({user for user, _, _, _ in events}), "items": len({item for _, item, _, _ in events}),
            "catalogue": 25, "events": len(events), "rows": part.rows.n_rows,
        }  # fmt: skip


def test_recbole_and_we_build_the_same_loaders(made):
    config, dataset = made
    theirs, ours = data_preparation(config, create_dataset(config)), build_loaders(config, dataset)
    for name, one, other in zip(PARTS, theirs, ours, strict=True):
        assert type(one) is type(other) and one.part.name == other.part.name == name
        for left, right in zip(delivered(one), delivered(other), strict=True):
            assert torch.equal(left["item_id"], right["item_id"]) and torch.equal(left["label"], right["label"])


@pytest.mark.parametrize("model", ["LR", "DIN", "DIEN", "MARN"])
def test_counts_of_a_part_are_those_of_its_events(loaders, model):
    part = loaders[model]["train"].part
    chosen = part.protocol.part_of_event == 0
    assert part.item_counter == {
        item: int((part.protocol.events.item[chosen] == item).sum())
        for item in set(part.protocol.events.item[chosen].tolist())
    }
    assert sum(part.user_counter.values()) == int(chosen.sum())


# ---------------------------------------------------------------------------------------------------- single shuffling
def test_rows_can_be_shuffled_one_by_one(settings):
    from token_rows import build

    grouped, single = build(settings(train_negatives=2)), build(settings(train_negatives=2, shuffle_by="row"))
    assert grouped["train"].part.split_sha256 == single["train"].part.split_sha256

    def rows(loader, epoch=0):
        loader.set_epoch(epoch)
        return [row for batch in loader for row in zip(*(batch[field].tolist() for field in COLUMNS), strict=True)]

    COLUMNS = ("user_id", "item_id", "timestamp", "label")
    one, other = rows(grouped["train"]), rows(single["train"])
    assert sorted(one) == sorted(other) and one != other, "the same rows, in another order"
    assert rows(single["train"]) == other != rows(single["train"], epoch=1), "the order is a function of the epoch"
    together = [other[index][0] == other[index + 1][0] == other[index + 2][0] for index in range(0, len(other) - 2, 3)]
    assert np.mean(together) < 0.5, "a positive and its negatives part"
    sizes = [len(batch) for batch in single["train"]]
    assert set(sizes[:-1]) == {32} and sum(sizes) == len(other)
    for part in ("valid", "test"):
        assert [len(batch) for batch in delivered(grouped[part])] == [len(batch) for batch in delivered(single[part])]


def test_rows_of_a_batch_of_single_rows_have_their_own_histories(settings, rows):
    from token_rows import build, token_rows

    single = build(settings(shuffle_by="row"))["train"]
    assert sorted(token_rows(single, "MARN")) == sorted(rows["MARN"]["train"])


# --------------------------------------------------------------------------------------------------------- the boundary
def test_errors_of_recbole_become_messages():
    with pytest.raises(InputError, match="Got 'There is no transform named 'x'' .*Check transform."), host_errors():
        construct_transform({"transform": "x"})


def test_errors_of_ours_stay_tracebacks(made, monkeypatch):
    config, _ = made

    def broken(self):
        raise KeyError("a fault of ours")

    monkeypatch.setattr(CTRDataset, "_check_columns", broken)
    broken.__globals__["__name__"] = "recbole_marn.data.ctr_dataset"
    with pytest.raises(KeyError, match="a fault of ours"):
        CTRDataset(config)
    with pytest.raises(TypeError), host_errors():
        len(5)


def test_a_refusal_passes_as_it_is():
    with pytest.raises(InputError, match="Expected this"), host_errors():
        raise InputError("this", "that", "Do so.")
