"""MARN as one would write it down first: every row with its own padded history, the item tower on every slot.

Follows the paper's equations (numbers in brackets) and takes nothing from the package but a model's weights and the
data set's rows. Padded slots hold an arbitrary item on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

PADDING_ITEM = 2


class NaiveMARN:
    """Logits and named losses of rows (B,) of a training part, for a MARN in float64 with its default switches.

    Of the switches it knows fusion, adversary, rnn and pooling, which tell the rows of the paper's Table 3 apart, and
    one other activation: with ReLU the largest feature is never negative, which would hide a missing mask.
    """

    def __init__(self, model: Any, dataset: Any):
        self.model, self.dataset, self.x = model, dataset, model.settings
        self.phi = F.leaky_relu if self.x.projection_activation == "leakyrelu" else F.relu

    def losses(self, rows: np.ndarray) -> tuple[Tensor, dict[str, Tensor]]:
        slots = self._slots(rows)
        aligned, present = self._aligned(slots), slots["present"]  # (B, L + 1, M, D), (B, L + 1, M)
        item, parts = self._item(aligned, present)  # (B, L + 1, D)
        real = slots["real"]
        logit = self._score(item[:, :-1], item[:, -1], real[:, :-1], slots["gap"], slots["behaviour"])
        losses = {"click": F.binary_cross_entropy_with_logits(logit, slots["label"])}
        return logit, losses | self._adversary(aligned, present & real[:, :, None], parts)

    # ------------------------------------------------------------------------------------------ the slots
    def _slots(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Item, statistic codes and property of every slot; the last slot of a row is its candidate."""
        data = self.dataset
        events, columns = data.rows.events, data.rows.columns(rows)
        group = rows // data.rows.rows_per_group
        start, length = data.rows.rows.history_start[group], data.rows.rows.history_length[group]
        width = int(length.max())
        item = np.full((len(rows), width + 1), PADDING_ITEM)
        gap = np.zeros((len(rows), width, len(data.features.gap.bins.cardinalities)), dtype=int)
        behaviour = np.ones((len(rows), width), dtype=int)
        real = np.zeros((len(rows), width + 1), dtype=bool)
        for b in range(len(rows)):
            for t in range(length[b]):
                event = start[b] + t
                item[b, t], real[b, t] = events.item[event], True
                gap[b, t] = data.features.gap.codes(np.array([columns["time"][b] - events.time[event]]))[0]
                behaviour[b, t] = events.behaviour[event]
            item[b, -1], real[b, -1] = columns["item"][b], True
        statistic = np.stack([self._statistic(item[b], columns["time"][b]) for b in range(len(rows))])
        present = data.item_table.present[item]
        for index, name in enumerate(data.item_table.names):
            if name in self.model.encoder.statistic_columns:
                present[:, :, index] = statistic[:, :, self.model.encoder.statistic_columns[name]].any(axis=2)
        found = {"item": item, "statistic": statistic, "present": present, "gap": gap, "behaviour": behaviour}
        tensors = {name: torch.from_numpy(value) for name, value in found.items()}
        return tensors | {"real": torch.from_numpy(real), "label": torch.from_numpy(columns["label"]).double()}

    def _statistic(self, item: np.ndarray, time: float) -> np.ndarray:
        """Codes of items as known before `time`: training events are counted one by one."""
        data = self.dataset
        codes = data.item_table.statistic[item].copy()
        events, training = data.protocol.events, data.protocol.part_of_event == 0
        counted = [sum(training & (events.item == i) & (events.time < time)) for i in item]
        for first, (_, bins) in data.features.at_time.statistics.items():
            known = bins.assign(np.array(counted, dtype=float))
            codes[:, first : first + known.shape[1]] = known
        return codes

    # -------------------------------------------------------------------------------------- the item tower
    def _aligned(self, slots: dict[str, Tensor]) -> Tensor:
        """e_m = Align_m(raw_m) of every slot; (1) for the IDs."""
        encoder, frozen = self.model.encoder, self.model.encoder.frozen
        item, out = slots["item"], []
        for name, part in encoder.encoders.items():
            if name == "image":
                raw = frozen["image_matrix"].double()[frozen["image_row"][item]]
            elif name == "title":
                raw = self._title(part, frozen["title_words"][item])
            else:
                columns = encoder.statistic_columns.get(name)
                codes = frozen["ids_codes"][item] if columns is None else slots["statistic"][:, :, columns]
                raw = torch.cat([table(codes[:, :, f]) for f, table in enumerate(part.tables)], dim=-1)
            out.append(raw @ part.align.weight.t() + part.align.bias)
        return torch.stack(out, dim=2)

    @staticmethod
    def _title(part: Any, words: Tensor) -> Tensor:
        """The text CNN, window by window."""
        rows = []
        for title in words.flatten(0, 1):
            title = title[: int((title != 0).sum())]
            features = []
            for k, convolution in zip(part.windows, part.convolutions, strict=True):
                vector = [part.word_vectors[w] for w in title] + [torch.zeros_like(part.word_vectors[0])] * k
                values = []
                for t in range(max(len(title) - k, 0) + 1):
                    window = torch.stack(vector[t : t + k], dim=1)  # (w, k)
                    values.append((convolution.weight * window).sum((1, 2)) + convolution.bias)
                features.append(torch.stack(values).relu().amax(0))
            rows.append(torch.cat(features))
        return torch.stack(rows).view(*words.shape[:2], -1)

    def _specific(self, aligned: Tensor) -> Tensor:
        """s_m = phi(S_m e_m)."""
        weight, bias = self.model.specific.weight, self.model.specific.bias
        return self.phi(torch.stack([aligned[:, :, m] @ weight[m] + bias[m] for m in range(len(weight))], dim=2))

    def _invariant(self, aligned: Tensor) -> Tensor:
        """c_m = phi(I e_m)."""
        return self.phi(aligned @ self.model.invariant.projection.weight.t() + self.model.invariant.projection.bias)

    def _item(self, aligned: Tensor, present: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """rep = s + c of every slot."""
        s = self._specific(aligned)
        attention = torch.ones_like(s)
        if self.x.fusion == "maf":
            W, b = self.model.fusion.score.weight, self.model.fusion.score.bias
            attention = torch.stack([s[:, :, m] @ W[m] + b[m] for m in range(len(W))], dim=2).tanh()  # (3)
        rep = (attention * s * present[:, :, :, None]).sum(2)  # (2)
        if self.x.adversary == "none":
            return rep, {}
        c, degree = self._invariant(aligned), torch.ones(present.shape, dtype=torch.float64)
        if self.x.adversary == "double":
            probability = self.model.invariant.discriminator0(c.detach()).softmax(-1)  # (B, L + 1, M, M)
            degree = torch.stack([1 - probability[:, :, m, m] for m in range(c.shape[2])], dim=2).detach()
        weighted = (degree[:, :, :, None] * c).masked_fill(~present[:, :, :, None], -1e300).amax(2)
        rep = rep + weighted * present.any(2)[:, :, None]
        return rep, {"degree": degree, "c": c}

    # ------------------------------------------------------------------------------------------ user, click
    def _score(self, history: Tensor, candidate: Tensor, real: Tensor, gap: Tensor, behaviour: Tensor) -> Tensor:
        state = self._gru(history, real, gap, behaviour)  # (B, L, H)
        if self.x.pooling == "last":
            user = state[:, -1]
        else:
            part = self.model.pool.attention
            weight = torch.cat([part.from_token.weight, part.from_candidate.weight], dim=1)
            pair = torch.cat([state, candidate[:, None].expand(-1, state.shape[1], -1)], dim=2)
            score = part.rest(pair @ weight.t() + part.from_token.bias)[:, :, 0]
            alpha = score.masked_fill(~real, -1e300).softmax(1)
            user = (alpha[:, :, None] * state).sum(1)
        return self.model.head.mlp(torch.cat([user, candidate], dim=1))[:, 0]

    def _gru(self, history: Tensor, real: Tensor, gap: Tensor, behaviour: Tensor) -> Tensor:
        rnn, part = self.model.rnn, self.model.property
        h = torch.zeros(len(history), rnn.hidden_size, dtype=torch.float64)
        states = []
        for t in range(history.shape[1]):
            x = history[:, t]
            z = x @ rnn.W_z.t() + h @ rnn.U_z.t() + rnn.b_z
            if part is not None:
                p = [part.kind(behaviour[:, t])]
                p += [table(gap[:, t, k]) for k, table in enumerate(part.gap)]
                z = z + torch.cat(p, dim=1) @ rnn.P_z.t()
            z = torch.sigmoid(z)
            r = torch.sigmoid(x @ rnn.W_r.t() + h @ rnn.U_r.t() + rnn.b_r)
            n = torch.tanh(x @ rnn.W_n.t() + rnn.b_n + r * (h @ rnn.U_n.t() + rnn.b_h))
            h = torch.where(real[:, t, None], (1 - z) * h + z * n, h)
            states.append(h)
        return torch.stack(states, dim=1)

    # --------------------------------------------------------------------------------------------- (10)
    def _adversary(self, aligned: Tensor, counted: Tensor, parts: dict[str, Tensor]) -> dict[str, Tensor]:
        """L_S, L_D0 and L_D1: means over the modalities of all real slots, behaviours and candidates alike."""
        if self.x.adversary in ("branch", "none"):
            return {}
        M = counted.shape[2]
        progress = self.model.step / self.model.total_steps
        weight = self.x.lambda0 * (2 / (1 + np.exp(-self.x.gamma * progress)) - 1)

        def mean_of_true_class(logits: Tensor, factor: Tensor | None = None) -> Tensor:
            loss = torch.stack([-logits[:, :, m].log_softmax(-1)[:, :, m] for m in range(M)], dim=2)
            loss = loss if factor is None else loss * factor
            return loss[counted].sum() / counted.sum()

        stopped = aligned.detach()
        D1 = self.model.invariant.discriminator1
        losses = {"specific": weight * mean_of_true_class(D1(self._specific(stopped)))}
        degree = None
        if self.x.adversary == "double":
            losses["D0"] = mean_of_true_class(self.model.invariant.discriminator0(parts["c"].detach()))
            degree = parts["degree"]
        c = self._invariant(stopped)
        reversed_c = 2 * c.detach() - c  # the value of c, minus its gradient
        losses["D1"] = weight * mean_of_true_class(D1(reversed_c), degree)
        return losses
