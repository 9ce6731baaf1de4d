"""How alike candidate and history are in frozen vectors, as counts by tier of similarity (SimTier, CIKM 2024)."""

import torch
from torch import Tensor, nn

from recbole_marn.layers.kernels.segment import segment_sum

__all__ = ["SimilarityTiers"]

# Pairs compared at a time: bounds the memory of vectors of thousands of numbers.
CHUNK = 4096


class SimilarityTiers(nn.Module):
    """out_bn = log(1 + number of behaviours t of row b whose cosine with the candidate lies in tier n).

    The N tiers cut [-1, 1] evenly; a cosine on a border belongs to the tier above, and 1 to the last. The paper
    (Sheng et al., CIKM 2024, section 4.1) hands over the counts; their logarithm keeps histories of one and of a
    hundred clicks on one scale. A pair of which one side has no vector is counted nowhere. Nothing is learned.

    Args:
        n_tiers: N.

    Shapes: unit (E, V) vectors of length 1, or zeros for an entity without; first (P,) and second (P,) index into
        them, row (P,) the row of each pair -> (n_rows, N)
    """

    def __init__(self, *, n_tiers: int):
        super().__init__()
        self.n_tiers = n_tiers

    @torch.no_grad()
    def forward(self, unit: Tensor, first: Tensor, second: Tensor, row: Tensor, n_rows: int) -> Tensor:
        has_vector = unit.ne(0).any(1)
        cosine = torch.cat(
            [(unit[a] * unit[b]).sum(1) for a, b in zip(first.split(CHUNK), second.split(CHUNK), strict=True)]
        )
        tier = ((cosine + 1.0) * (self.n_tiers / 2)).long().clamp(0, self.n_tiers - 1)
        counted = (has_vector[first] & has_vector[second]).to(unit.dtype)
        place = row * self.n_tiers + tier
        return segment_sum(counted, place, n_rows * self.n_tiers).view(n_rows, self.n_tiers).log1p()
