"""Ragged arithmetic: sequences of unequal length stored one after another, without a padded slot anywhere.

Shapes: S sequences, N tokens (those of sequence 0, then of sequence 1, ...), B rows, each of which reads one
sequence, and N' tokens in all when every row is given a copy of its own sequence.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["expand_rows", "last_state", "packed_order", "segment_softmax", "segment_sum", "weighted_sum"]


def expand_rows(length: Tensor, row_sequence: Tensor) -> tuple[Tensor, Tensor]:
    """The tokens of each row's sequence, row after row.

    Args:
        length: (S,) int64, tokens of each sequence; 0 is allowed.
        row_sequence: (B,) int64, the sequence of each row; several rows may name the same one.

    Returns:
        token (N',) index of the token, and row (N',) ascending, the row it is read by.
    """
    n_tokens = length[row_sequence]
    row = torch.repeat_interleave(torch.arange(len(row_sequence), device=length.device), n_tokens)
    first_token = (length.cumsum(0) - length)[row_sequence]
    first_place = n_tokens.cumsum(0) - n_tokens
    token = torch.arange(len(row), device=length.device) + (first_token - first_place)[row]
    return token, row


def segment_sum(value: Tensor, row: Tensor, n_rows: int) -> Tensor:
    """Sum over the tokens of each row: out_b = sum_{t: row_t = b} value_t; rows without a token give 0.

    Shapes: value (N', ...), row (N',) -> (n_rows, ...)
    """
    return value.new_zeros((n_rows, *value.shape[1:])).index_add(0, row, value)


def weighted_sum(value: Tensor, weight: Tensor, token: Tensor, row: Tensor, n_rows: int) -> Tensor:
    """Weighted sum over the tokens of each row: out_b = sum_{t: row_t = b} weight_t value[token_t].

    What `segment_sum(weight[:, None] * value[token], row, n_rows)` gives, without the (N', H) temporaries.

    Shapes: value (N, H), weight (N',), token (N',), row (N',) ascending -> (n_rows, H)
    """
    start = torch.searchsorted(row, torch.arange(n_rows, device=row.device))
    return F.embedding_bag(token, value, start, mode="sum", per_sample_weights=weight.to(value.dtype))


def segment_softmax(score: Tensor, row: Tensor, n_rows: int) -> Tensor:
    """Softmax over the tokens of each row: exp(score_t) / sum_{t': row_t' = row_t} exp(score_t').

    Safe for scores of any size; rows without a token simply have no entry.

    Shapes: score (N',), row (N',) -> (N',)
    """
    # The largest score of the row is taken off before exp; it cancels, so no gradient has to pass through it.
    highest = score.new_full((n_rows,), -torch.inf).scatter_reduce(0, row, score.detach(), "amax")
    exponential = (score - highest[row]).exp()
    return exponential / segment_sum(exponential, row, n_rows)[row]


def last_state(state: Tensor, length: Tensor) -> Tensor:
    """The state after the last token of each sequence; zeros for a sequence without tokens.

    Shapes: state (N, H), length (S,) -> (S, H)
    """
    if len(state) == 0:
        return state.new_zeros(len(length), state.shape[1])
    last = (length.cumsum(0) - 1).clamp_min(0)
    return state[last].masked_fill((length == 0)[:, None], 0.0)


def packed_order(length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How tokens move into the layout of `PackedSequence`: every first token, longest sequence first; every second; ...

    Args:
        length: (S,) int64; sequences of length 0 take no part.

    Returns:
        token_of_packed (N,): x[token_of_packed] is packed;
        packed_of_token (N,): packed[packed_of_token] is back in the order of the tokens;
        batch_sizes (L,): how many sequences have a t-th token, for t = 0, 1, ...
    """
    device = length.device
    sequence = torch.repeat_interleave(torch.arange(len(length), device=device), length)
    token = torch.arange(len(sequence), device=device)
    time = token - (length.cumsum(0) - length)[sequence]
    batch_sizes = torch.bincount(time)
    rank = torch.empty_like(length)
    rank[length.argsort(descending=True, stable=True)] = torch.arange(len(length), device=device)
    packed_of_token = (batch_sizes.cumsum(0) - batch_sizes)[time] + rank[sequence]
    token_of_packed = torch.empty_like(token)
    token_of_packed[packed_of_token] = token
    return token_of_packed, packed_of_token, batch_sizes
