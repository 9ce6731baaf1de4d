"""Does the adversarial part do what it is for? Probes of c and s, degrees, sizes, and what deleting c costs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from recbole_marn.data.batch import RaggedBatch
from recbole_marn.errors import InputError
from recbole_marn.evaluation.metrics import uauc
from recbole_marn.evaluation.scores import ranked_by
from recbole_marn.layers.adversarial import modality_accuracy
from recbole_marn.models.base import EXTRACTION_CHUNK
from recbole_marn.models.item_encoder import Cells
from recbole_marn.models.marn import MARN

__all__ = [
    "adversary_report", "check_adversary", "has_adversary", "item_cells", "probe_accuracy", "scores_without_invariant",
]  # fmt: skip

PROBED = 1_000  # vectors of each modality that a probe sees at most, half of them in training
MLP_STEPS = 150  # of a probe with a hidden layer, at most


def item_cells(model: MARN) -> Cells:
    """The catalogue with the statistics of the end of training, one cell an item."""
    return model.encoder.snapshot(torch.arange(1, model.encoder.n_items, device=model.encoder.frozen["present"].device))


def probe_accuracy(
    x: Tensor, present: Tensor, *, count: Tensor | None = None, hidden: int | None = None, seed: int = 0
) -> float:
    """Accuracy of a fresh classifier that names the modality of held-out vectors; chance is 1 / M.

    The classes are balanced by sampling: of each as many, at most `PROBED`. Half are held out, all are standardised.

    Args:
        x: (R, M, D).
        present: (R, M); absent vectors are not used.
        count: (R,), how often a row occurs: rows are then drawn by it, with replacement; None takes each at most once.
        hidden: None for a linear probe, else the width of a hidden layer.
    """
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(present[:, m].cpu().numpy()) for m in range(x.shape[1])]
    number = PROBED if count is not None else min(PROBED, min(len(found) for found in rows))
    vectors, modality = [], []
    for m, found in enumerate(rows):
        share = None if count is None else count.double().cpu().numpy()[found]
        chosen = rng.choice(
            found, size=number, replace=share is not None, p=None if share is None else share / share.sum()
        )
        vectors.append(x[torch.from_numpy(chosen), m].float().cpu().numpy())
        modality.append(np.full(number, m))
    features, target = np.concatenate(vectors), np.concatenate(modality)
    order = rng.permutation(len(target))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    mean, scale = features[train].mean(0), features[train].std(0) + 1e-6
    features = (features - mean) / scale
    if hidden is None:
        probe = LogisticRegression(max_iter=300)
    else:
        probe = MLPClassifier((hidden,), solver="lbfgs", alpha=0.1, max_iter=MLP_STEPS, random_state=seed)
    # Products this small keep a second thread of BLAS waiting at full speed, which took nine times the CPU time.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)  # a probe stopped early is still a probe
        probe.fit(features[train], target[train])
    return float(probe.score(features[test], target[test]))


@torch.no_grad()
def scores_without_invariant(model: MARN, trainer: Any, data: Any) -> dict[str, np.ndarray]:
    """The trainer's `scores` of a part as if every item's invariant vector c were zero."""
    model.eval()
    items = torch.arange(model.encoder.n_items, device=model.encoder.frozen["present"].device)
    vectors = [
        model.represent(model.encoder.snapshot(chunk), without_invariant=True).vector
        for chunk in items.split(EXTRACTION_CHUNK)
    ]
    with model.given_vectors(torch.cat(vectors)):
        return trainer.scores(data)


def has_adversary(model: Any) -> bool:
    """Whether there is a game between two modalities or more."""
    return _has_game(model) and len(model.encoder.names) > 1


def _has_game(model: Any) -> bool:
    return isinstance(model, MARN) and model.invariant is not None and model.invariant.has_game


def check_adversary(model: Any) -> None:
    """Is there anything to report?

    Raises:
        InputError: a model without discriminators or with a single modality.
    """
    if not has_adversary(model):
        raise InputError(
            "a MARN with discriminators and two modalities or more",
            f"{type(model).__name__} with{'' if _has_game(model) else 'out'} discriminators",
            "Train one with adversary: double or single.",
        )


@torch.no_grad()
def adversary_report(model: MARN, trainer: Any, data: Any, batch: RaggedBatch) -> dict[str, Any]:
    """What the invariant branch is judged by, as plain numbers.

    Args:
        model: a MARN with a game, see `check_adversary`.
        trainer: its trainer, which scores `data`.
        data: the loader of the validation or test part.
        batch: training rows, whose items the two discriminators play for; the rest is of the catalogue, each item once.
    """
    model.eval()
    names, cells, seen = model.encoder.names, item_cells(model), model.encoder(batch)
    whole, trained = model.represent(cells), model.represent(seen)
    report: dict[str, Any] = {"chance": 1 / len(names)}
    vectors = {"c": (whole.invariant.c, trained.invariant.c), "s": (whole.specific, trained.specific)}
    for name, (x, x_seen) in vectors.items():
        report[f"probe {name}"] = {
            "linear": probe_accuracy(x, cells.present),
            "mlp": probe_accuracy(x, cells.present, hidden=64),
            "linear, training": probe_accuracy(x_seen, seen.present, count=seen.count),
            "mlp, training": probe_accuracy(x_seen, seen.present, count=seen.count, hidden=64),
        }
    logits1 = model.invariant.second_discriminator(trained.invariant.c, trained.invariant.degree, 1.0)
    for name, logits in {"D0": trained.invariant.logits0, "D1": logits1}.items():
        if logits is not None:
            accuracy = modality_accuracy(logits, seen.present, seen.count)
            report[f"{name} accuracy"] = dict(zip(names, accuracy.tolist(), strict=True))
    for name, value in {
        "degree": whole.invariant.degree,
        "|c|": whole.invariant.c.abs().mean(2),
        "attention norm": whole.attention.norm(dim=2),
    }.items():
        report[name] = {modality: float(value[cells.present[:, m], m].mean()) for m, modality in enumerate(names)}
    full = trainer.scores(data)
    deleted = scores_without_invariant(model, trainer, data)
    report["UAUC"] = uauc(full["user"], full["label"], ranked_by(full))
    report["UAUC without c"] = uauc(deleted["user"], deleted["label"], ranked_by(deleted))
    return report
