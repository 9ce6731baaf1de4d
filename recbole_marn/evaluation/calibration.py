"""From scores to click rates: exact corrections for sampled negatives, and Platt or isotonic steps that are fitted.

A correction for sampling is a shift of the logit, known without fitting. A fitted step learns on validation rows and
never sees the test part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from recbole_marn.errors import InputError
from recbole_marn.evaluation.inputs import check_labels, check_probabilities

__all__ = [
    "KINDS", "Calibration", "check_enough", "fit_isotonic", "fit_platt", "kept_negatives", "too_few_to_mean_much",
]  # fmt: skip

KINDS = ("logit", "isotonic")

# A slope and an intercept, or a curve, from fewer clicks than this would be noise.
_LEAST_OF_EACH_CLASS = 10
# Rows of the rarer class below which a fit is mostly chance. A rate told by n of them has a relative standard error of
# 1 / sqrt(n): 10 % by 100, about as far as the click rates of models are off before they are calibrated. Steps of
# isotonic regression have each a rate of their own, and want a thousand (Niculescu-Mizil and Caruana, ICML 2005).
_MEANINGFUL = {"platt": 100, "isotonic": 1000}
# The gap between 1 and its float32 neighbours, as for LogLoss: a saturated sigmoid has no better-known logit.
_CLIP = 1e-7


@dataclass(frozen=True)
class Calibration:
    """A monotone map of probabilities, as plain data.

    Attributes:
        kind: ``logit`` or ``isotonic``.
        slope: of the logit, for ``logit``: p = sigmoid(slope * logit(q) + intercept). A slope of 1 multiplies the
            odds by exp(intercept): the corrections for sampling.
        intercept: of the logit, likewise.
        predicted: ascending breakpoints (M,), for ``isotonic``: p is linear between them and constant outside.
        observed: ascending values of p there (M,).
    """

    kind: str
    slope: float = 1.0
    intercept: float = 0.0
    predicted: tuple[float, ...] = ()
    observed: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"a calibration of kind {' or '.join(KINDS)}", repr(self.kind), "Fit it again.")
        # Odds beyond exp(700) overflow float64.
        if not (0 <= self.slope < np.inf and abs(self.intercept) < 700):
            raise InputError(
                "an intercept between -700 and 700 and a finite slope of at least 0",
                f"slope {self.slope} and intercept {self.intercept}",
                "A calibration must keep the order of the scores; fit it again.",
            )
        if self.kind == "isotonic":
            x, y = np.asarray(self.predicted, dtype=np.float64), np.asarray(self.observed, dtype=np.float64)
            inside = all(np.all((one >= 0) & (one <= 1)) for one in (x, y))
            if len(x) != len(y) or not len(x) or not inside or np.any(np.diff(x) <= 0) or np.any(np.diff(y) < 0):
                raise InputError(
                    "ascending breakpoints between 0 and 1",
                    f"{len(x)} predicted and {len(y)} observed",
                    "A calibration must keep the order of the scores; fit it again.",
                )

    def apply(self, probability: ArrayLike) -> np.ndarray:
        """Calibrated probabilities (B,) float64 of probabilities (B,).

        Raises:
            InputError: as ``log_loss``: NaN, or a value outside [0, 1].
        """
        probability = check_probabilities(probability, np.size(probability))
        if self.kind == "isotonic":
            return np.interp(probability, self.predicted, self.observed)
        if self.slope == 1:
            # The odds themselves: q and 1 - q are exact at both ends, where the logit loses digits.
            # Divided by the larger factor, so that neither overflows.
            click = probability * np.exp(min(self.intercept, 0.0))
            other = (1 - probability) * np.exp(min(-self.intercept, 0.0))
            return click / (click + other)
        return self.apply_to_logit(logit(probability))

    def apply_to_logit(self, value: ArrayLike) -> np.ndarray:
        """Calibrated probabilities of logits (B,): exact where a float32 sigmoid has already saturated."""
        value = np.asarray(value, dtype=np.float64)
        if self.kind == "isotonic":
            return self.apply(expit(value))
        if self.slope == 0:  # also of infinite logits
            return np.full(value.shape, expit(self.intercept))
        return expit(self.slope * value + self.intercept)

    def inverse(self) -> "Calibration":
        """The map back, of a ``logit`` calibration with a slope above 0.

        Raises:
            InputError: there is none: isotonic steps and a slope of 0 send different scores to one.
        """
        if self.kind != "logit" or self.slope == 0:
            raise InputError(
                "a calibration that can be undone", f"{self.kind} with slope {self.slope}", "Keep the scores before it."
            )
        return Calibration("logit", 1 / self.slope, -self.intercept / self.slope)

    def state(self) -> dict[str, Any]:
        """Strings, floats and lists of floats, for a checkpoint; ``from_state`` takes it back."""
        if self.kind == "isotonic":
            return {"kind": self.kind, "predicted": list(self.predicted), "observed": list(self.observed)}
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Calibration":
        """From ``state()``.

        Raises:
            InputError: other keys, an unknown kind, or values that are no calibration.
        """
        keys = {"logit": {"kind", "slope", "intercept"}, "isotonic": {"kind", "predicted", "observed"}}
        kind = state.get("kind") if isinstance(state, Mapping) else None
        if kind not in KINDS or set(state) != keys[kind]:
            got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
            raise InputError(
                "the state of a calibration: a kind and its numbers", f"{got}", "Fit it again with this version."
            )
        try:
            if kind == "logit":
                return cls(kind, float(state["slope"]), float(state["intercept"]))
            points = (tuple(float(value) for value in state[name]) for name in ("predicted", "observed"))
            return cls(kind, 1.0, 0.0, *points)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                "numbers in the state of a calibration", f"{error}", "It was changed by hand: fit it again."
            ) from error


def kept_negatives(share: float) -> Calibration:
    """Correction for a model trained on a random share w of the non-clicks (He et al., ADKDD 2014, section 6.3).

        p = q / (q + (1 - q) / w)

    which multiplies the odds by w, exactly; ``inverse()`` goes back.

    Raises:
        InputError: a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise InputError("a share of kept non-clicks above 0 and up to 1", f"{share}", "1 keeps all of them.")
    return Calibration("logit", 1.0, float(np.log(share)))


def fit_platt(label: ArrayLike, probability: ArrayLike) -> Calibration:
    """Logistic regression of the label on the logit (Platt, 1999; Newton steps as Lin, Lin and Weng, 2007).

    Targets are Platt's (P + 1) / (P + 2) and 1 / (N + 2), so that scores that part the classes have a finite slope.
    Logits are clipped at probabilities of 1e-7 for the fit alone. The slope is at least 0: scores that rank validation
    rows the wrong way round say nothing, and become the click rate of validation.

    Args:
        label: (B,) of 0 and 1, of validation.
        probability: (B,) in [0, 1].

    Raises:
        InputError: as ``log_loss``, or fewer than 10 rows of a class.
    """
    label = check_enough(label)
    probability = check_probabilities(probability, len(label))
    x = logit(np.clip(probability, _CLIP, 1 - _CLIP))
    clicks = int(label.sum())
    target = np.where(label, (clicks + 1) / (clicks + 2), 1 / (len(label) - clicks + 2))
    constant = Calibration("logit", 0.0, float(logit(target.mean())))
    spread = float(x.std())
    if spread < 1e-9:
        return constant
    # Standardised, the two parameters hardly depend on each other and Newton's steps are well-conditioned.
    mean = float(x.mean())
    slope, intercept = _newton((x - mean) / spread, target, np.array([0.0, constant.intercept]))
    slope /= spread
    return Calibration("logit", slope, intercept - slope * mean) if slope > 0 else constant


def _newton(x: np.ndarray, target: np.ndarray, start: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the least cross-entropy with targets in (0, 1), which is strictly convex in both."""

    def cross_entropy(parameters: np.ndarray) -> float:
        z = parameters[0] * x + parameters[1]
        return float(np.mean(np.logaddexp(0, z) - target * z))

    parameters, value = start, cross_entropy(start)
    for _ in range(100):
        p = expit(parameters[0] * x + parameters[1])
        gradient = np.array([np.mean((p - target) * x), np.mean(p - target)])
        weight = p * (1 - p)
        cross = np.mean(weight * x)
        hessian = np.array([[np.mean(weight * x * x), cross], [cross, np.mean(weight)]])
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        if gradient @ step < 1e-20:
            break
        size, decrease = 1.0, float(gradient @ step)
        # Halved until it goes down: a full step may overshoot far from the optimum.
        while (new := cross_entropy(parameters - size * step)) > value - 1e-4 * size * decrease and size > 1e-6:
            size /= 2
        if new >= value:  # rounding is all that is left
            break
        parameters, value = parameters - size * step, new
    return float(parameters[0]), float(parameters[1])


def fit_isotonic(label: ArrayLike, probability: ArrayLike) -> Calibration:
    """Isotonic regression (Zadrozny and Elkan, KDD 2002): the best ascending steps, as breakpoints.

    Equal probabilities are one point with their weight. Between two steps p is interpolated, so that fewer scores tie;
    inside a step they do tie. Rates of 0 and 1 become 1 / (B + 2) and (B + 1) / (B + 2): nothing is ever certain.
    It needs more rows than Platt's two numbers: about a thousand clicks (Niculescu-Mizil and Caruana, ICML 2005).

    Args and errors as ``fit_platt``.
    """
    label = check_enough(label)
    probability = check_probabilities(probability, len(label))
    x, row_x, rows = np.unique(probability, return_inverse=True, return_counts=True)
    rate = np.bincount(row_x, weights=label) / rows
    step = isotonic_regression(rate, weights=rows)
    y = np.clip(step.x, 1 / (len(label) + 2), (len(label) + 1) / (len(label) + 2))
    # The two ends of each step are all that interpolation needs.
    first, last = step.blocks[:-1], step.blocks[1:] - 1
    ends = np.unique(np.concatenate([first, last]))
    return Calibration("isotonic", 1.0, 0.0, tuple(x[ends].tolist()), tuple(y[ends].tolist()))


def check_enough(label: ArrayLike) -> np.ndarray:
    """Labels (B,) as bool, of rows that a calibration can be fitted on.

    Raises:
        InputError: a label other than 0 and 1, or fewer than 10 rows of a class.
    """
    label = check_labels(label)
    clicks = int(label.sum())
    if min(clicks, len(label) - clicks) < _LEAST_OF_EACH_CLASS:
        raise InputError(
            f"at least {_LEAST_OF_EACH_CLASS} clicks and {_LEAST_OF_EACH_CLASS} non-clicks to calibrate on",
            f"{clicks} and {len(label) - clicks}",
            "Give validation more rows, or leave calibration out.",
        )
    return label


def too_few_to_mean_much(kind: str, label: ArrayLike) -> str:
    """What to say of a fit of kind `platt` or `isotonic` on labels (B,) of which few are of the rarer class, or "".

    Raises:
        InputError: as ``check_enough``.
    """
    label = check_enough(label)
    clicks = int(label.sum())
    rarer, which = min((clicks, "clicks"), (len(label) - clicks, "rows without a click"))
    if rarer >= _MEANINGFUL[kind]:
        return ""
    known = f"{100 / rarer**0.5:.0f} % and no better (a standard error)"
    return (
        f"calibration: {kind} is fitted on {rarer} {which} of validation, which tell a rate to {known}; with less than "
        f"{_MEANINGFUL[kind]} it may well be worse than none"
    )
