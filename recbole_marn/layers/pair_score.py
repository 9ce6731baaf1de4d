"""What one behaviour says about one candidate, as a number: the attention of DIN and of DUPN."""

from collections.abc import Sequence

from torch import Tensor, nn

from recbole_marn.layers.mlp import MLP, activation_by_name

__all__ = ["PairScore"]


class PairScore(nn.Module):
    """a = MLP([x ; cand]), with `product` MLP([x ; cand ; x * cand]), for every (row, token) pair.

    DIN's activation unit (KDD 2018) also reads x - cand. That is linear in what is read already, so that the first
    layer absorbs it: the functions are the same with a third fewer numbers to multiply. The first layer is split by
    input: the share of x is computed once a token and that of the candidate once a row.

    Args:
        token_size: width of x.
        candidate_size: D.
        hidden_sizes: hidden layers; may be empty.
        product: read x * cand as well; `token_size` is `candidate_size` then.
        bias: of the last layer; a softmax over the tokens of a row would cancel it.
        activation: of the hidden layers.

    Shapes: N tokens, B rows, N' pairs as `segment.expand_rows` gives them
        x (N, token_size), candidate (B, D), token (N',), row (N',) -> (N',)
    """

    def __init__(
        self,
        *,
        token_size: int,
        candidate_size: int,
        hidden_sizes: Sequence[int] = (64,),
        product: bool = False,
        bias: bool = True,
        activation: str = "relu",
    ):
        super().__init__()
        if product and token_size != candidate_size:
            raise ValueError(
                f"Expected equal widths with product. Got {token_size} and {candidate_size}. Change the sizes."
            )
        first_size, *other_sizes = *hidden_sizes, 1
        self.from_token = nn.Linear(token_size, first_size, bias=bias or bool(hidden_sizes))
        self.from_candidate = nn.Linear(candidate_size, first_size, bias=False)
        self.from_product = nn.Linear(candidate_size, first_size, bias=False) if product else None
        self.rest: nn.Module = nn.Identity()
        if other_sizes:
            hidden = MLP(input_size=first_size, hidden_sizes=other_sizes[:-1], activation=activation)
            last = nn.Linear(hidden.output_size, 1, bias=bias)
            self.rest = nn.Sequential(activation_by_name(activation), hidden, last)

    def forward(self, x: Tensor, candidate: Tensor, token: Tensor, row: Tensor) -> Tensor:
        first = self.from_token(x).index_select(0, token) + self.from_candidate(candidate).index_select(0, row)
        if self.from_product is not None:
            first = first + self.from_product(x.index_select(0, token) * candidate.index_select(0, row))
        return self.rest(first)[:, 0]
