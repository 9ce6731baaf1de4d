"""MARN with everything beside the DIN of other libraries on ids alone: whole training steps, loading included.

Each library trains as its users have it: its own loader, its own loop, Adam, its default activations, on one thread.
Rows, histories (20, padded for the others) and widths of layers are the same for all. The others' embeddings are once
as narrow as ours are before they are aligned, and once as wide as MARN's items are in all its layers; goals are for
these. A library that is not installed is left out, and said to be.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from recbole_marn.training.optimizers import build_adam

from .gates import Gate, ratio_gate
from .synthetic import HM, Shape, SyntheticData, build_model, reduced
from .timing import paired

__all__ = ["PEERS", "PaddedRows", "peer_gates"]

RATE = 1e-3
ATTENTION, PREDICTION = (64,), (128, 64)
# Numbers of an item in all layers of MARN: D.
WIDTH = 64
# Rows a batch -> how many times the speed of FuxiCTR's DIN on ids MARN with everything should have.
GOALS = {32: 0.8, 128: 0.8, 1_024: 1.0}
# Rows of a pass, the same in every round.
ROUND = 1_024


@dataclass(frozen=True)
class PaddedRows:
    """Rows as the other libraries take them: a history is a row of a table, with zeros behind.

    Attributes:
        columns: "item" and "category" (R,), "hist_item" and "hist_category" (R, L), "length" (R,), all int64.
        label: (R,) float32.
        cardinalities: codes of items and of categories, padding included.
        widths: of their embeddings.
    """

    columns: dict[str, np.ndarray]
    label: np.ndarray
    cardinalities: tuple[int, int]
    widths: tuple[int, int]

    @classmethod
    def of(cls, data: SyntheticData, row: np.ndarray) -> PaddedRows:
        part, ids = data.training, data.item_table.modalities["ids"]
        found = part.columns(row)
        history = part.padded(row, part.events.item, data.shape.history)
        columns = {
            "item": found["item"].astype(np.int64),
            "category": ids.codes[found["item"], 1].astype(np.int64),
            "hist_item": history,
            "hist_category": ids.codes[history, 1].astype(np.int64),
            "length": part.history(row)[1].astype(np.int64),
        }
        return cls(columns, found["label"], tuple(ids.cardinalities), tuple(ids.sizes))

    @property
    def history(self) -> int:
        return self.columns["hist_item"].shape[1]

    def embedded_in(self, width: int) -> PaddedRows:
        """The same rows with `width` numbers for each field."""
        return replace(self, widths=(width, width))


def peer_gates(rounds: int, *, shape: Shape = HM, rows_a_round: int = ROUND) -> list[Gate]:
    """MARN's samples a second over each library's, by batch size; FuxiCTR's are gates, the others are printed."""
    there = {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer.module) is not None}
    for name in PEERS.keys() - there.keys():
        print(f"not installed, left out: {name} (pip install {PEERS[name].package})", file=sys.stderr)
    if not there:
        return []
    torch.manual_seed(0)
    data = SyntheticData(shape)
    row = data.random_rows(rows_a_round)
    padded = PaddedRows.of(data, row)
    gates = []
    for size, goal in GOALS.items():
        for rows in (padded, padded.embedded_in(WIDTH)):
            with tempfile.TemporaryDirectory() as folder:
                variants = {name: peer.passes(rows, size, Path(folder)) for name, peer in there.items()}
                variants["MARN"] = our_pass("MARN", data, row, size)
                variants["MultimodalDIN on ids"] = our_pass("MultimodalDIN", reduced(data, ["ids"]), row, size)
                times = paired(variants, rounds=rounds)
            for name in there:
                for ours in ("MARN", "MultimodalDIN on ids"):
                    ratio = times.ratio(name, ours)
                    title = (
                        f"{ours} / {name}'s DIN on ids with embeddings of {' and '.join(map(str, rows.widths))}, "
                        f"samples/s with loading, batch {size}"
                    )
                    if (name, ours) == ("FuxiCTR", "MARN") and rows is not padded:
                        gates.append(ratio_gate(title, ratio, goal))
                    else:
                        print(f"{title}: {ratio}", flush=True)
    return gates


def our_pass(name: str, data: SyntheticData, row: np.ndarray, size: int) -> Callable[[], None]:
    """A pass of a model of ours over rows (R,), in batches of whole groups as our loader makes them."""
    model = build_model(name, data).train()
    optimizer = build_adam(model.parameters_by_rate(), rate=RATE)
    groups = row.reshape(-1, data.training.rows_per_group)

    def collate(index: list[int]) -> tuple[Any, torch.Tensor]:
        return data.batch(groups[np.asarray(index)].reshape(-1))

    batches = DataLoader(range(len(groups)), size // groups.shape[1], shuffle=True, collate_fn=collate)

    def train() -> None:
        for batch, label in batches:
            optimizer.zero_grad()
            loss = sum(model.losses(batch, label).values())
            assert torch.isfinite(loss).item()  # as our trainer looks
            loss.backward()
            optimizer.step()
            model.diagnostics.step_done()  # as in training, where not every step is looked into

    return train


# ------------------------------------------------------------------------------------------------------- peers
def fuxictr_pass(rows: PaddedRows, size: int, folder: Path) -> Callable[[], None]:
    """FuxiCTR's layers, model base and NumPy loader, put together as its DIN; its wheel has only one for LongCTR."""
    from fuxictr.pytorch.dataloaders.npz_dataloader import NpzDataLoader
    from fuxictr.pytorch.layers import DIN_Attention, FeatureEmbeddingDict, MLP_Block
    from fuxictr.pytorch.models import BaseModel

    class DIN(BaseModel):
        def __init__(self, features: Any):
            super().__init__(features, model_root=str(folder), metrics=["AUC"], verbose=0)
            self.embedding = FeatureEmbeddingDict(features, rows.widths[0])
            self.attention = DIN_Attention(sum(rows.widths), list(ATTENTION), hidden_activations="Dice")
            self.dnn = MLP_Block(
                2 * sum(rows.widths),
                hidden_units=list(PREDICTION),
                output_dim=1,
                output_activation=self.output_activation,
            )
            self.compile("adam", "binary_crossentropy", RATE)
            self.reset_parameters()
            self.model_to_device()
            self._max_gradient_norm = 10.0  # as its `fit` sets it

        def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            found = self.get_inputs(inputs)
            embedded = self.embedding(found)
            target = torch.cat([embedded["item"], embedded["category"]], -1)
            history = torch.cat([embedded["hist_item"], embedded["hist_category"]], -1)
            user = self.attention(target, history, found["hist_item"].long() != 0)
            return {"y_pred": self.dnn(torch.cat([target, user], -1))}

    features = fuxictr_features(rows, folder)
    np.savez(folder / "rows.npz", **rows.columns, label=rows.label)
    model = DIN(features).train()
    batches = NpzDataLoader(features, str(folder / "rows.npz"), batch_size=size, shuffle=True, num_workers=0)

    def train() -> None:
        for batch in batches:
            model.train_step(batch).item()

    return train


def fuxictr_features(rows: PaddedRows, folder: Path) -> Any:
    """FuxiCTR's map of the columns, which it reads from files otherwise."""
    from fuxictr.features import FeatureMap

    features = FeatureMap("peers", str(folder))
    features.features = OrderedDict()
    for name, codes, width in zip(("item", "category"), rows.cardinalities, rows.widths, strict=True):
        common = {"vocab_size": codes, "embedding_dim": width, "padding_idx": 0}
        features.features[name] = {"type": "categorical", "source": "item", **common}
        features.features[f"hist_{name}"] = {
            "type": "sequence", "source": "user", "max_len": rows.history, "share_embedding": name, **common,
        }  # fmt: skip
    features.labels = ["label"]
    features.num_fields = features.get_num_fields()
    features.set_column_index()
    return features


def deepctr_pass(rows: PaddedRows, size: int, folder: Path) -> Callable[[], None]:
    """DeepCTR-Torch's DIN and its `fit`."""
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DIN

    columns = []
    for name, codes, width in zip(("item", "category"), rows.cardinalities, rows.widths, strict=True):
        columns.append(SparseFeat(name, codes, width))
        history = SparseFeat(f"hist_{name}", codes, width, embedding_name=name)
        columns.append(VarLenSparseFeat(history, rows.history, length_name="length"))
    model = DIN(
        columns, ["item", "category"], dnn_hidden_units=PREDICTION, att_hidden_size=ATTENTION, l2_reg_embedding=0.0
    )
    model.compile("adam", "binary_crossentropy")

    def train() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            model.fit(dict(rows.columns), rows.label, batch_size=size, epochs=1, verbose=0)

    return train


def rechub_pass(rows: PaddedRows, size: int, folder: Path) -> Callable[[], None]:
    """torch-rechub's DIN and its trainer; all its fields must have one width, and some stand beside the history."""
    from torch_rechub.basic.features import SequenceFeature, SparseFeature
    from torch_rechub.models.ranking import DIN
    from torch_rechub.trainers import CTRTrainer
    from torch_rechub.utils.data import DataGenerator

    width = sum(rows.widths) // 2
    targets, histories = [], []
    for name, codes in zip(("item", "category"), rows.cardinalities, strict=True):
        targets.append(SparseFeature(name, codes, width))
        histories.append(SequenceFeature(f"hist_{name}", codes, width, pooling="concat", shared_with=name))
    beside = [SparseFeature("length", rows.history + 1, width)]
    model = DIN(beside, histories, targets, {"dims": list(PREDICTION)}, {"dims": list(ATTENTION)})
    trainer = CTRTrainer(model, optimizer_params={"lr": RATE}, model_path=str(folder))
    few = {name: column[:1] for name, column in rows.columns.items()}
    batches, *_ = DataGenerator(rows.columns, rows.label).generate_dataloader(
        few, rows.label[:1], few, rows.label[:1], batch_size=size
    )

    def train() -> None:
        with contextlib.redirect_stderr(io.StringIO()):  # its bar
            trainer.train_one_epoch(batches)

    return train


@dataclass(frozen=True)
class Peer:
    """A library: what it is imported and installed as, and a function that makes one that trains a pass."""

    module: str
    package: str
    passes: Callable[[PaddedRows, int, Path], Callable[[], None]]


PEERS = {
    "FuxiCTR": Peer("fuxictr", "fuxictr", fuxictr_pass),
    "DeepCTR-Torch": Peer("deepctr_torch", "deepctr-torch", deepctr_pass),
    "torch-rechub": Peer("torch_rechub", "torch-rechub", rechub_pass),
}
