"""The tutorials as they are written: their files are made, their commands run, their outputs compared in form."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted(path for path in (ROOT / "docs" / "tutorials").glob("*.md") if path.stem != "index")
# A fence, its language, and the file it belongs to, where it is one.
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
LIMIT = 900  # seconds, of one command on a busy machine


def environment_of(folder, package):
    """The commands `recbole-marn`, `python` and `pytest` of this environment, on the package that lies in `package`."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, words in {"recbole-marn": "-m recbole_marn", "python": "", "pytest": "-m pytest"}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        (programs / name).chmod(0o755)
    return os.environ | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def in_form(text):
    """Lines without their numbers, hashes and blanks: those are of the machine and of the day."""
    return [re.sub(r"\d[\d.,-]*", "#", re.sub(r"\s+", " ", line)).strip() for line in text.splitlines() if line.strip()]


def follow(page, folder, environment):
    """Does what a page says, in its order, in `folder`."""
    output = []
    for language, title, text in FENCE.findall(page.read_text("utf-8")):
        if title:
            path = folder / title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        elif language == "text":
            missing = [line for line in in_form(text) if line not in output]
            assert not missing, f"{page.name} promises {missing}; the commands before it print\n" + "\n".join(output)
        else:
            command = {
                "bash": ["bash", "-euo", "pipefail", "-c", text],
                "python": [sys.executable, "-c", text],
                "diff": ["patch", "-p1"],
            }[language]
            done = subprocess.run(
                command, cwd=folder, env=environment, input=text if language == "diff" else "",
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT,
            )  # fmt: skip
            assert done.returncode == 0, f"{page.name}:\n{text}\n{done.stdout}"
            output += in_form(done.stdout)


def clone(folder):
    """What of a clone a new model touches, and what its tests read."""
    for name in ("benchmarks", "dataset_atomic", "docs", "properties", "recbole_marn", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "run_recbole_marn.py"):
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def test_there_are_five():
    assert [path.stem for path in TUTORIALS] == ["click-log", "first-run", "new-model", "own-catalogue", "serve"]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_every_fence_is_followed(page):
    text = page.read_text("utf-8")
    known = {"bash", "python", "diff", "text"}
    assert text.count("\n```") == 2 * len(FENCE.findall(text))
    assert [language for language, title, _ in FENCE.findall(text) if not title and language not in known] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs_as_it_is_written(page, tmp_path):
    if page.stem == "serve":
        pytest.importorskip("onnx", reason="the extra serve is not installed")
    of_the_source = page.stem == "new-model"
    folder = clone(tmp_path / "clone") if of_the_source else tmp_path / "empty"
    folder.mkdir(exist_ok=True)
    follow(page, folder, environment_of(tmp_path / "environment", folder if of_the_source else ROOT))
