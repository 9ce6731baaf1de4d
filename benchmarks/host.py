"""End to end through RecBole: training epochs cut short, data loading included, on the same atomic files.

RecBole runs as its users run it: its own data set, loader and trainer, and anomaly detection on, which importing its
sequential models switches on. It is switched by hand here, because this package switches it off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bench import Sizes
from .children import child_result
from .gates import Gate, ratio_gate
from .synthetic import CLOTHING, Shape, SyntheticData
from .timing import Ratio, paired

__all__ = ["compare_with_recbole", "host_gates", "write_atomic_files"]

NAME = "clothing"
Job = tuple[str, str, int, float]  # our model, RecBole's model, rows a batch, goal
# RecBole augments its data in a Python loop; batches of a tenth of the users are as full as those of all.
SHAPE = replace(CLOTHING, users=4_000)
# Rows a round.
ROUND = 256


def host_gates(sizes: Sizes, *, quick: bool = False) -> list[Gate]:
    """Samples a second of runs through us over those of RecBole's own."""
    jobs: list[Job] = [("MARN", "DIN", sizes.largest, 1), ("DIN", "DIN", 32, 2)]
    jobs += [] if quick else [("DIEN", "DIEN", 32, 4)]
    with tempfile.TemporaryDirectory() as folder:
        content = json.dumps({"jobs": jobs, "rounds": sizes.rounds})
        ratios = child_result("host", content, folder=folder)
    return [
        ratio_gate(f"{ours} through us / RecBole's {theirs}, with loading, batch {size}", Ratio(*ratio), goal)
        for (ours, theirs, size, goal), ratio in zip(jobs, ratios, strict=True)
    ]


def compare_with_recbole(jobs: list[Job], rounds: int, shape: Shape = SHAPE) -> list[list[float]]:
    """In the current folder: for each job the ratio of samples a second, its median and quartiles."""
    data = SyntheticData(shape)
    write_atomic_files(Path.cwd() / "dataset" / NAME, data)
    ratios = []
    for ours, theirs, size, *_ in jobs:
        number = max(1, ROUND // size)  # batches
        variants = {"ours": through_us(ours, data, size, number), "theirs": through_recbole(theirs, size, number)}
        ratio = paired(variants, rounds=rounds).ratio("theirs", "ours")
        ratios.append([ratio.median, ratio.low, ratio.high])
    return ratios


class FewBatches:
    """The next `number` batches of a loader at each pass: an epoch cut short."""

    def __init__(self, loader: Any, number: int):
        self._loader, self._number = loader, number
        self._batches = iter(())

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Any]:
        for _ in range(self._number):
            batch = next(self._batches, None)
            if batch is None:
                self._batches = iter(self._loader)
                batch = next(self._batches)
            yield batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


def through_us(model: str, data: SyntheticData, size: int, number: int) -> Callable[[], None]:
    """Part of an epoch of a model on this package's rows."""
    from recbole_marn.models.base import OurModel
    from recbole_marn.quick_start import build_config, prepare_run

    settings = common(size) | {"modalities": modalities(data), "behaviour": {"time": "timestamp"}, "repeats": "keep"}
    parts = prepare_run(build_config(model, NAME, config_dict=settings), quiet=True)
    if isinstance(parts.model, OurModel):
        parts.model.prepare_training(steps_per_epoch=len(parts.train), epochs=1)
    batches = FewBatches(parts.train, number)
    return lambda: parts.trainer._train_epoch(batches, 0)


def through_recbole(model: str, size: int, number: int) -> Callable[[], None]:
    """Part of an epoch of plain RecBole."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer

    from recbole_marn.host.compat import without_arguments

    settings = common(size) | {
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "category"]},
        "train_neg_sample_args": {"distribution": "uniform", "sample_num": 1},
        "MAX_ITEM_LIST_LENGTH": CLOTHING.history,
    }
    config = without_arguments(Config)(model=model, dataset=NAME, config_dict=settings)
    train, _, _ = data_preparation(config, create_dataset(config))
    net = get_model(model)(config, train._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], model)(config, net)
    batches = FewBatches(train, number)

    def run() -> None:
        with torch.autograd.set_detect_anomaly(True):
            trainer._train_epoch(batches, 0)

    return run


def common(size: int) -> dict[str, Any]:
    return {
        "data_path": "dataset",
        "train_batch_size": size,
        "show_progress": False,
        "use_gpu": False,
        "worker": 0,
        "state": "ERROR",
    }


def modalities(data: SyntheticData) -> dict[str, Any]:
    statistics = ["train_interactions", *(f"number{i}" for i in range(data.shape.static_statistics))]
    return {
        "ids": {"kind": "id", "fields": {"item_id": 32, "category": 16}},
        "image": {"kind": "vector", "file": "image.npy"},
        "title": {"kind": "text", "field": "title", "word_vectors": "words.npy"},
        "statistic": {"kind": "statistic", "fields": statistics},
    }


def write_atomic_files(folder: Path, data: SyntheticData) -> None:
    """The synthetic data as RecBole's files, with images and word vectors beside them."""
    folder.mkdir(parents=True)
    events, table = data.protocol.events, data.item_table
    with open(folder / f"{NAME}.inter", "w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        columns = (events.user, events.item, events.time)
        file.writelines(f"u{u}\ti{i}\t{t:.0f}\n" for u, i, t in zip(*columns, strict=True))
    ids, title = table.modalities["ids"].codes, table.modalities["title"]
    numbers = [f"number{i}" for i in range(data.shape.static_statistics)]
    values = np.random.default_rng(0).lognormal(3, 1, size=(table.n_items, len(numbers)))
    with open(folder / f"{NAME}.item", "w", encoding="utf-8") as file:
        header = ["item_id:token", "category:token", "title:token_seq", *(f"{name}:float" for name in numbers)]
        file.write("\t".join(header) + "\n")
        for i in range(1, table.n_items):
            words = " ".join(f"w{word}" for word in title.words[i] if word)
            file.write("\t".join([f"i{i}", f"c{ids[i, 1]}", words, *(f"{x:.2f}" for x in values[i])]) + "\n")
    image = table.modalities["image"]
    _write_vectors(folder / "image", image.matrix[image.row[1:]], [f"i{i}" for i in range(1, table.n_items)])
    _write_vectors(folder / "words", title.word_vectors[1:], [f"w{word}" for word in range(1, title.vocabulary)])


def _write_vectors(base: Path, matrix: np.ndarray, tokens: list[str]) -> None:
    np.save(base.with_suffix(".npy"), matrix)
    base.with_suffix(".ids").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
