"""From a grid to runs with an identity; whatever is wrong is said before anything runs."""

import pytest

from recbole_marn.errors import InputError
from recbole_marn.host.config import data_files
from recbole_marn.leaderboard.grid import (
    Row,
    Space,
    anchor_rows,
    combinations,
    config_id,
    plan_rows,
    read_grid,
)
from recbole_marn.leaderboard.plan import RESERVED, Plan, runs_of, shipped_space, trials_of


@pytest.fixture
def plan(data_path):
    import tiny

    common = tiny.settings(data_path, "none")
    return Plan("tiny", {key: value for key, value in common.items() if key not in RESERVED})


def write(tmp_path, text):
    path = tmp_path / "grid.yaml"
    path.write_text(text)
    return path


# -------------------------------------------------------------------------------------------------- files
def test_a_grid_file_makes_rows(tmp_path):
    path = write(
        tmp_path,
        """
all: {learning_rate: [0.1, 0.2]}
MARN: {lambda0: [0.5], prediction_hidden: [[8], [4, 2]]}
rows:
  MARN bare: {model: MARN, adversary: none}
""",
    )
    rows = plan_rows(["LR", "MARN"], read_grid(path))
    assert [row.label for row in rows] == [
        "LR (learning_rate=0.1)", "LR (learning_rate=0.2)",
        "MARN (learning_rate=0.1, prediction_hidden=[8])", "MARN (learning_rate=0.1, prediction_hidden=[4, 2])",
        "MARN (learning_rate=0.2, prediction_hidden=[8])", "MARN (learning_rate=0.2, prediction_hidden=[4, 2])",
        "MARN bare",
    ]  # fmt: skip
    assert rows[2].settings == {"learning_rate": 0.1, "lambda0": 0.5, "prediction_hidden": [8]}
    assert rows[-1] == Row("MARN bare", "MARN", {"adversary": "none"})


def test_combinations_are_all_and_in_order():
    assert combinations({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert combinations({}) == [{}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MRAN: {lambda0: [1]}", r"'MRAN'.*Did you mean 'MARN'"),
        ("rows: {x: {model: DINN}}", r"'DINN'.*Did you mean 'DIN'"),
        ("rows: {x: {lambda0: 1}}", r"row 'x'.*to be a mapping with a model"),
        ("MARN: {lambda0: 0.1}", r"'lambda0' in section 'MARN'.*list of choices.*Got 0\.1"),
        ("MARN: {lambda0: []}", r"list of choices.*Got \[\]"),
        ("MARN: 3", r"section 'MARN'.*mapping"),
        ("[1, 2]", r"mapping of sections"),
        ("a: [", r"readable YAML"),
        ("rows: {x: {model: DIN}, x: {model: LR}}", r"each key once.*'x' in line 1 and in line 1"),
    ],
)
def test_a_wrong_grid_file_is_explained(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        read_grid(write(tmp_path, text))


def test_a_missing_grid_file(tmp_path):
    with pytest.raises(InputError, match="absent.yaml"):
        read_grid(tmp_path / "absent.yaml")


def test_an_unknown_model_is_named():
    with pytest.raises(InputError, match="'MRAN'.*Did you mean 'MARN'"):
        plan_rows(["MRAN"], Space())


def test_two_rows_of_one_name():
    space = Space(rows=(Row("MARN", "MARN", {"lambda0": 0.5}),))
    with pytest.raises(InputError, match="two different rows 'MARN'"):
        plan_rows(["MARN"], space)


# --------------------------------------------------------------------------------------------------- runs
def test_a_run_is_known_by_the_trainers_name(plan):
    from recbole_marn.quick_start import build_config
    from recbole_marn.training.identity import run_name

    run = runs_of(plan, [Row("MARN", "MARN", {"width": 4})], 2)[1]
    assert run.seed == 2021 and run.settings["epochs"] == 2
    config = build_config("MARN", "tiny", config_dict={**plan.common, "width": 4, "seed": 2021})
    assert run.name == run_name(config)


def test_seeds_share_a_row_and_settings_part_them(plan):
    runs = runs_of(plan, [Row("a", "LR"), Row("b", "LR", {"learning_rate": 0.5})], 2)
    ids = [config_id(run.settings) for run in runs]
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert len({run.name for run in runs}) == 4


def test_a_run_asked_for_twice_is_made_once(plan):
    assert len(runs_of(plan, [Row("a", "LR"), Row("b", "LR", {"learning_rate": 0.01})], 1)) == 1


def test_paths_and_samplings_are_no_part_of_the_identity(plan, tmp_path):
    other = Plan("tiny", {**plan.common, "checkpoint_dir": str(tmp_path), "also_test": ["matched"]})
    row = [Row("a", "LR")]
    assert runs_of(plan, row, 1)[0].name == runs_of(other, row, 1)[0].name
    assert not {"data_path", "checkpoint_dir", "device"} & set(runs_of(plan, row, 1)[0].settings)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (Row("a", "MARN", {"lamda0": 1}), "lamda0.*Did you mean 'lambda0'"),
        (Row("a", "LR", {"lambda0": 1}), "Leave out lambda0: LR has no such key; MARN and .* other models have it"),
        (Row("a", "MARN", {"lambda0": "much"}), "'lambda0' to be of type float"),
        (Row("a", "MARN", {"use_modalities": ["images"]}), "'images'.*Did you mean 'image'"),
        (Row("a", "MARN", {"seed": 3}), "'seed'.*--seeds"),
        (Row("a", "MARN", {"resume": False}), "'resume'"),
        (Row("a", "MARN", {"model": "LR"}), "'model'.*--models"),
        (Row("a", "MARN", {"run_name": "mine"}), "'run_name'.*name is its identity"),
        (Row("a", "MARN", {"checkpoint_dir": "mine"}), "'checkpoint_dir'. Give --checkpoint_dir"),
        (Row("a", "MARN", {"data_path": "mine"}), "'data_path'. Give --data_path"),
    ],
)
def test_a_wrong_setting_is_explained(plan, row, told):
    with pytest.raises(InputError, match=told):
        runs_of(plan, [Row("fine", "LR"), row], 1)


def test_no_seed(plan):
    with pytest.raises(InputError, match="--seeds=0"):
        runs_of(plan, [Row("a", "LR")], 0)


def test_anchors_follow_the_modalities():
    kinds = {
        "ids": {"kind": "id"},
        "image": {"kind": "vector"},
        "title": {"kind": "text"},
        "stat": {"kind": "statistic"},
    }
    rows = {row.label: row for row in anchor_rows(kinds, None)}
    assert set(rows) == {"Popularity", "BaseModelIMAGE", "MARN -statistic"}
    assert rows["MARN -statistic"].settings == {"use_modalities": ["ids", "image", "title"]}
    rows = {row.label for row in anchor_rows(kinds, ["ids", "title"])}
    assert rows == {"Popularity"}
    only = {"stat": {"kind": "statistic"}}
    assert {row.label for row in anchor_rows(only, None)} == {"Popularity"}


def test_data_files_are_those_a_run_reads(plan):
    config = plan.config(Row("LR", "LR"))
    assert [file.name for file in data_files(config)] == ["tiny.inter", "tiny.item", "image.npy", "image.ids"]
    config["data_path"] = "/nowhere/tiny"
    with pytest.raises(InputError, match="recbole-marn prepare tiny"):
        data_files(config)


def test_data_files_of_a_log_hold_its_behaviours_and_parts(plan, tmp_path):
    config = plan.config(Row("LR", "LR"))
    files = ["shop.train.inter", "shop.valid.inter", "shop.test.inter", "shop.item", "shop.behaviours"]
    for name in [*files, "shop.inter"]:
        (tmp_path / name).write_text("")
    config["data_path"], config["dataset"], config["modalities"] = str(tmp_path), "shop", None
    config["split"], config["split_files"] = "files", ["train", "valid", "test"]
    config["behaviours"] = {"file": "shop.behaviours"}
    assert [file.name for file in data_files(config)] == files


def test_data_files_may_be_those_of_another_data_set(plan):
    config = plan.config(Row("LR", "LR"))
    config["atomic_files"] = "ml-100k"
    assert {file.name for file in data_files(config)} >= {"ml-100k.inter", "ml-100k.item", "ml-100k.user"}


# ------------------------------------------------------------------------------------------------- tuning
SPACE = Space({"all": {"learning_rate": [0.1, 0.2, 0.3]}, "MARN": {"lambda0": [0.1, 0.2]}})


def test_every_row_gets_the_same_number_of_different_trials(plan):
    for model in ("MARN", "LR"):
        trials = trials_of(plan, Row(model, model), SPACE, 4)
        assert len({trial.name for trial in trials}) == len(trials) == 4
        assert trials[0].row.settings == {}
        assert all({**trial.row.settings}.keys() == SPACE.of(model).keys() for trial in trials[1:])
        assert [trial.name for trial in trials] == [
            trial.name for trial in trials_of(plan, Row(model, model), SPACE, 4)
        ]


def test_a_small_space_is_tried_in_full(plan):
    trials = trials_of(plan, Row("LR", "LR"), SPACE, 50)
    assert sorted(trial.row.settings.get("learning_rate", 0) for trial in trials) == [0, 0.1, 0.2, 0.3]


def test_what_a_row_fixes_is_not_searched(plan):
    trials = trials_of(plan, Row("x", "LR", {"learning_rate": 0.7}), SPACE, 5)
    assert [trial.row.settings for trial in trials] == [{"learning_rate": 0.7}]


def test_a_draw_that_is_the_default_is_not_a_second_trial(plan):
    space = Space({"LR": {"learning_rate": [0.01, 0.5]}})  # 0.01 is what the plan gives
    assert len(trials_of(plan, Row("LR", "LR"), space, 5)) == 2


def test_no_trial(plan):
    with pytest.raises(InputError, match="--tune=0"):
        trials_of(plan, Row("LR", "LR"), SPACE, 0)


def test_the_shipped_space_is_of_known_keys(plan):
    from recbole_marn.registry import MODELS

    space = shipped_space()
    assert {model for model, row in MODELS.items() if not space.of(model)} == {"ItemCF", "Popularity", "RandomScore"}
    for model in space.choices:
        choices = space.of(model)
        for index in range(max(map(len, choices.values()))):
            plan.config(Row(model, model, {key: values[index % len(values)] for key, values in choices.items()}))
