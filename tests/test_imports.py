"""Who imports whom, and that everything is packaged."""

import ast
import configparser
import functools
from pathlib import Path

import pytest

import recbole_marn

PACKAGE = Path(recbole_marn.__file__).parent
REPOSITORY = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
RECBOLE = {
    "compat.py",
    "registration.py",
    "quick_start.py",
    "trainer.py",
    "distributed.py",
    "tuning.py",
    "data/ctr_dataset.py",
    "models/base.py",
}
PLAIN_NUMPY = ["data/rows.py", "data/negatives.py", "data/matched_levels.py", "data/statistics.py"]


def name(path):
    return path.relative_to(PACKAGE).as_posix()


@functools.cache
def nodes(path):
    """Of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@functools.cache
def imported(path):
    """Every module a file imports, at its top or inside functions."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@functools.cache
def calls(path):
    """Dotted names of everything a file calls."""
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


def uses(path, package):
    return any(module == package or module.startswith(package + ".") for module in imported(path))


def test_recbole_is_imported_where_the_design_says():
    assert {name(path) for path in FILES if uses(path, "recbole")} == RECBOLE


def test_layers_import_torch_and_each_other():
    allowed = (
        "torch",
        "recbole_marn.layers.",
        "math",
        "collections",
        "typing",
        "__future__",
        "dataclasses",
        "functools",
    )
    for path in (PACKAGE / "layers").rglob("*.py"):
        assert all(module.startswith(allowed) for module in imported(path)), (path.name, imported(path))


@pytest.mark.parametrize("file", [*PLAIN_NUMPY, *(name(path) for path in (PACKAGE / "evaluation").glob("*.py"))])
def test_rows_and_metrics_need_numpy_alone(file):
    for package in ("recbole", "torch", "pandas"):
        assert not uses(PACKAGE / file, package)


def test_matplotlib_is_imported_in_one_file_at_most():
    assert {name(path) for path in FILES if uses(path, "matplotlib")} <= {"analysis/plots.py"}


def test_torch_load_is_called_for_checkpoints_and_published_weights():
    assert {name(path) for path in FILES if "torch.load" in calls(path)} <= {
        "checkpoint.py", "prepare/encoders/weights.py",
    }  # fmt: skip


def test_torch_load_unpickles_nothing_of_ours():
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in [ast.unparse(keyword) for keyword in node.keywords], name(path)


def test_nothing_evaluates_text_or_unpickles():
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "pd.read_pickle", "os.system"}
    for path in FILES:
        assert not calls(path) & forbidden, name(path)
        for call in (c for c in calls(path) if c in ("np.load", "numpy.load")):
            text = path.read_text(encoding="utf-8")
            assert "allow_pickle=True" not in text, (name(path), call)


def test_no_star_imports():
    assert not [name(path) for path in FILES if any(module.endswith(".*") for module in imported(path))]


def test_every_package_is_in_setup_cfg():
    """A package that is not listed is missing from the wheel, though never from a checkout."""
    listed = configparser.ConfigParser()
    listed.read(REPOSITORY / "setup.cfg")
    packages = set(listed["options"]["packages"].split())
    found = {".".join(path.parent.relative_to(REPOSITORY).parts) for path in PACKAGE.rglob("__init__.py")}
    assert packages == found | {"recbole_marn.properties", "recbole_marn.benchmarks"}
    folders = {path.parent for path in FILES}
    assert folders == {path.parent for path in PACKAGE.rglob("__init__.py")}, "a folder without __init__.py"


def test_every_settings_file_is_in_setup_cfg():
    listed = configparser.ConfigParser()
    listed.read(REPOSITORY / "setup.cfg")
    patterns = [p.strip() for p in listed["options.package_data"]["recbole_marn.properties"].split(",")]
    folder = REPOSITORY / "properties"
    covered = {path for pattern in patterns for path in folder.glob(pattern)}
    assert {path for path in folder.rglob("*") if path.is_file()} == covered


def test_the_version_is_where_packaging_reads_it():
    listed = configparser.ConfigParser()
    listed.read(REPOSITORY / "setup.cfg")
    assert listed["metadata"]["version"] == "attr: recbole_marn.version.__version__"
    assert not imported(PACKAGE / "version.py")
