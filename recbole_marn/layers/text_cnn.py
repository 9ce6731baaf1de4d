"""Titles: the convolutional network of Kim (2014), computed once per distinct word instead of once per position."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.layers.kernels.large_linear import large_linear, pad_rows
from recbole_marn.layers.kernels.window_maximum import window_maximum

__all__ = ["TextEncoder"]


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
        return window_maximum(product, place, length, self.windows).add_(bias).relu_()


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
