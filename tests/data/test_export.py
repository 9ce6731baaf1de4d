"""Plain RecBole, on the exported files and with its own classes, gets what it gets on our rows."""

import errno
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import tiny
import yaml
from same_weights import copy_weights

from recbole_marn import cli
from recbole_marn.data.ctr_dataset import CTRDataset
from recbole_marn.data.export import SEPARATORS, _check_tokens, _separator, export_benchmark
from recbole_marn.errors import InputError
from recbole_marn.quick_start import build_config, prepare_run
from recbole_marn.training.trainer import CTRTrainer

from recbole.config import Config  # isort: skip
from recbole.data import create_dataset, data_preparation  # isort: skip
from recbole.utils import get_model, get_trainer, init_seed  # isort: skip

CONTEXT_AWARE = ("LR", "FM", "WideDeep", "DeepFM", "xDeepFM", "AutoInt", "DCNV2")
KIND = dict.fromkeys(CONTEXT_AWARE, "context") | {"DIN": "sequential", "DIEN": "dien"}
PARTS = ("train", "valid", "test")
# One positive and one negative a row group, so that a batch of 32 rows is 16 groups here and 32 rows there.
SAME = {"shuffle": False, "train_batch_size": 32, "eval_batch_size": 64, "metric_decimal_place": 6, "epochs": 1}
# Not Adam: it makes whole steps of the rounding errors in gradients that are zero, as a bias before a batch
# normalisation has them.
SAME |= {"learner": "sgd", "learning_rate": 0.3}
DROPOUT = {model: {"dropout_prob": 0.0} for model in ("WideDeep", "DeepFM", "xDeepFM", "DCNV2")}
DROPOUT["AutoInt"] = {"dropout_probs": [0.0, 0.0, 0.0]}

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:recbole")


@pytest.fixture(scope="module")
def exported(data_path, tmp_path_factory):
    """Our parts, and what `export_benchmark` returned."""
    run = prepare_run(build_config(config_dict=tiny.settings(data_path, "LR")), quiet=True)
    parts = [loader.part for loader in (run.train, run.valid, run.test)]
    folder = tmp_path_factory.mktemp("exported")
    return parts, export_benchmark(parts, folder, name="rows"), folder


def ours(data_path, model):
    return prepare_run(
        build_config(config_dict=tiny.settings(data_path, model, **SAME | DROPOUT.get(model, {}))), quiet=True
    )


def theirs(exported, model):
    """RecBole's own loaders, model and trainer on the exported files."""
    _, summary, folder = exported
    given = tiny.SIZES[model] | SAME | DROPOUT.get(model, {})
    given |= {"data_path": str(folder), "show_progress": False, "use_gpu": False}
    file = str(Path(summary["folder"]) / f"rows.{KIND[model]}.yaml")
    config = Config(model=model, dataset="rows", config_dict=given, config_file_list=[file])
    init_seed(config["seed"], True)
    loaders = data_preparation(config, create_dataset(config))
    assert not any(isinstance(loader._dataset, CTRDataset) for loader in loaders)
    built = get_model(model)(config, loaders[0]._dataset)
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, built)
    assert not isinstance(trainer, CTRTrainer)
    return loaders, built, trainer


@pytest.fixture(scope="module")
def both(exported, data_path):
    """model -> our run and theirs with the same initial weights."""
    made = {}
    for model in KIND:
        run = ours(data_path, model)
        loaders, built, trainer = theirs(exported, model)
        copy_weights(run.model, run.train.part, built, loaders[0]._dataset)
        made[model] = run, loaders, trainer
    return made


# -------------------------------------------------------------------------------------------- the same AUC
@pytest.mark.parametrize("model", list(KIND))
def test_the_same_weights_have_the_same_auc_before_and_after_an_epoch(both, model):
    run, (train, valid, test), trainer = both[model]
    for loaders in ((run.valid, valid), (run.test, test)):
        here = run.trainer.evaluate(loaders[0], load_best_model=False)
        there = trainer.evaluate(loaders[1], load_best_model=False)
        assert here["auc"] == there["auc"]
        assert here["logloss"] == pytest.approx(there["logloss"], abs=2e-6)
    before = here["logloss"]
    run.trainer.fit(run.train, verbose=False, saved=False)
    trainer.fit(train, verbose=False, saved=False)
    here = run.trainer.evaluate(run.test, load_best_model=False)
    there = trainer.evaluate(test, load_best_model=False)
    assert here["logloss"] != before, "it was trained"
    assert here["auc"] == pytest.approx(there["auc"], abs=1e-6)
    assert here["logloss"] == pytest.approx(there["logloss"], abs=1e-5)


@pytest.mark.parametrize("model", list(KIND))
def test_the_same_rows_token_for_token(both, model):
    run, loaders, _ = both[model]
    for part, here, there in zip(PARTS, (run.train, run.valid, run.test), loaders, strict=True):
        mine, plain = here._dataset, there._dataset
        rows = mine.batch(np.arange(mine.rows.n_rows))
        for field in ("user_id", "item_id"):
            np.testing.assert_array_equal(
                mine.field2id_token[field][rows[field]], plain.field2id_token[field][plain.inter_feat[field]], part
            )
        for field in ("timestamp", "label"):
            np.testing.assert_array_equal(rows[field], plain.inter_feat[field])
        for field in [field for field in rows.columns if field.endswith("_list")]:
            np.testing.assert_array_equal(
                mine.field2id_token["item_id"][rows[field]], plain.field2id_token["item_id"][plain.inter_feat[field]]
            )
            np.testing.assert_array_equal(rows["item_length"], plain.inter_feat["item_length"])


# ------------------------------------------------------------------------------------------------- the files
def test_the_summary_and_its_file(exported):
    parts, summary, folder = exported
    assert summary["name"] == "rows" and summary["split_sha256"] == parts[0].split_sha256
    assert summary["rows"] == {part.name: part.rows.n_rows for part in parts}
    assert summary["longest_history"] == 4
    assert summary["settings"] == ["rows.context.yaml", "rows.sequential.yaml", "rows.dien.yaml"]
    for name, sha256 in summary["files"].items():
        assert hashlib.sha256((folder / "rows" / name).read_bytes()).hexdigest() == sha256
    assert {path.name for path in (folder / "rows").iterdir()} == {*summary["files"], "rows.export.json"}
    written = json.loads((folder / "rows/rows.export.json").read_text())
    assert {key: written[key] for key in summary} == summary
    assert written["made_by"]["sample_seed"] == 2020 and written["made_by"]["eval_negatives"] == 3


def test_lines_are_what_they_should_be(exported, data_path):
    _, _, folder = exported
    header, first, second, *_ = (folder / "rows/rows.valid.inter").read_text().splitlines()
    assert header.split("\t") == [
        "user_id:token", "item_id:token", "timestamp:float", "label:float", "item_id_list:token_seq",
        "neg_item_id_list:token_seq",
    ]  # fmt: skip
    user, item, time, label, history, unclicked = first.split("\t")
    events = {i: t for u, i, t, _ in tiny.read_events(data_path) if u == user}
    assert label == "1" and events[item] == float(time)
    assert [events[i] for i in history.split()] == sorted(events[i] for i in history.split())
    assert not set(unclicked.split()) & set(events) and len(unclicked.split()) == len(history.split())
    assert second.split("\t")[3] == "0" and second.split("\t")[4] == history
    items = (folder / "rows/rows.item").read_text().splitlines()
    assert items[0] == "item_id:token\tcategory:token"
    known = tiny.read_items(data_path)
    assert {line.split("\t")[0]: line.split("\t")[1] for line in items[1:]} == {
        token: columns["category"] for token, columns in known.items()
    }


def test_the_longest_history_is_that_of_the_rows(tmp_path, data_path):
    """RecBole overflows or cuts lists of another length than it is told."""
    run = prepare_run(build_config(config_dict=tiny.settings(data_path, "LR", MAX_ITEM_LIST_LENGTH=50)), quiet=True)
    summary = export_benchmark([loader.part for loader in (run.train, run.valid, run.test)], tmp_path, name="long")
    assert summary["longest_history"] == 7
    assert yaml.safe_load((tmp_path / "long/long.sequential.yaml").read_text())["MAX_ITEM_LIST_LENGTH"] == 7


def test_rows_of_our_own_model_are_exported_alike(exported, data_path, tmp_path):
    run = prepare_run(build_config(config_dict=tiny.settings(data_path, "MARN")), quiet=True)
    summary = export_benchmark([loader.part for loader in (run.train, run.valid, run.test)], tmp_path, name="rows")
    assert summary["files"] == exported[1]["files"]


def test_chunks_do_not_show(exported, tmp_path, monkeypatch):
    from recbole_marn.data import export

    monkeypatch.setattr(export, "CHUNK", 7)
    assert export_benchmark(exported[0], tmp_path, name="rows")["files"] == exported[1]["files"]


@pytest.mark.parametrize(
    ("tokens", "separator"),
    [(("001", "002", "003", "004"), " "), (("0 1", "0 2", "3", "4"), "|"), (("0 1", "a|b", "c;d", "4"), ",")],
)
def test_tokens_with_spaces_get_another_separator(tmp_path, tokens, separator):
    """H&M's articles and many shops' ids have spaces; plain RecBole must find the same histories."""
    events = [(f"user {n}", token, float(i), "view") for n in range(6) for i, token in enumerate(tokens)]
    tiny.write_dataset(tmp_path, events=events)
    items = (tmp_path / "tiny" / "tiny.item").read_text().splitlines()
    renamed = [items[0], *("\t".join([token, *items[1].split("\t")[1:]]) for token in (*tokens, "x", "y", "z"))]
    (tmp_path / "tiny" / "tiny.item").write_text("\n".join(renamed) + "\n")
    run = prepare_run(build_config(config_dict=tiny.settings(tmp_path, "DIN")), quiet=True)
    parts = [run.train.part, run.valid.part, run.test.part]
    summary = export_benchmark(parts, tmp_path, name="rows")
    assert yaml.safe_load((tmp_path / "rows/rows.sequential.yaml").read_text())["seq_separator"] == separator
    (train, *_), _, _ = theirs((parts, summary, tmp_path), "DIN")
    found, wanted = train._dataset.inter_feat, parts[0].batch(np.arange(len(parts[0])))
    names = [loader.field2id_token["item_id"] for loader in (train._dataset, parts[0])]
    np.testing.assert_array_equal(
        names[0][found["item_id_list"].numpy()],
        names[1][wanted["item_id_list"].numpy()[:, : found["item_id_list"].shape[1]]],
    )


def test_a_token_with_a_tab_is_refused():
    with pytest.raises(InputError, match="Expected tokens of item_id without tabs and line ends"):
        _check_tokens("item_id", np.array(["[PAD]", "a\tb"], dtype=object))
    with pytest.raises(InputError, match="ids with all of them"):
        _separator(np.array(["[PAD]", SEPARATORS], dtype=object))


def test_nothing_is_written_over_and_nothing_outside(exported, tmp_path):
    parts, _, _ = exported
    export_benchmark(parts, tmp_path, name="rows")
    before = {path.name: path.read_bytes() for path in (tmp_path / "rows").iterdir()}
    with pytest.raises(InputError, match="never overwritten by itself"):
        export_benchmark(parts, tmp_path, name="rows")
    assert {path.name: path.read_bytes() for path in (tmp_path / "rows").iterdir()} == before
    export_benchmark(parts, tmp_path, name="rows", overwrite=True)
    for name in ("../x", "a/b", ""):
        with pytest.raises(InputError, match="name to be a plain name"):
            export_benchmark(parts, tmp_path / "out", name=name)
    assert not (tmp_path / "x").exists() and not (tmp_path / "out").exists()


def test_a_failure_leaves_nothing_behind(exported, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("recbole_marn.data.export.write_json", full)
    with pytest.raises(InputError, match="a full disk"):
        export_benchmark(exported[0], tmp_path, name="rows")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- the command line
def test_the_sub_command(exported, data_path, capsys):
    Path("base.yaml").write_text(yaml.safe_dump(tiny.settings(data_path, "LR")))
    arguments = ["export-rows", "--dataset=tiny", "--config_files=base.yaml", "--out=out"]
    assert cli.main(arguments) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["folder"] == "out/tiny-rows"
    by_suffix = {name.partition(".")[2]: sha256 for name, sha256 in exported[1]["files"].items()}
    assert {name.partition(".")[2]: sha256 for name, sha256 in result["files"].items()} == by_suffix
    assert cli.main([*arguments, "--name=mine", "--eval_negatives=2"]) == 0
    other = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert other["name"] == "mine" and other["split_sha256"] != result["split_sha256"]


def test_the_sub_command_refuses_bad_input(capsys):
    assert cli.main(["export-rows", "--dataset=nowhere"]) == 2
    assert "Expected the data set 'nowhere'" in capsys.readouterr().err
