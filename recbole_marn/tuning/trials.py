"""The trials of a search: made, written down whole after each, and compared on validation."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_marn.errors import Diverged, InputError
from recbole_marn.files import check_plain_name, plain, write_json
from recbole_marn.training.identity import INCIDENTAL
from recbole_marn.training.metrics import named_metrics
from recbole_marn.training.objective import objective_function
from recbole_marn.tuning.space import Space, readable

__all__ = ["Search"]


class Search:
    """A search and its trials so far.

    Args:
        config: RecBole's, of the settings that every trial shares.
        space: as `read_space` gives it.
        algo: one of `ALGORITHMS`.
        most: trials that `algo` draws; "exhaustive" tries every combination of choices.
        output_file: where trials are written.

    Attributes:
        number: of trials to make.
        trials: those made: settings, valid (metrics), valid_score (None where training diverged) and seconds of each.
        header: what the search is known by; another one in the same place is refused.
    """

    def __init__(self, config: Any, space: Space, algo: str, most: int, output_file: Path):
        self.config, self.space, self.algo, self.output_file = config, space, algo, output_file
        self.number = math.prod(len(values) for _, values in space.values()) if algo == "exhaustive" else most
        self.trials: list[dict[str, Any]] = []
        given = plain(config.external_config_dict)
        self.header = {
            "format": 1,
            "model": config["model"],
            "dataset": config["dataset"],
            "algo": algo,
            "valid_metric": config["valid_metric"],
            "seed": config["seed"],
            "settings": {key: value for key, value in given.items() if key not in INCIDENTAL},
            "space": {name: {"kind": kind, "values": values} for name, (kind, values) in space.items()},
        }

    def check_place(self) -> None:
        """The file of another search is not written over; the same one may be done again.

        Raises:
            InputError: it holds something else.
        """
        check_plain_name("output_file", self.output_file.name, "its folder may stand before it")
        if not self.output_file.exists():
            self.write()  # finds out now, not after the first trial, whether it can be written
            return
        try:
            there = json.loads(self.output_file.read_text(encoding="utf-8"))
            before = {key: there[key] for key in self.header}
        except (OSError, ValueError, KeyError, TypeError):
            before = {}
        known = json.loads(json.dumps(plain(self.header)))
        changed = [key for key in known if before.get(key) != known[key]]
        if changed:
            raise InputError(
                f"no file, or this search's, at {self.output_file}",
                f"one with another {', '.join(changed)}",
                "Give another --output_file, or move the file away; nothing was overwritten.",
            )

    @property
    def bigger(self) -> bool:
        """Whether larger values of the validation metric are better."""
        return bool(self.config["valid_metric_bigger"])

    def trial(self, config_dict: Mapping[str, Any], config_file_list: Sequence[str]) -> dict[str, Any]:
        """Train under settings and write the outcome down; HyperTuning calls it.

        Returns:
            What HyperTuning reads of a trial; the worst value there is where training diverged.
        """
        settings = {name: readable(value) for name, value in config_dict.items()}
        start = time.perf_counter()
        try:
            result = objective_function(settings, config_file_list)
            score, failure = float(result["best_valid_score"]), None
        except Diverged as error:
            score, failure = math.nan, str(error)
        if not math.isfinite(score):
            worst = -math.inf if self.bigger else math.inf
            result = {"model": self.header["model"], "best_valid_score": worst, "valid_score_bigger": self.bigger}
            result |= {"best_valid_result": None, "test_result": {}}
            failure = failure or f"{self.header['valid_metric']} of the validation part is not a number"
        self.trials.append(
            {
                "settings": settings,
                "valid": named_metrics(result["best_valid_result"]),
                "valid_score": None if failure else score,
                "seconds": round(time.perf_counter() - start, 2),
                **({"failure": failure} if failure else {}),
            }
        )
        self.write()
        return result

    def best(self) -> dict[str, Any] | None:
        """The first of the best trials, or None where all failed."""
        trained = [trial for trial in self.trials if trial["valid_score"] is not None]
        sign = 1 if self.bigger else -1
        return max(trained, key=lambda trial: sign * trial["valid_score"], default=None)

    def write(self) -> None:
        """All trials and the best of them, whole or not at all."""
        write_json(self.output_file, self.header | {"trials": self.trials, "best": self.best()})
