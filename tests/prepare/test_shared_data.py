"""ml-1m, hm, tmall, MIND and OBD from the folder of real data: counts equal to its README. Skipped without it."""

import pytest
from prepare.raw_files import shared_data

from recbole_marn.prepare.pipeline import prepare

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not shared_data().is_dir(), reason=f"no real data at {shared_data()}"),
]


def counts(tmp_path, dataset, folder):
    return prepare(dataset, shared_data() / folder, tmp_path, download=False)


def test_hm(tmp_path):
    record = counts(tmp_path, "hm", "hm")
    expected = {"users": 1364, "items": 17_033, "events": 31_662, "distinct_pairs": 27_443}
    assert record["counts"] | expected == record["counts"] and record["skipped"] == {}
    assert record["coverage"]["image"] == {"items": 1.0, "events": 1.0, "missing_items": 0}
    assert 0.44 < record["checks"]["cold"]["test"] < 0.48, "46 % of test purchases were never sold before"


@pytest.mark.slow
def test_ml_1m(tmp_path):
    record = counts(tmp_path, "ml-1m", "ml-1m")
    assert record["counts"]["events"] == 663_062 and record["skipped"] == {}
    # 2 of the 6,040 users and 93 of the 3,706 movies have none of the ratings that are there
    assert (record["counts"]["users"], record["counts"]["items"]) == (6038, 3613)
    rated = [line.split("\t") for line in (tmp_path / "ml-1m" / "ml-1m.inter").read_text().splitlines()[1:]]
    clicks = [row[1] for row in rated if float(row[3]) >= 4]
    having = set((tmp_path / "ml-1m" / "image.ids").read_text().split())
    assert len(clicks) == 575_281
    assert round(100 * sum(item in having for item in clicks) / len(clicks), 2) == 99.86


@pytest.mark.slow
def test_tmall(tmp_path):
    record = counts(tmp_path, "taobao", "tmall")
    assert record["counts"] | {"users": 31_882, "items": 30_985, "events": 357_412} == record["counts"]
    kinds = [line.rsplit("\t", 1)[1] for line in (tmp_path / "taobao" / "taobao.inter").read_text().splitlines()[1:]]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"buy": 167_862, "cart": 140_068, "fav": 49_482}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ("mind", {"users": 4637, "items": 7457, "exposures": 189_359, "clicks": 7542, "requests": 5000}),
        ("obd", {"users": 0, "items": 80, "exposures": 20_000, "clicks": 80}),
    ],
)
def test_logs(tmp_path, dataset, expected):
    if not (shared_data() / dataset).is_dir():
        pytest.skip(f"no {shared_data() / dataset}")
    record = counts(tmp_path, dataset, dataset)
    assert record["counts"] == record["counts"] | expected and record["skipped"] == {}
    if dataset == "mind":
        assert record["coverage"]["title"]["events"] == pytest.approx(36_127 / 189_359)
