"""Small click logs in atomic files, and the rows that a slow loop over their text makes of them."""

from __future__ import annotations

import collections

import numpy as np
import tiny

Exposure = collections.namedtuple("Exposure", "user item time label request device position part")
Behaviour = collections.namedtuple("Behaviour", "user item time kind")
LONGEST = 4


def exposures(seed=0, n_users=12, n_items=15, n_requests=60):
    """Requests of 1 to 4 items on whole hours of four days, so that users have several at one time."""
    rng = np.random.default_rng(seed)
    tokens, found = tiny.item_tokens(n_items), []
    for number in range(n_requests):
        user, hour, device = (
            f"u{rng.integers(n_users)}",
            3600.0 * rng.integers(0, 96, endpoint=False),
            f"d{rng.integers(3)}",
        )
        shown = rng.choice(n_items, size=rng.integers(1, 5), replace=False)
        part = ("train", "train", "train", "valid", "test")[number % 5]
        for place, item in enumerate(shown):
            label = int(rng.random() < 0.4)
            found.append(Exposure(user, tokens[item], hour, label, f"r{number}", device, place + 1, part))
    order = rng.permutation(len(found))
    return [found[index] for index in order]


def behaviours(seed=1, n_users=14, n_items=18, number=150):
    rng = np.random.default_rng(seed)
    tokens = tiny.item_tokens(n_items)
    kinds = ("view", "cart", "purchase")
    return [
        Behaviour(
            f"u{rng.integers(n_users)}",
            tokens[rng.integers(n_items)],
            3600.0 * rng.integers(0, 96) + 7 * i % 2,
            kinds[rng.integers(3)],
        )
        for i in range(number)
    ]


def write(folder, rows, seen=None, *, timed=True, name="log"):
    """`folder/log/log.{inter,item,user}` and `log.behaviours`."""
    target = folder / name
    target.mkdir(parents=True)
    header = ["user_id:token", "item_id:token", "timestamp:float", "label:float", "request_id:token", "device:token"]
    tiny.write_table(target / f"{name}.inter", [*header, "position:token", "part:token"], rows)
    tiny.write_table(
        target / f"{name}.item",
        ["item_id:token", "category:token"],
        [(token, f"c{int(token) % 3}") for token in tiny.item_tokens(18)],
    )
    users = [(f"u{number}", f"{20 + number % 5}", f"{number % 3}.5") for number in range(14)]
    tiny.write_table(target / f"{name}.user", ["user_id:token", "age:token", "score:float"], users)
    if seen is not None:
        lines = seen if timed else [(b.user, b.item, b.kind) for b in seen]
        columns = ["user_id:token", "item_id:token", *(["timestamp:float"] if timed else []), "kind:token"]
        tiny.write_table(target / f"{name}.behaviours", columns, lines)
    return target


def settings(folder, model="MARN", **changed):
    return {
        "model": model,
        "dataset": "log",
        "data_path": str(folder),
        "label": {"field": "label"},
        "request": {"field": "request_id"},
        "split": "field",
        **({"split_field": "part"} if changed.get("split", "field") == "field" else {}),
        "user": {"fields": {"user_id": 2, "age": 2, "score": 2}, "bins": [2]},
        "context": {"fields": {"device": 2, "position": 2}},
        "MAX_ITEM_LIST_LENGTH": LONGEST,
        "modalities": {
            "ids": {"kind": "id", "fields": {"item_id": 4, "category": 3}},
            "statistic": {"kind": "statistic", "fields": ["exposures", "click_rate"], "bins": [3], "size": 2},
        },
        "behaviour": {"time": "timestamp", "size": 2, "bins": [3]},
        "train_batch_size": 16,
        "eval_batch_size": 16,
        "epochs": 1,
        "show_progress": False,
        "use_gpu": False,
        "width": 8,
        "prediction_hidden": [8],
        "attention_hidden": [4],
        **changed,
    }


def clean(given, model):
    """Without the keys of our models."""
    ours = ("width", "prediction_hidden", "attention_hidden")
    return given if model == "MARN" else {key: value for key, value in given.items() if key not in ours}


def history(row, rows, seen=None, *, timed=True):
    """Item tokens of a row's history, as a multiset per time: equal times have no order of their own."""
    past = [(b.time, b.item) for b in seen] if seen is not None else []
    owner = seen if seen is not None else rows
    if seen is None:
        past = [(r.time, r.item) for r in rows if r.label]
        owner = [r for r in rows if r.label]
    mine = [entry for entry, o in zip(past, owner, strict=True) if o.user == row.user]
    return sorted(entry for entry in mine if entry[0] < row.time) if timed else mine
