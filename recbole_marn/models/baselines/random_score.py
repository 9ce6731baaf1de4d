"""What a number that knows nothing reaches: the zero of every comparison."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from recbole_marn.layers.kernels.hashing import uniform_hash
from recbole_marn.models.baselines.ranking_model import RankingModel

__all__ = ["RandomScore"]


class RandomScore(RankingModel):
    """evidence = a hash of user, item and seed: the same row always scores the same, whatever stands beside it."""

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        self.row_fields = (config["USER_ID_FIELD"], config["ITEM_ID_FIELD"])
        self.seed = config["seed"]

    def evidence(self, interaction: Any) -> Tensor:
        return uniform_hash(*(interaction[field] for field in self.row_fields), seed=self.seed)
