"""Ragged arithmetic: sequences of unequal length stored one after another, without a padded slot anywhere.

How many tokens there are decides over the shapes of all that follows, and a number of a GPU would have to be waited
for. `length` and `row_sequence` therefore stay on the CPU, where sizes are found; the layout, which is as long as the
tokens, is made on `device`.

Shapes: S sequences, N tokens (those of sequence 0, then of sequence 1, ...), B rows, each of which reads one
sequence, and N' tokens in all when every row is given a copy of its own sequence.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "expand_rows",
    "last_state",
    "no_tokens",
    "one_chunk",
    "packed_order",
    "segment_softmax",
    "segment_sum",
    "sequence_of_token",
    "to_device",
    "weighted_sum",
]


def to_device(value: Tensor, device: torch.device | str) -> Tensor:
    """The same on `device`; host memory is pinned first where that makes the copy asynchronous."""
    if value.is_cpu and torch.device(device).type == "cuda":
        return value.pin_memory().to(device, non_blocking=True)
    return value.to(device)


def sequence_of_token(length: Tensor, device: torch.device | None = None) -> Tensor:
    """(N,) the sequence each token belongs to, on `device`; None: where `length` (S,) is."""
    return _repeated(length, device or length.device)


def _repeated(times: Tensor, device: torch.device) -> Tensor:
    """0 to n - 1, each as often as `times` (n,) says, on `device`."""
    size = int(times.sum())
    return torch.repeat_interleave(
        torch.arange(len(times), device=device), to_device(times, device), output_size=size
    )


def expand_rows(
    length: Tensor, row_sequence: Tensor, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The tokens of each row's sequence, row after row.

    Args:
        length: (S,) int64, tokens of each sequence; 0 is allowed.
        row_sequence: (B,) int64, the sequence of each row; several rows may name the same one.
        device: where the results are wanted; None: where `length` is.

    Returns:
        token (N',) index of the token, and row (N',) ascending, the row it is read by.
    """
    device = device or length.device
    n_tokens = length[row_sequence]
    first_token = (length.cumsum(0) - length)[row_sequence]
    first_place = n_tokens.cumsum(0) - n_tokens
    row = _repeated(n_tokens, device)
    return torch.arange(len(row), device=device) + to_device(first_token - first_place, device)[row], row


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


def no_tokens(n_rows: int, size: int, *of: Tensor) -> Tensor:
    """Zeros (n_rows, size) in the place of what would have been computed from `of`, had there been a token.

    Each of these gets a gradient, of zeros: a batch of empty histories is a step like any other, and processes that
    train together wait for gradients of all parameters.
    """
    return of[0].new_zeros(n_rows, size) + sum(value.sum() * 0.0 for value in of)


def one_chunk(weights: Sequence[Tensor]) -> list[Tensor]:
    """The same, one after another in memory: so cuDNN takes a layer's weights, or else copies them and warns."""
    chunk = torch.cat([weight.flatten() for weight in weights])
    parts = chunk.split([weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def last_state(state: Tensor, length: Tensor) -> Tensor:
    """The state after the last token of each sequence; zeros for a sequence without tokens.

    Shapes: state (N, H), length (S,) -> (S, H)
    """
    if len(state) == 0:
        return no_tokens(len(length), state.shape[1], state)
    last = to_device((length.cumsum(0) - 1).clamp_min(0), state.device)
    is_empty = to_device(length == 0, state.device)
    return state.index_select(0, last).masked_fill(is_empty[:, None], 0.0)


def packed_order(length: Tensor, device: torch.device | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """How tokens move into the layout of `PackedSequence`: every first token, longest sequence first; every second; ...

    Args:
        length: (S,) int64; sequences of length 0 take no part.
        device: where the first two results are wanted; None: where `length` is.

    Returns:
        token_of_packed (N,): x[token_of_packed] is packed;
        packed_of_token (N,): packed[packed_of_token] is back in the order of the tokens;
        batch_sizes (L,), where `length` is: how many sequences have a t-th token, for t = 0, 1, ...
    """
    device = device or length.device
    ended = torch.bincount(length).cumsum(0)  # sequences of at most t tokens
    batch_sizes = len(length) - ended[:-1]
    rank = torch.empty_like(length)
    rank[length.argsort(descending=True, stable=True)] = torch.arange(len(length), device=length.device)
    first = length.cumsum(0) - length

    sequence = sequence_of_token(length, device)
    token = torch.arange(len(sequence), device=device)
    time = token - to_device(first, device)[sequence]
    packed_of_token = to_device(batch_sizes.cumsum(0) - batch_sizes, device)[time] + to_device(rank, device)[sequence]
    token_of_packed = torch.empty_like(token)
    token_of_packed[packed_of_token] = token
    return token_of_packed, packed_of_token, batch_sizes
