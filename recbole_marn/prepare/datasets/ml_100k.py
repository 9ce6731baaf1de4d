"""MovieLens-100K as atomic files inside RecBole's package: copied, so that vectors can be put beside them."""

from __future__ import annotations

from pathlib import Path

from recbole_marn.errors import without_recbole
from recbole_marn.prepare.csvs import read_csv
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options, Source, locate
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawItems
from recbole_marn.prepare.tokens import clean, identifier, seconds
from recbole_marn.registry import recbole_folder

__all__ = ["SOURCE", "read"]

SOURCE = Source("ml-100k", (), "It comes with `pip install recbole`.", {"users": 943, "items": 1682, "events": 100000})
_FIELDS = ("movie_title", "release_year", "class")


def read(raw: Path, options: Options) -> RawDataset:
    """RecBole's own file is read unless there is one in the raw folder; field names stay RecBole's."""
    inter, item = (locate(raw, f"ml-100k.{suffix}") or _packaged(f"ml-100k.{suffix}") for suffix in ("inter", "item"))
    tallies = [Tally(inter.name, options.max_skipped), Tally(item.name, options.max_skipped)]
    events, items = EventBuilder(), RawItems(_FIELDS)
    columns = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")
    for number, (user, token, rating, time) in read_csv(inter, tallies[0], columns):
        try:
            at, value = seconds(float(time)), float(rating)
        except ValueError:
            at = None
        if at is None or not events.add(user, token, at, rating=value):
            tallies[0].skip("no event", number)
    tallies[0].check()
    columns = ("item_id:token", "movie_title:token_seq", "release_year:token", "class:token_seq")
    for _, (token, *values) in read_csv(item, tallies[1], columns):
        items.add(identifier(token), dict(zip(_FIELDS, map(clean, values), strict=True)))
    tallies[1].check()
    return RawDataset(events.build(), items, [inter, item], tallies=tallies, published=dict(SOURCE.published))


def _packaged(name: str) -> Path:
    recbole = recbole_folder()
    if recbole is None:
        raise without_recbole()
    return recbole / "dataset_example" / "ml-100k" / name
