"""`prepare`: read the raw files, write atomic files and vectors, check, and put the folder in place."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recbole_marn import __version__
from recbole_marn.data.twin import build_twin, twin_places
from recbole_marn.errors import InputError
from recbole_marn.files.folders import refuse_existing, staged_folder
from recbole_marn.prepare.atomic import write_inter, write_item
from recbole_marn.prepare.checks import leak_checks
from recbole_marn.prepare.choices import choose_vectors
from recbole_marn.prepare.download import fetch_missing
from recbole_marn.prepare.log_files import write_log
from recbole_marn.prepare.logs import RawLog
from recbole_marn.prepare.meeting import check_meeting
from recbole_marn.prepare.record import (
    FORMAT_VERSION,
    RECORD,
    coverage_of_items,
    item_notes,
    origin,
    span,
    vector_notes,
    vectors_described,
    write_record,
)
from recbole_marn.prepare.registry import DATASETS, reader_of, source_of
from recbole_marn.prepare.report import histograms, summarise
from recbole_marn.prepare.settings_file import settings_of_events, spelled
from recbole_marn.prepare.sources import Options
from recbole_marn.prepare.tables import RawDataset
from recbole_marn.prepare.word_vectors import write_words
from recbole_marn.registry import datasets_at_hand, known_datasets, recbole_folder
from recbole_marn.settings.data import COLUMNAR_FROM_MB

__all__ = ["ensure_prepared", "prepare", "write_dataset"]


def prepare(
    dataset: str,
    raw: Path,
    out: Path,
    options: Options | None = None,
    *,
    name: str | None = None,
    overwrite: bool = False,
    download: bool = True,
    command: str = "",
) -> dict[str, Any]:
    """Make `out/NAME/` from the raw files under `raw`.

    Args:
        dataset: what the raw files are, see `registry.DATASETS`.
        name: of the result; the dataset's own unless given.
        download: fetch missing official files where their publisher and the network allow it.
        command: recorded as it is.

    Returns:
        The record that is also written as `NAME.prepare.json`; `report.render` turns it into text.

    Raises:
        InputError: files are missing or unusable, or the folder exists and `overwrite` is false.
    """
    name, options = name or dataset, options or Options()
    if not name or name != Path(name).name or name.startswith("."):
        raise InputError("a plain name for the dataset", repr(name), "Use letters, digits and hyphens.")
    if dataset == "custom" and name in _taken_names():
        raise InputError(
            "a name of your own for the dataset",
            f"{name!r}, under which `run` finds a known data set or its settings instead of yours",
            f"Choose another, such as --name my-{name}.",
        )
    if dataset != "custom" and options.time_unit != Options.time_unit:
        raise InputError(
            "--time-unit with `custom` only", dataset, "Leave it out: the unit of official files is known."
        )
    refuse_existing(out / name, overwrite, RECORD.format(name))  # before minutes of reading, not after
    source = source_of(dataset, raw)
    missing = fetch_missing(source, raw) if download and source is not None else []
    data = reader_of(dataset)(raw, options)
    data.notes += missing
    choose_vectors(data, options)
    made_by = data.made_by or {
        "command": command,
        "versions": {
            "recbole_marn": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }
    write = write_log if isinstance(data, RawLog) else write_dataset
    return write(data, name, out, options, overwrite=overwrite, made_by=made_by)


def _taken_names() -> set[str]:
    """Names with settings here or in RecBole's package, which would be taken for a data set of another name, too."""
    names = {*DATASETS, *known_datasets()} - {"custom"}
    if recbole := recbole_folder():
        names |= {path.stem for path in (recbole / "properties" / "dataset").glob("*.yaml")}
    return names


def ensure_prepared(dataset: str, data_path: Path, raw: Path = Path("raw")) -> dict[str, Any] | None:
    """Prepare a dataset that is not in `data_path`, from raw files in `raw/DATASET` or `raw`, or downloaded ones.

    Returns:
        The record of `prepare`; None if the dataset was there.

    Raises:
        InputError: neither; it says which files to get and which datasets run without any.
    """
    inter = data_path / dataset / f"{dataset}.inter"
    if inter.exists():
        return None
    own = raw / dataset
    place = own if own.is_dir() else raw
    try:
        return prepare(dataset, place, data_path, command=f"run --dataset={dataset}")
    except InputError as error:
        if inter.exists():  # another run was faster
            return None
        raise InputError(
            f"the data set '{dataset}' as {inter}, or its raw files in {own} or {raw} to prepare it from",
            f"no such file, and for the raw files: expected {error.expected}, got {error.got}",
            f"{error.hint} If they lie elsewhere: recbole-marn prepare {dataset} --raw DIR. "
            f"On this machine you can run: {', '.join(datasets_at_hand(data_path))}.",
        ) from error


def write_dataset(
    data: RawDataset,
    dataset: str,
    out: Path,
    options: Options,
    *,
    overwrite: bool = False,
    made_by: Mapping[str, Any],
) -> dict[str, Any]:
    """Write what a reader found; `made_by` goes into the record as it is. Otherwise as `prepare`."""
    _check_items(data, options)
    events = data.events if options.min_interactions < 2 else data.events.core(options.min_interactions)
    if not len(events):
        raise InputError("at least one event", "none left", "Check the raw files, or lower --min-interactions.")
    with_events = set(events.items)
    unseen = [token for token in data.items.rows if token not in with_events]
    tokens = events.items + unseen if options.keep_unseen_items else events.items

    with staged_folder(out / dataset, overwrite, RECORD.format(dataset)) as folder:
        inter = folder / f"{dataset}.inter"
        write_inter(inter, events)
        if inter.stat().st_size >= COLUMNAR_FROM_MB << 20:
            build_twin(inter, twin_places(inter)[0], "\t")
        write_item(folder / f"{dataset}.item", tokens, data.items)
        written = data.write_beside(folder, tokens, options.max_skipped)
        vectors = vectors_described(data, written)
        for described in vectors.values():
            described["missing"] = len(tokens) - described["count"]
        words = write_words(data.items, tokens, folder, options)
        (folder / f"{dataset}.histograms.svg").write_text(histograms(events), encoding="utf-8", newline="\n")
        if dataset not in known_datasets():
            settings = settings_of_events(events, data.items, sorted(written), bool(words))
            (folder / f"{dataset}.yaml").write_text(spelled(settings), encoding="utf-8", newline="\n")
        clicked_often = np.bincount(events.item, minlength=len(tokens))
        record = {
            "format": FORMAT_VERSION,
            "dataset": dataset,
            "counts": summarise(events, data.items, tokens),
            "time": span(events.time, data.counts_time),
            "columns": dict(data.columns),
            "published": dict(data.published),
            "coverage": coverage_of_items(clicked_often, tokens, data.items, written),
            "vectors": vectors | words,
            "checks": leak_checks(events),
            **origin(data, _notes(data, unseen, options) + vector_notes(written), data.sources, folder),
            **made_by,
        }
        write_record(folder / RECORD.format(dataset), record)
    return record


def _check_items(data: RawDataset, options: Options) -> None:
    """Whether the table of items knows the items of the events."""
    if data.items.fields and data.items.rows:
        what = ("the items of the events", "the table of items")
        data.notes += check_meeting(data.events.items, data.items.rows, what, least=options.min_matched)


def _notes(data: RawDataset, unseen: Sequence[str], options: Options) -> list[str]:
    notes = item_notes(data.items, unseen, "have no event", options)
    if unseen and options.keep_unseen_items:
        notes.append(
            "nobody ever clicks an item without events: as negatives they are told by any count of clicks, so that "
            "popularity scores far too well"
        )
    return notes
