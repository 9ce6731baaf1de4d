"""What one behaviour says about one candidate, as a number: the attention of DIN and of DUPN."""

from collections.abc import Sequence

from torch import Tensor

from recbole_marn.layers.split_mlp import SplitMLP

__all__ = ["PairScore"]


class PairScore(SplitMLP):
    """a = MLP([x ; cand]), with `product` MLP([x ; cand ; x * cand]), for every (row, token) pair.

    DIN's activation unit (KDD 2018) also reads x - cand. That is linear in what is read already, so that the first
    layer absorbs it: the functions are the same with a third fewer numbers to multiply.

    Args:
        token_size: width of x.
        candidate_size: D.
        hidden_sizes: hidden layers; may be empty.
        product: read x * cand as well; `token_size` is `candidate_size` then.
        bias: of the last layer; a softmax over the tokens of a row would cancel it.
        activation: of the hidden layers.

    Shapes: N tokens, B rows, N' pairs as `segment.expand_rows` gives them
        x (N, token_size), candidate (B, D), token (N',), row (N',) -> (N',)

    Raises:
        ValueError: with `product`, widths that differ.
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
        if product and token_size != candidate_size:
            raise ValueError(
                f"Expected equal widths with product. Got {token_size} and {candidate_size}. Change the sizes."
            )
        super().__init__(
            token_size=token_size,
            candidate_size=candidate_size,
            hidden_sizes=hidden_sizes,
            product=product,
            bias=bias,
            activation=activation,
        )

    def forward(self, x: Tensor, candidate: Tensor, token: Tensor, row: Tensor) -> Tensor:
        return self.pair_scores(x, x, candidate, token, row)
