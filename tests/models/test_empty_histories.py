"""New users: rows without any history, alone and among others, in every model of ours."""

import numpy as np
import pytest
import torch
from cases import OUR_MODELS, prepared, unshared
from torch.nn.functional import binary_cross_entropy

from recbole_marn.data.batch import StatisticCodes, assemble
from recbole_marn.data.part import CTRInteraction
from recbole_marn.registry import model_class

N_ROWS = 24
SWITCHES = [
    *((name, {}) for name in OUR_MODELS),
    ("MARN", {"gate": "scale"}),
    ("MARN", {"pooling": "last"}),
    ("MARN", {"behaviour": {}}),
    ("MARNPlus", {"pooling": "last"}),
    ("DUPN", {"behaviour": {}}),
    ("MultimodalDIN", {"attention_normalise": True}),
    ("MMSS", {"pooling": "attention"}),
    ("NAML", {"own_head": True}),
]
MAKING_VECTORS = [(name, more) for name, more in SWITCHES if model_class(name).makes_item_vectors]
# Their user vector starts from the candidate, or is joined by more; test_modern_rivals.py has rows without a history.
NO_USER_ALONE = {"DecoupledMF", "HSTU", "QIN", "SimTier", "TransformerDCN"}


def without_history(dataset, empty):
    """The first rows of a part, and the same with the histories of the rows of `empty` (B,) bool taken away."""
    whole = unshared(dataset.batch(np.arange(N_ROWS)))
    batch = whole.batch
    kept = torch.repeat_interleave(~empty, batch.length)
    emptied = assemble(
        token_item=batch.entity_id[batch.token][kept].numpy(),
        length=batch.length.masked_fill(empty, 0).numpy(),
        row_sequence=np.arange(N_ROWS),
        candidate_item=batch.entity_id[batch.candidate].numpy(),
        statistics=StatisticCodes(dataset.item_table.statistic),
        behaviour=None if batch.behaviour is None else batch.behaviour[kept].numpy(),
        gap=None if batch.gap is None else batch.gap[kept].numpy(),
    )
    return whole, CTRInteraction(whole.interaction, emptied)


SOME = torch.arange(N_ROWS) % 3 == 0  # the first row among them
LAST = torch.arange(N_ROWS) >= N_ROWS - 2
ALL = torch.ones(N_ROWS, dtype=torch.bool)
EMPTY = {"some": SOME, "the last": LAST, "all": ALL}


@pytest.mark.parametrize(("name", "switches"), SWITCHES)
def test_rows_with_a_history_score_as_ever_and_those_without_as_if_alone(name, switches, settings):
    parts = prepared(name, settings, **switches)
    model = parts.model.eval()
    _, alone = without_history(parts.train.part, ALL)
    for which, empty in EMPTY.items():
        whole, emptied = without_history(parts.train.part, empty)
        with torch.no_grad():
            score = model.predict(emptied)
            assert score.isfinite().all(), which
            assert torch.allclose(score[~empty], model.predict(whole)[~empty], atol=1e-6), which
            assert torch.allclose(score[empty], model.predict(alone)[empty], atol=1e-6), which


@pytest.mark.parametrize(("name", "switches"), SWITCHES)
def test_a_step_is_finite_and_counts_every_row(name, switches, settings):
    parts = prepared(name, settings, **switches)
    model = parts.model.train()
    for which, empty in EMPTY.items():
        model.step, model.total_steps = 1, 2  # at the very start lambda is 0
        model.zero_grad(set_to_none=True)
        _, emptied = without_history(parts.train.part, empty)
        losses = dict(zip(model.loss_names, model.calculate_loss(emptied), strict=True))
        sum(losses.values()).backward()
        assert all(loss.isfinite() for loss in losses.values()), which
        # Each has a gradient, be it zero: processes that train together wait for all of them.
        assert [n for n, p in model.named_parameters() if p.grad is None] == [], which
        assert all(p.grad.isfinite().all() for p in model.parameters()), which
        with torch.no_grad():
            expected = binary_cross_entropy(model.predict(emptied), emptied["label"])
        assert losses["click"].item() == pytest.approx(expected.item(), abs=1e-5), which


# What each model is left with by its formula, when there is no x_t to sum, average, attend to or roll over.
@pytest.mark.parametrize("which", EMPTY)
@pytest.mark.parametrize(("name", "switches"), [case for case in MAKING_VECTORS if case[0] not in NO_USER_ALONE])
def test_without_a_history_the_user_vector_is_zero(name, switches, which, settings):
    parts, empty = prepared(name, settings, **switches), EMPTY[which]
    model = parts.model.eval()
    batch = without_history(parts.train.part, empty)[1].batch
    vector = torch.randn(len(batch.entity_item), model.vector_size, generator=torch.Generator().manual_seed(0))
    candidate = vector[batch.candidate]
    with torch.no_grad():
        logit = model.score(vector, batch)
        if switches.get("own_head"):
            expected = torch.zeros(N_ROWS)
        else:
            head = model.scoring.head if hasattr(model, "scoring") else model.head
            rest = head.mlp.layers[0].in_features - candidate.shape[1]  # u, and its product with the candidate
            nobody = torch.zeros(N_ROWS, rest)
            if head.product:
                n_products = 2 if rest % 2 == 0 and rest // 2 % candidate.shape[1] == 0 else 1
                user_size = rest // n_products
                nobody_user, products = nobody[:, :user_size], nobody[:, user_size:]
                seen = torch.cat([nobody_user, candidate, products], dim=1)
            else:
                seen = torch.cat([nobody, candidate], dim=1)
            expected = head.mlp(seen)[:, 0]
        if name == "MultimodalxDeepFM":
            both = torch.cat([torch.zeros_like(candidate), candidate], dim=1)
            fields = both.unflatten(1, (-1, model.settings.width))
            expected = expected + (model.linear(both) + model.from_interaction(model.interaction(fields)))[:, 0]
    assert torch.allclose(logit[empty], expected[empty], atol=1e-5)
