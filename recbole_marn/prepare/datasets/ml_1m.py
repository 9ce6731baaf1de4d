"""MovieLens-1M: `ratings.dat`, `movies.dat`, and posters or their vectors."""

from __future__ import annotations

import math
import re
from pathlib import Path

from recbole_marn.prepare.lines import Tally, read_lines
from recbole_marn.prepare.sources import Options, RawFile, Source, locate, require
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawEvents, RawItems
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean, identifier, seconds
from recbole_marn.prepare.vectors import VectorFile

__all__ = ["SOURCE", "read", "read_ratings", "text_of"]

_ZIP = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
_ZIP_MD5 = "c4d9eecfca2ab87c1945afe126590906"  # published beside it as ml-1m.zip.md5
SOURCE = Source(
    "ml-1m",
    (
        RawFile("ratings.dat", "UserID::MovieID::Rating::Timestamp", _ZIP, _ZIP_MD5),
        RawFile("movies.dat", "MovieID::Title (Year)::Genre|Genre", _ZIP, _ZIP_MD5),
        RawFile("poster_vectors.npy", "one vector a movie, rows in the order of poster_ids.txt", required=False),
        RawFile("posters", "a folder of MovieID.jpg, used when there are no vectors", required=False),
    ),
    f"Unpack {_ZIP} there (its licence forbids passing it on).",
    {"users": 6040, "items": 3706, "events": 1000209},
)
_YEAR = re.compile(r"\s*\(\d{4}\)\s*$")


def read(raw: Path, options: Options) -> RawDataset:
    """Every rating is kept, with its value: the YAML selects the clicks (`val_interval: {rating: "[4,inf)"}`)."""
    ratings, movies = require(SOURCE, raw, "ratings.dat"), require(SOURCE, raw, "movies.dat")
    rating_tally, movie_tally = (
        Tally(ratings.name, options.max_skipped),
        Tally(movies.name, options.max_skipped),
    )
    data = RawDataset(
        read_ratings(ratings, rating_tally),
        _read_movies(movies, movie_tally, options.title_words),
        [ratings, movies],
        tallies=[rating_tally, movie_tally],
        published=dict(SOURCE.published),
    )
    vectors, ids = locate(raw, "poster_vectors.npy"), locate(raw, "poster_ids.txt")
    if vectors and ids:
        data.vectors["image"] = VectorFile(vectors, ids, options.min_matched)
        data.sources += [vectors, ids]
    data.photos = locate(raw, "posters")
    return data


def text_of(line: bytes) -> str:
    """A line of the official file, which is in Latin-1; re-packed copies are in UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def read_ratings(path: Path, tally: Tally) -> RawEvents:
    """All of `ratings.dat`."""
    events = EventBuilder()
    for number, line in read_lines(path, tally):
        try:
            user, item, rating, time = line.decode("ascii").split("::")
            value, at = float(rating), seconds(int(time))
        except ValueError:
            tally.skip("not UserID::MovieID::Rating::Timestamp", number)
            continue
        if at is None or not math.isfinite(value):
            tally.skip("time or rating out of range", number)
        elif not events.add(user, item, at, rating=value):
            tally.skip("missing id", number)
    tally.check()
    return events.build()


def _read_movies(path: Path, tally: Tally, longest: int) -> RawItems:
    table = RawItems(("category", "title"))
    for number, line in read_lines(path, tally):
        parts = text_of(line).split("::")
        if len(parts) != 3 or not identifier(parts[0]):
            tally.skip("not MovieID::Title::Genres", number)
            continue
        title, cut = title_words(_YEAR.sub("", parts[1]), longest)
        table.titles_cut += cut
        table.add(identifier(parts[0]), {"category": clean(parts[2].split("|")[0]), "title": title})
    tally.check()
    return table
