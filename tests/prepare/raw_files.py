"""Raw files in the official formats, a few lines each, and ways to read back what `prepare` made of them."""

from __future__ import annotations

import csv
import gzip
import json
import os
from pathlib import Path

import numpy as np
import yaml

__all__ = ["ASINS", "amazon_2014", "atomic", "read_back", "shared_data", "vectors", "write_features", "write_gzip"]

ASINS = ("B000000001", "B000000002", "B000000003", "0123456789")
CLOTHING = "Clothing_Shoes_and_Jewelry"
WIDTH = 4096


def shared_data() -> Path:
    """The folder of real data, which may be absent."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    return Path(os.environ.get("RECBOLE_MARN_SHARED_DATA", beside))


def write_gzip(path: Path, lines: list[bytes | str]) -> Path:
    with gzip.open(path, "wb") as file:
        for line in lines:
            file.write((line.encode("utf-8") if isinstance(line, str) else line) + b"\n")
    return path


def write_features(path: Path, vectors: dict[str, np.ndarray]) -> Path:
    """Amazon's binary format: a 10-byte ASIN and 4,096 little-endian float32, again and again."""
    with open(path, "wb") as file:
        for asin, vector in vectors.items():
            file.write(asin.encode("ascii") + np.asarray(vector, "<f4").tobytes())
    return path


def review(user: str, asin: str, time: object, rating: object = 5.0) -> dict[str, object]:
    return {
        "reviewerID": user, "asin": asin, "reviewerName": "J", "helpful": [0, 1], "reviewText": "It's \"fine\"\n ok",
        "overall": rating, "summary": "s", "unixReviewTime": time, "reviewTime": "01 1, 2014",
    }  # fmt: skip


REVIEWS = [
    review("U1", ASINS[0], 1_388_534_400, 5.0), review("U1", ASINS[1], 1_388_620_800, 4.0),
    review("U1", ASINS[2], 1_388_707_200, 1.0), review("U2", ASINS[0], 1_388_534_400, 2.5),
    review("U2", ASINS[3], 1_388_534_400), review("U3", ASINS[1], 1_388_707_200),
]  # fmt: skip
META = [
    {"asin": ASINS[0], "title": "Women's Dress &amp; Belt, 38", "price": 19.99, "brand": "Acme",
     "categories": [["Clothing", "Women"], ["Clothing", "Women", "Dresses"]], "related": {"also_bought": [ASINS[1]]}},
    {"asin": ASINS[1], "title": "It's \"new\" \\ \u00e9t\u00e9", "categories": [["Clothing", "Shoes"]]},
    {"asin": ASINS[2], "price": 0.0, "brand": "", "categories": [[]]},
    {"asin": "B000000009", "title": "never reviewed", "categories": [["Clothing"]]},
]  # fmt: skip


def amazon_2014(folder: Path, *, reviews: list | None = None, meta: list | None = None, features=None) -> Path:
    """The three files of Clothing; lines that are text or bytes are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)

    def lines(records, spell):
        return [record if isinstance(record, (str, bytes)) else spell(record) for record in records]

    reviews, meta = REVIEWS if reviews is None else reviews, META if meta is None else meta
    write_gzip(folder / f"reviews_{CLOTHING}_5.json.gz", lines(reviews, json.dumps))
    write_gzip(folder / f"meta_{CLOTHING}.json.gz", lines(meta, repr))
    if features is None:
        features = {asin: np.full(WIDTH, number / 4) for number, asin in enumerate((*ASINS[:3], "B000000009"))}
    if features:
        write_features(folder / f"image_features_{CLOTHING}.b", features)
    return folder


def atomic(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Header and rows of an atomic file; the fields are named without their type."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    header = rows[0]
    names = [field.split(":")[0] for field in header]
    return header, [dict(zip(names, row, strict=True)) for row in rows[1:]]


def vectors(folder: Path, name: str = "image", dtype=np.float16) -> dict[str, np.ndarray]:
    array = np.load(folder / f"{name}.npy", allow_pickle=False)
    tokens = (folder / f"{name}.ids").read_text("utf-8").split("\n")[:-1]
    assert array.dtype == dtype and len(array) == len(tokens)
    return dict(zip(tokens, array, strict=True))


def read_back(folder, name):
    """The rows of every atomic file by its kind, and the settings beside them."""
    files = {path.suffix[1:]: atomic(path)[1] for path in folder.glob(f"{name}.*") if path.suffix in
             (".inter", ".behaviours", ".item", ".user")}  # fmt: skip
    return files, yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))
