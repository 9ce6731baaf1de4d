"""Tests of `prepare` write hundreds of datasets; waiting for the disk to have each would take minutes."""

import os

import pytest
from prepare.foreign import events
from prepare.raw_files import atomic

from recbole_marn.prepare.pipeline import prepare
from recbole_marn.prepare.sources import Options


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture
def shop(tmp_path):
    """A function that prepares texts, bytes or files as events and items, and reads back what was made of them."""

    def make(events_=None, items=None, **options):
        paths = {}
        for role, content in (("events", events() if events_ is None else events_), ("items", items)):
            if isinstance(content, (str, bytes)):
                paths[role] = tmp_path / f"{role}.csv"
                paths[role].write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
            elif content is not None:
                paths[role] = content
        out = tmp_path / f"out{len(os.listdir(tmp_path))}"
        record = prepare("custom", tmp_path, out, Options(**paths, **options), name="shop")
        rows = {row["item_id"]: row for row in atomic(out / "shop" / "shop.item")[1]}
        record["header"] = atomic(out / "shop" / "shop.item")[0]
        return record, atomic(out / "shop" / "shop.inter")[1], rows, out / "shop"

    return make
