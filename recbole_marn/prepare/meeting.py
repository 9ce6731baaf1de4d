"""Whether two tables that are joined by id know each other."""

from __future__ import annotations

from collections.abc import Collection

from recbole_marn.errors import InputError

__all__ = ["check_meeting"]


def check_meeting(
    left: Collection[str], right: Collection[str], what: tuple[str, str], *, least: float, met: int | None = None
) -> list[str]:
    """Compare the ids of two sides; the smaller one should be found in the other.

    Args:
        left, right: cleaned ids; `right` may hold any number of further ones.
        what: how to call the two sides, such as ("items of the events", "items.csv").
        least: share of the smaller side that must be found, `--min-matched`.
        met: how many ids are on both sides, when that is known already.

    Returns:
        A note when some of the left side are not on the right, or less than half meets.

    Raises:
        InputError: less than `least` meets; it shows an id of each side that the other does not have.
    """
    known = right if isinstance(right, (set, dict)) else set(right)
    if met is None:
        met = sum(token in known for token in left)
    smaller = min(len(left), len(right))
    if not smaller:
        return []
    if met >= 0.5 * smaller:
        lost = len(left) - met
        return [f"{what[0]}: {lost:,} of {len(left):,} are not in {what[1]}"] if lost else []
    alone = next(token for token in left if token not in known)
    others = left if isinstance(left, (set, dict)) else set(left)
    stranger = next((token for token in right if token not in others), None)
    shown = f"{alone!r} of the one" + (f", {stranger!r} of the other" if stranger is not None else "")
    if met < least * smaller or not met:
        raise InputError(
            f"{what[0]} to be found in {what[1]}",
            f"{met:,} of {smaller:,} ({met / smaller:.2%}): {shown}",
            "Make both sides write ids the same way (letter case, prefixes and leading zeros count); if so little is "
            "right, lower --min-matched.",
        )
    return [f"only {met:,} of {smaller:,} ids of the smaller side meet between {what[0]} and {what[1]}: {shown}"]
