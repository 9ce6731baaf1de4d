"""What the command line asks of a leaderboard, and the command line that asks the same again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recbole_marn.errors import InputError

__all__ = ["RESAMPLES", "Request", "setting_arguments", "with_option"]

RESAMPLES = 500
MOST_RESAMPLES = 1_000_000
# Where things lie on this machine; neither a record nor a command repeats it.
PLACES = ("data_path", "checkpoint_dir")


@dataclass(frozen=True)
class Request:
    """Options of the command line (see `cli.add_arguments`); without `models`, all that the data set allows.

    Raises:
        InputError: a number out of range, no model, or a space without a search.
    """

    dataset: str
    models: Sequence[str] | None = None
    seeds: int = 5
    grid: str | None = None
    tune: int | None = None
    space: str | None = None
    baseline: str | None = None
    anchors: bool = True
    out: Path = Path("results")
    jobs: int = 1
    resamples: int | None = None
    config_files: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    show_progress: bool = True

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.jobs < 1 or not 2 <= (self.resamples or RESAMPLES) <= MOST_RESAMPLES:
            raise InputError(
                f"at least one seed and one process, and from 2 to {MOST_RESAMPLES:,} resamples",
                f"--seeds={self.seeds} --jobs={self.jobs} --resamples={self.resamples}",
                "Five seeds, one process a core and 500 resamples are usual.",
            )
        if self.models is not None and not self.models:
            raise InputError("at least one model in --models", "none", "Name some, or leave --models out for all.")
        if self.space is not None and self.tune is None:
            raise InputError("--tune=N with --space", "--space alone", "Say how many settings to try, or leave it out.")

    def command(self) -> str:
        """The command line that makes the same tables, without what does not matter to them."""
        parts = ["recbole-marn", "leaderboard", f"--dataset={self.dataset}"]
        parts += [] if self.models is None else [f"--models={','.join(self.models)}"]
        parts += [f"--seeds={self.seeds}"]
        given = [("grid", self.grid), ("tune", self.tune), ("space", self.space), ("baseline", self.baseline)]
        parts += [f"--{name}={value}" for name, value in given if value is not None]
        parts += [] if self.resamples in (None, RESAMPLES) else [f"--resamples={self.resamples}"]
        parts += [] if self.anchors else ["--without_anchors"]
        parts += [f"--config_files={' '.join(self.config_files)}"] if self.config_files else []
        return shlex.join(parts + setting_arguments(self.settings))


def setting_arguments(settings: Mapping[str, Any]) -> list[str]:
    """Settings as `--key=value`, without paths."""
    return [f"--{key}={value}" for key, value in settings.items() if key not in PLACES]


def with_option(command: str, name: str, value: object) -> str:
    """A command line with `--name=value` in place of what it had; as it was without a value."""
    if value is None:
        return command
    option, parts = f"--{name}={value}", shlex.split(command)
    there = [at for at, part in enumerate(parts) if part.startswith(f"--{name}=")]
    for at in there or [len(parts)]:
        parts[at : at + 1] = [option]
    return shlex.join(parts)
