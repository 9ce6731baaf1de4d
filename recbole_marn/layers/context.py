"""Profile and context of a row, from codes to numbers: fields of equal width are looked up together."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.projection import PrivateLinear

__all__ = ["ContextAlignment", "ContextEncoder", "SameWidthTables", "side_by_side", "with_code"]


class SameWidthTables(nn.Module):
    """Embeddings of all fields of one width: those of one code each by a single lookup, each bag by another.

    Code 0 stands for an unknown or missing value. In a field of one code its embedding starts at zero and is learned
    like any other: where training has such rows it says what they have in common, where it has none an unknown value
    adds nothing. A bag is the mean of the embeddings of its codes above 0, and zero without any.

    Args:
        width: of every embedding.
        cardinalities: codes of each field, code 0 included.
        columns: the column of codes at which each field starts.
        bags: columns that each field takes.

    Shapes: codes (B, F) int64 -> (B, number of fields, width): fields of one code in their order, then bags in theirs
    """

    def __init__(self, *, width: int, cardinalities: Sequence[int], columns: Sequence[int], bags: Sequence[int]):
        super().__init__()
        fields = list(zip(cardinalities, columns, bags, strict=True))
        single = [(cardinality, column) for cardinality, column, bag in fields if bag == 1]
        sizes = [cardinality for cardinality, _ in single]
        self.table = nn.Embedding(sum(sizes), width) if single else None
        self.bag_tables = nn.ModuleList(nn.Embedding(c, width, padding_idx=0) for c, _, bag in fields if bag > 1)
        self.bag_columns = [slice(column, column + bag) for _, column, bag in fields if bag > 1]
        # The tables of the fields of one code lie one below the other.
        first_row = torch.tensor([0, *sizes], dtype=torch.int64).cumsum(0)
        self.register_buffer("first_row", first_row[:-1], persistent=False)
        self.register_buffer("column", torch.tensor([column for _, column in single]), persistent=False)
        self.sizes = sizes
        self.reset_embeddings()

    @property
    def tables(self) -> list[nn.Embedding]:
        """Every table, the common one of the fields of one code first."""
        return [table for table in (self.table, *self.bag_tables) if table is not None]

    @torch.no_grad()
    def reset_embeddings(self) -> None:
        """Xavier-normal tables, as RecBole starts its own, each drawn as if it stood alone; code 0 is zero."""
        single = [] if self.table is None else self.table.weight.split(self.sizes)
        for weight in (*single, *(table.weight for table in self.bag_tables)):
            nn.init.xavier_normal_(weight)
            weight[0] = 0.0

    def forward(self, codes: Tensor) -> Tensor:
        parts = []
        if self.table is not None:
            chosen = codes if len(self.column) == codes.shape[1] else codes.index_select(1, self.column)
            parts.append(self.table(chosen + self.first_row))
        for table, columns in zip(self.bag_tables, self.bag_columns, strict=True):
            mean = F.embedding_bag(codes[:, columns], table.weight, mode="mean", padding_idx=0, sparse=table.sparse)
            parts.append(mean[:, None])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


class ContextEncoder(nn.Module):
    """Embeddings of the fields of profile and context, as many lookups as there are widths (and bags).

    Args:
        cardinalities: codes of each field, code 0 included.
        widths: of each field's embedding.
        bags: columns of codes that each field takes; 1 but for lists, whose embeddings are averaged.

    Shapes: codes (B, sum of bags) int64, the fields' columns in their order -> one (B, number of fields, width) for
        each width, narrowest first; `side_by_side` makes (B, output_size) of them

    Raises:
        IndexError: on the CPU, a code outside its field. (The tables lie one below the other: another field's embedding
            would answer. A GPU is not waited for.)
    """

    def __init__(self, *, cardinalities: Sequence[int], widths: Sequence[int], bags: Sequence[int]):
        super().__init__()
        ends = [sum(bags[: index + 1]) for index in range(len(bags))]
        fields = list(zip(widths, cardinalities, ends, bags, strict=True))
        self.tables = nn.ModuleList()
        for width in sorted(set(widths)):
            chosen = [(c, end - bag, bag) for w, c, end, bag in fields if w == width]
            sizes, columns, sizes_of_bags = zip(*chosen, strict=True)
            self.tables.append(
                SameWidthTables(width=width, cardinalities=sizes, columns=columns, bags=sizes_of_bags)
            )
        self.widths = sorted(set(widths))
        self.fields_of_width = [list(widths).count(width) for width in self.widths]
        limit = [c for c, bag in zip(cardinalities, bags, strict=True) for _ in range(bag)]
        self.register_buffer("limit", torch.tensor(limit), persistent=False)
        self.output_size = sum(widths)

    def forward(self, codes: Tensor) -> list[Tensor]:
        if codes.is_cpu:
            self._check(codes)
        return [tables(codes) for tables in self.tables]

    def _check(self, codes: Tensor) -> None:
        beyond = (codes < 0) | (codes >= self.limit)
        if beyond.any():
            columns = beyond.any(0).nonzero()[:, 0].tolist()
            raise IndexError(
                f"Expected codes of profile and context from 0 to below {self.limit.tolist()}. Got others in columns "
                f"{columns}. Give a value that has no code of its own the code 0."
            )


def side_by_side(fields: Sequence[Tensor]) -> Tensor:
    """What a `ContextEncoder` gives, as one vector a row: a list of (B, n, width) -> (B, sum of n * width)."""
    flat = [value.flatten(1) for value in fields]
    return flat[0] if len(flat) == 1 else torch.cat(flat, dim=1)


class ContextAlignment(nn.Module):
    """Fields of a `ContextEncoder` at one width, each by a linear map of its own: Q_f e_f + q_f.

    Args:
        widths: as the encoder has them, each once.
        fields_of_width: how many fields have each.
        output_size: D.

    Shapes: a list of (B, n, width) -> (B, number of fields, D)
    """

    def __init__(self, *, widths: Sequence[int], fields_of_width: Sequence[int], output_size: int):
        super().__init__()
        self.maps = nn.ModuleList(
            PrivateLinear(n=n, input_size=width, output_size=output_size)
            for width, n in zip(widths, fields_of_width, strict=True)
        )

    def forward(self, fields: Sequence[Tensor]) -> Tensor:
        aligned = [align(value) for align, value in zip(self.maps, fields, strict=True)]
        return aligned[0] if len(aligned) == 1 else torch.cat(aligned, dim=1)


def with_code(codes: Tensor, column: int, code: int) -> Tensor:
    """Codes (B, F) in which one column says the same in every row, e.g. the position at which items are compared."""
    fixed = codes.clone()
    fixed[:, column] = code
    return fixed
