"""docs/keys.md: what every run takes, what each model takes, and what is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recbole_marn.registry import MODELS, choices
from recbole_marn.settings.describe import COMMON, Key, keys_of, shown
from recbole_marn.settings.host import INSTEAD, REFUSED
from recbole_marn.settings.unread import UNREAD

__all__ = ["page"]

HEAD = """\
# Which keys are there?

Made by `recbole-marn keys --markdown` from the dataclasses that check the keys (`recbole_marn/settings/`), and they
alone have the defaults. YAML files of data sets and models (`properties/`) have what deviates.
`recbole-marn keys [MODEL]` lists one model's keys in the terminal."""
REFUSALS = """\
## Keys of RecBole that are refused

RecBole's keys keep their meaning. A key that would do nothing is refused, with the key that does the job; all such keys
are named at once. Their default value is let pass. Of a log with labels `threshold`, `LABEL_FIELD`,
`benchmark_filename` and the ratio split of `eval_args` are read with RecBole's meaning ([logs.md](logs.md))."""
NEEDY = """\
## Keys that need another key

Set without it they do nothing. They do not stop a run, since a search or a table may set them for all of its runs: a
note at its start names them. Those of one split alone (`split_...`) stop it."""
OF_ITS_MODELS = """\
## Keys of RecBole's own models

LR, FM, WideDeep, DeepFM, xDeepFM, AutoInt, DCNV2, DIN and DIEN take them. Our models refuse them."""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, kind in COMMON:
        parts += [f"## {title}", _table(keys_of(kind))]
    parts.append("## Models")
    kinds = (kind for row in MODELS.values() for kind in reversed(row.settings.__mro__[:-1]))
    for kind in dict.fromkeys(kinds):
        parts += _of_models(kind)
    rows = ((", ".join(f"`{key}`" for key in row.keys), row.needs) for row in UNREAD)
    parts += [NEEDY, _rows(["keys", "read with"], rows)]
    for head, refused in ((REFUSALS, REFUSED), (OF_ITS_MODELS, INSTEAD)):
        parts += [head, _rows(["RecBole's key", "here"], ((f"`{key}`", text) for key, text in refused.items()))]
    return "\n\n".join(parts)


def _of_models(kind: type) -> list[str]:
    """The keys that a dataclass of models adds to the one it builds on, and the choices of its models' files."""
    names = [row.name for row in MODELS.values() if row.settings is kind]
    base, own = kind.__bases__[0], kind.__dict__.get("__annotations__", {})
    lines = [f"Models: {', '.join(names)}."] if names else []
    lines += [f"Beside those under: {_title(base)}."] if base is not object else []
    found = [f"### {_title(kind)}", " ".join(lines)]
    if own:
        found.append(_table(key for key in keys_of(kind) if key.name in own))
    chosen = [(name, f"`{shown(choices('model', name))[1:-1]}`") for name in names if choices("model", name)]
    if chosen:
        found.append(_rows(["model", "its choices"], chosen))
    return [part for part in found if part]


def _title(kind: type) -> str:
    return kind.__doc__.splitlines()[0].partition(".")[0]


def _table(keys: Iterable[Key]) -> str:
    found = ((f"`{key.name}`", key.kind, key.default.removeprefix("default "), key.paper, key.text) for key in keys)
    return _rows(["key", "type", "default", "paper", "what"], found)


def _rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
