"""The trainer of a run, with the reports on the adversary that `probe_every` asks for."""

from __future__ import annotations

from typing import Any

from recbole_marn.analysis.adversary import adversary_report, check_adversary
from recbole_marn.training import distributed
from recbole_marn.training.trainer import CTRTrainer

__all__ = ["trainer_of"]


def trainer_of(config: Any, model: Any) -> CTRTrainer:
    """What RecBole's `get_trainer` gives for a run on our rows, called.

    Raises:
        InputError: `probe_every` with a model that has no adversary.
    """
    trainer = distributed.trainer_of(config, model)
    if trainer.settings.probe_every is not None:
        check_adversary(model)
        trainer.probe(lambda valid, batch: adversary_report(model, trainer, valid, batch))
    return trainer
