"""CPU time of a MARN step on rows of a log, against one on clicks with drawn negatives: the same events and items.

recbole-marn bench --only log
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from recbole_marn.data.grouped_rows import GroupedRows
from recbole_marn.data.log_histories import LogBehaviours
from recbole_marn.data.log_protocol import LogProtocol
from recbole_marn.data.log_requests import Exposures
from recbole_marn.settings.data import DataSettings

from .bench import shipped_adagrad, training_step
from .gates import Gate, ratio_gate
from .synthetic import Shape, SyntheticData, build_model
from .timing import paired

SLATE = 10
BATCH = 1_024
CLICK_RATE = 0.04
STEPS = 4


def step_gate(shape: Shape, rounds: int, *, width: int = 64, batch: int = BATCH) -> Gate:
    """A step on requests of ten over one on clicks: batches made, forward, backward and update."""
    torch.manual_seed(0)
    data = SyntheticData(shape)
    log = dataclasses.replace(logged(data), at_time=data.training.at_time, gap=data.training.gap)
    variants = {"log": steps(data, log, width, batch), "clicks": steps(data, data.training, width, batch)}
    ratio = paired(variants, rounds=rounds).ratio("log", "clicks")
    said = ratio_gate(f"log / clicks, MARN step with its batch of {batch:,} rows", ratio, 1)
    return dataclasses.replace(said, at_most=True)


def logged(data: SyntheticData) -> GroupedRows:
    """Training requests: each event's user and time, with ten items drawn as the events' are."""
    events, rng = data.protocol.events, data.rng
    user, time = np.repeat(events.user, SLATE), np.repeat(events.time, SLATE)
    item, label = rng.permutation(events.item.repeat(SLATE)), rng.random(len(user)) < CLICK_RATE
    # The events of a user at one time are one request.
    _, request = np.unique(np.stack([user, time]), axis=1, return_inverse=True)
    settings = DataSettings(label={"field": "label"}, split="leave_last")
    rows = Exposures(user, item, time, label, request.ravel())
    shape = data.shape
    return LogProtocol(
        rows, LogBehaviours(events), [], {}, settings, shape.items + 1, shape.users + 1, shape.history,
        np.arange(request.max() + 1),
    ).labelled("train")  # fmt: skip


def steps(data: SyntheticData, part: GroupedRows, width: int, batch: int) -> Callable[[], None]:
    """`STEPS` training steps of a new MARN on random batches of a part."""
    model = build_model("MARN", data, width=width)
    model.prepare_training(steps_per_epoch=2, epochs=1)
    groups = part.groups_a_batch(batch)

    def run() -> None:
        rows = [part.rows_of_groups(data.rng.choice(part.n_groups, groups, replace=False)) for _ in range(STEPS)]
        step = training_step(model, model.losses, [data.batch(row, part) for row in rows], shipped_adagrad)
        for _ in rows:
            step()

    return run
