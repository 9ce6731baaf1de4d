"""From the raw value of a modality to its aligned embedding e_im (MARN eq. 1, section 3.1).

Every encoder ends in Align, one linear map onto the width that all modalities share:
    e_im = Q_m raw_im + q_m
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.gather_linear import gather_linear, gather_linear_reference
from recbole_marn.layers.text_cnn import TextEncoder

__all__ = ["CategoricalEncoder", "TextEncoder", "VectorEncoder"]


class CategoricalEncoder(nn.Module):
    """Embeddings of several fields side by side, for ID fields and for statistics cut into bins.

        e = [E_1 x_1 ; E_2 x_2 ; ... ; E_F x_F]           MARN eq. (1)
        out = Q e + q

    Code 0 stands for padding or a missing value: its embedding is zero and stays zero. Of a field that is a list the
    embeddings of the codes above 0 are averaged, in whatever order they stand; without any the field is zero.

    Args:
        cardinalities: codes of each field, code 0 included.
        sizes: width of each field's embedding.
        width: width of the output.
        bags: columns of codes that each field takes, more than 1 for lists; None: one a field.

    Raises:
        ValueError: no field, or another number of sizes than of cardinalities.

    Shapes: codes (U, sum of bags) int64 -> (U, width)
    """

    def __init__(
        self, *, cardinalities: Sequence[int], sizes: Sequence[int], width: int, bags: Sequence[int] | None = None
    ):
        super().__init__()
        self.bags = [1] * len(sizes) if bags is None else list(bags)
        if len(cardinalities) != len(sizes) or not sizes:
            raise ValueError(
                f"Expected one size for each of at least one field. Got {len(cardinalities)} cardinalities and "
                f"{len(sizes)} sizes. Give both lists the same length."
            )
        self.tables = nn.ModuleList(
            nn.Embedding(cardinality, size, padding_idx=0)
            for cardinality, size in zip(cardinalities, sizes, strict=True)
        )
        self.align = nn.Linear(sum(sizes), width)
        self.reset_embeddings()

    def reset_embeddings(self) -> None:
        """Xavier-normal tables, as RecBole starts its own, with the zero row put back."""
        for table in self.tables:
            nn.init.xavier_normal_(table.weight)
            with torch.no_grad():
                table.weight[0].zero_()

    def raw(self, codes: Tensor) -> Tensor:
        """(U, sum of sizes): the embeddings before Align."""
        fields = zip(self.tables, codes.split(self.bags, dim=1), strict=True)
        return torch.cat([_embedded(table, code) for table, code in fields], dim=1)

    def forward(self, codes: Tensor) -> Tensor:
        return self.align(self.raw(codes))


def _embedded(table: nn.Embedding, codes: Tensor) -> Tensor:
    """Codes (U, bag) of one field as its embedding (U, size)."""
    if codes.shape[1] == 1:
        return table(codes[:, 0])
    return F.embedding_bag(codes, table.weight, mode="mean", padding_idx=0, sparse=table.sparse)


class VectorEncoder(nn.Module):
    """Align for precomputed vectors, e.g. 4096 numbers an image: out = Q v + q.

    The table is an argument and not a part of the layer: it is frozen, large, and shared with others.

    Args:
        size: width of the stored vectors.
        width: width of the output.
        chunk: vectors in memory at a time.
        reference: use the plain formula, which holds all vectors of the batch at once.

    Shapes: table (V, size) float16, bfloat16 or float32, row (U,) int64 -> (U, width)
    """

    def __init__(self, *, size: int, width: int, chunk: int = 256, reference: bool = False):
        super().__init__()
        self.align = nn.Linear(size, width)
        self.chunk = chunk
        self.reference = reference

    def forward(self, table: Tensor, row: Tensor) -> Tensor:
        if self.reference:
            return gather_linear_reference(table, row, self.align.weight, self.align.bias)
        return gather_linear(table, row, self.align.weight, self.align.bias, chunk=self.chunk)
