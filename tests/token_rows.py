"""The rows that loaders deliver, by token, so that they can be compared between models and with the files."""

from __future__ import annotations

import collections

from recbole_marn.quick_start import build_config

from recbole.data import create_dataset, data_preparation  # isort: skip

__all__ = ["MODELS", "PARTS", "Row", "build", "delivered", "token_rows"]

MODELS = ["LR", "FM", "WideDeep", "DeepFM", "xDeepFM", "AutoInt", "DCNV2", "DIN", "DIEN", "MARN"]
PARTS = ["train", "valid", "test"]

Row = collections.namedtuple("Row", "user item time label history")


def build(settings):
    """Loaders of the three parts by name."""
    config = build_config(config_dict=settings)
    return dict(zip(PARTS, data_preparation(config, create_dataset(config)), strict=True))


def delivered(loader):
    """The interactions of a loader's batches in an epoch, in order."""
    loader.set_epoch(0)
    return [batch if loader.part.name == "train" else batch[0] for batch in loader]


def histories(interaction, model):
    """Item ids of each row's history, as the model sees them; None for a model that sees none."""
    if model == "MARN":
        batch = interaction.batch
        item = batch.item[batch.entity_item[batch.token]].split(batch.length.tolist())
        return [item[sequence].tolist() for sequence in batch.row_sequence.tolist()]
    if model in ("DIN", "DIEN"):
        length = interaction["item_length"].tolist()
        lists = interaction["item_id_list"].tolist()
        assert all(not any(row[n:]) for row, n in zip(lists, length, strict=True)), "padding lies behind"
        return [row[:n] for row, n in zip(lists, length, strict=True)]
    return None


def token_rows(loader, model):
    """Every row of a loader in its order, by token."""
    token = loader.part.field2id_token
    rows = []
    for interaction in delivered(loader):
        history = histories(interaction, model) or [None] * len(interaction)
        columns = [interaction[field].tolist() for field in ("user_id", "item_id", "timestamp", "label")]
        rows += [
            Row(token["user_id"][user], token["item_id"][item], time, label,
                None if past is None else tuple(token["item_id"][past]))
            for user, item, time, label, past in zip(*columns, history, strict=True)
        ]  # fmt: skip
    return rows
