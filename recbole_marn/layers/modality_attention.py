"""Scalar attention over the modalities of an item (NAML, MMSS), and MMSS's image filter."""

import torch
from torch import Tensor, nn

from recbole_marn.layers.projection import PrivateLinear

__all__ = ["ImageFilter", "ModalityAttention"]


class ModalityAttention(nn.Module):
    """One weight a modality, where MARN's MAF has one a modality and dimension.

        beta_em = softmax over the modalities present of q^T tanh(V_m r_em + v_m + context_e)
        out_e = sum_m beta_em r_em

    NAML's view attention (IJCAI 2019, section 3.1) has no context; MMSS's modality attention (IJCAI 2018) has one.

    The two methods are apart because `project` belongs to a modality alone and can be computed before modalities are
    put together to items.

    Args:
        n_modalities: M.
        width: D.
        attention_size: A, rows of V_m.

    Shapes: r (E, M, D), projected (E, M, A), present (E, M) bool, context (E, A) or None
        -> out (E, D), beta (E, M), 0 where absent
    """

    def __init__(self, *, n_modalities: int, width: int, attention_size: int):
        super().__init__()
        self.projection = PrivateLinear(n=n_modalities, input_size=width, output_size=attention_size)
        self.query = nn.Linear(attention_size, 1, bias=False)

    def project(self, r: Tensor) -> Tensor:
        """V_m r_em + v_m, (E, M, D) -> (E, M, A)."""
        return self.projection(r)

    def forward(
        self, r: Tensor, projected: Tensor, present: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        if context is not None:
            projected = projected + context[:, None, :]
        score = self.query(torch.tanh(projected))[:, :, 0]
        # The smallest number in place of -inf keeps an item without any modality finite.
        beta = score.masked_fill(~present, torch.finfo(score.dtype).min).softmax(1).masked_fill(~present, 0.0)
        return (beta[:, :, None] * r.masked_fill(~present[:, :, None], 0.0)).sum(1), beta


class ImageFilter(nn.Module):
    """What of an image the text speaks about (MMSS, IJCAI 2018, adapted: the text takes the place of decoder states).

        I_a = sigmoid(q^T tanh(U_t t + U_v v))          one number: is the image worth looking at
        I_c = sigmoid(U'_t t + U'_v v)                  one a dimension: what of it
        out = I_a * (I_c * v)

    Shapes: text (E, D), image (E, D) -> (E, D)
    """

    def __init__(self, *, width: int):
        super().__init__()
        self.whole = nn.Linear(2 * width, width)
        self.query = nn.Linear(width, 1, bias=False)
        self.parts = nn.Linear(2 * width, width)

    def forward(self, text: Tensor, image: Tensor) -> Tensor:
        both = torch.cat([text, image], dim=1)
        whole = torch.sigmoid(self.query(torch.tanh(self.whole(both))))
        return whole * torch.sigmoid(self.parts(both)) * image
