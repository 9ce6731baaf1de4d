"""Jobs in processes of their own: several at once, done ones left alone, errors told by kind."""

import sys

import fake_runs
import pytest
from filelock import FileLock

from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_records
from recbole_marn.leaderboard.records import Folders
from recbole_marn.training import jobs as runner
from recbole_marn.training.jobs import Job, run_jobs

pytestmark = pytest.mark.usefixtures("light_workers")


def job(out, model="LR", seed=2020, **task):
    record = fake_runs.record_of(model, seed)
    folders = Folders(out, "tiny")
    folders.prepare()
    folder = (folders.unfinished / record["run"]).resolve()
    content = {"record": record, "out": str(out), "dataset": "tiny", "count": str(out / "count"), **task}
    done = folders.records / f"{record['run']}.json"
    return Job(record["run"], "fake_runs:train", content, folder, done, 3, folder / "state")


def test_jobs_are_done_once(tmp_path):
    jobs = [job(tmp_path, seed=2020), job(tmp_path, seed=2021)]
    assert run_jobs(jobs, 2, show_progress=False) == []
    assert run_jobs(jobs, 2, show_progress=False) == []
    assert sorted((tmp_path / "count").read_text().split()) == sorted(one.name for one in jobs)
    assert len(read_records(Folders(tmp_path, "tiny").records)) == 2
    assert not any(one.folder.exists() for one in jobs)


def test_what_a_kill_just_after_the_end_of_a_job_left_is_removed(tmp_path):
    """Between its record and the removal of its folder; also where another leaderboard found the record first."""
    early, late = jobs = [job(tmp_path, seed=2020), job(tmp_path, seed=2021)]
    assert run_jobs(jobs, 2, show_progress=False) == []
    early.folder.mkdir()
    (early.folder / "evidence.part").write_text("half")
    assert run_jobs([early], 1, show_progress=False) == [] and not early.folder.exists()
    process = runner._start(late)
    assert process.wait(60) == 0 and not late.folder.exists()
    process.communicate()


def test_a_failure_is_told_and_stops_nobody_else(tmp_path):
    jobs = [
        job(tmp_path, seed=2020, error="fault"),
        job(tmp_path, seed=2021, error="library"),
        job(tmp_path, seed=2022),
    ]
    failures = {failure.job.name: failure for failure in run_jobs(jobs, 2, show_progress=False)}
    assert [failures[jobs[0].name].kind, failures[jobs[1].name].kind] == ["fault", "library"]
    assert "RuntimeError: the loss is not a number" in str(failures[jobs[0].name])
    assert (
        "Expected the library 'absent'" in failures[jobs[1].name].text
        and "pip install absent" in failures[jobs[1].name].text
    )
    assert jobs[2].done.exists() and not jobs[0].done.exists()
    log = jobs[0].folder / "output.log"
    assert str(log) in str(failures[jobs[0].name]) and "Traceback" in log.read_text()


def test_a_full_disk_stops_all_and_loses_nothing(tmp_path):
    first = job(tmp_path, seed=2020)
    run_jobs([first], 1, show_progress=False)
    kept = first.done.read_bytes()
    jobs = [first, job(tmp_path, seed=2021, error="disk"), job(tmp_path, seed=2022)]
    with pytest.raises(InputError, match="No space left on device.*Free some space and give the same command again"):
        run_jobs(jobs, 1, show_progress=False)
    assert first.done.read_bytes() == kept and not jobs[2].done.exists()


def test_a_locked_run_is_left_to_its_owner(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "BUSY_SECONDS", 0.1)
    one = job(tmp_path)
    starts = []
    begin = runner._start

    def finish_elsewhere(started):
        """The second time it is tried, the other process has finished it."""
        starts.append(started.name)
        if len(starts) == 2:
            one.done.write_text("finished elsewhere")
        return begin(started)

    monkeypatch.setattr(runner, "_start", finish_elsewhere)
    one.folder.mkdir(parents=True)
    with FileLock(one.folder / "lock"):
        assert run_jobs([one], 1, show_progress=False) == []
    assert one.done.read_text() == "finished elsewhere" and len(starts) == 2


def test_one_bar_counts_the_epochs_of_all_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run_jobs([job(tmp_path, seed=2020), job(tmp_path, seed=2021)], 1)
    shown = capsys.readouterr().err
    assert "6/6" in shown and "2 of 2 runs" in shown


def test_nothing_is_drawn_where_nobody_looks(tmp_path, capsys):
    run_jobs([job(tmp_path, seed=2020)], 1)
    assert "epoch" not in capsys.readouterr().err
