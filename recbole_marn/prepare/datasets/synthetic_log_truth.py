"""What is true of amazon-clothing-synthetic-log: how well clicks can be told at all, and what each part is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from recbole_marn.evaluation.metrics import auc, log_loss
from recbole_marn.prepare.datasets import synthetic_log_world as made
from recbole_marn.prepare.datasets.synthetic_log_world import Behaviours, Log, World, log_odds, sigmoid

__all__ = ["describe_truth", "expected"]


def describe_truth(world: World, log: Log, behaviours: Behaviours) -> dict[str, Any]:
    """The truth as plain data; AUCs to four digits.

    Returns:
        parts: of train, valid and test the counts, the mean probability, AUC and LogLoss of the true probabilities.
        without: AUC of the true log odds without a part of them, and what is lost.
        observer: AUC of who knows how all this was made but no user's taste and eagerness, which have to be told from
            the behaviours and clicks before the request, once with the types of behaviours, once with their clicks
            alone, once without any history.
        log_odds: each effect on z. likes, taste, new: whom and what they hold for.
    """
    probability = log.probability.astype(np.float64)
    rows = {part: log.of_part(part) for part in made.PARTS}
    parts = {
        part: {
            "exposures": int(of.sum()),
            "clicks": int(log.label[of].sum()),
            "mean_probability": round(float(probability[of].mean()), 5),
            "auc": round(auc(log.label[of], probability[of]), 4),
            "log_loss": round(log_loss(log.label[of], probability[of]), 5),
        }
        for part, of in rows.items()
    }

    def lost(score: np.ndarray) -> dict[str, dict[str, float]]:
        found = {part: round(auc(log.label[of], score[of]), 4) for part, of in rows.items()}
        return {"auc": found, "lost": {part: round(parts[part]["auc"] - value, 4) for part, value in found.items()}}

    odds = log_odds(world, log)
    odds["context"] = odds["device"] + odds["hour"]
    z = np.log(probability) - np.log1p(-probability)
    return {
        "parts": parts,
        "without": {name: lost(z - part) for name, part in sorted(odds.items())},
        "no_effect": ["city", "price"],
        "observer": {
            "with the types of behaviours": lost(expected(world, log, behaviours)),
            "without the types": lost(expected(world, log, behaviours, typed=False)),
            "without a history": lost(expected(world, log, None)),
        },
        "log_odds": {
            "base": made.BASE,
            "position": {str(place + 1): round(made.POSITION * place, 2) for place in range(made.SHOWN)},
            "device": dict(zip(made.DEVICES, made.DEVICE, strict=True)),
            "hour": f"{made.HOUR} cos(2 pi (hour - 21) / 24)",
            "profile": {**dict(zip(made.AGES, made.AGE, strict=True)), "liked": made.LIKED, "not liked": made.DISLIKED},
            "photo": {"style": made.STYLE, "taste x style": made.TASTE, "no photo": made.NOTHING_SEEN},
            "title": {"a degree of its first word": made.APPEAL},
            "eagerness": {"not eager": made.EAGER[0], "eager": made.EAGER[1]},
        },
    }


def expected(world: World, log: Log, behaviours: Behaviours | None, *, typed: bool = True) -> np.ndarray:
    """(n,) click probability by Bayes' rule, for who knows all but tastes and eagerness.

    What was known before a request tells them: earlier exposures with their labels, and clicks elsewhere, of which
    the typed ones say whether the item went into the cart. (That this is known an hour late at most is passed over.)

    Args:
        behaviours: None for no history at all.
    """
    kinds = [(taste, eager) for taste in range(len(made.TASTES)) for eager in range(len(made.EAGER))]
    given = np.stack([sigmoid(made.BASE + sum(log_odds(world, log, *kind).values())) for kind in kinds], axis=1)
    if behaviours is None:
        return given.mean(axis=1)
    user, item, time, carted = behaviours.elsewhere.T
    shares = world.chosen_elsewhere()
    elsewhere = np.zeros((len(item), len(kinds)))
    for number, (taste, eager) in enumerate(kinds):
        own, other = made.FOR_ONESELF * shares[taste, item], (1 - made.FOR_ONESELF) * shares[1 - taste, item]
        if typed:
            own *= np.where(carted, made.CARTS[eager], 1 - made.CARTS[eager])
            other *= np.where(carted, made.CARTS_FOR_OTHERS, 1 - made.CARTS_FOR_OTHERS)
        elsewhere[:, number] = own + other
    tells = np.concatenate([np.where(log.label[:, None] == 1, given, 1 - given), elsewhere])

    span = made.DAY * (made.BEFORE + made.DAYS)  # so that user and time are one number
    start = made.START - made.DAY * made.BEFORE
    moment = np.append(log.user, user) * span + np.append(log.time, time) - start
    order = np.argsort(moment, kind="stable")
    total = np.concatenate([np.zeros((1, len(kinds))), np.cumsum(np.log(tells[order]), axis=0)])
    first = np.searchsorted(moment[order], log.user * span)
    before = np.searchsorted(moment[order], log.user * span + log.time - start)
    evidence = total[before] - total[first]
    posterior = np.exp(evidence - evidence.max(axis=1, keepdims=True))
    return (given * posterior).sum(axis=1) / posterior.sum(axis=1)
