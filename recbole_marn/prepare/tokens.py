"""Single values of raw files: ids and words as tokens, numbers, unix seconds. Every reader spells them here."""

from __future__ import annotations

import math
import re
import unicodedata
from decimal import Decimal, InvalidOperation

__all__ = ["LAST_SECOND", "as_text", "clean", "identifier", "is_missing", "number", "seconds", "why_no_id"]

LAST_SECOND = 4_102_444_800  # 2100-01-01: a later "unix second" is a time in milliseconds
_NO_VALUE = (list, tuple, set, dict)
_EXACT = 2**53  # whole numbers beyond it have lost digits as a float
_SEPARATORS = re.compile(r'[\s"\x00-\x1f\x7f]+')
# Marks that are not to be seen: byte order mark, zero-width spaces, soft hyphen, directions of writing.
_INVISIBLE = re.compile("[\ufeff\u200b\u200e\u200f\u2060\u00ad\u202a-\u202e]")
_JOINERS = re.compile("[\u200c\u200d]")  # part of some scripts and pictograms, of no id
_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))\.0+")
_BYTES = re.compile(r"b(['\"])([^'\"\\]*)\1")
_EXPONENT = re.compile(r"\d(?:\.\d+)?([eE])\+\d+")
# What pandas, which RecBole reads atomic files with, takes for a missing value; an id among them would vanish there.
_READ_AS_MISSING = {
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "None", "n/a", "nan", "null", "[PAD]",
}  # fmt: skip


def as_text(value: object) -> str:
    """A value of any table as text: bytes are decoded, `17.0` from a column with gaps is 17, a null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, bytearray)):
        try:
            return bytes(value).decode("utf-8")
        except UnicodeDecodeError:
            return bytes(value).hex()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Decimal):
        return format(value, "f")
    return str(value)


def clean(value: object) -> str:
    """`value` as one token of an atomic file: no tab, line end or quotation mark; `""` when it is missing."""
    text = as_text(value)
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    text = _SEPARATORS.sub(" ", text).strip()
    # A lone half of a surrogate pair, which JSON can spell, is no text and cannot be written as UTF-8.
    text = text.encode("utf-8", "ignore").decode("utf-8")
    return "" if text in _READ_AS_MISSING else text


def identifier(value: object) -> str:
    """An id as every table, list of vectors and photo spells it, so that they meet; `""` when it is none.

    `1`, `1.0`, `1.00` as text, float or decimal are `1`; so is `b'1'`, and `1` with blanks, a byte order mark or
    zero-width characters around or inside. Letters are composed (NFC). Case and leading zeros count. JSON's true is
    the text `True`, and not 1.
    """
    if isinstance(value, _NO_VALUE) or (isinstance(value, float) and abs(value) > _EXACT):
        return ""
    text = as_text(value)
    if match := _BYTES.fullmatch(text.strip()):
        text = match[2]
    text = clean(text)
    if not text.isascii():
        text = clean(unicodedata.normalize("NFC", _JOINERS.sub("", text)))
    if match := _WHOLE.fullmatch(text):
        return match[1]
    if match := _EXPONENT.fullmatch(text):
        return _written_out(text, match[1])
    return text


def _written_out(text: str, mark: str) -> str:
    """`1e+05`, as R and pandas write 100000; `1.23457E+11` of a spreadsheet has lost its last digits and is no id."""
    try:
        value = Decimal(text)
        if mark == "e" and value <= _EXACT and value == value.to_integral_value():
            return str(int(value))
    except (InvalidOperation, OverflowError):
        pass
    return ""


def why_no_id(*values: object) -> str:
    """The reason that one of `values` is no id, for the count of what was skipped."""
    if any(isinstance(value, _NO_VALUE) for value in values):
        return "id is a list or a structure"
    return "missing id" if any(not clean(value) for value in values) else "id rounded by a float or a spreadsheet"


def is_missing(value: object) -> bool:
    """Whether a value says that there is none: null, NaN, an empty or `NA`-like text, an empty list."""
    if isinstance(value, (list, tuple)):
        return not value
    return value is None or (isinstance(value, float) and math.isnan(value)) or not clean(value)


def number(value: object) -> float | None:
    """A finite number; None for anything else, text with thousands separators, blanks inside or a currency included."""
    if isinstance(value, str) and "_" in value:  # float("1_000") is 1000
        return None
    try:
        result = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if math.isfinite(result) else None


def seconds(value: float, per_second: int = 1) -> float | None:
    """Unix time in seconds from one with `per_second` units a second; None when not between 1970 and 2100."""
    time = value / per_second
    return time if 0 <= time < LAST_SECOND else None
