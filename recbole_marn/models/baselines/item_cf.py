"""Item-based collaborative filtering, a rival that learns nothing and sees no content."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recbole_marn.data.item_similarity import ItemSimilarity
from recbole_marn.data.rows import TRAIN
from recbole_marn.models.base import batch_of
from recbole_marn.models.baselines.ranking_model import RankingModel

__all__ = ["ItemCF"]


class ItemCF(RankingModel):
    """evidence = sum over the history of the cosine similarity of its items to the candidate (Sarwar et al. 2001).

    Similarities come from training events alone. A training row is one of those events itself, so that evidence is
    higher there than in evaluation; only the calibration feels it.
    """

    def __init__(self, config: Any, dataset: Any):
        super().__init__(config, dataset)
        events, training = dataset.protocol.events, dataset.protocol.part_of_event == TRAIN
        self.similarity = ItemSimilarity.fit(
            events.user[training],
            events.item[training],
            n_users=int(events.user.max()) + 1,
            n_items=dataset.protocol.n_items,
        )

    def evidence(self, interaction: Any) -> Tensor:
        batch = batch_of(interaction)
        item = batch.entity_id.cpu().numpy()
        index = (batch.token, batch.length, batch.row_sequence, batch.candidate)
        token, length, row_sequence, candidate = (value.cpu().numpy() for value in index)
        similarity = self.similarity.to_history(item[token], length, row_sequence, item[candidate])
        return torch.from_numpy(similarity).to(self.scale)
