"""Who imports whom, and that everything is packaged."""

import ast
import functools
from pathlib import Path

import pytest

import recbole_marn

PACKAGE = Path(recbole_marn.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
BENCHMARKS = PACKAGE.parent / "benchmarks"  # the one room that lies beside the package
WITH_BENCHMARKS = [*FILES, *sorted(BENCHMARKS.glob("*.py"))]
# The floors of the package, from the top. A room, or a file of the top level, imports rooms of lower floors.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"benchmarks"},
    {"plugin"},
    {"quick_start"},
    {"leaderboard"},
    {"analysis", "tuning", "serving"},
    {"training"},
    {"models", "prepare"},
    {"data"},
    {"host"},
    {"registry"},
    {"settings", "evaluation"},
    {"layers", "plots", "files"},
    {"errors"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# hasattr asks what another library's value is: a file's encoding of plain data, a padded batch.
HASATTR = {"files/__init__.py": 1}
RECBOLE = {"host", "training", "tuning", "data", "models"}
PLAIN_NUMPY = [
    f"data/{file}.py"
    for file in ("arrays", "rows", "touched", "negatives", "matched_levels", "statistics", "fingerprint")
]


def name(path):
    return path.relative_to(PACKAGE.parent if path.parent == BENCHMARKS else PACKAGE).as_posix()


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
            assert node.level == 0 or path.parent == BENCHMARKS, f"{path}: relative import"
            module = f"recbole_marn.benchmarks.{node.module}" if node.level else node.module
            found |= {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            found |= {arg.value for arg in node.args if isinstance(arg, ast.Constant)}
    return found


@functools.cache
def calls(path):
    """Dotted names of everything a file calls."""
    return {ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)}


@functools.cache
def all_calls(path):
    """As `calls`, once for each time."""
    return [ast.unparse(node.func) for node in nodes(path) if isinstance(node, ast.Call)]


def uses(path, package):
    return any(module == package or module.startswith(package + ".") for module in imported(path))


def room(path):
    first, *rest = name(path).split("/")
    return first if rest else path.stem


def rooms_imported(path):
    """Rooms of this package that a file imports, at its top or inside functions."""
    found = set()
    for module in imported(path):
        parts = module.split(".")
        if parts[0] == "recbole_marn" and len(parts) > 1 and parts[1] in FLOOR:
            found.add(parts[1])
    return found


@pytest.mark.parametrize("path", WITH_BENCHMARKS, ids=name)
def test_imports_run_down(path):
    own = room(path)
    if own == "__init__":  # the face: it imports the plugin when it is imported, and the rest for type checkers
        assert rooms_imported(path) <= {"plugin"} | {place.split(".")[0] for place in recbole_marn.FACE.values()}
        return
    assert own in FLOOR, f"{own} has no floor"
    for other in rooms_imported(path) - {own}:
        assert FLOOR[own] < FLOOR[other], f"{name(path)} imports {other}, which is not below it"


def test_the_face_says_the_same_to_type_checkers_and_to_python():
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    (checked,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    said = {alias.name: node.module.removeprefix("recbole_marn.") for node in checked.body for alias in node.names}
    assert said == recbole_marn.FACE
    assert sorted(recbole_marn.__all__) == sorted(["__version__", *recbole_marn.FACE])


def test_no_file_imports_itself_in_a_circle():
    """Within a room too. Functions' imports count."""
    by_module = {"recbole_marn." + name(path)[:-3].replace("/", "."): path for path in WITH_BENCHMARKS}
    graph = {
        module: {
            other
            for found in imported(path)
            for other in (found, found.rpartition(".")[0])
            if other in by_module and other != module
        }
        for module, path in by_module.items()
    }
    done, under_way = set(), []

    def visit(module):
        assert module not in under_way, " -> ".join([*under_way[under_way.index(module):], module])
        if module not in done:
            under_way.append(module)
            for other in sorted(graph[module]):
                visit(other)
            done.add(under_way.pop())

    for module in graph:
        visit(module)


def test_the_top_has_few_files():
    assert len([path for path in FILES if path.parent == PACKAGE]) <= 8


def test_recbole_is_imported_where_the_design_says():
    assert {room(path) for path in FILES if uses(path, "recbole")} <= RECBOLE


def test_nobody_asks_what_a_model_can_do():
    """What a model can do it declares. `hasattr` is left for values of other libraries."""
    found = {name(path): sum("hasattr" == call for call in all_calls(path)) for path in FILES}
    assert {file: number for file, number in found.items() if number} == HASATTR


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
        "importlib",
        "types",
        "warnings",
    )
    for path in (PACKAGE / "layers").rglob("*.py"):
        if path.name == "loops.py":  # compiled loops, which only `compiled.py` imports
            assert all(module.startswith((*allowed, "numba", "numpy")) for module in imported(path))
            continue
        assert all(module.startswith(allowed) for module in imported(path)), (path.name, imported(path))


@pytest.mark.parametrize("file", [*PLAIN_NUMPY, *(name(path) for path in (PACKAGE / "evaluation").glob("*.py"))])
def test_rows_and_metrics_need_numpy_alone(file):
    for package in ("recbole", "torch", "pandas"):
        assert not uses(PACKAGE / file, package)


def test_matplotlib_is_imported_in_one_file_at_most():
    assert {name(path) for path in FILES if uses(path, "matplotlib")} <= {"plots/style.py"}


def test_torch_load_is_called_for_checkpoints_and_published_weights():
    assert {name(path) for path in FILES if "torch.load" in calls(path)} <= {
        "training/checkpoint.py", "host/torch_load.py", "prepare/encoders/weights.py",
    }  # fmt: skip


def test_torch_load_unpickles_nothing_of_ours():
    for path in FILES:
        if name(path) == "host/torch_load.py":  # RecBole's own files, by the user's word: test_compat.py
            continue
        for node in nodes(path):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in [ast.unparse(keyword) for keyword in node.keywords], name(path)


def test_nothing_evaluates_text_or_unpickles():
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "pd.read_pickle", "os.system"}
    for path in WITH_BENCHMARKS:
        assert not calls(path) & forbidden, name(path)
        for call in (c for c in calls(path) if c in ("np.load", "numpy.load")):
            text = path.read_text(encoding="utf-8")
            assert "allow_pickle=True" not in text, (name(path), call)


def test_what_another_file_imports_is_public():
    """What another file imports by name, and a function or class it takes of an imported file, is in `__all__`."""
    public = {}
    for path in FILES:
        module = ".".join(["recbole_marn", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                public[module] = set(ast.literal_eval(node.value))
    for path in FILES:
        for node in nodes(path):
            if isinstance(node, ast.ImportFrom) and node.module in public:
                taken = {alias.name for alias in node.names if f"{node.module}.{alias.name}" not in public}
                assert taken <= public[node.module], f"{name(path)} takes {taken - public[node.module]}"
        files = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in nodes(path)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" in public
        }
        for node in nodes(path):
            takes = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in files
            if takes and not node.attr.isupper():
                assert node.attr in public[files[node.value.id]], f"{name(path)} takes {ast.unparse(node)}"


def test_no_star_imports():
    assert not [name(path) for path in WITH_BENCHMARKS if any(module.endswith(".*") for module in imported(path))]
