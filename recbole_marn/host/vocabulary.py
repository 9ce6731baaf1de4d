"""RecBole's keys for labelled data, put into this package's: the meaning is RecBole's, or the run stops."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from recbole_marn.errors import InputError

__all__ = ["translate"]


def translate(given: MutableMapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Replace `threshold`, `LABEL_FIELD`, `eval_args` and `benchmark_filename` by the keys that do what they do.

    A label is what makes a log: of clicks alone these keys stay, to be refused with the others.

    Args:
        given: what the user set; changed.
        defaults: what holds otherwise.

    Raises:
        InputError: two of them that say different things, or a split of RecBole's that has no meaning for a log.
    """
    if given.get("threshold"):
        _threshold(given)
    elif "LABEL_FIELD" in given and given["LABEL_FIELD"] != defaults.get("LABEL_FIELD"):
        _label_field(given, given.get("label", defaults.get("label")))
    if given.get("label", defaults.get("label")) is None:
        return
    requests = given.get("request", defaults.get("request")) is not None
    if given.get("eval_args"):
        _set(given, "eval_args", _split(given["eval_args"], requests))
    if files := given.get("benchmark_filename"):
        if not isinstance(files, list) or len(files) != 3:
            raise InputError("benchmark_filename of three names", repr(files), "Write e.g. [train, valid, test].")
        _set(given, "benchmark_filename", {"split": "files", "split_files": files})


def _threshold(given: MutableMapping[str, Any]) -> None:
    threshold = given["threshold"]
    if not isinstance(threshold, Mapping) or len(threshold) != 1:
        raise InputError("threshold of one column", repr(threshold), "Write e.g. {rating: 4}.")
    ((field, at_least),) = threshold.items()
    _set(given, "threshold", {"label": {"field": field, "at_least": at_least}})


def _label_field(given: MutableMapping[str, Any], label: Any) -> None:
    """`LABEL_FIELD` names the column of the labels; beside `at_least`, as beside a threshold, those that are made."""
    if label is None:
        given["label"] = {"field": given["LABEL_FIELD"]}
    elif isinstance(label, Mapping) and label.get("at_least") is None:
        if label.get("field", given["LABEL_FIELD"]) != given["LABEL_FIELD"]:
            raise InputError("one of LABEL_FIELD and label", f"both, and label is {dict(label)!r}", "Leave one out.")


def _split(wanted: Any, requests: bool) -> dict[str, Any]:
    if not isinstance(wanted, Mapping):
        raise InputError("eval_args to be a mapping", repr(wanted), "Write e.g. {split: {RS: [8, 1, 1]}}.")
    if unknown := [key for key in wanted if key not in ("split", "order", "group_by", "mode")]:
        raise InputError("eval_args of split, order, group_by and mode", unknown[0], "Leave it out, or correct it.")
    mode = wanted.get("mode", "labeled")
    modes = set(mode.values()) if isinstance(mode, Mapping) else {mode}
    if modes - {"labeled", None}:
        raise InputError(
            "eval_args: mode labeled, for a log has its own negatives", repr(mode), "Leave mode out of eval_args."
        )
    split = wanted.get("split")
    if not split:
        if told := [key for key in ("order", "group_by") if wanted.get(key) is not None]:
            raise InputError(
                f"split in eval_args, for {' and '.join(told)}", "none", "Write e.g. split: {RS: [8, 1, 1]} beside it."
            )
        return {}
    if not isinstance(split, Mapping) or set(split) != {"RS"}:
        raise InputError(
            "eval_args: split {RS: [train, valid, test]} for a log",
            repr(split),
            "LS and TS cut single rows of a user: our keys are split: leave_last (whole requests) and split: time.",
        )
    order, by = wanted.get("order", "RO"), wanted.get("group_by", "user")
    group = str(by).lower()
    if order not in ("RO", "TO") or group not in ("user", "none", "-"):
        raise InputError(
            "eval_args: order RO or TO, group_by user or none",
            f"{order}, {by}",
            "Write e.g. {split: {RS: [8, 1, 1]}, order: TO, group_by: user}.",
        )
    if requests:
        raise InputError(
            "rows without requests for eval_args: split RS, which cuts single rows",
            "the key request",
            f"Set split: random, split_ratios: {list(split['RS'])}, which cuts whole requests.",
        )
    return {
        "split": "random",
        "split_ratios": list(split["RS"]),
        "split_order": "random" if order == "RO" else "time",
        "split_group": "user" if group == "user" else "none",
        "split_unit": "row",
    }


def _set(given: MutableMapping[str, Any], key: str, ours: Mapping[str, Any]) -> None:
    del given[key]
    for name, value in ours.items():
        if name in given and given[name] != value:
            raise InputError(f"one of {key} and {name}", f"both, and {name} is {given[name]!r}", "Leave one out.")
    given.update(ours)
