"""From a model's outputs to click rates: the exact correction of kept negatives, then a step fitted on validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recbole_marn.errors import InputError
from recbole_marn.evaluation.calibration import Calibration, fit_isotonic, fit_platt, kept_negatives

__all__ = ["ClickRates", "fit", "kept_share"]

FITS = {"platt": fit_platt, "isotonic": fit_isotonic}


class ClickRates:
    """What every probability of a trained model passes through before anybody sees it.

    Attributes:
        correction: for non-clicks that were left out of training, or None where all were kept.
        fitted: on validation, or None.
    """

    def __init__(self, share: float = 1.0, fitted: Calibration | None = None):
        self.correction = kept_negatives(share) if share < 1 else None
        self.fitted = fitted

    def corrected(self, probability: Tensor) -> Tensor:
        """Click rates (B,) of a model's outputs (B,), before what was fitted."""
        return probability if self.correction is None else _applied(self.correction, probability)

    def calibrated(self, corrected: Tensor) -> Tensor:
        """Click rates (B,) of corrected ones (B,)."""
        return corrected if self.fitted is None else _applied(self.fitted, corrected)

    def __call__(self, probability: Tensor) -> Tensor:
        return self.calibrated(self.corrected(probability))

    def state(self) -> list[dict[str, Any]]:
        """The steps in their order, as plain data."""
        return [step.state() for step in (self.correction, self.fitted) if step is not None]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]], share: float) -> ClickRates:
        """From `state()` of a checkpoint whose run kept this share of the negatives.

        Raises:
            InputError: steps that are none, or not those of this share.
        """
        steps = [Calibration.from_state(step) for step in state]
        rates = cls(share)
        expected = [] if rates.correction is None else [rates.correction]
        if len(steps) > len(expected) + 1 or steps[: len(expected)] != expected:
            raise InputError(
                f"the calibration of a run with keep_negatives {share}",
                f"{len(steps)} steps of another run",
                "Take the settings it was trained with, or train again.",
            )
        return cls(share, steps[-1] if len(steps) > len(expected) else None)


def kept_share(settings: Mapping[str, Any]) -> float:
    """Share of a log's non-clicks that a run of these settings trains on; rows of clicks alone keep all drawn ones."""
    return 1.0 if settings.get("label") is None else float(settings.get("keep_negatives") or 1.0)


def fit(kind: str, label: np.ndarray, probability: np.ndarray) -> Calibration:
    """A calibration of the key `calibration` (platt, isotonic), fitted on labels and probabilities (B,) of validation.

    Raises:
        InputError: fewer than ten rows of a class.
    """
    return FITS[kind](label, probability)


def _applied(step: Calibration, probability: Tensor) -> Tensor:
    rates = step.apply(probability.detach().double().cpu().numpy())
    return torch.from_numpy(rates).to(probability.device, torch.float32)
