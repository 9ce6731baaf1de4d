"""Does the adversarial part do what it is for? Probes of c and s, degrees, sizes, and what deleting c costs."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import uauc
from recbole_marn.models.marn import MARN

__all__ = ["adversary_report", "item_parts", "probe_accuracy", "without_invariant"]


@torch.no_grad()
def item_parts(model: MARN) -> dict[str, Tensor]:
    """Parts of every item at the end of training, by cell: `specific`, `invariant` and `attention` (R, M, D), `degree` and
    `present` (R, M). An item's statistics are a cell of their own.
    """
    model.eval()
    items = torch.arange(1, model.encoder.n_items, device=model.encoder.frozen["present"].device)
    cells = model.encoder.snapshot(items)
    return model.represent(cells).parts | {"present": cells.present}


def probe_accuracy(x: Tensor, present: Tensor, *, hidden: int | None = None, seed: int = 0) -> float:
    """Accuracy of a fresh classifier that names the modality of held-out vectors; chance is 1 / M.

    The classes are balanced by sampling, half the vectors are held out, and vectors are standardised.

    Args:
        x: (R, M, D).
        present: (R, M); absent vectors are not used.
        hidden: None for a linear probe, else the width of a hidden layer.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(present[:, m].cpu().numpy()) for m in range(x.shape[1])]
    number = min(1_000, min(len(found) for found in rows))
    vectors, modality = [], []
    for m, found in enumerate(rows):
        chosen = rng.choice(found, size=number, replace=False)
        vectors.append(x[torch.from_numpy(chosen), m].cpu().numpy())
        modality.append(np.full(number, m))
    features, target = np.concatenate(vectors), np.concatenate(modality)
    order = rng.permutation(len(target))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    mean, scale = features[train].mean(0), features[train].std(0) + 1e-6
    features = (features - mean) / scale
    if hidden is None:
        probe = LogisticRegression(max_iter=300)
    else:
        probe = MLPClassifier(hidden_layer_sizes=(hidden,), alpha=0.01, max_iter=200, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe stopped early is still a probe
        probe.fit(features[train], target[train])
    return float(probe.score(features[test], target[test]))


@contextmanager
def without_invariant(model: MARN) -> Iterator[None]:
    """Score as if every item's invariant vector c were zero."""
    kept = model.settings
    model.settings = dataclasses.replace(kept, adversary="none")
    model.train(False)
    model._forget_vectors()
    try:
        yield
    finally:
        model.settings = kept
        model._forget_vectors()


def adversary_report(model: MARN, trainer: Any, data: Any) -> dict[str, Any]:
    """Everything the issue of the invariant branch is judged by, as plain numbers.

    Args:
        model: a trained MARN with an invariant branch.
        trainer: its trainer, which scores `data`.
        data: the loader of the validation or test part.

    Raises:
        InputError: a model without an invariant branch or with a single modality.
    """
    if not isinstance(model, MARN) or model.settings.adversary == "none" or len(model.encoder.names) < 2:
        raise InputError(
            "a MARN with an invariant branch and two modalities or more",
            f"{type(model).__name__} with adversary {getattr(model.settings, 'adversary', 'none')}",
            "Train one with adversary: double or single.",
        )
    parts, names = item_parts(model), model.encoder.names
    present = parts["present"]
    report: dict[str, Any] = {"chance": 1 / len(names)}
    for name, part in (("c", "invariant"), ("s", "specific")):
        report[f"probe {name}"] = {
            "linear": probe_accuracy(parts[part], present),
            "mlp": probe_accuracy(parts[part], present, hidden=64),
        }
    for name, value in {
        "degree": parts["degree"],
        "|c|": parts["invariant"].abs().mean(2),
        "attention norm": parts["attention"].norm(dim=2),
    }.items():
        report[name] = {
            modality: float(value[present[:, m], m].mean()) for m, modality in enumerate(names)
        }
    full = trainer.scores(data)
    with without_invariant(model):
        deleted = trainer.scores(data)
    report["UAUC"] = uauc(full["user"], full["label"], full["score"])
    report["UAUC without c"] = uauc(deleted["user"], deleted["label"], deleted["score"])
    return report
