"""MARN written the ordinary way: padded slots, conv1d over every title, a Python loop over time.

The arithmetic is that of `recbole_marn.models.marn` under its default settings and with the same parameters; only the
arrangement is what a first version would do. `NaiveMARN` runs the item tower on every padded slot, `UniqueMARN` once
per distinct item of the batch. Shapes: B rows, L history slots, M modalities, D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_marn.data.labelled_rows import LabelledRows
from recbole_marn.layers.adversarial import adversarial_schedule
from recbole_marn.layers.gradient_reversal import reverse_gradient

__all__ = ["NaiveMARN", "PaddedBatch", "UniqueMARN", "pad_rows"]


@dataclass(frozen=True)
class TowerRows:
    """What the item tower runs on. Images, titles and IDs belong to an item, statistics to an item at a time.

    Attributes:
        item: (k,) item ids.
        statistic: (n, C) codes.
        weight: (n,) how many slots in use a row stands for.
        item_of_row: (n,) index into `item`, or None: row by row.
        row_of_slot: (B * (L + 1),) index of each slot's row, or None: slot by slot.
    """

    item: Tensor
    statistic: Tensor
    weight: Tensor
    item_of_row: Tensor | None = None
    row_of_slot: Tensor | None = None


@dataclass(frozen=True)
class PaddedBatch:
    """Rows with their histories padded to L slots; slot L is the candidate.

    Attributes:
        item: (B, L + 1) item ids, 0 = padding.
        statistic: (B, L + 1, C) codes, 0 = padding.
        gap: (B, L, G) codes of the time from the behaviour to the row.
        length: (B,) history slots in use.
    """

    item: Tensor
    statistic: Tensor
    gap: Tensor
    length: Tensor


def pad_rows(rows: LabelledRows, row: np.ndarray, *, static: np.ndarray, history: int) -> PaddedBatch:
    """Rows (B,) of a part as a padded batch; `static` are the statistic codes at the end of training."""
    columns = rows.columns(row)
    event, length = rows.history(row)
    slot = np.arange(len(event)) - np.repeat(np.cumsum(length) - length, length)
    place = (np.repeat(np.arange(len(row)), length), slot)
    now = np.repeat(columns["time"], length)

    def codes(item: np.ndarray, time: np.ndarray) -> np.ndarray:
        found = static[item].copy()
        if rows.at_time is not None:
            found[:, list(rows.at_time.columns)] = rows.at_time.codes(item, time)
        return found

    item = np.zeros((len(row), history + 1), dtype=np.int64)
    item[place] = rows.events.item[event]
    item[:, -1] = columns["item"]
    statistic = np.zeros((*item.shape, static.shape[1]), dtype=np.int64)
    statistic[place] = codes(rows.events.item[event], now)
    statistic[:, -1] = codes(columns["item"], columns["time"])
    seconds = rows.gap.codes(now - rows.events.time[event])
    gap = np.zeros((len(row), history, seconds.shape[1]), dtype=np.int64)
    gap[place] = seconds
    return PaddedBatch(*(torch.from_numpy(array) for array in (item, statistic, gap, length)))


class NaiveMARN(nn.Module):
    """Every formula of MARN on every padded slot.

    Args:
        model: a MARN with default switches, whose parameters are used and trained.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, batch: PaddedBatch) -> Tensor:
        """Logits (B,)."""
        vector, _ = self.item_vectors(batch)
        return self.score(vector, batch)

    def losses(self, batch: PaddedBatch, label: Tensor) -> dict[str, Tensor]:
        """The four losses of eq. (10), means over the slots in use."""
        vector, tower = self.item_vectors(batch)
        click = F.binary_cross_entropy_with_logits(self.score(vector, batch), label)
        return {"click": click} | self.adversarial_losses(*tower)

    # -------------------------------------------------------------------------------------------- tower
    def item_vectors(self, batch: PaddedBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Item vectors (B, L + 1, D), and what `adversarial_losses` needs."""
        rows = self.tower_rows(batch)
        aligned = self.align(rows)
        vector, c, degree = self.fuse(aligned)
        slots = vector if rows.row_of_slot is None else vector[rows.row_of_slot]
        return slots.view(*batch.item.shape, -1), (aligned, c, degree, rows.weight)

    def tower_rows(self, batch: PaddedBatch) -> TowerRows:
        """Every slot, padding included."""
        item = batch.item.flatten()
        return TowerRows(item, batch.statistic.flatten(0, 1), (item != 0).float())

    def align(self, rows: TowerRows) -> Tensor:
        """e_im (n, M, D)."""
        by_item = [self.ids(rows.item), self.image(rows.item), self.title(rows.item)]
        if rows.item_of_row is not None:
            by_item = [value[rows.item_of_row] for value in by_item]
        return torch.stack([*by_item, self.categorical("statistic", rows.statistic)], dim=1)

    def ids(self, item: Tensor) -> Tensor:
        return self.categorical("ids", self.model.encoder.frozen["ids_codes"][item])

    def image(self, item: Tensor) -> Tensor:
        tables = self.model.encoder.frozen
        align = self.model.encoder.encoders["image"].align
        return align(tables["image_matrix"][tables["image_row"][item]].to(align.weight.dtype))

    def categorical(self, name: str, codes: Tensor) -> Tensor:
        encoder = self.model.encoder.encoders[name]
        return encoder.align(torch.cat([table(codes[:, i]) for i, table in enumerate(encoder.tables)], dim=1))

    def title(self, item: Tensor) -> Tensor:
        """Text CNN by conv1d on every title."""
        encoder = self.model.encoder.encoders["title"]
        words = self.model.encoder.frozen["title_words"][item]  # (n, T)
        length = (words != 0).sum(1)
        x = F.embedding(words, encoder.word_vectors).transpose(1, 2)  # (n, w, T)
        features = []
        for k, convolution in zip(encoder.windows, encoder.convolutions, strict=True):
            value = convolution(x)
            beyond = torch.arange(value.shape[2]) > (length[:, None] - k).clamp(min=0)
            features.append(value.masked_fill(beyond[:, None, :], -torch.inf).amax(2).relu())
        return encoder.align(torch.cat(features, dim=1))

    def fuse(self, aligned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """rep = s + c (n, D), the invariant features (n, M, D) and the degrees (n, M)."""
        model = self.model
        s = F.relu(private_linear(aligned, model.specific))
        attention = torch.tanh(private_linear(s, model.fusion.score))
        c = F.relu(model.invariant.projection(aligned))
        with torch.no_grad():
            degree = 1 - model.invariant.discriminator0(c).softmax(-1).diagonal(dim1=1, dim2=2)
        return (attention * s).sum(1) + (degree[:, :, None] * c).amax(1), c, degree

    # ---------------------------------------------------------------------------------------------- row
    def score(self, vector: Tensor, batch: PaddedBatch) -> Tensor:
        """Logits (B,) from item vectors (B, L + 1, D)."""
        history, candidate = vector[:, :-1], vector[:, -1]
        return self.predict(self.roll(history, self.property(batch), batch.length), candidate, batch.length)

    def property(self, batch: PaddedBatch) -> Tensor:
        """p_t (B, L, P)."""
        return torch.cat([table(batch.gap[:, :, i]) for i, table in enumerate(self.model.property.gap)], dim=2)

    def predict(self, states: Tensor, candidate: Tensor, length: Tensor) -> Tensor:
        """Attention of the candidates (B, D) over states (B, L, H), and the MLP: logits (B,)."""
        model, attention = self.model, self.model.pool.attention
        weight = torch.cat([attention.from_token.weight, attention.from_candidate.weight], dim=1)
        pair = torch.cat([states, candidate[:, None].expand(-1, states.shape[1], -1)], dim=2)
        score = attention.rest(F.linear(pair, weight, attention.from_token.bias))[:, :, 0]
        beyond = torch.arange(score.shape[1]) >= length[:, None]
        alpha = score.masked_fill(beyond, -torch.inf).softmax(1)
        user = (alpha[:, :, None] * states).sum(1)
        return model.head(user, candidate)

    def roll(self, x: Tensor, p: Tensor, length: Tensor) -> Tensor:
        """APGRU, one step after another: x (B, L, D), p (B, L, P), length (B,) -> states (B, L, H)."""
        rnn = self.model.rnn
        h = x.new_zeros(len(x), rnn.hidden_size)
        states = []
        for t in range(x.shape[1]):
            z = torch.sigmoid(x[:, t] @ rnn.W_z.T + p[:, t] @ rnn.P_z.T + h @ rnn.U_z.T + rnn.b_z)
            r = torch.sigmoid(x[:, t] @ rnn.W_r.T + h @ rnn.U_r.T + rnn.b_r)
            n = torch.tanh(x[:, t] @ rnn.W_n.T + rnn.b_n + r * (h @ rnn.U_n.T + rnn.b_h))
            h = torch.where((t < length)[:, None], (1 - z) * h + z * n, h)
            states.append(h)
        return torch.stack(states, dim=1)

    # -------------------------------------------------------------------------------------------- losses
    def adversarial_losses(self, aligned: Tensor, c: Tensor, degree: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """L_S, L_D0, L_D1 with weights (n,) of the vectors."""
        model, x = self.model, self.model.settings
        strength = adversarial_schedule(model.progress, x.lambda0, x.gamma)
        stopped = aligned.detach()
        specific = model.invariant.discriminator1(F.relu(private_linear(stopped, model.specific)))
        invariant = reverse_gradient(F.relu(model.invariant.projection(stopped)))
        losses = {"specific": strength * modality_entropy(specific, weight[:, None].expand(-1, specific.shape[1]))}
        losses["D0"] = modality_entropy(model.invariant.discriminator0(c.detach()), weight[:, None].expand_as(degree))
        losses["D1"] = strength * modality_entropy(
            model.invariant.discriminator1(invariant), weight[:, None] * degree, weight.sum() * degree.shape[1]
        )
        return losses


class UniqueMARN(NaiveMARN):
    """The naive model with its tower on distinct items only: `torch.unique` in every step, conv1d, padded rows."""

    def tower_rows(self, batch: PaddedBatch) -> TowerRows:
        """Every distinct item with every distinct statistic it is seen with."""
        slots = torch.cat([batch.item[:, :, None], batch.statistic], dim=2).flatten(0, 1)
        row, row_of_slot, count = torch.unique(slots, dim=0, return_inverse=True, return_counts=True)
        item, item_of_row = torch.unique(row[:, 0], return_inverse=True)
        return TowerRows(item, row[:, 1:], (count * (row[:, 0] != 0)).float(), item_of_row, row_of_slot)


def private_linear(x: Tensor, layer: nn.Module) -> Tensor:
    """Each modality through its own matrix: (n, M, D) -> (n, M, D)."""
    return torch.stack([x[:, m] @ layer.weight[m] + layer.bias[m] for m in range(x.shape[1])], dim=1)


def modality_entropy(logits: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Weighted mean of -log D_m(x_m): logits (n, M, M), weight (n, M)."""
    modality = torch.arange(logits.shape[1]).expand(len(logits), -1)
    loss = F.cross_entropy(logits.flatten(0, 1), modality.flatten(), reduction="none").view_as(weight)
    return (loss * weight).sum() / (weight.sum() if total is None else total)
