"""A dataset folder is whole or absent, whatever happens while it is written."""

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from prepare.raw_files import amazon_2014

from recbole_marn.errors import InputError
from recbole_marn.files import held, sha256, write_aside, write_json, write_text
from recbole_marn.files.folders import clean_leftovers, staged_folder
from recbole_marn.prepare import pipeline
from recbole_marn.prepare.download import fetch_missing
from recbole_marn.prepare.pipeline import ensure_prepared, prepare
from recbole_marn.prepare.sources import Options, RawFile, Source


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_appears_at_once_and_whole(tmp_path):
    with staged_folder(tmp_path / "out" / "x") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "out" / "x").exists()
    assert files(tmp_path / "out" / "x") == {"a": b"1"} and os.listdir(tmp_path / "out") == ["x"]


def test_every_file_is_on_the_disk_before_it_is_renamed(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file).st_ino, (tmp_path / "x").exists())))
    with staged_folder(tmp_path / "x") as folder:
        for name in "ab":
            (folder / name).write_text(name)
    assert sorted(synced) == sorted((path.stat().st_ino, False) for path in (tmp_path / "x").iterdir())


@pytest.mark.parametrize("aside", [None, "elsewhere"])
def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, aside):
    synced, path = [], tmp_path / "x.json"
    monkeypatch.setattr(os, "fsync", lambda file: synced.append((os.fstat(file), path.exists())))
    write_text(path, "all of it", aside and tmp_path / aside)
    assert [(file.st_ino, file.st_size, there) for file, there in synced] == [(path.stat().st_ino, 9, False)]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, InputError("a", "b", "c")])
def test_a_failure_leaves_the_old_one_and_no_rest(tmp_path, failure):
    with staged_folder(tmp_path / "x") as folder:
        (folder / "a").write_text("old")
    with pytest.raises((RuntimeError, KeyboardInterrupt, InputError)), staged_folder(tmp_path / "x", True) as folder:
        (folder / "a").write_text("new, half")
        raise failure
    assert files(tmp_path / "x") == {"a": b"old"} and os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, PermissionError(errno.EACCES, "no")])
def test_a_failure_between_the_two_names_leaves_the_old_one(tmp_path, monkeypatch, failure):
    with staged_folder(tmp_path / "x") as folder:
        (folder / "a").write_text("old")
    rename = os.rename

    def fail(source, target):
        if ".partial-" in str(source):
            raise failure
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises((KeyboardInterrupt, InputError)), staged_folder(tmp_path / "x", True) as folder:
        (folder / "a").write_text("new")
    assert files(tmp_path / "x") == {"a": b"old"} and os.listdir(tmp_path) == ["x"]


def test_what_came_meanwhile_is_not_replaced_unasked(tmp_path):
    with pytest.raises(InputError, match="overwritten by itself"), staged_folder(tmp_path / "x") as folder:
        (folder / "a").write_text("mine")
        (tmp_path / "x").mkdir()
        (tmp_path / "x" / "a").write_text("theirs")
    assert files(tmp_path / "x") == {"a": b"theirs"} and os.listdir(tmp_path) == ["x"]


def test_a_folder_of_another_kind_is_not_replaced(tmp_path):
    """`export --out saved --overwrite` took every checkpoint away."""
    (tmp_path / "x").mkdir()
    with staged_folder(tmp_path / "x", True, "a") as folder:
        (folder / "a").write_text("1")
    with staged_folder(tmp_path / "x", True, "a") as folder:
        (folder / "a").write_text("2")
    with pytest.raises(InputError, match="other files, all of which"), staged_folder(tmp_path / "x", True, "b"):
        pass
    assert files(tmp_path / "x") == {"a": b"2"} and os.listdir(tmp_path) == ["x"]


def test_raw_files_are_not_replaced_by_what_is_made_of_them(tmp_path):
    raw = amazon_2014(tmp_path / "out" / "amazon-clothing")
    before = files(raw)
    with pytest.raises(InputError, match="other files, all of which"):
        prepare("amazon-clothing", raw, tmp_path / "out", overwrite=True, download=False)
    assert files(raw) == before


def test_the_folder_one_is_in_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="the one you are in.*Name one below it"), staged_folder(Path()):
        pass


def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk", target_is_directory=True)
    with staged_folder(tmp_path / "link") as folder:
        (folder / "a").write_text("1")
    assert (tmp_path / "link").is_symlink() and files(tmp_path / "disk") == {"a": b"1"}
    assert sorted(os.listdir(tmp_path)) == ["disk", "link"]


def test_an_existing_one_is_replaced_on_request_only(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    out = tmp_path / "out"
    prepare("amazon-clothing", raw, out, download=False)
    before = files(out / "amazon-clothing")
    with pytest.raises(InputError, match="never overwritten by itself.*--overwrite"):
        prepare("amazon-clothing", raw, out, download=False)
    assert files(out / "amazon-clothing") == before
    with pytest.raises(InputError, match="never overwritten by itself"):
        prepare("amazon-clothing", tmp_path / "absent", out, download=False)  # said before anything is read
    prepare("amazon-clothing", raw, out, Options(title_words=1), overwrite=True, download=False)
    assert files(out / "amazon-clothing") != before and os.listdir(out) == ["amazon-clothing"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match="a folder or nothing"), staged_folder(tmp_path / "x", True):
        pass
    assert (tmp_path / "x").read_text() == "mine"


@pytest.mark.parametrize("full", ["write_inter", "write_item", "leak_checks"])
def test_a_full_disk_is_said_and_nothing_stays(tmp_path, monkeypatch, full):
    raw = amazon_2014(tmp_path / "raw")

    def fail(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline, full, fail)
    with pytest.raises(InputError, match="a full disk .* nothing was kept"):
        prepare("amazon-clothing", raw, tmp_path / "out", download=False)
    assert os.listdir(tmp_path / "out") == []


def test_another_error_of_the_system_is_not_called_a_full_disk(tmp_path):
    with pytest.raises(InputError, match="can be written.*no .*nothing was kept"), staged_folder(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")
    with pytest.raises(ConnectionError), staged_folder(tmp_path / "x"):
        raise ConnectionError(errno.ECONNRESET, "a fault of another kind is no answer to bad input")
    assert os.listdir(tmp_path) == []


def test_the_record_fits_the_files(tmp_path):
    prepare("amazon-clothing", amazon_2014(tmp_path / "raw"), tmp_path / "out", download=False)
    folder = tmp_path / "out" / "amazon-clothing"
    record = json.loads((folder / "amazon-clothing.prepare.json").read_text("utf-8"))
    named = {entry["name"]: entry["sha256"] for entry in record["files"]}
    assert set(named) == set(files(folder)) - {"amazon-clothing.prepare.json"}
    assert all(sha256(folder / name) == digest for name, digest in named.items())


def test_what_is_missing_is_prepared_once_or_it_says_how(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "fetch_missing", lambda source, raw: [])
    data_path, raw = tmp_path / "dataset", tmp_path / "raw"
    with pytest.raises(
        InputError, match="reviews_Clothing.* On this machine you can run: ml-100k, .*amazon-clothing-syn"
    ):
        ensure_prepared("amazon-clothing", data_path, raw)
    amazon_2014(raw / "amazon-clothing")
    assert ensure_prepared("amazon-clothing", data_path, raw)["counts"]["events"] == 6
    before = files(data_path / "amazon-clothing")
    assert ensure_prepared("amazon-clothing", data_path, raw) is None
    assert files(data_path / "amazon-clothing") == before


def test_of_two_runs_that_prepare_at_once_the_later_takes_what_the_first_has_made(tmp_path, monkeypatch):
    data_path, raw = tmp_path / "dataset", amazon_2014(tmp_path / "raw")
    leak_checks = pipeline.leak_checks

    def meanwhile(*args):
        with monkeypatch.context() as patch:
            patch.setattr(pipeline, "leak_checks", leak_checks)
            assert ensure_prepared("amazon-clothing", data_path, raw)
        return leak_checks(*args)

    monkeypatch.setattr(pipeline, "leak_checks", meanwhile)
    assert ensure_prepared("amazon-clothing", data_path, raw) is None
    assert os.listdir(data_path) == ["amazon-clothing"]


def test_damaged_raw_files_are_named_and_nothing_is_left(tmp_path):
    raw = amazon_2014(tmp_path / "raw")
    reviews = next(raw.glob("reviews_*"))
    reviews.write_bytes(reviews.read_bytes()[:-12])
    with pytest.raises(InputError, match="expected a whole gzip file at .*reviews_Clothing.*Delete it and download"):
        ensure_prepared("amazon-clothing", tmp_path / "dataset", raw)
    assert not (tmp_path / "dataset").exists()


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path):
    out = tmp_path / "out"
    program = (
        "import os, signal, sys; from pathlib import Path; from recbole_marn.files.folders import staged_folder\n"
        "with staged_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, str(out / "x")], check=False)
    (left,) = os.listdir(out)
    assert left.startswith(".x.partial-") and os.listdir(out / left) == ["half"]
    with staged_folder(out / "x") as folder:
        assert not (out / left).exists()
        # a run beside this one sees that somebody works here
        clean_leftovers(out / "x")
        (folder / "a").write_text("1")
    assert os.listdir(out) == ["x"]


@pytest.mark.parametrize("name", ["x", "x[2]"])
def test_a_folder_that_was_just_being_replaced_comes_back(tmp_path, name):
    (tmp_path / f".{name}.old-1").mkdir()
    (tmp_path / f".{name}.old-1" / "a").write_text("old")
    with pytest.raises(InputError, match="never overwritten by itself"), staged_folder(tmp_path / name):
        pass
    assert files(tmp_path / name) == {"a": b"old"} and os.listdir(tmp_path) == [name]


def test_the_part_of_a_file_that_came_otherwise_is_removed(tmp_path):
    source = Source("s", (RawFile("a.gz", "a", "http://localhost:1/a.gz"),), "how")
    for name in ("a.gz", "a.gz.part"):
        (tmp_path / name).write_text("x")
    assert fetch_missing(source, tmp_path) == [] and os.listdir(tmp_path) == ["a.gz"]


def command(folder, *words, before="", **environment):
    """`recbole-marn prepare custom` on a small shop, in a shell of its own."""
    lines = "".join(f"u{k % 9},caf\u00e9{k % 7},{1_600_000_000 + k}\n" for k in range(3000))
    (folder / "e.csv").write_text("user_id,item_id,timestamp\n" + lines, encoding="utf-8")
    run = shlex.join([sys.executable, "-m", "recbole_marn", "prepare", "custom", "--events", "e.csv", *words])
    return subprocess.run(
        ["bash", "-c", f"{before}{run}"], cwd=folder, capture_output=True, env=os.environ | environment, check=False
    )


def test_a_limit_on_the_size_of_files_is_said(tmp_path):
    # Without bytecode: Python would leave a file cut off at the limit, which the next import cannot read.
    done = command(tmp_path, "--name", "shop", before="ulimit -f 8; ", PYTHONDONTWRITEBYTECODE="1")
    assert done.returncode == 2 and b"nothing was kept" in done.stderr and b"Traceback" not in done.stderr
    assert os.listdir(tmp_path / "dataset") == []


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    done = command(tmp_path, "--name", "shop", "--out", "file/below")
    assert done.returncode == 2 and b"can be written" in done.stderr and b"Traceback" not in done.stderr


def test_a_locale_without_utf_8(tmp_path):
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    done = command(tmp_path, "--name", "caf\u00e9", "--column", "brand=\u00e9t\u00e9", **locale)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    done = command(tmp_path, "--name", "caf\u00e9", **locale)
    assert done.returncode == 0, done.stderr
    assert "caf\u00e96" in (tmp_path / "dataset" / "caf\u00e9" / "caf\u00e9.item").read_text("utf-8")


def test_words_and_tables_need_neither_torch_nor_recbole(tmp_path):
    program = (
        "import sys; from recbole_marn.cli import main\n"
        "code = main(['prepare', 'custom', '--name', 'shop', '--events', 'e.csv'])\n"
        "heavy = {'torch', 'recbole', 'ray', 'sklearn', 'pandas'}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & heavy))\n"
        "sys.exit(code)"
    )
    command(tmp_path, "--name", "other")
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_what_a_killed_process_left_beside_a_file_is_removed(tmp_path):
    mine, others = tmp_path / ".a.json.1.part", tmp_path / ".b.json.1.part"
    held_by_another = tmp_path / ".a.json.99999999.part"  # a machine that shares the folder has other processes
    for path in (mine, others, held_by_another):
        path.write_text("half")
    with held(held_by_another) as free:
        assert free
        write_json(tmp_path / "a.json", {"a": 1})
        assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", held_by_another, others])
    write_json(tmp_path / "a.json", {"a": 1})
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.json", others])


def test_a_full_disk_says_of_which_file(tmp_path):
    def write(temporary):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as error:
        write_aside(tmp_path / "a", write)
    assert error.value.filename == str(tmp_path / "a") and os.listdir(tmp_path) == []


def test_two_containers_whose_processes_have_one_number_write_a_file(tmp_path):
    """Each took the other's temporary file for its own."""

    def write(temporary):
        temporary.write_text("one")
        write_text(tmp_path / "a", "the other")
        assert (tmp_path / "a").read_text() == "the other" and temporary.read_text() == "one"

    write_aside(tmp_path / "a", write)
    assert files(tmp_path) == {"a": b"one"}


def test_two_containers_whose_processes_have_one_number_make_a_folder(tmp_path):
    """The later one emptied the folder that the earlier one wrote into, and put in place what came after."""
    with staged_folder(tmp_path / "x", True) as first:
        (first / "a").write_text("1")
        with staged_folder(tmp_path / "x") as second:
            (second / "b").write_text("2")
        (first / "c").write_text("3")
    assert files(tmp_path / "x") == {"a": b"1", "c": b"3"} and os.listdir(tmp_path) == ["x"]
