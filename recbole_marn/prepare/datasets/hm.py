"""H&M Personalized Fashion Recommendations in the layout of Kaggle."""

from __future__ import annotations

import functools
from datetime import date
from pathlib import Path

from recbole_marn.prepare.csvs import read_csv
from recbole_marn.prepare.lines import Tally
from recbole_marn.prepare.sources import Options, RawFile, Source, locate, require
from recbole_marn.prepare.tables import EventBuilder, RawDataset, RawEvents, RawItems
from recbole_marn.prepare.titles import title_words
from recbole_marn.prepare.tokens import clean, identifier, seconds, why_no_id
from recbole_marn.prepare.vectors import VectorFile

__all__ = ["SOURCE", "read"]

SOURCE = Source(
    "hm",
    (
        RawFile("transactions_train.csv", "t_dat, customer_id, article_id, price, sales_channel_id"),
        RawFile("articles.csv", "the catalogue: article_id, prod_name, product_type_name, ..."),
        RawFile("image_vectors.npy", "one vector an article, rows in the order of image_ids.txt", required=False),
        RawFile("images", "folders 0xx of photos named by article, used when there are no vectors", required=False),
    ),
    "Accept the rules at https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations and unpack "
    "the files there (a login is needed, so they cannot be downloaded for you).",
    {"users": 1362281, "items": 104547, "events": 31788324},
)
_ID_LENGTH = 10  # spreadsheets drop the leading zero of 0108775015


def read(raw: Path, options: Options) -> RawDataset:
    """Purchases with the day as time.

    The price is left out on purpose: H&M gives it per transaction, so a price per article would be computed from
    the test purchases too, and articles never sold in training could be told by it.
    """
    sales, articles = require(SOURCE, raw, "transactions_train.csv"), require(SOURCE, raw, "articles.csv")
    tallies = [Tally(sales.name, options.max_skipped), Tally(articles.name, options.max_skipped)]
    data = RawDataset(
        _read_sales(sales, tallies[0]),
        _read_articles(articles, tallies[1], options.title_words),
        [sales, articles],
        tallies=tallies,
        notes=["price left out: it is known per transaction only, so an item's price would hold test purchases"],
        published=dict(SOURCE.published),
    )
    vectors, ids = locate(raw, "image_vectors.npy"), locate(raw, "image_ids.txt")
    if vectors and ids:
        data.vectors["image"] = VectorFile(vectors, ids, options.min_matched)
        data.sources += [vectors, ids]
    data.photos = locate(raw, "images")
    return data


@functools.lru_cache(maxsize=200_000)
def _article(text: str) -> str:
    token = identifier(text)
    return token.zfill(_ID_LENGTH) if token.isdigit() else token


def _read_sales(path: Path, tally: Tally) -> RawEvents:
    events, days = EventBuilder(), {}
    for number, (day, customer, article) in read_csv(path, tally, ("t_dat", "customer_id", "article_id")):
        if day not in days:
            days[day] = _midnight(day)
        if days[day] is None:
            tally.skip("t_dat is no day between 1970 and 2100", number)
        elif not events.add(customer, _article(article), days[day]):
            tally.skip(why_no_id(customer, article), number)
    tally.check()
    return events.build()


def _midnight(day: str) -> float | None:
    """Unix seconds of the day's start in UTC."""
    try:
        return seconds((date.fromisoformat(day) - date(1970, 1, 1)).days * 86_400)
    except ValueError:
        return None


def _read_articles(path: Path, tally: Tally, longest: int) -> RawItems:
    table = RawItems(("category", "title"))
    for number, (article, text, kind) in read_csv(path, tally, ("article_id", "prod_name", "product_type_name")):
        token = _article(article)
        if not token:
            tally.skip(why_no_id(article), number)
            continue
        title, cut = title_words(text, longest)
        table.titles_cut += cut
        table.add(token, {"category": clean(kind), "title": title})
    tally.check()
    return table
