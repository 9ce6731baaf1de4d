"""Titles: the convolutional network of Kim (2014), computed once per distinct word instead of once per position."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recbole_marn.layers.kernels.large_linear import large_linear, pad_rows

__all__ = ["TextEncoder", "window_maximum"]

# Titles per piece. On a CPU the sums of all windows of a piece should stay in the cache, and in the backward pass the
# indices of its words; a GPU wants few launches.
CHUNK = 512
GRADIENT_CHUNK = 64
CUDA_CHUNK = 4096


class TextEncoder(nn.Module):
    """Text CNN of a title, then Align.

        f_k[u] = max over t of ReLU(b_k + sum_{j<k} W_kj v(word[u, t + j]))       Kim (2014); MARN section 3.1
        out[u] = Q [f_k1[u] ; f_k2[u] ; ...] + q

    t runs over the windows that lie inside the title; a title shorter than k has the one window at t = 0, filled up
    with zero vectors. So the result does not depend on the width T that titles are padded to. A title ends with its
    last non-zero word. A title without words gives a finite value that means nothing: mask it.

    A word contributes the same W_kj v(word) wherever it stands. The fast path multiplies the distinct words of the
    batch with all W_kj at once and then only adds and compares; the result is the same, learned words included.

    Args:
        width: width of the output.
        word_vectors: (V, w) one vector a word, row 0 (padding) taken as zero. Frozen ones are not part of the state
            dict: they come from the same file again.
        vocabulary: V of a table to be learned, when there are no `word_vectors`.
        word_size: w of that table.
        windows: numbers of words that a filter spans.
        filters: filters per window.
        trainable: learn the word vectors; None: only when none are given.
        reference: use `conv1d`.

    Shapes: words (U, T) int64, 0 = padding -> (U, width)

    Raises:
        ValueError: neither or both of `word_vectors` and `vocabulary` are given, or a random table would be frozen.
    """

    def __init__(
        self,
        *,
        width: int,
        word_vectors: Tensor | None = None,
        vocabulary: int | None = None,
        word_size: int | None = None,
        windows: Sequence[int] = (2, 3, 4),
        filters: int = 64,
        trainable: bool | None = None,
        reference: bool = False,
    ):
        super().__init__()
        if (word_vectors is None) == (vocabulary is None or word_size is None):
            raise ValueError(
                "Expected either word_vectors or both vocabulary and word_size. "
                f"Got word_vectors {'absent' if word_vectors is None else 'present'}, vocabulary {vocabulary}, "
                f"word_size {word_size}. Give exactly one of the two."
            )
        if word_vectors is None:
            if trainable is False:
                raise ValueError(
                    "Expected word vectors to keep frozen. Got none, so that they would stay random. "
                    "Give word_vectors, or let them be trained."
                )
            trainable = True
            word_vectors = torch.randn(vocabulary, word_size) * word_size**-0.5
        word_vectors = word_vectors.to(torch.get_default_dtype(), copy=True)
        word_vectors[0] = 0.0
        if trainable:
            self.word_vectors = nn.Parameter(word_vectors)
        else:
            self.register_buffer("word_vectors", word_vectors, persistent=False)
        self.windows = tuple(windows)
        self.convolutions = nn.ModuleList(nn.Conv1d(word_vectors.shape[1], filters, k) for k in self.windows)
        self.align = nn.Linear(filters * len(self.windows), width)
        self.reference = reference

    def forward(self, words: Tensor) -> Tensor:
        return self.align(self.raw(words))

    def raw(self, words: Tensor) -> Tensor:
        """(U, filters * number of windows): the features before Align."""
        words = F.pad(words, (0, max(0, max(self.windows) - words.shape[1])))
        position = torch.arange(1, words.shape[1] + 1, device=words.device)
        length = ((words != 0) * position).amax(1)
        features = self._reference_features if self.reference else self._fast_features
        return features(words, length)

    def _reference_features(self, words: Tensor, length: Tensor) -> Tensor:
        x = F.embedding(words, self.word_vectors, padding_idx=0).transpose(1, 2)  # (U, w, T)
        features = []
        for k, convolution in zip(self.windows, self.convolutions, strict=True):
            value = convolution(x)  # (U, filters, T - k + 1)
            start = torch.arange(value.shape[2], device=words.device)
            outside = start > (length[:, None] - k).clamp_min(0)
            features.append(value.masked_fill(outside[:, None, :], -torch.inf).amax(2).relu())
        return torch.cat(features, dim=1)

    def _fast_features(self, words: Tensor, length: Tensor) -> Tensor:
        word, place = _words_to_multiply(words, len(self.word_vectors), find_distinct=words.is_cpu)
        # (sum of k * filters, w): the matrices W_kj one below the other, j within k
        weight = torch.cat([c.weight.permute(2, 0, 1).flatten(0, 1) for c in self.convolutions])
        bias = torch.cat([c.bias for c in self.convolutions])
        product = large_linear(F.embedding(pad_rows(word), self.word_vectors, padding_idx=0), weight)
        return (window_maximum(product, place, length, self.windows) + bias).relu()


def _words_to_multiply(words: Tensor, vocabulary: int, *, find_distinct: bool) -> tuple[Tensor, Tensor]:
    """Words (n,) among which are all of `words` (U, T), and the place (U, T) of each among them.

    On a CPU the distinct ones. A GPU would have to be waited for until it has counted them: it multiplies the whole
    vocabulary, or where that is more, each word where it stands.
    """
    if find_distinct:
        return torch.unique(words, return_inverse=True)
    if vocabulary <= words.numel():
        return torch.arange(vocabulary, device=words.device), words
    return words.flatten(), torch.arange(words.numel(), device=words.device).view_as(words)


def window_maximum(product: Tensor, place: Tensor, length: Tensor, windows: Sequence[int]) -> Tensor:
    """max over the windows of a title of the summed contributions of their words, for each window size and filter.

        out[u, k, f] = max over t of sum_{j<k} product[place[u, t + j], k, j, f]

    Args:
        product: (n_words, sum of k * filters), what each word gives to each position j of each window size k.
        place: (U, T) int64, row of `product` for each word of each title; T >= max(windows).
        length: (U,) int64, words of each title; t runs from 0 to max(length - k, 0).
        windows: the window sizes k.

    Returns:
        (U, len(windows) * filters). The backward pass needs only where each maximum was found.
    """
    return _WindowMaximum.apply(product, place, length, tuple(windows))


class _WindowMaximum(torch.autograd.Function):
    """`product` is read as rows of `filters` numbers: word number w has its share for position j of window size k in
    row w * sum(windows) + (sum of the sizes before k) + j.

    On a CPU titles of like length come together, so that a piece is no wider than its titles; on a GPU that would mean
    waiting for the lengths.
    """

    @staticmethod
    def forward(ctx: Any, product: Tensor, place: Tensor, length: Tensor, windows: tuple[int, ...]) -> Tensor:
        filters = product.shape[1] // sum(windows)
        order = None
        if product.is_cpu:
            length, order = length.sort()
            place = place.index_select(0, order)
        first_row, rows = place * sum(windows), product.reshape(-1, filters)
        out = product.new_empty(len(place), len(windows), filters)
        found = torch.empty_like(out, dtype=torch.int16)
        chunk = CHUNK if product.is_cpu else CUDA_CHUNK
        for begin in range(0, len(place), chunk):
            titles = slice(begin, begin + chunk)
            longest = length[titles, None]
            width = max(int(longest[-1]), *windows) if product.is_cpu else place.shape[1]
            for i, k in enumerate(windows):
                # Beyond the title the last window inside is repeated: that changes no maximum and needs no mask.
                start = torch.arange(width - k + 1, device=place.device)
                start = torch.minimum(start, (longest - k).clamp_min(0))
                j = torch.arange(k, device=place.device)
                row = first_row[titles].gather(1, (start[:, :, None] + j).flatten(1)).view(-1, k)
                value = F.embedding_bag(row + (sum(windows[:i]) + j), rows, mode="sum").view(*start.shape, -1)
                best = torch.amax(value, 1, out=out[titles, i])
                if ctx.needs_input_grad[0]:
                    # A comparison into numbers and amax run on vectors; one into booleans and max with indices do not.
                    is_best = torch.eq(value, best[:, None], out=torch.empty_like(value, dtype=found.dtype))
                    torch.amax(is_best.mul_(start.to(found.dtype)[:, :, None]), 1, out=found[titles, i])
        if ctx.needs_input_grad[0]:
            ctx.save_for_backward(first_row, found, order)
            ctx.windows, ctx.shape = windows, product.shape
        out = out.flatten(1)
        return out if order is None else torch.empty_like(out).index_copy_(0, order, out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        first_row, found, order = ctx.saved_tensors
        n_titles, _, filters = found.shape
        grad = (grad if order is None else grad.index_select(0, order)).view(found.shape)
        grad_product = grad.new_zeros(ctx.shape)
        numbers = torch.arange(ctx.shape[1], device=grad.device)  # of a word, filters of all (k, j) side by side
        window = torch.cat([torch.full((k,), i, device=grad.device) for i, k in enumerate(ctx.windows)])
        j = torch.cat([torch.arange(k, device=grad.device) for k in ctx.windows])[:, None]
        chunk = GRADIENT_CHUNK if grad.is_cpu else CUDA_CHUNK
        for begin in range(0, n_titles, chunk):
            titles = slice(begin, begin + chunk)
            word = (found[titles].index_select(1, window).long() + j).flatten(1)
            index = (first_row[titles] * filters).gather(1, word) + numbers
            share = grad[titles].index_select(1, window)
            # Along one axis scatter_add_ takes half the time that it takes along rows.
            grad_product.view(-1).scatter_add_(0, index.flatten(), share.flatten())
        return grad_product, None, None, None
