"""What rows of a click log bring beside user and item, which share of them is kept, and their fingerprint."""

import collections
import operator

import numpy as np
import planted_log
import pytest
from token_rows import PARTS, build, delivered, token_rows

from recbole_marn.data.export import export_benchmark
from recbole_marn.errors import InputError

ROWS = planted_log.exposures()
SEEN = planted_log.behaviours()


# ----------------------------------------------------------------------------------------------- statistics
@pytest.mark.parametrize(
    ("split", "until"), [("time", "snapshot"), ("time", "row"), ("field", "row")], ids=lambda value: value
)
def test_statistics_are_those_known_before_the_row(tmp_path, split, until):
    """By a slow loop. Histories are made of views alone; carts and purchases count as purchases all the same."""
    planted_log.write(tmp_path, ROWS, SEEN)
    names = ["exposures", "clicks", "click_rate", "purchases", "purchase_rate"]
    modalities = {
        "ids": {"kind": "id", "fields": {"item_id": 4}},
        "statistic": {"kind": "statistic", "fields": names, "bins": [4], "size": 2},
    }
    loaders = build(
        planted_log.settings(
            tmp_path,
            modalities=modalities,
            user={"fields": {f"user_{name}": 2 for name in names}, "bins": [4]},
            split=split,
            split_times=[172800, 259200] if split == "time" else None,
            context=None,
            statistics_until=until,
            behaviours={"file": "log.behaviours", "types": ["view"], "purchase_types": ["cart", "purchase"]},
            behaviour={"kind": "kind", "time": "timestamp"},
        )
    )
    train = [r for r in ROWS if (r.time < 172800 if split == "time" else r.part == "train")]
    ends = 172800 if split == "time" else max(r.time for r in train)  # of what training knows of behaviours
    known = [b for b in SEEN if b.time < ends]
    click_prior = sum(r.label for r in train) / len(train)
    purchase_prior = sum(b.kind != "view" for b in known) / len(known)
    features = loaders["train"].part.features
    bins = {"item": [fitted for _, fitted in features.at_time.statistics.values()]}
    bins["user"] = [code.bins for code in loaders["train"].part.protocol.context.codes]
    for part in PARTS:
        online = until == "row" and part != "train"
        first, rows = 0, token_rows(loaders[part], "MARN")
        for interaction in delivered(loaders[part]):
            batch = interaction.batch
            statistic = batch.statistic[batch.entity_statistic[batch.candidate]].numpy()
            for index in range(batch.n_rows):
                row = rows[first + index]
                end = np.inf if part != "train" and until == "snapshot" else row.time
                for of, codes in (("item", statistic[index]), ("user", batch.context[index])):
                    mine = operator.attrgetter(of)
                    shown = [r for r in (ROWS if online else train) if r.time < end and mine(r) == mine(row)]
                    seen = [b for b in (SEEN if online else known) if b.time < end and mine(b) == mine(row)]
                    clicks, bought = sum(r.label for r in shown), sum(b.kind != "view" for b in seen)
                    values = [len(shown), clicks, (clicks + 20 * click_prior) / (len(shown) + 20)]
                    values += [bought, (bought + 20 * purchase_prior) / (len(seen) + 20)]
                    expected = [int(b.assign(np.array(v))[0]) for b, v in zip(bins[of], values, strict=True)]
                    assert codes.tolist() == expected, (part, of, row)
            first += batch.n_rows
    assert loaders["train"].part.protocol.events.n_events == sum(b.kind == "view" for b in SEEN) < len(SEEN)


# -------------------------------------------------------------------------------------------------- context
def test_context_by_token_and_unknown_values(tmp_path):
    rows = [r._replace(device="new" if r.part == "test" and r.position == 1 else r.device) for r in ROWS]
    planted_log.write(tmp_path, rows)
    loaders = build(planted_log.settings(tmp_path))
    part = loaders["test"].part
    names = [field.name for field in part.context_fields]
    assert names == ["user_id", "age", "score/2", "device", "position"]
    trained = {r.device for r in rows if r.part == "train"}
    by_key = {(r.user, r.item, r.time): r for r in rows}
    codes = collections.defaultdict(set)
    for name in PARTS:
        tokens = token_rows(loaders[name], "MARN")
        context = np.concatenate([i.batch.context.numpy() for i in delivered(loaders[name])])
        assert (context < [field.cardinality for field in part.context_fields]).all()
        for row, code in zip(tokens, context[:, 3], strict=True):
            codes[by_key[row.user, row.item, row.time].device].add(int(code))
    assert codes.pop("new") == {0}
    assert all(len(found) == 1 and found != {0} for found in codes.values()) and set(codes) == trained
    unknown = sum(r.device == "new" for r in rows)
    assert f"test: {unknown} values of device that no training row has are unknown" in part.notes


def test_position_is_fixed_when_served(tmp_path):
    planted_log.write(tmp_path, ROWS)
    part = build(planted_log.settings(tmp_path, position={"field": "position", "at_serving": 2}))["test"].part
    batch, fixed = (p.batch(np.arange(len(p))).batch.context for p in (part, part.served()))
    assert (fixed[:, :4] == batch[:, :4]).all() and len(fixed[:, 4].unique()) == 1 < len(batch[:, 4].unique())
    place = {(r.user, r.item, r.time): r.position for r in ROWS}
    columns, token = part.rows.columns(np.arange(len(part))), part.field2id_token
    second = [
        place[token["user_id"][user], token["item_id"][item], time] == 2
        for user, item, time in zip(columns["user"], columns["item"], columns["time"], strict=True)
    ]
    assert ((batch[:, 4] == fixed[:, 4]).numpy() == second).all()
    with pytest.raises(InputError, match="at_serving to be a position of training rows"):
        build(planted_log.settings(tmp_path, position={"field": "position", "at_serving": 9}))["test"].part.served()


def test_recboles_models_get_the_same_rows_and_the_columns_of_user_and_context(tmp_path):
    planted_log.write(tmp_path, ROWS)
    ours = build(planted_log.settings(tmp_path))
    for model in ("FM", "DIN", "DIEN"):
        loaders = build(planted_log.clean(planted_log.settings(tmp_path, model), model))
        for part in PARTS:
            assert loaders[part].part.split_sha256 == ours[part].part.split_sha256
            interaction = delivered(loaders[part])[0]
            assert {"age", "device", "position", "category"} <= set(interaction.columns)
            found = [row[:4] for row in token_rows(loaders[part], "FM")]
            assert found == [row[:4] for row in token_rows(ours[part], "MARN")]
        note = f"{model} reads no numbers: score left out, as in RecBole"
        assert note in loaders["train"].part.notes


# ----------------------------------------------------------------------------------------- kept negatives
def test_a_share_of_the_negatives_is_kept(tmp_path):
    planted_log.write(tmp_path, ROWS)
    half = build(planted_log.settings(tmp_path, keep_negatives=0.5))
    again = build(planted_log.settings(tmp_path, keep_negatives=0.5))
    every = build(planted_log.settings(tmp_path))
    rows, whole = token_rows(half["train"], "MARN"), token_rows(every["train"], "MARN")
    assert rows == token_rows(again["train"], "MARN")
    assert sum(r.label for r in rows) == sum(r.label for r in whole)
    assert 0.3 < (len(rows) - sum(r.label for r in rows)) / (len(whole) - sum(r.label for r in whole)) < 0.7
    assert token_rows(half["test"], "MARN") == token_rows(every["test"], "MARN")
    assert half["train"].part.split_sha256 != every["train"].part.split_sha256


def test_an_item_whose_rows_were_all_left_out_has_no_id(tmp_path):
    """Its embedding is never trained: under id_dropout it is unknown, and under id_min_count it is rare."""
    rows = [row._replace(label=0) if row.item in ("001", "002", "003") else row for row in ROWS]
    planted_log.write(tmp_path, rows)
    shown = {row.item for row in rows if row.part == "train"}
    for changed in ({"id_dropout": 0.2}, {"id_min_count": 1}):
        loader = build(planted_log.settings(tmp_path, keep_negatives=0.1, **changed))["train"]
        table, token = loader.part.item_table.modalities["ids"], loader.part.field2id_token["item_id"]
        code = table.codes[1:, table.column_of("item_id")]
        trained = {row.item for row in token_rows(loader, "MARN")}
        assert trained < shown
        assert {token[item] for item in np.flatnonzero(code == table.new) + 1} == set(token[1:]) - trained


# ------------------------------------------------------------------------------------------- fingerprint
@pytest.mark.parametrize("field", ["item", "time", "label", "device", "request"])
def test_the_fingerprint_covers_every_column(tmp_path, field):
    other = {"item": "018", "time": 5.0, "label": 1 - ROWS[0].label, "device": "d9", "request": "r99"}[field]
    sha256 = []
    for name, row in (("a", ROWS[0]), ("b", ROWS[0]._replace(**{field: other}))):
        changed = [r._replace(time=5.0) if field == "time" and r.request == row.request else r for r in ROWS[1:]]
        planted_log.write(tmp_path / name, [row, *(changed if name == "b" else ROWS[1:])])
        sha256.append(build(planted_log.settings(tmp_path / name))["train"].part.split_sha256)
    assert sha256[0] != sha256[1]


# ------------------------------------------------------------------------------------------------ exported rows
def test_exported_rows_are_the_same_whatever_the_model(tmp_path):
    """Those of a model of ours had lost the columns of the row."""
    planted_log.write(tmp_path, ROWS)
    written = []
    for model in ("FM", "MARN"):
        loaders = build(planted_log.clean(planted_log.settings(tmp_path, model), model))
        summary = export_benchmark([loader.part for loader in loaders.values()], tmp_path / model, name="rows")
        written.append(summary["files"])
    assert written[0] == written[1]
    header, *lines = (tmp_path / "MARN" / "rows" / "rows.test.inter").read_text().splitlines()
    assert header.split("\t")[4:6] == ["device:token", "position:token"]
    by_key = {(r.user, r.item, repr(float(r.time))): (r.device, str(r.position)) for r in ROWS}
    assert lines and all(by_key[tuple(cells[:3])] == tuple(cells[4:6]) for cells in (x.split("\t") for x in lines))
