"""What a wheel brings and asks for: setup.py, setup.cfg and requirements.txt against the repository and RecBole."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import recbole_marn

ROOT = Path(__file__).parents[1]
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]
# RecBole 1.2.1 asks for them and runs without: its quick start calls ray inside a trial of Ray's alone, plotly draws a
# picture of a search, and nothing imports tabulate.
NOT_NEEDED = {"ray", "plotly", "tabulate"}


def setup_cfg():
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "setup.cfg", "utf-8")
    return parser


def requirements(lines, python):
    """Name -> requirement, of those that hold for one version of Python."""
    texts = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    environment = {"python_version": python, "extra": ""}
    found = [one for one in map(Requirement, texts) if one.marker is None or one.marker.evaluate(environment)]
    names = [canonical(one.name) for one in found]
    assert len(names) == len(set(names)), f"twice for Python {python}: {names}"
    return dict(zip(names, found, strict=True))


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def asked_for(python):
    return requirements(setup_cfg()["options"]["install_requires"].splitlines(), python)


def pinned(python):
    return requirements((ROOT / "requirements.txt").read_text("utf-8").splitlines(), python)


# ------------------------------------------------------------------------------------------------ what it holds
def test_every_template_is_in_the_wheel():
    covered = {
        path
        for package, patterns in setup_cfg()["options.package_data"].items()
        for pattern in patterns.split(",")
        for path in ROOT.joinpath(*package.split(".")).glob(pattern.strip())
        if path.parent.name == "templates"
    }
    assert set((ROOT / "recbole_marn").rglob("templates/*")) == covered != set()


def test_every_folder_of_the_package_is_one_of_its_packages():
    folders = {path.parent for path in (ROOT / "recbole_marn").rglob("*.py")}
    assert folders == {path.parent for path in (ROOT / "recbole_marn").rglob("__init__.py")}


def test_folders_beside_the_package_are_packages_of_the_wheel():
    places = dict(line.split(" = ") for line in setup_cfg()["options"]["package_dir"].strip().splitlines())
    setup = ast.parse((ROOT / "setup.py").read_text("utf-8"))
    beside = next(ast.literal_eval(node.value) for node in setup.body if isinstance(node, ast.Assign))
    assert sorted(places) == beside
    assert all((ROOT / folder).is_dir() for folder in places.values())


@pytest.mark.parametrize("folder", ["properties", "dataset_atomic"])
def test_every_file_of_settings_and_data_is_in_the_wheel(folder):
    patterns = setup_cfg()["options.package_data"][f"recbole_marn.{folder}"].split(",")
    covered = {path for pattern in patterns for path in (ROOT / folder).glob(pattern.strip())}
    assert {path for path in (ROOT / folder).rglob("*") if path.is_file()} == covered


def test_the_wheel_says_that_it_is_typed():
    assert (ROOT / "recbole_marn" / "py.typed").is_file()
    assert "py.typed" in setup_cfg()["options.package_data"]["recbole_marn"].split(", ")


def test_the_version_is_where_packaging_reads_it():
    assert setup_cfg()["metadata"]["version"] == "attr: recbole_marn.__version__"
    tree = ast.parse((ROOT / "recbole_marn" / "__init__.py").read_text("utf-8"))
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    versions = [node.value.value for node in assigned if ast.unparse(node.targets[0]) == "__version__"]
    assert versions == [recbole_marn.__version__], "a literal, which packaging reads without an import"
    assert f"version: {recbole_marn.__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


# --------------------------------------------------------------------------------------------- what it asks for
@pytest.mark.parametrize("python", PYTHONS)
def test_the_tested_set_has_every_requirement_within_its_range(python):
    for name, requirement in asked_for(python).items():
        assert name in pinned(python), f"{name} has no line in requirements.txt for Python {python}"
        (version,) = pinned(python)[name].specifier
        assert version.operator == "==" and requirement.specifier.contains(version.version), name


@pytest.mark.parametrize("python", PYTHONS)
def test_what_recbole_asks_for_is_asked_for_where_it_is_installed_alone(python):
    """Before Python 3.12 RecBole's own metadata does it; from there on setup.cfg must."""
    ours = asked_for(python)
    if python in ("3.10", "3.11"):
        assert str(ours["recbole"].specifier) == "==1.2.1"
        return
    assert "recbole" not in ours
    for name, theirs in requirements(importlib.metadata.requires("recbole"), python).items():
        if name in NOT_NEEDED:
            continue
        assert name in ours, f"RecBole asks for {name}"
        low = [one.version for one in ours[name].specifier if one.operator == ">="]
        exact = [one.version for one in theirs.specifier if one.operator == "=="]
        # RecBole pins colorlog and colorama; their later releases serve as well.
        assert theirs.specifier.contains(low[0]) or exact, f"{name} {low}: RecBole asks for {theirs.specifier}"


def test_the_supported_versions_are_said_alike():
    metadata = setup_cfg()["metadata"]["classifiers"]
    assert re.findall(r"Python :: (3\.\d+)", metadata) == PYTHONS
    assert setup_cfg()["options"]["python_requires"] == ">=3.10,<3.14"


# ----------------------------------------------------------------------------------------- where RecBole is not
WITHOUT_RECBOLE = """
import sys
class Nothing:
    def find_spec(self, name, *_):
        if name == "recbole":
            raise ModuleNotFoundError("No module named 'recbole'", name=name)
sys.meta_path.insert(0, Nothing())
"""
COMMAND = "pip install --no-deps recbole==1.2.1"


def test_without_recbole_the_command_line_says_how_to_install_it():
    code = WITHOUT_RECBOLE + "from recbole_marn.cli import main; sys.exit(main(['run', '--model=MARN', '--dataset=x']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert COMMAND in done.stderr and "Traceback" not in done.stderr


def test_without_recbole_the_public_names_say_how_to_install_it():
    code = WITHOUT_RECBOLE + "import recbole_marn; recbole_marn.run"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("recbole_marn.errors.InputError: Expected RecBole 1.2.1.")
    assert COMMAND in done.stderr
