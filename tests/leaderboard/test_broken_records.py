"""Records, statistics and scores that are broken or odd are named, and nothing of them does harm."""

import json
import subprocess
import sys

import fake_runs
import numpy as np
import pytest
from tampering import first_record, problems, tamper

from recbole_marn.cli import main
from recbole_marn.errors import InputError
from recbole_marn.evaluation.record import read_record, sealed_text
from recbole_marn.files import sha256
from recbole_marn.leaderboard.records import Folders


# ----------------------------------------------------------------------------------------- broken records
def nested(depth):
    return "[" * depth + "]" * depth


BROKEN = {
    "NaN": lambda text: text.replace('"parameters": ', '"parameters": NaN, "x": ', 1),
    "infinite": lambda text: text.replace('"parameters": ', '"parameters": 1e999, "x": ', 1),
    "deep nesting": lambda text: '{"leaderboard": "run", "format": 1, "x": ' + nested(100_000) + "}",
    "a bit deep": lambda text: text.replace('"notes": []', f'"notes": {nested(900)}'),
    "a huge integer": lambda text: text.replace('"epochs": 3', '"epochs": ' + "9" * 5000),
    "a list": lambda text: "[1, 2]",
    "empty": lambda text: "",
    "no text": lambda text: "\udcff\udc80",
    "cut": lambda text: text[: len(text) // 2],
}


@pytest.fixture
def record(finished, tmp_path):
    """The text of a sound record, and a file of its name to write another to."""
    path = first_record(finished)
    return path.read_text(), tmp_path / path.name


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_record_is_named(record, kind):
    text, path = record
    path.write_bytes(BROKEN[kind](text).encode(errors="surrogateescape"))
    for sealed in (True, False):
        with pytest.raises(InputError, match=path.name):
            read_record(path, sealed=sealed)


@pytest.mark.parametrize("kind", ["NaN", "deep nesting"])
def test_verify_and_render_go_on_behind_a_broken_record(results, capsys, kind):
    path = first_record(results)
    path.write_bytes(BROKEN[kind](path.read_text()).encode(errors="surrogateescape"))
    found = problems(results)
    assert str(path) in found[0] and any(f"Record {path.stem}: is missing." == problem for problem in found)
    before = (results / "tiny.md").read_bytes()
    assert main(["leaderboard", "--dataset=tiny", "--render_only", f"--out={results}"]) == 2
    assert str(path) in capsys.readouterr().err and (results / "tiny.md").read_bytes() == before


ODD = {
    "metrics": [None, [], {"test": 3}, {"test": {"AUC": "high"}}, {"test": {"AUC": 3.0}}],
    "data": [None, {"files": []}, {"files": {}, "rows_sha256": 1}],
    "settings": [None, {}, {"model": [], "dataset": "tiny", "seed": 2020}],
    "scores": [None, {}, {"file": 3, "sha256": "a"}, {"file": "../../secret.npz", "sha256": "a"},
               {"file": "/etc/passwd", "sha256": "a"}, {"file": "..", "sha256": "a"}],
    "seed": ["2020", None, True, 2020.5],
    "history": [None, [3], [{"valid_score": "x"}]],
    "parameters": [None, "many", -1, 10**30, True],
    "seconds_per_epoch": ["slow", [], 1e300],
    "versions": [None, {"torch": 2}],
    "tuned": [3, {}, {"chosen": "../x", "compared": ["a"]}, {"chosen": "a", "compared": []},
              {"chosen": "a", "compared": [[]]}],
    "row": [None, 3, []],
    "run": [None, "../x", "LR\nx", ""],
    "format": [None, "1", [], 1e9],
}  # fmt: skip


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in ODD.items() for value in values])
def test_a_record_of_odd_values_is_named_though_it_is_sealed(record, key, value):
    text, path = record
    path.write_text(sealed_text({**json.loads(text), key: value}))
    with pytest.raises(InputError, match=path.name):
        read_record(path)


def test_a_score_file_of_another_folder_is_not_read(results, capsys):
    path = first_record(results)
    secret = results / "secret.npz"
    secret.write_bytes(b"")
    tamper(path, True, lambda record: record.update(scores={"file": "../../secret.npz", "sha256": sha256(secret)}))
    assert any(str(path) in problem and "scores.file" in problem for problem in problems(results))
    assert main(["leaderboard", "--dataset=tiny", "--render_only", f"--out={results}"]) == 2
    assert "scores.file" in capsys.readouterr().err


def test_every_key_that_is_missing_is_named(record):
    text, path = record
    sound = json.loads(text)
    for key in set(sound) - {"sha256", "tuned", "evidence", "family", "memory_mb", "seconds"}:
        path.write_text(sealed_text({name: value for name, value in sound.items() if name != key}))
        with pytest.raises(InputError, match=path.name):
            read_record(path)
    path.write_text(sealed_text(sound))
    assert read_record(path) == sound


@pytest.mark.parametrize(
    "edit",
    [
        lambda statistics: statistics.update(resamples=10**12),
        lambda statistics: statistics.update(resamples="many"),
        lambda statistics: statistics.update(intervals=[]),
        lambda statistics: statistics["intervals"].update(LR=None),
        lambda statistics: statistics["tests"][0].update(p="small"),
        lambda statistics: statistics["tests"].append(3),
        lambda statistics: statistics.update(baseline=None),
        lambda statistics: statistics.update(command=3),
    ],
)
def test_odd_statistics_are_named(results, capsys, edit):
    path = Folders(results, "tiny").statistics
    tamper(path, True, edit)
    assert any(str(path) in problem for problem in problems(results))
    assert main(["leaderboard", "--dataset=tiny", "--render_only", f"--out={results}"]) == 2
    assert str(path) in capsys.readouterr().err


def no_zip(path):
    path.write_bytes(b"no zip")


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def array(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))


def objects(path):
    np.savez(path, test_user=np.array([{}], dtype=object))


def words(path):
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, "test_score": np.array(["x"] * len(content["test_score"]))})


def short(path):
    with np.load(path) as file:
        content = dict(file)
    np.savez(path, **{**content, "test_label": content["test_label"][:-1]})


def column_less(path):
    with np.load(path) as file:
        content = dict(file)
    content.pop("test_user")
    np.savez(path, **content)


@pytest.mark.parametrize("spoil", [no_zip, cut, array, objects, words, short, column_less])
def test_scores_that_cannot_be_read_are_named_though_their_digest_is_right(results, capsys, spoil):
    record = first_record(results)
    path = Folders(results, "tiny").scores / f"{record.stem}.scores.npz"
    spoil(path)
    tamper(record, True, lambda content: content["scores"].update(sha256=sha256(path)))
    found = problems(results)
    assert any(str(path) in problem and "columns" in problem for problem in found)
    fake_runs.forget_evidence(results)
    Folders(results, "tiny").statistics.unlink()
    assert main(["leaderboard", "--dataset=tiny", "--render_only", f"--out={results}"]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_record_under_another_name_is_named(results):
    path = first_record(results)
    other = path.with_name("odd \x1b name.json")
    path.rename(other)
    assert any("odd \x1b name" in problem for problem in problems(results))


def test_nothing_of_a_record_reaches_the_terminal_as_a_command(results, capsys):
    tamper(first_record(results), True, lambda record: record.update(seed="\x1b[2J"))
    first_record(results).with_name("odd \x1b[2J.json").write_text("{")
    assert main(["verify", str(results)]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_folder_named_like_a_record(results):
    (Folders(results, "tiny").records / "folder.json").mkdir()
    assert any("folder.json" in problem for problem in problems(results))


@pytest.mark.parametrize("arguments", [["verify"], ["leaderboard", "--dataset=tiny", "--render_only", "--out"]])
def test_verify_and_render_import_neither_torch_nor_recbole(results, arguments):
    script = (
        "import sys\nfrom recbole_marn.cli import main\n"
        f"assert main([*{arguments}, {str(results)!r}]) == 0\n"
        "assert not {'torch', 'recbole', 'ray', 'pandas'} & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
