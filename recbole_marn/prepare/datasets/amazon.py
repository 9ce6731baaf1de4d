"""Amazon reviews of 2014, 2018 and 2023: events from reviews, items from metadata, images from the `.b` file."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path

from recbole_marn.errors import InputError
from recbole_marn.prepare.datasets.amazon_features import FeatureFile
from recbole_marn.prepare.datasets.amazon_items import read_items
from recbole_marn.prepare.datasets.amazon_records import parse_record
from recbole_marn.prepare.lines import Tally, head_of, open_raw, read_lines
from recbole_marn.prepare.sources import Options, RawFile, Source, locate, require
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawEvents
from recbole_marn.prepare.tokens import seconds, why_no_id

__all__ = ["category_of", "read", "source_of", "sources"]

_SNAP = "http://snap.stanford.edu/data/amazon/productGraph"
# The 24 categories of 2014 that have a 5-core file; other files are found by their names in the raw folder.
_CATEGORIES = (
    "Amazon_Instant_Video", "Apps_for_Android", "Automotive", "Baby", "Beauty", "Books", "CDs_and_Vinyl",
    "Cell_Phones_and_Accessories", "Clothing_Shoes_and_Jewelry", "Digital_Music", "Electronics",
    "Grocery_and_Gourmet_Food", "Health_and_Personal_Care", "Home_and_Kitchen", "Kindle_Store", "Movies_and_TV",
    "Musical_Instruments", "Office_Products", "Patio_Lawn_and_Garden", "Pet_Supplies", "Sports_and_Outdoors",
    "Tools_and_Home_Improvement", "Toys_and_Games", "Video_Games",
)  # fmt: skip
_REVIEW_FILE = re.compile(r"(?:reviews_)?(?!meta_)(.+?)(?:_5)?\.jsonl?(?:\.gz)?")
_PAPER = {  # MARN, Table 1
    "Clothing_Shoes_and_Jewelry": {"users": 39387, "items": 23033, "categories": 484, "samples": 477862},
    "Electronics": {"users": 192403, "items": 63001, "categories": 801, "samples": 2993570},
}


@dataclass(frozen=True)
class Edition:
    """How one release names its files and fields; `per_second` is the unit of its time."""

    year: int
    reviews: tuple[str, ...]
    meta: str
    user: str
    item: str
    rating: str
    time: str
    per_second: int


# The 5-core file is preferred; the order of editions does not matter, since mixing them is refused.
_EDITIONS = (
    Edition(2014, ("reviews_{}_5.json.gz", "reviews_{}.json.gz"), "meta_{}.json.gz",
            "reviewerID", "asin", "overall", "unixReviewTime", 1),
    Edition(2018, ("{}_5.json.gz", "{}.json.gz"), "meta_{}.json.gz",
            "reviewerID", "asin", "overall", "unixReviewTime", 1),
    Edition(2023, ("{}.jsonl.gz",), "meta_{}.jsonl.gz", "user_id", "parent_asin", "rating", "timestamp", 1000),
)  # fmt: skip


def _slug(category: str) -> str:
    return category.lower().replace("_", "-").replace("-and-", "-")


def category_of(dataset: str, raw: Path) -> str:
    """`Clothing_Shoes_and_Jewelry` for `amazon-clothing`: the category whose name begins so.

    Files in the raw folder are asked first, so that categories of later editions are known too.

    Raises:
        InputError: no category, or several, begin so.
    """
    wanted = _slug(dataset.removeprefix("amazon-"))
    present = {
        match[1]
        for folder in [raw, *(path for path in raw.glob("*") if path.is_dir())]
        for path in folder.glob("*.json*")
        if (match := _REVIEW_FILE.fullmatch(path.name))
    }
    for names in (sorted(present), _CATEGORIES):
        exact = [name for name in names if _slug(name) == wanted]
        fitting = exact or [name for name in names if _slug(name).startswith(wanted)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise InputError(
                f"one Amazon category that begins with {wanted!r}",
                ", ".join(fitting),
                f"Write more of the name, such as amazon-{_slug(fitting[0])}.",
            )
    raise InputError(
        "amazon-<category> with a category of Amazon 2014, or one whose files are in the raw folder",
        repr(dataset),
        "Known: " + ", ".join(f"amazon-{_slug(name)}" for name in _CATEGORIES) + ".",
    )


def source_of(category: str, edition: Edition | None = None, reviews: str | None = None) -> Source:
    """The official files of a category: of 2014, which can be downloaded, unless another edition is named.

    Args:
        reviews: name of the file of reviews that is there; no other one of the edition is wanted then.
    """
    how = (
        "Get the files of Amazon 2014 from https://jmcauley.ucsd.edu/data/amazon/ (links page), those of 2018 from "
        "https://nijianmo.github.io/amazon/ or those of 2023 from https://amazon-reviews-2023.github.io/, and put one "
        "edition there."
    )
    edition = edition or _EDITIONS[0]
    name = reviews or edition.reviews[0].format(category)
    files = [RawFile(name, "reviews"), RawFile(edition.meta.format(category), "metadata")]
    if edition.year == 2014:
        folder = f"{_SNAP}/categoryFiles"
        features = f"image_features_{category}.b"
        files = [replace(file, url=f"{folder}/{file.name}") for file in files]
        files.append(
            RawFile(
                features, "image vectors of 4,096 numbers", f"{_SNAP}/image_features/categoryFiles/{features}",
                required=False,
            )
        )  # fmt: skip
    published = _PAPER.get(category, {}) if edition.year == 2014 else {}
    return Source(f"amazon {category} of {edition.year}", tuple(files), how, published)


def sources(dataset: str, raw: Path) -> Source:
    """The files `dataset` is made of: what is there decides the edition, and so what may be fetched."""
    category = category_of(dataset, raw)
    found = _present(category, raw)
    if found:
        edition, reviews = found[0]
        return source_of(category, edition, reviews.name)
    return source_of(category, _edition_of_metadata(category, raw))


def _edition_of_metadata(category: str, raw: Path) -> Edition | None:
    """Where there are no reviews yet. 2014 and 2018 name their metadata alike; those of 2014 are Python literals."""
    first, second, third = _EDITIONS
    if locate(raw, third.meta.format(category)):
        return third
    meta = locate(raw, first.meta.format(category))
    if meta is None:
        return None
    with open_raw(meta) as file:
        return second if re.match(rb'\s*\{\s*"', head_of(file)) else first


def _present(category: str, raw: Path) -> list[tuple[Edition, Path]]:
    """The editions whose reviews are in the raw folder, with the file to read."""
    return [
        (edition, path)
        for edition in _EDITIONS
        for path in [next(filter(None, (locate(raw, name.format(category)) for name in edition.reviews)), None)]
        if path
    ]


def read(raw: Path, options: Options, dataset: str) -> RawDataset:
    """A review is a click, whatever its rating (the paper, DIN); the rating is kept as a column."""
    category = category_of(dataset, raw)
    edition, reviews = _find(category, raw)
    source = source_of(category, edition, reviews.name)
    meta = require(source, raw, edition.meta.format(category))
    features = locate(raw, f"image_features_{category}.b")

    tallies = [Tally(reviews.name, options.max_skipped), Tally(meta.name, options.max_skipped)]
    events = _read_reviews(reviews, edition, tallies[0])
    if options.min_interactions > 1:
        events = events.core(options.min_interactions)
    data = RawDataset(
        events,
        read_items(meta, set(events.items), tallies[1], options.title_words, options.min_matched),
        [reviews, meta],
        tallies=tallies,
        notes=[f"edition {edition.year}; prices and brands are as of its crawl, not of the review"],
        published=dict(source.published),
    )
    if features:
        data.vectors["image"] = FeatureFile(features, options.max_skipped)
        data.sources.append(features)
    return data


def _find(category: str, raw: Path) -> tuple[Edition, Path]:
    found = _present(category, raw)
    if not found:
        edition = _edition_of_metadata(category, raw) or _EDITIONS[0]
        require(source_of(category, edition), raw, edition.reviews[0].format(category))
    if len(found) > 1:
        raise InputError(
            f"one edition of {category} in {raw}",
            ", ".join(path.name for _, path in found),
            "Keep each edition in a folder of its own and name that with --raw.",
        )
    return found[0]


def _read_reviews(path: Path, edition: Edition, tally: Tally) -> RawEvents:
    events = EventBuilder()
    for number, line in read_lines(path, tally):
        record = parse_record(line)
        if record is None:
            tally.skip("no record", number)
            continue
        try:
            user, item = record[edition.user], record[edition.item]
            at, rating = seconds(float(record[edition.time]), edition.per_second), float(record[edition.rating])
        except KeyError:
            tally.skip(f"no {edition.user}, {edition.item}, {edition.rating} or {edition.time}", number)
            continue
        except (TypeError, ValueError, OverflowError):
            tally.skip("time or rating is no number", number, (record[edition.time], record[edition.rating]))
            continue
        if at is None:
            tally.skip("time not between 1970 and 2100", number)
        elif not math.isfinite(rating):
            tally.skip("rating is no number", number)
        elif not (isinstance(user, str) and isinstance(item, str) and events.add(user, item, at, rating=rating)):
            tally.skip(why_no_id(user, item), number)
    tally.check()
    return events.build()
