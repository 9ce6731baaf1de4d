"""`run --dataset=amazon-clothing` on a machine that has the official files, and nothing prepared."""

import json
from pathlib import Path

from prepare.raw_files import CLOTHING, amazon_2014, atomic, review

from recbole_marn import cli


def test_a_run_prepares_and_trains_in_one_command(capsys):
    asins = [f"B00000000{number}" for number in range(9)]
    reviews = [
        review(f"U{user}", asins[(user + step) % len(asins)], 1_388_534_400 + 86_400 * step)
        for user in range(8)
        for step in range(4)
    ]
    meta = [{"asin": asin, "title": "red shoe", "price": 5.0, "categories": [["Clothing", "Shoes"]]} for asin in asins]
    features = {asin: [float(number)] * 4096 for number, asin in enumerate(asins)}
    amazon_2014(Path("raw/amazon-clothing"), reviews=reviews, meta=meta, features=features)

    settings = ["--width=8", "--epochs=1", "--eval_negatives=2", "--show_progress=False"]
    assert cli.main(["run", "--model=MARN", "--dataset=amazon-clothing", *settings]) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    assert result["dataset"] == "amazon-clothing" and 0 <= result["test"]["AUC"] <= 1
    assert "leak checks" in printed and f"reviews_{CLOTHING}" not in printed.splitlines()[-1]
    _, events = atomic(Path("dataset/amazon-clothing/amazon-clothing.inter"))
    assert len(events) == len(reviews)
