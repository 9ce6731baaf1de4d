"""A leaderboard that first searches the settings of its rows: real training on the tiny data set, in this process."""

import pytest
from asking import request, tuning

from recbole_marn.errors import Diverged, InputError
from recbole_marn.evaluation.record import read_record, read_records, sealed_text
from recbole_marn.leaderboard import build as build_module
from recbole_marn.leaderboard.build import build
from recbole_marn.leaderboard.records import Folders
from recbole_marn.leaderboard.render import LeaderboardRequest
from recbole_marn.leaderboard.verify import verify

pytestmark = pytest.mark.host


def test_the_test_part_is_sealed_while_tuning(common, here, tmp_path, monkeypatch):
    """Trials never score it; the chosen settings do, once a run."""
    from recbole_marn.training.trainer import CTRTrainer

    scored = []
    original = CTRTrainer.evaluate

    def evaluate(self, data, *args, **more):
        scored.append(data.part.name)
        return original(self, data, *args, **more)

    monkeypatch.setattr(CTRTrainer, "evaluate", evaluate)
    space = tmp_path / "space.yaml"
    space.write_text("all: {learning_rate: [0.5, 0.02, 0.001]}\n")
    only_trials = []
    original_run = build_module._Site.run

    def run(self, jobs):
        found = original_run(self, jobs)
        if not only_trials:
            only_trials.extend(scored)
        return found

    monkeypatch.setattr(build_module._Site, "run", run)
    out = tmp_path / "results"
    line, _ = build(request(common, out=out, models=["LR", "FM"], seeds=1, tune=3, space=str(space)))
    assert "test" not in only_trials
    assert scored.count("test") == 2 * 3  # two runs, three samplings
    trials = read_records(Folders(out, "tiny").trials, "trial")
    assert len(trials) == 6 and line["records"] == 2
    assert all("test" not in key for trial in trials for key in trial if key != "settings")
    for record in read_records(Folders(out, "tiny").records):
        own = [trial for trial in trials if trial["model"] == record["model"]]
        best = max(trial["best_valid_score"] for trial in own)
        chosen = next(trial for trial in own if trial["run"] == record["tuned"]["chosen"])
        assert record["tuned"]["trials"] == 3 and chosen["best_valid_score"] == best
        assert record["settings"]["learning_rate"] == chosen["settings"]["learning_rate"]
    assert verify(out, "tiny").problems == []
    assert "3 trials: learning_rate in [0.5, 0.02, 0.001]" in (out / "tiny.md").read_text()


def test_a_search_starts_from_the_runs_there_are(common, here, tmp_path):
    """A trial is not run where a finished run has its settings, and that run's record learns of the search."""
    out, space = tmp_path / "results", tmp_path / "space.yaml"
    space.write_text("all: {learning_rate: [0.0001]}\n")
    tuning = {"models": ["LR"], "seeds": 1, "tune": 2, "space": str(space)}
    build(request(common, out=tmp_path / "all at once", **tuning))
    build(request(common, out=out, models=["LR"], seeds=2))
    here.clear()
    build(request(common, out=out, **tuning))
    once, later = (
        read_records(Folders(folder, "tiny").trials, "trial") for folder in (tmp_path / "all at once", out)
    )
    for one, other in zip(once, later, strict=True):
        assert one["valid"] == pytest.approx(other["valid"], abs=1e-6)
        assert {key for key in {**one, **other} if one.get(key) != other.get(key)} <= {"valid", "seconds", "sha256"}
    assert len(here) == 1  # the trial of the other rate; the default's rate is known and, being better, chosen
    known = {record["seed"]: record["tuned"] for record in read_records(Folders(out, "tiny").records)}
    fresh = read_records(Folders(tmp_path / "all at once", "tiny").records)[0]["tuned"]
    assert fresh["trials"] == 2 and known == {2020: fresh, 2021: fresh}
    assert verify(out, "tiny").problems == []


def test_the_chosen_settings_are_trained_whatever_command_tried_them(common, here, tmp_path):
    """The best trial comes from a command that gave its rate to every row, so that its own search varied nothing."""
    out = tmp_path / "results"
    build(request({**common, "learning_rate": 0.05}, out=out, **tuning(tmp_path, "all: {weight_decay: [0.0]}")))
    (path,) = Folders(out, "tiny").trials.glob("*.json")
    trial = {**read_record(path, "trial"), "best_valid_score": 1.0}
    path.write_text(sealed_text({key: value for key, value in trial.items() if key != "sha256"}))
    for record in Folders(out, "tiny").records.glob("*.json"):
        record.unlink()
    build(request({**common, "learning_rate": 1e-6}, out=out, **tuning(tmp_path, "all: {learning_rate: [0.05]}")))
    (record,) = read_records(Folders(out, "tiny").records)
    assert record["tuned"]["chosen"] == trial["run"]
    assert record["settings"]["learning_rate"] == 0.05
    assert verify(out, "tiny").problems == []


def test_worse_trials_end_early(common, here, tmp_path, capsys):
    """Four settings for one epoch, the best two for three, and one is left; tampering with a round is found."""
    out = tmp_path / "results"
    more = tuning(tmp_path, "all: {learning_rate: [0.5, 0.02, 0.001]}", tune=4, halving=True)
    more["settings"] = {**common, "epochs": 10}
    search = LeaderboardRequest("tiny", out=out, anchors=False, resamples=20, show_progress=False, **more)
    line, failures = build(search)
    assert failures == [] and line["records"] == 1
    assert len(here) == 4 + 2 + 1
    trials = read_records(Folders(out, "tiny").trials, "trial")
    (record,) = read_records(Folders(out, "tiny").records)
    assert record["tuned"]["trials"] == 4 and record["tuned"]["rounds"] == [[1, 4], [3, 2]]
    score = {trial["run"]: trial["best_valid_score"] for trial in trials}
    first, second = record["tuned"]["compared"][:4], record["tuned"]["compared"][4:]
    assert record["tuned"]["chosen"] == max(second, key=score.get)
    rate = {trial["run"]: trial["settings"]["learning_rate"] for trial in trials}
    assert {rate[run] for run in second} == {rate[run] for run in sorted(first, key=score.get)[-2:]}
    assert record["settings"]["learning_rate"] == rate[record["tuned"]["chosen"]] and record["settings"]["epochs"] == 10
    assert verify(out, "tiny").problems == []
    page = (out / "tiny.md").read_text()
    assert "4 trials, 2 of them for 3 epochs: learning_rate in" in page and "--tune=4" in page and "--halving" in page

    here.clear()
    build(search)
    assert here == []

    path = Folders(out, "tiny").trials / f"{second[0]}.json"
    other = next(run for run in first if rate[run] not in {rate[run] for run in second})
    trial = {**read_record(path, "trial"), "best_valid_score": 0.0}
    trial["settings"]["learning_rate"] = rate[other]
    path.write_text(sealed_text({key: value for key, value in trial.items() if key != "sha256"}))
    told = "3 epochs of its search were not those of the best of the round before"
    assert any(told in problem for problem in verify(out, "tiny").problems)


@pytest.mark.parametrize(
    ("settings", "choices", "told"),
    [
        ({"epochs": 1}, "all: {learning_rate: [0.5]}", "--epochs=2 or more with --halving"),
        ({"epochs": 4}, "all: {epochs: [2, 3]}", "search space without epochs, with --halving"),
    ],
)
def test_a_search_that_cannot_be_cut_short(common, here, tmp_path, settings, choices, told):
    more = tuning(tmp_path, choices, tune=3, halving=True)
    with pytest.raises(InputError, match=told):
        build(LeaderboardRequest("tiny", settings={**common, **settings}, out=tmp_path / "results", **more))
    assert here == []


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ("all: {eval_sampling: [matched, popularity]}", "eval_sampling"),
        ("all: {valid_metric: [LogLoss]}", "compared by one metric"),
        ("LR: {nproc: [1, 2], seed: [1, 2]}", "hyper-parameters to search in .*. Got nproc, seed. Take them out"),
        ("rows: {slow: {model: LR, learning_rate: 0.001}}", "'all' or a model in .*rows go into .* --grid"),
    ],
)
def test_a_search_compares_like_with_like_and_reads_all_of_its_space(common, here, tmp_path, choices, told):
    with pytest.raises(InputError, match=told):
        build(request(common, out=tmp_path / "results", **tuning(tmp_path, choices)))
    assert here == [] and not (tmp_path / "results").exists()


def test_a_trial_that_diverges_is_the_worst(common, here, tmp_path, monkeypatch):
    from recbole_marn import quick_start

    original = quick_start.objective_function

    def objective(config, *args, **more):
        if config.get("learning_rate") == 1000.0:
            raise Diverged("nan", 0.1)
        return original(config, *args, **more)

    monkeypatch.setattr("recbole_marn.training.objective.objective_function", objective)
    out = tmp_path / "results"
    _, failures = build(request(common, out=out, **tuning(tmp_path, "all: {learning_rate: [1000.0]}")))
    trials = {trial["settings"]["learning_rate"]: trial for trial in read_records(Folders(out, "tiny").trials, "trial")}
    assert failures == [] and trials[1000.0]["best_valid_score"] is None and "nan" in trials[1000.0]["failure"]
    (record,) = read_records(Folders(out, "tiny").records)
    assert record["settings"]["learning_rate"] != 1000.0 and verify(out, "tiny").problems == []
