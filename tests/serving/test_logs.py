"""Checkpoints trained on click logs: profile and context with the rows, the position fixed, click rates calibrated."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import planted_log
import pytest

import recbole_marn
from recbole_marn.cli import main
from recbole_marn.data.context import ContextField
from recbole_marn.data.context_vocabulary import FieldVocabulary
from recbole_marn.data.loader import CTRDataLoader
from recbole_marn.data.statistics import EqualFrequencyBins
from recbole_marn.errors import InputError
from recbole_marn.registry import MODELS
from recbole_marn.serving.contexts import context_of
from recbole_marn.serving.histories import History
from recbole_marn.training.click_rates import ClickRates

DRAW = np.random.default_rng(0)
# What is clicked hangs on the device, so that a calibration has something to keep.
ROWS = [
    row._replace(label=int(DRAW.random() < 0.1 + 0.35 * int(row.device[1])))
    for row in planted_log.exposures(n_requests=300)
]
SEEN = planted_log.behaviours(number=400)
FILE = {"behaviours": {"file": "log.behaviours"}, "repeats": "keep",
        "behaviour": {"kind": "kind", "time": "timestamp", "size": 2, "bins": [3]}}  # fmt: skip
RUNS = {
    "a file of behaviours": {**FILE, "keep_negatives": 0.5, "calibration": "platt"},
    "clicked rows": {"keep_negatives": 0.5},
    "isotonic": {**FILE, "calibration": "isotonic"},
    "no position": {**FILE, "position": None},
    "statistics until the row": {**FILE, "statistics_until": "row"},
}
POSITION = {"position": {"field": "position", "at_serving": 2}}


class ServedLog:
    """A finished run whose data are gone, its test rows as a user of a checkpoint would bring them."""

    def __init__(self, folder, model="MARN", seen=SEEN, **changed):
        planted_log.write(folder, ROWS, seen)
        left_out = [] if hasattr(MODELS[model].settings, "attention_hidden") else ["attention_hidden"]
        given = {"checkpoint_dir": str(folder / "saved"), "epochs": 3, "learning_rate": 0.02, **POSITION}
        settings = planted_log.settings(folder, model, **given | dict.fromkeys(left_out) | changed)
        self.path = recbole_marn.run(config_dict={k: v for k, v in settings.items() if v is not None})["checkpoint"]
        self.run = recbole_marn.load_run(self.path)
        part = self.run.test.part.served()
        self.expected = self.run.trainer.scores(CTRDataLoader(self.run.config, part))["score"]
        columns = part.rows.columns(np.arange(len(part)))
        users, items = (part.field2id_token[f"{name}_id"][columns[name]].tolist() for name in ("user", "item"))
        mine = [ROWS[line] for line in part.rows.requests.line]
        number = [int(user[1:]) for user in users]
        self.rows = {
            "user_id": users, "item_id": items, "timestamp": columns["time"].tolist(),
            "age": [20 + n % 5 for n in number], "score": [f"{n % 3}.5" for n in number],
            "device": [row.device for row in mine], "position": [row.position for row in mine],
        }  # fmt: skip
        events = part.rows.events
        events = events.take(DRAW.permutation(events.n_events))  # of equal times serving finds the order again
        self.behaviours = {
            "user_id": part.field2id_token["user_id"][events.user].tolist(),
            "item_id": part.field2id_token["item_id"][events.item].tolist(),
            "timestamp": events.time.tolist(),
        }
        if changed.get("behaviours"):
            self.behaviours["kind"] = np.array(part.source.behaviour_types)[events.behaviour].tolist()
        shutil.rmtree(folder / "log")

    def scorer(self):
        return recbole_marn.load_scorer(self.path)


@pytest.fixture(scope="module")
def served_log(tmp_path_factory):
    made = {}

    def served(how="a file of behaviours", model="MARN"):
        if (how, model) not in made:
            made[how, model] = ServedLog(tmp_path_factory.mktemp("log"), model, **RUNS[how])
        return made[how, model]

    return served


@pytest.mark.parametrize("how", ["a file of behaviours", "clicked rows", "isotonic", "no position"])
def test_rates_are_those_of_the_run_at_the_position_of_serving(served_log, how):
    served = served_log(how)
    scorer = served.scorer()
    assert bool(scorer.click_rates.state()) == (how != "no position")
    found = scorer.score(served.rows, served.behaviours)
    np.testing.assert_allclose(found, served.expected, rtol=0, atol=1e-5)
    moved = scorer.score(served.rows | {"position": [4] * len(found)}, served.behaviours)
    assert np.array_equal(moved, found) == (how != "no position")


def test_a_log_is_no_table_of_behaviours(served_log, write_csv):
    served, other = served_log("clicked rows"), served_log()
    scorer, shown = served.scorer(), len(served.behaviours["item_id"])
    clicks = served.behaviours | {"label": [1] * shown}
    np.testing.assert_array_equal(scorer.score(served.rows, clicks), scorer.score(served.rows, served.behaviours))
    log = served.behaviours | {"label": [1] * (shown - 1) + [0]}
    with pytest.raises(InputError, match="column 'label' with 1 of"):
        scorer.score(served.rows, log)
    write_csv("rows.csv", served.rows), write_csv("log.csv", log)
    assert main(["predict", served.path, "--rows", "rows.csv", "--behaviours", "log.csv", "--out", "out.csv"]) == 2
    seen = other.behaviours | {"label": [0] * len(other.behaviours["item_id"])}
    other.scorer().score(other.rows, seen)  # behaviours of their own file are no clicks


@pytest.mark.parametrize("model", ["MultimodalxDeepFM", "NAML"])
def test_other_models(served_log, model):
    served = served_log(model=model)
    found = served.scorer().score(served.rows, served.behaviours)
    np.testing.assert_allclose(found, served.expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", ["MARN", "MultimodalDIN"])  # the latter reads no types
@pytest.mark.parametrize("changed", [{"repeats": "first"}, {"behaviours": FILE["behaviours"] | {"types": ["cart"]}}])
def test_behaviours_that_training_left_out_are_left_out(tmp_path, model, changed):
    seen = [one._replace(time=one.time + number) for number, one in enumerate(SEEN)]  # lists have no ties to tell
    served = ServedLog(tmp_path, model, seen, **FILE | changed, epochs=1, MAX_ITEM_LIST_LENGTH=8)
    scorer = served.scorer()
    every = dict(zip(["user_id", "item_id", "timestamp", "kind"], map(list, zip(*seen, strict=True)), strict=True))
    given = scorer.behaviours(every)
    left = sum(one.kind != "cart" for one in seen), len(seen) - len({(one.user, one.item, one.kind) for one in seen})
    assert (given.of_other_types, given.repeated) == ((left[0], 0) if "behaviours" in changed else (0, left[1]))
    np.testing.assert_allclose(scorer.score(served.rows, given), served.expected, rtol=0, atol=1e-5)
    past = [sorted((b for b in seen if b.user == user and b.time < time), key=lambda b: b.time)
            for user, time in zip(served.rows["user_id"], served.rows["timestamp"], strict=True)]  # fmt: skip
    row = int(np.argmax([len(own) for own in past]))
    context, had = scorer.context_of(served.rows, len(past)).codes[[row]], {b.item for b in past[row]}
    user, time = (np.array([served.rows[name][row]], dtype=object) for name in ("user_id", "timestamp"))
    by_table = next(scorer.top_of(user, time.astype(float), given, 99, scorer.candidates(None), context, unseen=True))
    own = History([b.item for b in past[row]], [b.time for b in past[row]], [b.kind for b in past[row]])
    asker = scorer.asker(scorer.behaviours_of([own]), context, time[0])
    for ranking in (by_table, scorer.ranking(asker, 99, scorer.candidates(None), unseen=True)):
        assert set(ranking.items) == set(scorer.items) - had, "an item of another type was had, too"
    histories = [History([b.item for b in own], [b.time for b in own], [b.kind for b in own]) for own in past]
    np.testing.assert_allclose(scorer.score(served.rows, histories), served.expected, rtol=0, atol=1e-5)
    del every["kind"]
    with pytest.raises(InputError, match="without kind"):
        scorer.score(served.rows, every)


def test_a_value_that_training_never_saw_is_unknown(served_log):
    served = served_log()
    scorer = served.scorer()
    row = {name: values[:1] for name, values in served.rows.items()} | {"user_id": ["u1"]}
    same = [scorer.score(row | {"device": [value]}) for value in ("tv", None, "", float("nan"))]
    assert len({float(score[0]) for score in same}) == 1
    assert abs(scorer.score(row | {"device": ["d1"]}) - same[0]) > 1e-6
    assert scorer.score(row | {"age": [21]}) == scorer.score(row | {"age": ["21.0"]})
    told = scorer.context_of(
        {"user_id": ["u1", "new"], "age": [99, None], "score": ["1.5", "much"], "device": ["tv", "d1"]}, 2
    )
    assert told.unknown == {"user_id": 1, "age": 1, "score": 1, "device": 1}
    age = scorer.facts.context[1]
    assert age.name == "age" and told.codes[:, 1].tolist() == [0, 0]
    assert scorer.context_of(row, 1).codes[0, 1] == age.code[str(row["age"][0])]


@pytest.mark.parametrize("spelled", [("true", "false"), ("True", "False")])
def test_a_truth_value_is_what_training_spelled(spelled):
    field = ContextField("member", 3, 2, "user")
    known = FieldVocabulary("member", "token", (field,), np.array(["", *spelled], dtype=object), None)
    found = context_of([known], {"member": np.array([True, False, spelled[0], 1, 0.0], dtype=object)}, 5)
    assert found.codes[:, 0].tolist() == [1, 2, 1, 0, 0] and found.unknown == {"member": 2}, "1 is not true"


def test_a_token_that_looks_like_nothing_is_what_training_has():
    """Namibia was a missing country."""
    known = FieldVocabulary("country", "token", (ContextField("country", 3, 2, "user"),), np.array(["", "NA"]), None)
    found = context_of([known], {"country": np.array(["NA", "N/A", "", None], dtype=object)}, 4)
    assert found.codes[:, 0].tolist() == [1, 0, 0, 0] and found.unknown == {}
    lists = dataclasses.replace(known, kind="token_seq")
    found = context_of([lists], {"country": np.array([["NA", None], "NA", None], dtype=object)}, 3)
    assert found.codes[:, 0].tolist() == [1, 1, 0]


def test_what_is_no_rate_is_unknown():
    """30 was taken for a very high rate where 30 % was meant."""
    field, bins = ContextField("user_purchase_rate", 4, 2, "user"), EqualFrequencyBins((np.array([0.1, 0.3]),))
    known = FieldVocabulary("user_purchase_rate", "float", (field,), None, bins)
    given = np.array([0.0, 0.2, "1", 30, -0.1, None, "x"], dtype=object)
    found = context_of([known], {"user_purchase_rate": given}, 7)
    assert found.codes[:, 0].tolist() == [1, 2, 3, 0, 0, 0, 0] and found.unknown == {"user_purchase_rate": 3}


def test_the_fields_of_a_request_with_unknown_values_are_named(served_log):
    scorer, history = served_log().scorer(), History(["003", "005"], [10.0, 20.0], ["view", "cart"])
    profile = {"user_id": "u3", "age": 23, "score": 0.5}
    assert scorer.unknown_values(history, scorer.coded(profile, {"device": ["d0", "d1"]}, 2)) == []
    assert scorer.unknown_values(history, scorer.coded(profile, {"device": ["d0", "tv"]}, 2)) == ["device"]
    stroll = History(["003"], [10.0], ["stroll"])
    odd = scorer.coded(profile | {"score": "much"}, {"device": None}, 1)
    assert scorer.unknown_values(stroll, odd) == ["score", "kind"]


def test_one_request(served_log):
    served = served_log()
    scorer, some = served.scorer(), slice(0, 3)
    history = History(["003", "005"], [10.0, 20.0], ["view", "cart"])
    items = served.rows["item_id"][some]
    profile, context = {"user_id": "u3", "age": 23, "score": 0.5}, {"device": ["d0", "d1", "d2"]}
    found = scorer.score_request(history, items, profile=profile, context=context, time=3e5)
    table = {"item_id": items, "timestamp": [3e5] * 3, "device": context["device"]}
    table |= {name: [value] * 3 for name, value in profile.items()}
    np.testing.assert_array_equal(found, scorer.score(table, [history] * 3))
    best = scorer.top(history, 4, time=3e5, profile=profile, context={"device": "d1"})
    every = scorer.score_request(history, scorer.items, profile=profile, context={"device": "d1"}, time=3e5)
    assert best.items == [scorer.items[place] for place in np.argsort(-every, kind="stable")[:4]]
    for wrong, text in (
        ({"context": {}}, "without device. Give profile={field: value} and context={field: value}"),
        ({"context": {"device": "d1", "position": 1}}, "Got 'position'"),
        ({"time": None}, "Expected a time"),
        ({"time": 1e12}, "in the unit of the training data"),
        ({"context": {"device": ["d1"]}}, "one per candidate (3). Got 1."),
    ):
        with pytest.raises(InputError) as error:
            scorer.score_request(history, items, **{"profile": profile, "context": context, "time": 3e5} | wrong)
        assert text in str(error.value)


def test_what_isotonic_steps_make_alike_is_ranked_by_the_model(served_log):
    scorer = served_log("isotonic").scorer()
    asked = {"time": 3e5, "profile": {"user_id": "u3", "age": 23, "score": 0.5}, "context": {"device": "d1"}}

    def ranking():
        return scorer.top(History(["003", "005"], [10.0, 20.0], ["view", "cart"]), len(scorer.items), **asked)

    best = ranking()
    assert len(set(best.probability.tolist())) < len(best.items), "nothing is alike"
    assert (np.diff(best.probability) <= 0).all()
    scorer.click_rates = ClickRates()
    assert best.items == ranking().items


def test_a_short_list_is_held_against_the_ranking_itself(served_log, write_csv, capsys):
    """Not against items that isotonic steps made as likely as the last one."""
    served, number = served_log("isotonic"), 20
    rows = {name: values[:number] for name, values in served.rows.items() if name not in ("item_id", "position")}
    write_csv("rows.csv", rows)
    write_csv("behaviours.csv", served.behaviours)
    given = ["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--top", "3"]
    assert main([*given, "--out", "full.csv"]) == 0
    capsys.readouterr()
    assert main([*given, "--out", "short.csv", "--retrieve", "3"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["retrieved"]
    items = [[row["item_id"] for row in csv.DictReader(open(f"{name}.csv"))] for name in ("full", "short")]
    found = np.mean([len({*items[0][at : at + 3]} & {*items[1][at : at + 3]}) / 3 for at in range(0, 3 * number, 3)])
    assert told["recall_of_full_scoring"] == pytest.approx(found, abs=1e-4) and found < 1


def test_predict(served_log, write_csv, capsys):
    served = served_log()
    write_csv("behaviours.csv", served.behaviours)
    given = ["predict", served.path, "--rows", "rows.csv", "--behaviours", "behaviours.csv", "--out", "scores.csv"]
    n = len(served.rows["item_id"])
    write_csv("rows.csv", served.rows | {"shop": ["x"] * n, "device": ["tv", *served.rows["device"][1:]]})
    capsys.readouterr()
    assert main(given) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["columns_not_used"] == ["position", "shop"] and told["unknown_values"]["device"] == 1
    assert told["rows_before_the_end_of_statistics"] > 0  # the parts of this log are cut at random
    found = np.genfromtxt("scores.csv", delimiter=",", names=True)["probability"]
    np.testing.assert_allclose(found[1:], served.expected[1:], rtol=0, atol=1e-5)
    write_csv("rows.csv", {name: values for name, values in served.rows.items() if name != "age"})
    assert main(given) == 2
    assert "without age" in capsys.readouterr().err
    users = {name: values[:2] for name, values in served.rows.items() if name != "item_id"}
    write_csv("rows.csv", users)
    assert main([*given, "--top", "3"]) == 0
    assert len(np.genfromtxt("scores.csv", delimiter=",", names=True)) == 6


def test_statistics_at_the_end_of_the_log(served_log):
    """With statistics_until: row an item is served with what the whole log says of it, or what its user says by now."""
    served = served_log("statistics until the row")
    scorer = served.scorer()
    exposures, clicks = ({item: 0 for item in scorer.items} for _ in range(2))
    for row in ROWS:
        exposures[row.item] += 1
        clicks[row.item] += row.label
    trained = [row.label for row in ROWS if row.part == "train"]
    rate = {i: (clicks[i] + 20 * np.mean(trained)) / (exposures[i] + 20) for i in scorer.items}
    before = scorer.item_vectors()
    described = {"item_id": scorer.items, "category": [f"c{int(item) % 3}" for item in scorer.items]}
    scorer.add_items(described)
    np.testing.assert_allclose(scorer.item_vectors(), before, atol=1e-6)  # counts stay
    scorer.add_items(
        described | {"exposures": list(exposures.values()), "click_rate": [rate[item] for item in scorer.items]}
    )
    np.testing.assert_allclose(scorer.item_vectors(), before, atol=1e-6)
    scorer.add_items(described | {"exposures": [0] * len(before), "click_rate": [np.mean(trained)] * len(before)})
    assert np.abs(scorer.item_vectors() - before).max() > 1e-3
    told = served.scorer().add_items({"item_id": scorer.items[:2], "click_rate": [30, 0.3]})
    assert told.unreadable == {"click_rate": 1}, "30 is no rate"
    never = scorer.item_vectors()
    fresh = served.scorer()
    fresh.add_items({"item_id": ["new"], "category": ["c1"]})
    ids = scorer.catalogue.codes["item_id"]
    assert "new" not in ids and fresh.item_vectors(["new"]).shape == never[:1].shape
    statistic = fresh.catalogue.moving
    assert statistic["exposures"] == 0 and statistic["click_rate"] == pytest.approx(np.mean(trained))


# ---------------------------------------------------------------------------------------- with ONNX Runtime
@pytest.fixture(scope="module")
def exported_log(served_log, tmp_path_factory):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, exc_type=ImportError)
    made = {}

    def export(how="a file of behaviours", model="MARN"):
        from recbole_marn.serving.export import export as write

        if (how, model) not in made:
            served, folder = served_log(how, model), tmp_path_factory.mktemp("export") / model
            made[how, model] = served, folder, write(served.scorer(), folder, checkpoint=served.path, run=served.run)
        return made[how, model]

    return export


@pytest.mark.parametrize(("how", "model"), [
    *((how, "MARN") for how in RUNS), *(("a file of behaviours", name) for name in ("MultimodalxDeepFM", "NAML")),
])  # fmt: skip
def test_an_export_gives_the_rates_of_the_run(exported_log, how, model):
    from recbole_marn.serving.exported import ExportedScorer

    served, folder, manifest = exported_log(how, model)
    scorer, ours = ExportedScorer(folder), served.scorer()
    expected = ours.score(served.rows, served.behaviours)
    np.testing.assert_allclose(scorer.score(served.rows, served.behaviours), expected, rtol=0, atol=1e-5)
    request = {"profile": {"user_id": "u3", "age": 23, "score": 0.5}, "context": {"device": "tv"}, "time": 3e5}
    if how == "no position":
        request["context"]["position"] = 2
    history = History(["003"], [10.0], ["cart"])
    both = [answers.score_request(history, ["001", "gone"], **request) for answers in (scorer, ours)]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-5)
    parity, least = manifest["parity"], 1e-4 if how == "isotonic" else 1e-5  # a steep step makes differences larger
    assert parity["largest_difference"] < least
    assert parity["test"]["largest_difference"] < least and parity["test"]["record"]["AUC"] > 0
    assert parity["test"]["AUC"] == pytest.approx(parity["test"]["record"]["AUC"], abs=1e-4)


def test_why_takes_a_value_of_context_per_candidate(exported_log):
    from recbole_marn.serving.exported import ExportedScorer

    _, folder, _ = exported_log("a file of behaviours", "MARN")
    scorer, history = ExportedScorer(folder), History(["003"], [10.0], ["cart"])
    asked = {"profile": {"user_id": "u3", "age": 23, "score": 0.5}, "time": 3e5}
    both = scorer.without_modalities(history, ["001", "004"], context={"device": ["d0", "d1"]}, **asked)
    alone = [
        scorer.without_modalities(history, [item], context={"device": device}, **asked)[0]
        for item, device in (("001", "d0"), ("004", "d1"))
    ]
    np.testing.assert_allclose(both, alone, rtol=0, atol=1e-6)
    assert np.isfinite(both).any()


def test_what_is_fixed_when_scores_are_served_is_not_asked_for(exported_log, tmp_path):
    for package in ("fastapi", "prometheus_client", "httpx"):
        pytest.importorskip(package, exc_type=ImportError)
    from starlette.testclient import TestClient

    from recbole_marn.serving.service.app import create_app
    from recbole_marn.serving.service.options import ServiceOptions

    asked = {}
    for how in ("a file of behaviours", "no position"):
        options = ServiceOptions(exported_log(how)[1], tmp_path / "added")
        with TestClient(create_app(options), base_url="http://127.0.0.1") as client:
            asked[how] = set(client.get("/health").json()["reads"]["profile_and_context"])
    assert asked["no position"] - asked["a file of behaviours"] == {"position"}
    assert "age" in asked["a file of behaviours"]


def test_the_test_part_of_a_run_on_moving_statistics_is_not_scored_with_what_came_later(exported_log):
    from recbole_marn.serving import parity
    from recbole_marn.serving.exported import ExportedScorer

    served, folder, manifest = exported_log("statistics until the row")
    late = parity._outputs(ExportedScorer(folder), served.run.test.part)
    at_their_time = served.run.trainer.scores(served.run.test)["score"]
    assert manifest["parity"]["test"]["largest_difference"] < 1e-5 < np.abs(late - at_their_time).max()


# ------------------------------------------------------------------------------------------------------------ lists
@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """A scorer whose users have tags, of which training saw t0, t_1 and t2; and three rows without them."""
    folder = tmp_path_factory.mktemp("tagged")
    target = planted_log.write(folder, ROWS)
    tags = ("", "t0", "t0 t_1", "t0 t_1 t2")
    lines = (target / "log.user").read_text().splitlines()
    lines = [f"{line}\t{'tags:token_seq' if row == 0 else tags[row % 4]}" for row, line in enumerate(lines)]
    (target / "log.user").write_text("\n".join(lines) + "\n")
    settings = planted_log.settings(
        folder, checkpoint_dir=str(folder / "saved"), behaviour=None, user={"fields": {"age": 2, "tags": 2}},
        context={"fields": {"device": 2}},
    )  # fmt: skip
    rows = {"user_id": ["u1", "u2", "u3"], "item_id": ["001", "002", "003"], "timestamp": [1e5] * 3}
    scorer = recbole_marn.load_scorer(recbole_marn.run(config_dict=settings)["checkpoint"])
    return scorer, rows | {"age": ["21", "22", "23"], "device": ["d1"] * 3}


@pytest.mark.parametrize(
    "tags",
    [
        [["t0"], ["t0", "t_1"], ["t0", "t 1", "t2"]],
        ["['t0']", "['t0', 't 1']", '["t0", "t_1", "t2"]'],
        ["t0", "t0|t 1", "t0|t_1| t2"],
    ],
)
def test_lists_are_read_as_prepare_reads_them(tagged, tags):
    """A list spelled in a cell was unknown words; lists of different lengths ended in an error of numpy's."""
    scorer, rows = tagged
    told = scorer.context_of(rows | {"tags": tags}, 3)
    assert told.unknown == {}
    expected = rows | {"tags": ["t0", "t0 t_1", "t0 t_1 t2"]}
    np.testing.assert_array_equal(scorer.score(rows | {"tags": tags}), scorer.score(expected))
    assert len(set(scorer.score(expected | {name: values[:1] * 3 for name, values in rows.items()}).tolist())) == 3


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"device": ["d1", ["d2"], "d0"]}, "a column that is no list. Got ['d2']"),
        ({"item_id": ["001", ["002"], "003"]}, "a column that is no list. Got ['002']"),
        ({"age": ["21"], "tags": ["t0"], "device": ["d1"]}, "columns of rows of one length"),
    ],
)
def test_rows_that_are_none(tagged, changed, text):
    scorer, rows = tagged
    with pytest.raises(InputError) as error:
        scorer.score(rows | {"tags": ["t0"] * 3} | changed)
    assert text in str(error.value)
