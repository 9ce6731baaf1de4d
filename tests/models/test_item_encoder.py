"""The item encoder that all models share."""

import pytest
import torch
from cases import prepared
from torch import nn


@pytest.mark.parametrize("rows", [10, 100])  # entities encoded one by one, or joined from items and statistics
def test_modality_norm_is_batch_normalisation_of_every_occurrence(settings, rows):
    plain = prepared("YoutubeNet", settings)
    model = prepared("YoutubeNet", settings, modality_norm="batch").model.train()
    model.load_state_dict(plain.model.state_dict(), strict=False)
    batch = plain.train.part.batch(range(rows)).batch
    before, after = plain.model.encoder(batch), model.encoder(batch)
    for m in range(len(model.encoder.names)):
        has = before.present[:, m]
        norm = nn.BatchNorm1d(plain.model.settings.width)
        times = before.count[has].long()
        # Every occurrence is a row of its own; the first of each stands for the item.
        repeated = norm(before.aligned[has, m].repeat_interleave(times, dim=0))
        first = times.cumsum(0) - times
        torch.testing.assert_close(after.aligned[has, m], repeated[first], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(model.encoder.norm.running_mean[m], norm.running_mean, atol=1e-5, rtol=1e-4)


def test_in_evaluation_an_item_does_not_hang_on_the_items_beside_it(settings):
    model = prepared("YoutubeNet", settings, modality_norm="batch").model
    model.encoder.norm.running_mean.normal_()
    model.eval()
    items = torch.arange(1, model.encoder.n_items)
    together = model.represent(model.encoder.snapshot(items)).vector
    alone = torch.cat([model.represent(model.encoder.snapshot(items[i : i + 1])).vector for i in range(len(items))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
