"""How long `prepare` takes on Amazon files of full size, and how much memory.

    python benchmarks/prepare_speed.py [--sizes clothing electronics] [--work DIR]

Writes raw files in the exact official formats of 2014 (synthetic content: random ASINs, words and numbers), runs
`recbole-marn prepare` on them in a process of its own, and ends in one line of JSON with a gate for each
figure. The files of Clothing's size take 2.2 GB, those of Electronics' size 2.9 GB; both are deleted afterwards.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Size:
    """Counts of a category, and what may be spent on it: seconds on two cores, megabytes resident."""

    category: str
    users: int
    items: int
    reviews: int
    others: int  # items that are in the metadata and in the image file, but were not reviewed
    seconds: float | None
    megabytes: float


SIZES = {
    "clothing": Size("Clothing_Shoes_and_Jewelry", 39_387, 23_033, 278_677, 100_000, 90, 1_000),
    "electronics": Size("Electronics", 192_403, 63_001, 1_689_188, 100_000, None, 3_000),
}


def write_raw(size: Size, folder: Path) -> None:
    """Write reviews, metadata and image features of one category."""
    draw = random.Random(7)
    numbers = np.random.default_rng(7)
    asins = [f"B{number:09X}" for number in draw.sample(range(16**8), size.items + size.others)]
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(3000)]
    texts = [" ".join(draw.choices(words, k=draw.randint(20, 120))) for _ in range(2000)]

    # Every user has one review, every item too; the rest is spread with the skew of a shop.
    skew = 1 / np.arange(1, size.items + 1) ** 0.8
    users = np.r_[np.arange(size.users), numbers.integers(0, size.users, size.reviews - size.users)]
    items = np.r_[np.arange(size.items), numbers.choice(size.items, size.reviews - size.items, p=skew / skew.sum())]
    with gzip.open(folder / f"reviews_{size.category}_5.json.gz", "wt", compresslevel=4) as file:
        for user, item in zip(users.tolist(), items.tolist(), strict=True):
            when = draw.randrange(12_000, 16_200) * 86_400
            record = {
                "reviewerID": f"A{user:013d}", "asin": asins[item], "reviewerName": "J. Doe", "helpful": [0, 1],
                "reviewText": draw.choice(texts), "overall": float(draw.randint(1, 5)), "summary": "It's fine",
                "unixReviewTime": when, "reviewTime": "01 1, 2014",
            }  # fmt: skip
            file.write(json.dumps(record) + "\n")

    order = list(range(len(asins)))
    draw.shuffle(order)
    with gzip.open(folder / f"meta_{size.category}.json.gz", "wt", compresslevel=4) as file:
        for i in order:
            related = {kind: draw.choices(asins, k=60) for kind in ("also_bought", "also_viewed")}
            record = {
                "asin": asins[i], "title": f"{draw.choice(words)}'s {' '.join(draw.choices(words, k=8))}",
                "price": draw.randrange(99, 20_000) / 100, "imUrl": "http://ecx.images-amazon.com/images/I/x.jpg",
                "related": related, "salesRank": {"Clothing": i}, "brand": draw.choice(words).title(),
                "categories": [["Clothing", "Women"], ["Clothing", "Women", f"Kind {i % 484}"]],
                "description": draw.choice(texts),
            }  # fmt: skip
            file.write(repr(record) + "\n")

    vectors = numbers.standard_normal((256, 4096)).astype("<f4")
    with open(folder / f"image_features_{size.category}.b", "wb") as file:
        for i in order:
            file.write(asins[i].encode("ascii") + vectors[i % len(vectors)].tobytes())


def measure(name: str, size: Size, work: Path) -> list[dict[str, object]]:
    """Write the raw files, prepare them, and compare what was spent with what may be."""
    raw = work / name
    raw.mkdir()
    write_raw(size, raw)
    command = [sys.executable, "-m", "recbole_marn", "prepare", f"amazon-{name}", "--raw", str(raw), "--out",
               str(work / "out"), "--no-download"]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    record = json.loads((work / "out" / f"amazon-{name}" / f"amazon-{name}.prepare.json").read_text())
    counts = record["counts"]
    right = (counts["users"], counts["items"], counts["events"]) == (size.users, size.items, size.reviews)
    right = right and record["vectors"]["image"]["count"] == size.items

    gates: list[dict[str, object]] = [
        {"name": f"{name}: megabytes resident", "value": round(used.ru_maxrss / 1024), "goal": size.megabytes},
        {"name": f"{name}: seconds of processor", "value": round(processor, 1)},
        {"name": f"{name}: microseconds of processor a review", "value": round(1e6 * processor / size.reviews, 1)},
    ]
    if size.seconds is not None:
        gates.append({"name": f"{name}: seconds", "value": round(wall, 1), "goal": size.seconds})
    for gate in gates:
        gate["ok"] = "goal" not in gate or gate["value"] <= gate["goal"]
    gates.append({"name": f"{name}: counts as written", "value": int(right), "goal": 1, "ok": right})
    return gates


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--work", type=Path, help="folder for the files (default: the system's temporary folder)")
    args = parser.parse_args()
    gates = []
    for name in args.sizes:  # ru_maxrss only grows, so sizes are measured from small to large
        with tempfile.TemporaryDirectory(prefix="prepare-", dir=args.work) as work:
            gates += measure(name, SIZES[name], Path(work))
    print(json.dumps({"gates": gates}))
    return 0 if all(gate["ok"] for gate in gates) else 1


if __name__ == "__main__":
    sys.exit(main())
