"""Records are whole, sealed, of one version and of one data set, or they are refused and left alone."""

import json
import math

import fake_runs
import numpy as np
import pytest

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import auc, uauc
from recbole_marn.evaluation.record import digest, read_record, read_records, sealed_text
from recbole_marn.evaluation.scores import part_metrics, rows_sha256
from recbole_marn.files import write_text
from recbole_marn.leaderboard.records import EvidenceStore, Folders, check_alike
from recbole_marn.leaderboard.render import LeaderboardRequest, render


def first(results, kind="records"):
    return min(getattr(Folders(results, "tiny"), kind).glob("*.json"))


def test_a_record_says_all_that_is_needed_to_repeat_it(results):
    record = read_record(first(results))
    assert {"run", "model", "dataset", "seed", "settings", "data", "versions", "command", "epochs", "seconds",
            "seconds_per_epoch", "parameters", "memory_mb", "metrics", "history", "scores",
            "paper"} <= set(record)  # fmt: skip
    assert set(record["metrics"]) == {"valid", "test", "test_popularity", "test_matched"}
    assert record["memory_mb"] > 10


def test_metrics_are_those_of_the_scores(results):
    record = read_record(first(results))
    columns = fake_runs.columns(record["run"], record["model"], "test_matched")
    assert record["metrics"]["test_matched"]["AUC"] == auc(columns["label"], columns["score"])
    assert record["metrics"]["test_matched"]["UAUC"] == uauc(columns["user"], columns["label"], columns["score"])


def test_nan_is_null_and_the_digest_covers_it():
    sealed = json.loads(sealed_text({"value": math.nan, "deep": [{"x": math.inf}], "text": "a"}))
    assert sealed["value"] is None and sealed["deep"] == [{"x": None}]
    assert sealed["sha256"] == digest(sealed)
    assert digest({**sealed, "text": "b"}) != sealed["sha256"]


def rewrite(path, **changed):
    record = {**json.loads(path.read_text()), **changed}
    path.write_text(sealed_text(record))


def test_records_older_than_a_setting_join_a_table_of_today():
    """A run of today has all settings as a file says them; one of yesterday lacks the newest."""
    old = fake_runs.record_of("DIN", 2020)
    today = fake_runs.record_of("MARN", 2020, split_ratios=[0.8, 0.1, 0.1], negatives_from="all")
    check_alike([old, today])
    with pytest.raises(InputError, match="the same split_ratios"):
        check_alike([old, fake_runs.record_of("MARN", 2020, split_ratios=[0.7, 0.2, 0.1])])


@pytest.mark.parametrize("version", [0, 2, None])
def test_another_format_version_stops_everything(results, version):
    path = first(results)
    rewrite(path, format=version)
    before = {file: file.read_bytes() for file in results.rglob("*") if file.is_file()}
    with pytest.raises(InputError, match=f"format 1.*{path.name} of format {version}.*nothing was overwritten"):
        render(LeaderboardRequest("tiny", out=results, show_progress=False))
    assert {file: file.read_bytes() for file in results.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}'])
def test_what_is_not_a_record_is_named(results, text):
    path = first(results)
    path.write_text(text)
    with pytest.raises(InputError, match=path.name):
        read_records(path.parent)


def test_other_data_under_the_same_name(results):
    path = first(results)
    record = read_record(path)
    rewrite(path, data={**record["data"], "files": {"tiny.inter": "f" * 64}})
    told = r"same file tiny\.inter.*(aaaaaaaa.*ffffffff|ffffffff.*aaaaaaaa).*nothing was overwritten"
    with pytest.raises(InputError, match=told):
        check_alike(read_records(path.parent))


def planned(files):
    """What is known of a run before it runs."""
    return {**fake_runs.record_of("LR", 2030), "run": "planned", "data": {"files": files}}


def test_an_atomic_file_more_or_less_is_other_data(results):
    records = read_records(first(results).parent)
    with pytest.raises(InputError, match=r"same file tiny\.item.*no file in .*cccccccc.* in planned"):
        check_alike([*records, planned({"tiny.inter": "a" * 64, "tiny.item": "c" * 64})])
    check_alike([*records, planned({"tiny.inter": "a" * 64})])


def test_runs_that_read_other_vectors_share_a_table_and_the_same_vectors_are_checked(results):
    """Which vectors a run reads is one of its settings."""
    path = first(results)
    record = read_record(path)
    rewrite(path, data={**record["data"], "files": {"tiny.inter": "a" * 64, "image.npy": "c" * 64}})
    records = read_records(path.parent)
    check_alike([*records, planned({"tiny.inter": "a" * 64, "words.npy": "d" * 64})])
    with pytest.raises(InputError, match=r"same file image\.npy.*cccccccc.*dddddddd"):
        check_alike([*records, planned({"tiny.inter": "a" * 64, "image.npy": "d" * 64})])


def test_other_rows_do_not_share_a_table(results):
    path = first(results)
    record = read_record(path)
    rows = {**record["data"]["rows_sha256"], "test_matched": "0" * 64}
    rewrite(path, data={**record["data"], "rows_sha256": rows})
    with pytest.raises(InputError, match="same test_matched rows"):
        render(LeaderboardRequest("tiny", out=results, show_progress=False))


def test_a_run_on_other_rows_is_not_added(results, monkeypatch):
    """The last line of defence: whatever the settings say, the rows that were scored must be the same."""
    before = {file: file.read_bytes() for file in (results / "records").rglob("*.json")}
    columns = fake_runs.columns
    monkeypatch.setattr(fake_runs, "columns", lambda run, model, part: columns(run, model, part, users=39))
    with pytest.raises(InputError, match="same .* rows"):
        fake_runs.write_run(results, "LR", 2031)
    assert {file: file.read_bytes() for file in (results / "records").rglob("*.json")} == before
    assert not list(Folders(results, "tiny").scores.glob("*2031*"))


def test_altered_scores_are_not_rendered(results):
    fake_runs.forget_evidence(results)  # what there is is read first
    path = min(Folders(results, "tiny").scores.glob("*.npz"))
    path.write_bytes(path.read_bytes() + b"x")
    Folders(results, "tiny").statistics.unlink()
    with pytest.raises(InputError, match=f"{path.name}.*altered"):
        render(LeaderboardRequest("tiny", out=results, show_progress=False))


def test_scores_are_kept_out_of_version_control(results):
    lines = (results / "scores" / ".gitignore").read_text().splitlines()
    assert lines[1:] == ["*", "!.gitignore"]


def test_evidence_is_that_of_the_scores_and_stays_without_them(results):
    folders = Folders(results, "tiny")
    found = read_records(folders.records)
    for file in folders.scores.glob("*.npz"):
        file.unlink()
    for record, evidence in zip(found, EvidenceStore(folders).of_seeds(found, "test"), strict=True):
        columns = fake_runs.columns(record["run"], record["model"], "test")
        assert evidence.metrics(log=False) == pytest.approx(part_metrics(columns), abs=1e-6)


def test_a_record_older_than_evidence_has_it_from_its_scores(results):
    folders = Folders(results, "tiny")
    fake_runs.forget_evidence(results)
    found = read_records(folders.records)
    metrics = [one.metrics(log=False) for one in EvidenceStore(folders).of_seeds(found, "test")]
    assert metrics == [pytest.approx(record["metrics"]["test"], abs=1e-6) for record in found]
    (folders.scores / found[0]["scores"]["file"]).unlink()
    assert EvidenceStore(folders).of_seeds(found, "test") is None


def test_evidence_that_is_missing_or_altered_is_named(results):
    folders = Folders(results, "tiny")
    record = read_records(folders.records)[0]
    path = folders.evidence / record["evidence"]["file"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=f"{path.name}.*altered"):
        EvidenceStore(folders).of_seeds([record], "test")
    path.unlink()
    with pytest.raises(InputError, match=f"{path.name}.*no such file"):
        EvidenceStore(folders).of_seeds([record], "test")


def test_rows_are_told_apart_by_user_item_and_label():
    columns = {"user": np.array([1, 2]), "item": np.array([3, 4]), "label": np.array([1.0, 0.0]), "score": np.zeros(2)}
    base = rows_sha256(columns)
    assert base == rows_sha256({**columns, "score": np.ones(2), "user": columns["user"].astype(np.int32)})
    for name in ("user", "item", "label"):
        assert base != rows_sha256({**columns, name: columns[name][::-1]})


def test_a_part_of_a_file_lies_aside(tmp_path, monkeypatch):
    """What a kill leaves behind is in the folder of what is unfinished, not among the records."""
    path, aside = tmp_path / "records" / "file.json", tmp_path / "aside"
    write_text(path, "old", aside)
    seen = []

    def full(self, text, **more):
        seen.append(self.parent)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(path), "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(path, "new", aside)
    assert seen == [aside] and path.read_text() == "old" and not list(aside.iterdir())
