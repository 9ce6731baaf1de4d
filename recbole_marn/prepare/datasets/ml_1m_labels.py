"""MovieLens-1M as RecBole's published CTR board reads it: every rating, all features of users and movies."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from recbole_marn.prepare.datasets import ml_1m
from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.logs import RawExposures, RawLog
from recbole_marn.prepare.sources import Options, RawFile, require
from recbole_marn.prepare.tables import RawItems
from recbole_marn.prepare.tokens import clean, identifier

__all__ = ["SOURCE", "read"]

_ZIP = ml_1m.SOURCE.files[0]
SOURCE = replace(
    ml_1m.SOURCE,
    name="ml-1m-labels",
    files=(
        *ml_1m.SOURCE.files[:2],
        RawFile("users.dat", "UserID::Gender::Age::Occupation::Zip-code", _ZIP.url, _ZIP.md5),
    ),
    published={"users": 6040, "items": 3706, "exposures": 1000209},
)
CLICK = 4.0  # the rating from which on a row is a click
_YEAR = re.compile(r"\((\d{4})\)\s*$")


def read(raw: Path, options: Options) -> RawLog:
    """Every rating with its value; properties/dataset/ml-1m-labels.yaml says which are rows and which are clicks."""
    paths = [require(SOURCE, raw, name) for name in ("ratings.dat", "movies.dat", "users.dat")]
    ratings, movies, users = tallies = [Tally(path.name, options.max_skipped) for path in paths]
    events = ml_1m.read_ratings(paths[0], ratings)
    log = RawExposures({"rating": "float"})
    for user, item, time, rating in zip(
        np.array(events.users, dtype=object)[events.user], np.array(events.items, dtype=object)[events.item],
        events.time.tolist(), events.rating.tolist(), strict=True,
    ):  # fmt: skip
        log.add(user, item, time, int(rating >= CLICK), context={"rating": rating})
    data = RawLog(log, _read_movies(paths[1], movies), _read_users(paths[2], users), None, paths, tallies)
    data.published, data.has_settings = dict(SOURCE.published), False
    return data


def _read_movies(path: Path, tally: Tally) -> RawItems:
    table = RawItems(("release_year", "genre"), types={"release_year": "token", "genre": "token_seq"})
    for number, line in read_lines(path, tally):
        parts = ml_1m.text_of(line).split("::")
        if len(parts) != 3 or not identifier(parts[0]):
            tally.skip("not MovieID::Title::Genres", number)
            continue
        year, genres = _YEAR.search(parts[1]), [clean(genre).replace(" ", "_") for genre in parts[2].split("|")]
        table.add(identifier(parts[0]), {"release_year": year[1] if year else "", "genre": " ".join(genres)})
    tally.check()
    return table


def _read_users(path: Path, tally: Tally) -> RawItems:
    fields = ("gender", "age", "occupation")
    table = RawItems(fields, types=dict.fromkeys(fields, "token"))
    for number, line in read_lines(path, tally):
        parts = ml_1m.text_of(line).split("::")
        if len(parts) != 5 or not identifier(parts[0]):
            tally.skip("not UserID::Gender::Age::Occupation::Zip-code", number)
            continue
        table.add(identifier(parts[0]), dict(zip(fields, map(clean, parts[1:4]), strict=True)))
    tally.check()
    return table
