"""Fields of items that are lists: several tags of an item, whose order says nothing."""

import functools

import numpy as np
import pytest
import tiny
import torch
from cases import prepared

from recbole_marn import load_scorer, quick_start
from recbole_marn.errors import InputError
from recbole_marn.serving.new_items import describe_items

TAGGED = tiny.MODALITIES | {"ids": {"kind": "id", "fields": {"item_id": 4, "title": 3}}}
del TAGGED["title"]
MODELS = ["MARN", "MultimodalDIN", "MultimodalDIEN", "MultimodalxDeepFM", "MMSS", "NAML", "YoutubeNet", "DUPN"]


def test_an_item_is_the_mean_of_its_tags(settings):
    """Token by token, from the file of the items."""
    parts = prepared("MARN", settings, modalities=TAGGED)
    part, encoder = parts.train.part, parts.model.encoder.encoders["ids"]
    item_id, tags = (table.weight.detach() for table in encoder.tables)
    code = part.field2token_id["title"]
    looked_up = parts.model.encoder.frozen["ids_codes"]
    raw = encoder.raw(looked_up).detach()
    for token, row in tiny.read_items(part.config["data_path"].rpartition("/")[0]).items():
        if token not in part.field2token_id["item_id"]:
            continue
        item = part.field2token_id["item_id"][token]
        words = [tags[code[word]] for word in row["title"].split()]
        mean = torch.stack(words).mean(0) if words else torch.zeros(3)
        torch.testing.assert_close(raw[item], torch.cat([item_id[item], mean]))


def test_their_order_says_nothing_and_an_item_may_have_none(settings):
    encoder = prepared("MARN", settings, modalities=TAGGED).model.encoder.encoders["ids"]
    bag = encoder.bags[1]
    assert bag > 2
    codes = torch.zeros(3, 1 + bag, dtype=torch.int64)
    codes[0, 1:3], codes[1, 2:4] = torch.tensor([1, 2]), torch.tensor([2, 1])
    first, second, none = encoder.raw(codes)
    assert torch.equal(first, second) and not none.any() and first.any()


@pytest.mark.parametrize("model", MODELS)
def test_models_learn_from_them(settings, model):
    parts = prepared(model, settings, modalities=TAGGED)
    parts.model.train()
    sum(parts.model.calculate_loss(next(iter(parts.train)))).backward()
    gradient = parts.model.encoder.encoders["ids"].tables[1].weight.grad
    gradient = gradient.to_dense() if gradient.is_sparse else gradient
    assert gradient[1:].any() and not gradient[0].any()


@pytest.mark.parametrize("model", ["LR", "FM", "DIN"])
def test_models_of_recbole_read_them(settings, model):
    parts = prepared(model, settings, modalities=TAGGED)
    assert "title" in next(iter(parts.train)).columns or "title" in parts.train.part.item_feat.columns
    parts.model.train()
    parts.model.calculate_loss(next(iter(parts.train))).backward()
    lists = [p for name, p in parts.model.named_parameters() if "token_seq_embedding" in name]
    assert any(weight.grad is not None and weight.grad.any() for weight in lists)


def test_a_checkpoint_describes_further_items_with_their_tags(tmp_path):
    tiny.write_dataset(tmp_path)
    settings = tiny.settings(tmp_path, modalities=TAGGED, checkpoint_dir=str(tmp_path / "saved"), epochs=1)
    path = quick_start.run(config_dict=settings)["checkpoint"]
    scorer, run = load_scorer(path), quick_start.load_run(path)
    tokens, rows = run.train.part.field2id_token["item_id"][1:].tolist(), tiny.read_items(tmp_path)
    tags = [rows[token]["title"].split()[::-1] for token in tokens]
    described = describe_items(tokens, {"title": tags}, {}, scorer.item_codes)
    codes = described.table.modalities["ids"].codes
    np.testing.assert_array_equal(np.sort(codes), np.sort(run.model.encoder.frozen["ids_codes"].numpy()))
    spelled = describe_items(["new"], {"title": ["red elsewhere"]}, {}, scorer.item_codes)
    assert spelled.unknown == {"title": 1} and (spelled.table.modalities["ids"].codes[1] > 0).sum() == 1


def test_a_field_without_any_value_is_named(tmp_path):
    folder = tiny.write_dataset(tmp_path)
    file = folder / "tiny.item"
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    tiny.write_table(file, lines[0], [[*line[:2], "", line[3]] for line in lines[1:]])
    modalities = {"ids": TAGGED["ids"]}
    with pytest.raises(InputError, match="a value of title of some item, for modality 'ids'. Got none"):
        prepared("MARN", functools.partial(tiny.settings, tmp_path), modalities=modalities)


@pytest.mark.parametrize(("modalities", "read"), [(TAGGED, True), (tiny.MODALITIES, False)])
def test_a_pooling_mode_that_nothing_reads_is_told(settings, modalities, read):
    """DIN pools the lists of users and items; without one the key changes no score."""
    scores = []
    for mode in ("mean", "sum"):
        given = settings("DIN", modalities=modalities, pooling_mode=mode)
        parts = quick_start.prepare_run(quick_start.build_config("DIN", tiny.NAME, config_dict=given), quiet=True)
        told = any("pooling_mode does nothing" in note for note in parts.train.part.notes)
        assert told == (mode == "sum" and not read)
        scores.append(parts.trainer.scores(parts.test)["score"])
    assert (scores[0] != scores[1]).any() == read
