"""Category, brand, title and price of Amazon's items, from the metadata of any edition."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError
from recbole_marn.prepare.datasets.amazon_records import first_asin, parse_record
from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean, identifier, is_missing

__all__ = ["read_items"]

_PRICE = re.compile(r"\$?\s*([\d,]+(?:\.\d+)?)")


def read_items(path: Path, wanted: Set[str], tally: Tally, longest: int, least: float = 0.0) -> RawItems:
    """The items of `wanted`; lines of other items are passed over unparsed, as they are nine in ten.

    Raises:
        InputError: less than the share `least` of the smaller side is known to the other.
    """
    other = ""
    table = RawItems(("category", "brand", "shop", "title", "price"))
    for number, line in read_lines(path, tally):
        asin = first_asin(line)
        if asin is not None and asin not in wanted:
            other = other or asin
            continue
        record = parse_record(line)
        if record is None:
            tally.skip("no record", number)
            continue
        token = identifier(record.get("parent_asin") or record.get("asin") or "")
        if not token:
            tally.skip("no asin", number)
        elif token in wanted:
            row, cut = describe(record, longest)
            if "price" not in row and not is_missing(record.get("price")):
                # Of 2018, many are code of the page: told, and not held against the file.
                tally.lose("price", "is none", number, record["price"], tolerated=True)
            table.titles_cut += cut
            table.add(token, row)
        else:
            other = other or token
    tally.check()
    smaller = min(len(wanted), tally.read)
    if len(table.rows) < least * smaller:
        raise InputError(
            f"the reviewed items among those of {path.name}",
            f"{len(table.rows):,} of {smaller:,}: {next(iter(wanted - table.rows.keys()), '')!r} was reviewed, "
            f"{other!r} is described",
            "Use reviews and metadata of the same category and edition.",
        )
    return table


def describe(record: Mapping[str, Any], longest: int) -> tuple[dict[str, str | float], bool]:
    """Our fields from one record, and whether its title was cut; what is missing or malformed is left out."""
    title, cut = title_words(_text(record.get("title")), longest)
    details = record.get("details")
    brand = record.get("brand") or (details.get("Brand") if isinstance(details, Mapping) else None)
    row: dict[str, str | float] = {
        "category": clean(_last(record)),
        "brand": clean(_text(brand)),
        "shop": clean(_text(record.get("store"))),  # only the edition of 2023 names a store
        "title": title,
    }
    price = _price(record.get("price"))
    if price is not None:
        row["price"] = price
    return row, cut


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _last(record: Mapping[str, Any]) -> str:
    """The last entry of the last category path, as DIN takes it; 2018 and 2023 give a single path."""
    path = record.get("categories") or record.get("category")
    while isinstance(path, list):
        path = path[-1] if path else ""
    return _text(path)


def _price(value: Any) -> float | None:
    """A positive price; of a range `$5.00 - $7.00` the lower end. Text that is no price is missing."""
    if isinstance(value, str):
        match = _PRICE.match(value)
        value = match[1].replace(",", "") if match else None
    try:
        price = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return price if math.isfinite(price) and price > 0 else None
