"""Rows of click logs against a slow loop over the text of their files."""

import collections

import numpy as np
import planted_log
import pytest
import tiny
from planted_log import LONGEST
from token_rows import PARTS, build, delivered, token_rows

from recbole_marn import quick_start
from recbole_marn.data.log_splits import cut_by_ratio
from recbole_marn.errors import InputError

from recbole.data.dataset import Dataset  # isort: skip

ROWS = planted_log.exposures()
SEEN = planted_log.behaviours()


def parts_of(split):
    """request -> part, by a loop."""
    by_user = collections.defaultdict(set)
    for row in ROWS:
        by_user[row.user].add((row.time, row.request))
    if split == "field":
        return {row.request: row.part for row in ROWS}
    if split == "time":
        return {r.request: "train" if r.time < 172800 else "valid" if r.time < 259200 else "test" for r in ROWS}
    raise ValueError(split)


def check_rows(loaders, model, rows, part_of, seen=None, timed=True):
    """Every row of every part once, with its history: the user's last behaviours strictly before it."""
    by_key = {(row.user, row.item, row.time, row.request): row for row in rows}
    assert len(by_key) == len(rows)
    for part in PARTS:
        found = token_rows(loaders[part], model)
        expected = [row for row in rows if part_of[row.request] == part]
        key = lambda row: (row.user, row.item, row.time, float(row.label))  # noqa: E731
        assert sorted(map(key, found)) == sorted(map(key, expected))
        for row in found:
            past = planted_log.history(row, rows, seen, timed=timed)
            assert len(row.history) == min(LONGEST, len(past))
            if not timed:
                assert list(row.history) == [item for _, item in past][-LONGEST:]
                continue
            # Equal times may come in any order, and the cut may fall between them.
            times = [time for time, _ in past][-LONGEST:]
            left = collections.Counter(past)
            for time, item in zip(times, row.history, strict=True):
                left[time, item] -= 1
                assert left[time, item] >= 0


@pytest.mark.parametrize("model", ["MARN", "DIN"])
@pytest.mark.parametrize("split", ["field", "time"])
def test_one_log(tmp_path, model, split):
    planted_log.write(tmp_path, ROWS)
    times = {"split_times": [172800, 259200]} if split == "time" else {}
    small = {} if model == "MARN" else {"width": None}
    loaders = build(planted_log.clean(planted_log.settings(tmp_path, model, split=split, **times, **small), model))
    check_rows(loaders, model, ROWS, parts_of(split))


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("types", [None, ["cart", "purchase"]])
def test_a_log_and_behaviours(tmp_path, timed, types):
    planted_log.write(tmp_path, ROWS, SEEN, timed=timed)
    behaviour = {"kind": "kind", "time": "timestamp" if timed else None, "size": 2, "bins": [3]}
    loaders = build(
        planted_log.settings(
            tmp_path,
            behaviours={"file": "log.behaviours", "types": types},
            behaviour=behaviour,
            split="time",
            split_times=[172800, 259200],
        )
    )
    seen = [b for b in SEEN if types is None or b.kind in types]
    check_rows(loaders, "MARN", ROWS, parts_of("time"), seen, timed)
    part = loaders["train"].part
    assert part.features.gap is None or timed
    batch = delivered(loaders["train"])[0].batch
    kinds = part.source.behaviour_types[batch.behaviour]
    assert set(kinds) <= set(types or ("view", "cart", "purchase"))


def test_behaviours_marked_by_type_in_the_log(tmp_path):
    """Lines of other types are rows."""
    target = planted_log.write(tmp_path, ROWS)
    header = "user_id:token item_id:token timestamp:float label:float request_id:token part:token kind:token".split()
    lines = [(r.user, r.item, r.time, r.label, r.request, r.part, "shown") for r in ROWS]
    lines += [(b.user, b.item, b.time, "", "", "", b.kind) for b in SEEN]
    tiny.write_table(target / "log.inter", header, lines)
    loaders = build(
        planted_log.settings(
            tmp_path,
            behaviours={"types": ["view", "cart", "purchase"]},
            context=None,
            behaviour={"kind": "kind", "time": "timestamp"},
        )
    )
    check_rows(loaders, "MARN", ROWS, parts_of("field"), SEEN)


@pytest.mark.parametrize("with_times", [True, False])
def test_histories_given_with_the_row(tmp_path, with_times):
    target = planted_log.write(tmp_path, ROWS)
    rng = np.random.default_rng(3)
    lists = {
        row.request: sorted(
            (3600.0 * rng.integers(0, 110), rng.choice(tiny.item_tokens(18))) for _ in range(rng.integers(0, 7))
        )
        for row in sorted(ROWS)
    }
    header = ["user_id:token", "item_id:token", "timestamp:float", "label:float", "request_id:token", "part:token"]
    lines = [
        (
            r.user,
            r.item,
            r.time,
            r.label,
            r.request,
            r.part,
            " ".join(i for _, i in lists[r.request]),
            *([" ".join(f"{t:g}" for t, _ in lists[r.request])] if with_times else []),
        )
        for r in ROWS
    ]
    columns = ["item_id_list:token_seq", *(["timestamp_list:float_seq"] if with_times else [])]
    tiny.write_table(target / "log.inter", header + columns, lines)
    behaviour = {"time": "timestamp"} if with_times else None
    loaders = build(planted_log.settings(tmp_path, histories="given", context=None, behaviour=behaviour))
    request = {(r.user, r.item, r.time): r.request for r in ROWS}
    late = 0
    for part in PARTS:
        for row in token_rows(loaders[part], "MARN"):
            given = lists[request[row.user, row.item, row.time]]
            kept = [item for time, item in given if not with_times or time < row.time]
            late += len(given) - len(kept)
            assert list(row.history) == kept[-LONGEST:]
    assert late > 0 or not with_times, "the planted later behaviours were met"


@pytest.mark.parametrize("split", ["leave_last", "random", "time", "field"])
def test_a_request_is_never_split(tmp_path, split):
    planted_log.write(tmp_path, ROWS)
    times = {"split_times": [172800, 259200]} if split == "time" else {}
    loaders = build(planted_log.settings(tmp_path, split=split, **times))
    part_of, request = {}, {(r.user, r.item, r.time): r.request for r in ROWS}
    for part in PARTS:
        for row in token_rows(loaders[part], "MARN"):
            assert part_of.setdefault(request[row.user, row.item, row.time], part) == part
    assert len(part_of) == len({r.request for r in ROWS})
    if split == "random":
        share = np.array([list(part_of.values()).count(part) for part in PARTS]) / len(part_of)
        np.testing.assert_allclose(share, [0.8, 0.1, 0.1], atol=0.02)


def test_leave_last_takes_the_last_requests(tmp_path):
    planted_log.write(tmp_path, ROWS)
    loaders = build(planted_log.settings(tmp_path, split="leave_last"))
    last = {user: max(r.time for r in ROWS if r.user == user) for user in {r.user for r in ROWS}}
    for row in token_rows(loaders["test"], "MARN"):
        assert row.time == last[row.user]


def test_names_of_split_files_may_be_short(tmp_path):
    target = planted_log.write(tmp_path, ROWS)
    header = (target / "log.inter").read_text().splitlines()[0].split("\t")
    for part in PARTS:
        tiny.write_table(target / f"log.{part[:2]}.inter", header, [row for row in ROWS if row.part == part])
    names = [part[:2] for part in PARTS]
    loaders = build(planted_log.settings(tmp_path, split="files", split_files=names))
    check_rows(loaders, "MARN", ROWS, parts_of("field"))
    with pytest.raises(InputError, match="'split_files' to have at least 3 entries"):
        build(planted_log.settings(tmp_path, split="files", split_files=names[:2]))


def test_batches_hold_whole_requests_and_share_their_history(tmp_path):
    planted_log.write(tmp_path, ROWS)
    loaders = build(planted_log.settings(tmp_path))
    loader = loaders["train"]
    rows, seen = loader.part.rows, set()
    for interaction in delivered(loader):
        batch = interaction.batch
        assert len(batch.length) < batch.n_rows or rows.n_groups == rows.n_rows
        seen.add(batch.n_rows)
    assert len(seen) > 1 and len(delivered(loader)) == len(loader)
    whole = np.bincount(rows.group_of(rows.rows_of_groups(np.array([2, 0]))), minlength=3)
    assert whole[1] == 0 and whole[[0, 2]].tolist() == np.diff(rows.requests.first)[[0, 2]].tolist()


def test_batches_of_evaluation_are_no_longer_than_asked_but_for_a_request_that_is(tmp_path):
    """On average a batch of 16 rows would have seven requests, and some of them would have far more rows."""
    long = [row for number in range(12) for row in _request(number, 14 if number % 6 == 5 else 1)]
    planted_log.write(tmp_path, ROWS + [row for row in long if row.part != "train"])
    loaders = build(planted_log.settings(tmp_path, eval_batch_size=16))
    for part in ("valid", "test"):
        sizes = [len(batch) for batch in delivered(loaders[part])]
        assert max(sizes) <= 16 and sum(sizes) == len(loaders[part].part)
    one = build(planted_log.settings(tmp_path, eval_batch_size=4))["test"]
    assert max(map(len, delivered(one))) == 14


def _request(number, size):
    part = ("valid", "test")[number % 2]
    return [
        planted_log.Exposure("u1", f"{item + 1:03d}", 400000.0 + number, item % 2, f"x{number}", "d0", item + 1, part)
        for item in range(size)
    ]


# ------------------------------------------------------------------------------------------ what models are fitted to
@pytest.mark.parametrize("split", ["field", "time", "leave_last", "random"])
def test_clicks_a_model_is_fitted_to_are_those_of_training_rows(tmp_path, split):
    """Whatever the split: ItemCF counts them, and knew next to nothing where parts overlap in time."""
    planted_log.write(tmp_path, ROWS)
    times = {"split_times": [172800, 259200]} if split == "time" else {}
    loaders = build(planted_log.settings(tmp_path, split=split, **times))
    held_out = {
        (row.user, row.item, row.time)
        for part in ("valid", "test")
        for row in token_rows(loaders[part], "MARN")
        if row.label
    }
    part = loaders["train"].part
    events, training = part.protocol.events, part.protocol.part_of_event == 0
    user, item = part.field2id_token["user_id"][events.user], part.field2id_token["item_id"][events.item]
    expected = [key not in held_out for key in zip(user, item, events.time, strict=True)]
    assert training.tolist() == expected
    assert 10 < training.sum() < events.n_events == sum(row.label for row in ROWS)


def test_given_histories_a_model_is_fitted_to_are_those_of_training_rows(tmp_path):
    """Without times, those of test rows were taken for known: they tell what was clicked in validation."""
    target = planted_log.write(tmp_path, ROWS)
    header = ["user_id:token", "item_id:token", "timestamp:float", "label:float", "request_id:token", "part:token"]
    past = {"train": "001 002", "valid": "", "test": "003 004 005"}
    lines = [(r.user, r.item, r.time, r.label, r.request, r.part, past[r.part]) for r in ROWS]
    tiny.write_table(target / "log.inter", [*header, "item_id_list:token_seq"], lines)
    given = planted_log.settings(tmp_path, histories="given", context=None, behaviour=None)
    part = build(given)["train"].part
    events, training = part.protocol.events, part.protocol.part_of_event == 0
    token = part.field2id_token["item_id"]
    assert set(token[events.item[training]]) == {"001", "002"}
    assert set(token[events.item[~training]]) == {"003", "004", "005"}


def test_what_dien_takes_for_unclicked_knows_nothing_of_held_out_rows(tmp_path):
    """Its auxiliary loss pairs each click with an item that the user did not click, in training."""

    def pairs(folder, rows):
        planted_log.write(folder, rows)
        part = build(planted_log.settings(folder, split="field"))["train"].part
        events, training = part.protocol.events, part.protocol.part_of_event == 0
        item, unclicked = events.item[training], part.protocol.unclicked_item[training]
        clicked = set(zip(events.user[training].tolist(), item.tolist(), strict=True))
        assert unclicked.all()
        assert not clicked & set(zip(events.user[training].tolist(), unclicked.tolist(), strict=True))
        return sorted(zip(events.user[training], item, events.time[training], unclicked, strict=True))

    other = [row if row.part == "train" else row._replace(label=1 - row.label) for row in ROWS]
    assert pairs(tmp_path / "as it is", ROWS) == pairs(tmp_path / "other labels held out", other)


@pytest.mark.parametrize(
    ("split", "file"), [("field", None), ("field", "log.behaviours"), ("leave_last", "log.behaviours")]
)
def test_every_behaviour_that_dien_trains_on_has_an_unclicked_item(tmp_path, split, file):
    """Where parts overlap in time most were paired with the padding, which is told from an item without learning."""
    planted_log.write(tmp_path, ROWS, SEEN)
    given = planted_log.settings(tmp_path, split=split, behaviours={"file": file} if file else None)
    part = build(given)["train"].part
    read = set(part.rows.history(np.arange(len(part)))[0].tolist())
    events, unclicked = part.protocol.events, part.protocol.unclicked_item
    assert all(unclicked[event] for event in read)
    touched = {(events.user[event], events.item[event]) for event in read}
    others = [event for event in read if part.protocol.part_of_event[event] != 0]
    assert others and not any((events.user[event], unclicked[event]) in touched for event in others)


# ------------------------------------------------------------------------------------------------------- odd batches
def din(tmp_path, model="DIN", **changed):
    return planted_log.clean(planted_log.settings(tmp_path, model, **tiny.SIZES[model], **changed), model)


def test_a_batch_of_one_row_is_trained_on(tmp_path):
    """RecBole's DIN normalises over the batch, which one row is none for."""
    planted_log.write(tmp_path, ROWS)
    settings = din(tmp_path, train_batch_size=1, checkpoint_dir=str(tmp_path))
    sizes = {len(batch) for batch in delivered(build(settings)["train"])}
    assert 1 not in sizes and 2 in sizes
    assert np.isfinite(quick_start.run(config_dict=settings, saved=False)["best_valid_score"])


def test_dien_needs_a_history_of_two(tmp_path):
    planted_log.write(tmp_path, [row._replace(time=0.0) for row in ROWS])
    loader = build(din(tmp_path, "DIEN"))["train"]
    with pytest.raises(InputError, match="history of two behaviours .* auxiliary loss. .*Raise train_batch_size"):
        delivered(loader)
    assert len(loader.part[[0]]) == 1, "a row alone may be looked at"


@pytest.mark.parametrize("ratios", [(0.8, 0.1, 0.1), (0.5, 0.05, 0.45), (0.9, 0.0, 0.1), (0.02, 0.49, 0.49)])
def test_short_groups_are_cut_as_recbole_cuts_them(ratios):
    """A part that would have less than one row gets one, as long as the first part keeps one."""
    group = np.repeat(np.arange(15), np.arange(1, 16))
    order = np.random.default_rng(0).permutation(len(group))
    part = cut_by_ratio(order, group, ratios)
    for number in range(15):
        own = order[group[order] == number]
        ends = Dataset._calcu_split_ids(None, len(own), list(ratios))
        expected = [part for part, some in enumerate(np.split(own, ends)) for _ in some]
        assert part[own].tolist() == expected, (number + 1, ratios)
