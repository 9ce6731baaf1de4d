"""What is timed against each other computes the same."""

from dataclasses import replace

import pytest
import torch
from recbole_marn.benchmarks.bench import Bench


def gradients(model, losses):
    model.zero_grad()
    sum(losses.values()).backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("variant", ["naive", "unique"])
@pytest.mark.parametrize(("statistics", "joined"), [(1, True), (0, False)])
def test_logits_losses_and_gradients_equal_those_of_marn(shape, variant, statistics, joined):
    """Both ways to lay out the cells: few statistics for many items, and many for each."""
    bench = Bench(replace(shape, static_statistics=statistics, items=80 if joined else 30), width=8)
    row = bench.rows(64, 1)[0]
    batch, label = bench.data.batch(row)
    padded, same_label = bench.padded(row)
    assert torch.equal(label, same_label)
    assert (bench.marn.encoder(batch).entity_item is None) == joined
    ordinary = getattr(bench, variant)
    vector = bench.marn.represent(bench.marn.encoder(batch)).vector
    assert torch.allclose(bench.marn.score(vector, batch), ordinary(padded), atol=1e-6)
    mine, theirs = bench.marn.losses(batch, label), ordinary.losses(padded, label)
    assert list(mine) == list(theirs)
    for name, loss in mine.items():
        assert loss > 0 and torch.isclose(loss, theirs[name], atol=1e-6), name
    mine, theirs = gradients(bench.marn, mine), gradients(ordinary.model, theirs)
    for name, gradient in mine.items():
        assert torch.allclose(gradient, theirs[name], atol=1e-5), name
    assert sum(gradient.abs().sum() > 0 for gradient in mine.values()) > 40


@pytest.mark.thorough
def test_a_hundred_steps_lead_to_the_same_model(bench):
    """In double precision, where rounding cannot push an activation over its kink."""
    marn, naive = bench.marn.double(), bench.naive
    naive.model.double()
    naive.model.load_state_dict(marn.state_dict())
    rows = bench.rows(16, 5)
    fast, slow = bench.marn_step(rows), bench.ordinary_step(naive, rows)
    before = {name: value.clone() for name, value in marn.named_parameters()}
    for _ in range(100):
        fast()
        slow()
    for name, parameter in marn.named_parameters():
        assert torch.allclose(parameter, dict(naive.model.named_parameters())[name], atol=1e-6), name
        assert not torch.equal(parameter, before[name]), name


def test_item_vectors_equal_those_of_conv1d(bench):
    item = torch.arange(1, 81)
    assert torch.allclose(bench.fresh_vectors(item), bench.naive_vectors(item, chunk=7), atol=1e-6)


def test_difference_is_measured_and_a_large_one_stops_the_comparison(bench, monkeypatch):
    row = bench.rows(8, 1)[0]
    assert 0 <= bench.largest_difference(row) < 1e-5
    monkeypatch.setattr(bench, "share_parameters", lambda: None)
    with torch.no_grad():
        bench.naive.model.head.mlp.layers[-1].bias.add_(1e-3)
    with pytest.raises(AssertionError, match="differ by 0.001"):
        bench.largest_difference(row)


def test_padded_rows_hold_what_the_ragged_batch_holds(bench):
    row = bench.rows(8, 1)[0]
    batch, _ = bench.data.batch(row)
    padded, _ = bench.padded(row)
    sequences = batch.entity_id[batch.token].split(batch.length.tolist())
    codes = batch.statistic[batch.entity_statistic[batch.token]].split(batch.length.tolist())
    gaps = batch.gap.split(batch.length.tolist())
    for b, sequence in enumerate(batch.row_sequence.tolist()):
        length = int(padded.length[b])
        assert torch.equal(padded.item[b, :length], sequences[sequence])
        assert torch.equal(padded.statistic[b, :length], codes[sequence])
        assert torch.equal(padded.gap[b, :length], gaps[sequence])
        assert padded.item[b, length:-1].sum() == 0 and padded.statistic[b, length:-1].sum() == 0
    assert torch.equal(padded.item[:, -1], batch.entity_id[batch.candidate])


def test_din_ignores_padding_and_learns(bench):
    row = bench.rows(16, 1)[0]
    padded, label = bench.padded(row)
    logits = bench.din(padded.item, padded.length)
    longer = torch.cat([padded.item[:, :-1], torch.zeros(16, 3, dtype=torch.long), padded.item[:, -1:]], dim=1)
    assert torch.allclose(bench.din(longer, padded.length), logits, atol=1e-6)
    step = bench.din_step([row])
    before = bench.din.loss(padded.item, padded.length, label)
    for _ in range(60):
        step()
    assert bench.din.loss(padded.item, padded.length, label) < before - 1e-3


def test_synthetic_rows_have_the_shape_asked_for(bench, shape):
    data = bench.data
    length = data.training.rows.history_length
    assert length.min() == 1 and length.max() == shape.history
    table = data.item_table
    assert table.n_items == shape.items + 1 and not table.present[0].any() and table.present[1:].all()
    titles = (table.modalities["title"].words > 0).sum(1)
    assert titles[0] == 0 and titles[1:].min() >= 2 and titles.max() <= shape.title_words
    again = type(data)(shape)
    assert (again.training.negatives == data.training.negatives).all()


def test_autocast_changes_the_losses_a_little_and_trains(bench):
    batch, label = bench.data.batch(bench.rows(16, 1)[0])
    exact = bench.marn.losses(batch, label)
    with torch.autocast("cpu"):
        losses = bench.marn.losses(batch, label)
    sum(losses.values()).backward()
    for name, loss in losses.items():
        assert torch.isclose(loss, exact[name], rtol=0.02), name
    assert any(loss != exact[name] for name, loss in losses.items())
    assert all(parameter.grad.isfinite().all() for parameter in bench.marn.parameters())
