"""An MLP on pairs of a token and a candidate whose first layer is split by input."""

from collections.abc import Sequence

from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP, activation_by_name

__all__ = ["SplitMLP"]


class SplitMLP(nn.Module):
    """MLP([x ; cand]), with a product MLP([x ; cand ; r * cand]), for every (row, token) pair.

    The share of x in the first layer is computed once a token and that of the candidate once a row, however many
    rows read the same history; only the product is taken pair by pair.

    Args:
        token_size: width of x.
        candidate_size: D, also of r.
        hidden_sizes: hidden layers; may be empty.
        product: read r * cand as well.
        bias: of the last layer; a softmax over the tokens of a row would cancel it.
        activation: of the hidden layers.
    """

    def __init__(
        self,
        *,
        token_size: int,
        candidate_size: int,
        hidden_sizes: Sequence[int],
        product: bool,
        bias: bool,
        activation: str,
    ):
        super().__init__()
        first_size, *other_sizes = *hidden_sizes, 1
        self.from_token = nn.Linear(token_size, first_size, bias=bias or bool(hidden_sizes))
        self.from_candidate = nn.Linear(candidate_size, first_size, bias=False)
        self.from_product = nn.Linear(candidate_size, first_size, bias=False) if product else None
        self.rest: nn.Module = nn.Identity()
        if other_sizes:
            hidden = MLP(input_size=first_size, hidden_sizes=other_sizes[:-1], activation=activation)
            last = nn.Linear(hidden.output_size, 1, bias=bias)
            self.rest = nn.Sequential(activation_by_name(activation), hidden, last)

    def pair_scores(self, x: Tensor, r: Tensor | None, candidate: Tensor, token: Tensor, row: Tensor) -> Tensor:
        """x (N, token_size), r (N, D) or None without a product, candidate (B, D), token (N',), row (N',) -> (N',)."""
        first = self.from_token(x).index_select(0, token) + self.from_candidate(candidate).index_select(0, row)
        if self.from_product is not None:
            first = first + self.from_product(r.index_select(0, token) * candidate.index_select(0, row))
        return self.rest(first)[:, 0]
