"""Dense Multimodal Fusion (Hu et al., ICASSP 2019): modalities meet at every level, not only at the last."""

from collections.abc import Callable

from torch import Tensor, nn

from recbole_marn.layers.fusion import sum_fusion
from recbole_marn.layers.projection import PrivateLinear

__all__ = ["DenseFusion"]


class DenseFusion(nn.Module):
    """Private layers of each modality, and a shared layer on top of all of them at every level.

        h^l_m = ReLU(A^l_m h^{l-1}_m + a^l_m),                              h^0_m = e_m
        g^l   = ReLU(sum_m (B^l_m h^l_m + b^l_m) + C^l g^{l-1}),            g^0 absent; sum over the modalities present

    Args:
        n_modalities: M.
        width: D, of every layer.
        levels: number of levels, at least 1.

    Shapes: e (R, M, D), present (R, M) bool or None for all -> g of the last level (E, D). `join` turns sums over the
        modalities of R cells (R, D) into those of E items (E, D); without it, cells are items.
    """

    def __init__(self, *, n_modalities: int, width: int, levels: int = 2):
        super().__init__()
        sizes = {"n": n_modalities, "input_size": width, "output_size": width}
        self.private = nn.ModuleList(PrivateLinear(**sizes) for _ in range(levels))
        self.shared = nn.ModuleList(PrivateLinear(**sizes) for _ in range(levels))
        self.carried = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(levels - 1))

    def forward(
        self, e: Tensor, present: Tensor | None, join: Callable[[Tensor], Tensor] = lambda value: value
    ) -> Tensor:
        h, g = e, None
        for level, (private, shared) in enumerate(zip(self.private, self.shared, strict=True)):
            h = private(h).relu()
            met = join(sum_fusion(shared(h), present))
            g = (met if g is None else met + self.carried[level - 1](g)).relu()
        return g
