"""Times of users' own tables: unix times, dates, ISO 8601 texts; what makes no sense is refused with its reason."""

from __future__ import annotations

import re
import time
from datetime import date, datetime, timedelta, timezone

from dateutil.parser import isoparse

from recbole_marn.prepare.tokens import LAST_SECOND, as_text, number

__all__ = ["EARLIEST", "UNITS", "Clock", "date_of_digits", "day_of"]

# Units in a second; `relative` counts from a start that nobody knows and is kept as it is.
UNITS = {"auto": 1, "s": 1, "ms": 1000, "us": 1_000_000, "ns": 1_000_000_000, "relative": 1}
# Nobody logged clicks before the web. Every wrong unit and every date written as a number lands before or after.
EARLIEST = datetime(1990, 1, 1, tzinfo=timezone.utc).timestamp()
_DAY = 86_400
_SLACK = 2 * _DAY  # zones, and clocks that are a little fast
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_LEADING_ZEROS = re.compile(r"[+-]?0\d")
_FULL_DATE = re.compile(r"\d{4}(-?)\d\d\1\d\d(?!\d)")
_ZONE = re.compile(r"\s*(UTC|GMT|Z|z|[+-]\d\d(?::?\d\d)?)$")


class Clock:
    """Turns values into unix seconds in UTC.

    Args:
        unit: of numbers, one of `UNITS`. With `auto`, numbers are seconds, unless their digits are a date
            (20200921, 202009211230, 20200921123000).
    """

    def __init__(self, unit: str = "auto"):
        self.unit, self._per_second = unit, UNITS[unit]
        now = time.time()
        # A machine whose own clock was never set cannot tell the future.
        self._latest = min(now + _SLACK, LAST_SECOND) if now > 1_767_225_600 else LAST_SECOND
        self._known: dict[object, tuple[float | None, str]] = {}

    def read(self, value: object) -> tuple[float | None, str]:
        """`(seconds, "")`, or `(None, reason)`."""
        if not isinstance(value, str) or len(value) > 40:
            return self._read(value)
        known = self._known.get(value)
        if known is None:
            known = self._read(value)
            if len(self._known) < 100_000:
                self._known[value] = known
        return known

    def _read(self, value: object) -> tuple[float | None, str]:
        if isinstance(value, datetime):
            return self._sensible(_timestamp(value))
        if isinstance(value, date):
            return self._sensible(_timestamp(datetime(value.year, value.month, value.day)))
        text = as_text(value).strip()
        amount = number(value if isinstance(value, (int, float)) else text)
        if amount is not None:
            if isinstance(value, str) and _LEADING_ZEROS.match(text):
                return None, "time is a number with leading zeros"
            return self._number(amount)
        if not text or text.lower() in ("nan", "none", "null", "nat", "<na>", "na"):
            return None, "time is missing"
        moment = _iso(text)
        if moment is None:
            return None, "time is neither unix time nor a date such as 2025-02-27 (ISO 8601)"
        return self._sensible(_timestamp(moment))

    def _number(self, amount: float) -> tuple[float | None, str]:
        if self.unit == "relative":
            return (amount, "") if 0 <= amount < LAST_SECOND else (None, "time is not between 0 and 4,102,444,800")
        if self.unit == "auto" and amount.is_integer() and (form := _DIGITS.get(len(str(int(amount))))):
            if moment := date_of_digits(amount):
                return self._sensible(_timestamp(moment))
            if form == "%Y%m%d":
                return None, "time of eight digits is no date"
        return self._sensible(amount / self._per_second)

    def _sensible(self, at: float | None) -> tuple[float | None, str]:
        if at is None:
            return None, "time is out of range"
        if at < EARLIEST:
            hint = "is --time-unit right? for counts from any start: --time-unit relative"
            return None, f"time is before 1990 ({hint})"
        if at >= LAST_SECOND:
            return None, "time is after 2100 (milliseconds? --time-unit ms)"
        if at > self._latest:
            return None, "time lies in the future"
        return at, ""


def date_of_digits(amount: float) -> datetime | None:
    """The date that the digits of a number spell, such as 20200921, 202009211230 or 20200921123000; else None."""
    digits = str(int(amount)) if amount.is_integer() else ""
    try:
        return datetime.strptime(digits, _DIGITS[len(digits)])
    except (KeyError, ValueError):
        return None


def _iso(text: str) -> datetime | None:
    """ISO 8601 with a whole date, the same on every Python: `Z`, `+0900`, any digits of a second, ` UTC`."""
    if not _FULL_DATE.match(text):
        return None
    zone = _ZONE.search(text, 10) if ":" in text else None
    if zone:
        text = text[: zone.start()] + (zone[1].upper() if zone[1][0] in "Zz+-" else "Z")
    try:
        return isoparse(text)
    except (ValueError, OverflowError):
        return None


def _timestamp(moment: datetime) -> float | None:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    except (OverflowError, ValueError):
        return None


def day_of(at: float) -> str:
    """`2020-09-21 12:30:00` of unix seconds in UTC, without the clock when it is midnight."""
    moment = datetime(1970, 1, 1) + timedelta(seconds=int(at))
    return f"{moment:%Y-%m-%d}" if at % _DAY == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"
