"""The one place where errors of RecBole's data code become messages: a setting it cannot work with is bad input."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from recbole_marn.errors import InputError, first_line

__all__ = ["host_errors"]

# What RecBole and the libraries below it raise on values they did not expect.
UNEXPECTED = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)

# RecBole's steps -> the keys they read, so that the message can name them.
KEYS = {
    "_get_field_from_config": "USER_ID_FIELD, ITEM_ID_FIELD, LABEL_FIELD and TIME_FIELD",
    "_get_load_and_unload_col": "load_col and unload_col",
    "_load_user_or_item_feat": "load_col, unload_col, USER_ID_FIELD and ITEM_ID_FIELD",
    "_init_alias": "alias_of_user_id and alias_of_item_id",
    "_remap_ID_all": "alias_of_user_id and alias_of_item_id",
    "_filter_by_field_value": 'val_interval: an interval such as "[4,inf)" for a float column, a list for a token',
    "_filter_inter_by_user_or_item": "filter_inter_by_user_or_item",
    "_data_filtering": "val_interval, user_inter_num_interval and item_inter_num_interval, which may leave no event",
    "_filter_by_inter_num": "user_inter_num_interval and item_inter_num_interval",
    "_change_feat_format": "seq_len",
    "construct_transform": "transform",
}


@contextmanager
def host_errors() -> Iterator[None]:
    """Turn errors raised by RecBole's own code into `InputError`; errors of this package's code pass as they are.

    Wrap a call into RecBole with it. RecBole calls back into classes of ours: where the innermost of the two packages
    on the way to the error is this one, the fault is ours and stays a traceback.

    Raises:
        InputError: naming the keys that RecBole's failing step reads.
    """
    try:
        yield
    except InputError:
        raise
    except UNEXPECTED as error:
        walk = traceback.walk_tb(error.__traceback__)
        frames = [(frame.f_globals.get("__name__", ""), frame.f_code.co_name) for frame, _ in walk]
        packages = [name.partition(".")[0] for name, _ in frames]
        met = [package for package in packages if package in ("recbole", "recbole_marn")]
        if not met or met[-1] != "recbole":
            raise
        step = next((step for _, step in reversed(frames) if step in KEYS), None)
        raise InputError(
            "settings and atomic files that RecBole can work with",
            f"'{first_line(error)}' ({type(error).__name__}) from it",
            f"Check {KEYS[step]}." if step else "Check the keys of the data set and the columns they name.",
        ) from error
