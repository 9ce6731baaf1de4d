"""Rows of some groups, and rows with other items in their place, of clicks and of logs."""

import numpy as np
import planted_log
import pytest
import tiny

from recbole_marn.quick_start import build_config, prepare_run


@pytest.fixture(params=["clicks", "log"])
def part(request, data_path, tmp_path):
    if request.param == "clicks":
        given = tiny.settings(data_path)
    else:
        planted_log.write(tmp_path / "data", planted_log.exposures(n_requests=80))
        given = planted_log.settings(tmp_path / "data")
    return prepare_run(build_config(config_dict=given), quiet=True).test.part


def everything(rows, row):
    """All that is known of rows, one by one."""
    columns = {name: values.tolist() for name, values in rows.columns(row).items()}
    history = [rows.history(np.array([one]))[0].tolist() for one in row]
    context = rows.context_of(row)
    extra = {name: values.tolist() for name, values in rows.extra_of(row).items()}
    return columns, history, None if context is None else context.tolist(), extra


def test_taken_groups_are_as_they_were(part):
    rows, chosen = part.rows, np.array([0, 3, 4])
    taken = rows.take(chosen)
    own = rows.rows_of_groups(chosen)
    assert taken.n_groups == 3 and taken.n_rows == len(own)
    assert everything(taken, np.arange(len(own))) == everything(rows, own)
    assert [taken.group_of(np.arange(len(own))).tolist().count(g) for g in range(3)] == [
        rows.group_of(own).tolist().count(g) for g in chosen
    ]


def test_other_items_stand_in_the_same_place(part):
    rows = part.rows
    row = np.flatnonzero(rows.columns(np.arange(rows.n_rows))["label"] > 0)[[2, 0, 2]]
    candidate = np.array([[3, 4], [5, 6], [7, 8]])
    faced = rows.facing(row, candidate)
    assert (faced.n_groups, faced.n_rows) == (3, 9)
    columns, history, context, extra = everything(faced, np.arange(9))
    old = everything(rows, np.repeat(row, 3))
    items = np.concatenate([rows.columns(row)["item"][:, None], candidate], axis=1)
    assert columns["item"] == items.ravel().tolist()
    assert columns["label"] == [1.0, 0.0, 0.0] * 3
    assert (columns["user"], columns["time"]) == (old[0]["user"], old[0]["time"])
    assert (history, context, extra) == old[1:]
