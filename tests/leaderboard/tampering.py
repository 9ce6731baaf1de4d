"""Ways to alter a results folder, and what `verify` finds."""

import json

from recbole_marn.evaluation.record import sealed_text
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.verify import verify

__all__ = ["change", "first_record", "problems", "tamper"]


def problems(out):
    return verify(out, "tiny").problems


def first_record(out, model="DIN"):
    return min(Folders(out, "tiny").records.glob(f"{model}-*.json"))


def change(path, old, new, count=1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def tamper(path, resealed, edit):
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(sealed_text(record) if resealed else json.dumps(record))
