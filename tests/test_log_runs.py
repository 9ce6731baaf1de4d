"""Runs on click logs: kept negatives corrected, calibration fitted on validation, metrics recomputed from scores."""

import json
from pathlib import Path

import numpy as np
import planted_log
import pytest
import tiny
import torch
import yaml

from recbole_marn import cli
from recbole_marn.commands.run import calibration_lines
from recbole_marn.errors import InputError
from recbole_marn.evaluation.calibration import Calibration, too_few_to_mean_much
from recbole_marn.evaluation.evidence import evidence_of_parts
from recbole_marn.evaluation.metrics import auc, gauc, log_loss, normalised_entropy, uauc
from recbole_marn.evaluation.request_metrics import request_metrics
from recbole_marn.evaluation.scores import load_scores, part_metrics
from recbole_marn.quick_start import load_run, run
from recbole_marn.serving.scorer import load_scorer
from recbole_marn.training import checkpoint
from recbole_marn.training.click_rates import ClickRates

ROWS = planted_log.exposures(n_requests=160)


OURS = ("width", "prediction_hidden", "attention_hidden")


def settings(folder, model="MultimodalDIN", **changed):
    given = {**planted_log.settings(folder, model), "checkpoint_dir": str(folder / "saved"), "valid_metric": "AUC"}
    left_out = OURS if model in ("LR", "DIEN", "DIN", "Popularity") else ()
    given = {key: value for key, value in given.items() if key not in left_out} | changed
    return {key: value for key, value in given.items() if value is not None}


def record_of(result):
    return json.loads(Path(result["record"]).read_text(encoding="utf-8"))


@pytest.fixture
def log(tmp_path):
    planted_log.write(tmp_path, ROWS)
    return tmp_path


def test_every_metric_of_a_log_is_in_result_and_record_and_comes_back_from_the_scores(log):
    result = run(config_dict=settings(log, topk=[2, 10]))
    record = record_of(result)
    scores = load_scores(Path(result["record"]).with_name(record["scores"]["file"]))
    for part in ("valid", "test"):
        again = part_metrics(scores[part], log=True, topk=[2])
        assert record["metrics"][part] == pytest.approx(result[part]) == again
        rows = {(row.user, row.item, row.request) for row in ROWS if row.part == part}
        assert len(scores[part]["request"]) == len(rows)
        assert len(np.unique(scores[part]["request"])) == len({request for *_, request in rows})
    names = {"AUC", "UAUC", "GAUC", "GAUC-clicks", "LogLoss", "NE", "predicted/observed", "ECE", "request AUC", "MRR"}
    names |= {"requests", "requests without a click", "requests without a non-click"}
    assert set(result["test"]) == names | {f"{name}@{k}" for name in ("nDCG", "Recall", "Hit") for k in (2, 5, 10)}
    by_request = {}
    for row in ROWS:
        if row.part == "test":
            by_request.setdefault(row.request, []).append(row.label)
    assert result["test"]["requests without a click"] == sum(not any(labels) for labels in by_request.values())
    assert result["test"]["requests without a non-click"] == sum(all(labels) for labels in by_request.values())


def test_a_metric_that_is_not_defined_is_null_in_the_last_line(tmp_path, capsys):
    """Nobody knows the users of this log, nor its requests. The line was no JSON: it said NaN."""
    target = planted_log.write(tmp_path, ROWS)
    (target / "log.user").unlink()
    lines = (target / "log.inter").read_text().splitlines()
    (target / "log.inter").write_text("".join(line.split("\t", 1)[1] + "\n" for line in lines))
    given = settings(tmp_path, "Popularity", user=None, request=None, epochs=1)
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(given))
    assert cli.main(["run", "--model=Popularity", "--dataset=log", f"--config_files={tmp_path / 'run.yaml'}"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1], parse_constant=pytest.fail)
    assert told["test"]["UAUC"] is None and told["test"]["AUC"] > 0


def test_a_log_without_requests_has_no_metrics_of_them(log):
    result = run(config_dict=settings(log, request=None), saved=False)
    assert "MRR" not in result["test"] and "NE" in result["test"]


@pytest.mark.parametrize("model", ["MultimodalDIN", "LR", "DIEN", "Popularity"])
def test_kept_negatives_are_corrected_before_every_metric(log, model):
    """p = q / (q + (1 - q) / w) of the model's own output q, in validation, test, scores and record."""
    share = 0.5
    result = run(config_dict=settings(log, model, keep_negatives=share, metrics=["AUC", "LogLoss"]))
    loaded = load_run(result["checkpoint"])
    record = record_of(result)
    scores = load_scores(Path(result["record"]).with_name(record["scores"]["file"]))
    for name, loader in (("valid", loaded.valid), ("test", loaded.test)):
        with torch.no_grad():
            raw = torch.cat([loaded.model.predict(batch[0]) for batch in loader]).double().numpy()
        expected = raw / (raw + (1 - raw) / share)
        np.testing.assert_allclose(scores[name]["score"], expected, rtol=1e-5)
        assert result[name]["LogLoss"] == pytest.approx(log_loss(scores[name]["label"], expected), abs=1e-5)
    assert result["best_valid_result"]["logloss"] == pytest.approx(result["valid"]["LogLoss"], abs=1e-5)
    assert result["test_result"]["logloss"] == pytest.approx(result["test"]["LogLoss"], abs=1e-5)
    assert record["calibration"]["kept_negatives"] == share
    assert record["calibration"]["steps"] == [{"kind": "logit", "slope": 1.0, "intercept": np.log(share)}]


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_a_fitted_calibration_belongs_to_the_checkpoint(log, kind):
    result = run(config_dict=settings(log, calibration=kind, keep_negatives=0.5))
    told = record_of(result)["calibration"]
    correction, fitted = map(Calibration.from_state, told["steps"])
    assert checkpoint.load(result["checkpoint"])["calibration"] == told["steps"]
    scores = load_scores(Path(result["record"]).with_name(record_of(result)["scores"]["file"]))
    for part in ("valid", "test"):
        np.testing.assert_allclose(fitted.apply(scores[part]["uncalibrated"]), scores[part]["score"], rtol=1e-5)
        before = told["before"][part]
        assert before["NE"] == pytest.approx(normalised_entropy(scores[part]["label"], scores[part]["uncalibrated"]))
        assert result["calibration"]["before"][part] == pytest.approx(before)
    loaded = load_run(result["checkpoint"])
    again = loaded.trainer.scores(loaded.test)
    np.testing.assert_array_equal(again["score"], scores["test"]["score"])
    # Fitted on validation, whose mean it therefore has; the test part had no say.
    assert result["valid"]["predicted/observed"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("log", "kind"), [(True, "isotonic"), (False, "isotonic"), (True, "platt")])
def test_rankings_are_of_the_order_before_a_fitted_step(tmp_path, log, kind):
    """Steps tie rows, and on the rows they were fitted on that raises AUC; they are served in the model's order."""
    changed = {"calibration": kind, "metrics": ["AUC", "UAUC", "GAUC", "LogLoss"]}
    if log:
        planted_log.write(tmp_path, ROWS)
        result = run(config_dict=settings(tmp_path, **changed))
    else:
        tiny.write_dataset(tmp_path / "data", n_users=120)
        folder = str(tmp_path / "saved")
        result = run(config_dict=tiny.settings(tmp_path / "data", checkpoint_dir=folder, **changed))
    record = record_of(result)
    parts = load_scores(Path(result["record"]).with_name(record["scores"]["file"]))
    for part, columns in parts.items():
        user, label, before = columns["user"], columns["label"], columns["uncalibrated"]
        found = {"AUC": auc(label, before), "UAUC": uauc(user, label, before)}
        found["LogLoss"] = log_loss(label, columns["score"])
        found |= {"GAUC": gauc(user, label, before)} if log else {}
        if log:
            found["MRR"] = request_metrics(columns["request"], label, before).means()["MRR"]
        if kind == "isotonic":
            assert auc(label, columns["score"]) != auc(label, before)
        for metrics in (result[part], record["metrics"][part], evidence_of_parts(parts, log)[part].metrics(log)):
            assert {name: metrics[name] for name in found} == pytest.approx(found, rel=1e-6)
    expected = {"auc": result["test"]["AUC"], "uauc": result["test"]["UAUC"], "logloss": result["test"]["LogLoss"]}
    assert {name: result["test_result"][name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert result["best_valid_result"]["auc"] == pytest.approx(result["valid"]["AUC"], abs=1e-5)


def test_a_fit_on_few_clicks_says_so(log, caplog, capsys):
    result = run(config_dict=settings(log, calibration="platt"))
    label = load_scores(Path(result["record"]).with_suffix(".scores.npz"))["valid"]["label"]
    rarer = int(min(label.sum(), (label == 0).sum()))
    assert rarer < 100
    note = result["calibration"]["note"]
    assert note.startswith(f"calibration: platt is fitted on {rarer} clicks of validation, which tell a rate to ")
    assert note in calibration_lines(result) and record_of(result)["calibration"]["note"] == note
    assert "note" not in run(config_dict=settings(log), saved=False)["calibration"]


@pytest.mark.parametrize(("kind", "enough"), [("platt", 100), ("isotonic", 1000)])
def test_how_few_are_few(kind, enough):
    for rarer in (0, 1):  # non-clicks, clicks
        label = np.full(10_000, 1 - rarer)
        label[:enough] = rarer
        assert too_few_to_mean_much(kind, label) == ""
        label[0] = 1 - rarer
        assert f"{enough - 1} {('rows without a click', 'clicks')[rarer]}" in too_few_to_mean_much(kind, label)


def test_nothing_is_served_without_the_calibration_that_was_asked_for(log):
    """A run that was stopped before it fitted one, and the state of its last epoch, which never has it."""
    result = run(config_dict=settings(log, calibration="platt"))
    for path in (result["checkpoint"], result["checkpoint"].replace(".pth", ".last.pth")):
        content = checkpoint.load(path)
        checkpoint.save(path, content | {"calibration": []})
        for load in (load_run, load_scorer):
            with pytest.raises(InputError, match="with its calibration, platt, which is fitted at the end of the run"):
                load(path)
    run(config_dict=settings(log, calibration="platt", resume=True))
    fitted = load_scorer(result["checkpoint"]).click_rates.fitted
    assert fitted is not None and fitted == load_run(result["checkpoint"]).trainer.click_rates.fitted


def test_what_was_fitted_comes_after_the_correction():
    """Half of the other rows kept: odds of 1/3 are 1/6; then the fitted slope of 2 makes them 1/36."""
    rates = ClickRates(0.5, Calibration("logit", slope=2.0))
    for again in (rates, ClickRates.from_state(rates.state(), 0.5)):
        assert again(torch.tensor([0.25], dtype=torch.float64)).item() == pytest.approx(1 / 37)


def test_too_few_clicks_to_calibrate_on_are_told_before_training(tmp_path):
    planted_log.write(tmp_path, planted_log.exposures(n_requests=20))
    with pytest.raises(InputError, match="10 clicks"):
        run(config_dict=settings(tmp_path, calibration="platt"))
    assert not list(tmp_path.rglob("*.pth"))


@pytest.mark.parametrize("metric", ["UAUC", "GAUC", "AUC", "LogLoss", "MAE", "RMSE"])
def test_names_that_choose_the_epoch(log, metric):
    result = run(config_dict=settings(log, "Popularity", metrics=["AUC", metric], valid_metric=metric))
    assert result["valid_score_bigger"] == (metric in ("UAUC", "GAUC", "AUC"))
    if metric in result["valid"]:
        assert result["best_valid_score"] == pytest.approx(result["valid"][metric], abs=1e-5)
    load_run(result["checkpoint"])


@pytest.mark.parametrize("metric", ["NDCG", "MRR", "Hit"])
def test_metrics_of_whole_lists_are_refused(log, metric):
    with pytest.raises(InputError, match="which rank no lists"):
        run(config_dict=settings(log, metrics=[metric], valid_metric=metric))


def test_a_constant_model_has_a_normalised_entropy_of_one():
    label = np.random.default_rng(0).random(5000) < 0.04
    columns = {"user": np.arange(5000) % 50, "label": label, "score": np.full(5000, label.mean())}
    metrics = part_metrics({**columns, "request": np.arange(5000) // 10}, log=True)
    assert metrics["NE"] == pytest.approx(1, abs=1e-12)
    assert metrics["AUC"] == metrics["UAUC"] == metrics["GAUC"] == metrics["request AUC"] == 0.5
    assert metrics["predicted/observed"] == pytest.approx(1)


def test_counts_and_means_of_requests_by_hand():
    columns = {"user": np.array([1, 1, 1, 1, 2, 2]), "request": np.array([0, 0, 1, 1, 2, 2])}
    columns |= {"label": np.array([1, 0, 0, 0, 1, 1]), "score": np.array([0.2, 0.6, 0.5, 0.1, 0.3, 0.3])}
    metrics = part_metrics(columns, log=True)
    for name in ("requests", "requests without a click", "requests without a non-click"):
        assert metrics[name] == 1
    assert (metrics["request AUC"], metrics["MRR"]) == (0, 0.5)
    assert metrics["MRR"] == request_metrics(**{k: columns[k] for k in ("request", "label", "score")}).means()["MRR"]


def test_shuffled_labels_teach_nothing(tmp_path):
    """Labels drawn apart from everything: what is learned of training rows says nothing of the others."""
    rows = planted_log.exposures(seed=3, n_requests=900)
    labels = np.random.default_rng(5).permutation([row.label for row in rows])
    planted_log.write(tmp_path, [row._replace(label=int(label)) for row, label in zip(rows, labels, strict=True)])
    result = run(config_dict=settings(tmp_path, "MARN"), saved=False)
    rows_in_test = sum(row.part == "test" for row in rows)
    clicks = sum(label for row, label in zip(rows, labels, strict=True) if row.part == "test")
    deviation = np.sqrt((rows_in_test + 1) / (12 * clicks * (rows_in_test - clicks)))
    assert abs(result["test"]["AUC"] - 0.5) < 4 * deviation


@pytest.mark.parametrize("model", ["LR", "MultimodalDIN"])
def test_a_checkpoint_is_not_scored_where_tokens_have_other_numbers(log, model):
    """The rows and their fingerprint stay the same, but embeddings go by numbers."""
    path = run(config_dict=settings(log, model, epochs=1))["checkpoint"]
    before = load_run(path).test.part
    file = log / "log" / "log.item"
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, *lines[::-1]]) + "\n")
    with pytest.raises(InputError, match="the same rows, with other numbers"):
        load_run(path)
    content = checkpoint.load(path)
    assert content["split_sha256"] == before.split_sha256
    del content["numbering_sha256"], content["items_sha256"]  # as version 0.1.0 wrote it
    checkpoint.save(path, content)
    assert load_run(path).test.part.split_sha256 == before.split_sha256
