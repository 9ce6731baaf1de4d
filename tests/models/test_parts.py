"""The prediction head by hand."""

import pytest
import torch

from recbole_marn.models.parts import PredictionHead


@pytest.mark.parametrize(("user_size", "mapped"), [(3, False), (6, False), (5, True)])
def test_the_product_multiplies_each_part_of_the_user_with_the_candidate(user_size, mapped):
    torch.manual_seed(0)
    head = PredictionHead(user_size=user_size, item_size=3, hidden_sizes=(), product=True)
    user, candidate = torch.randn(4, user_size), torch.randn(4, 3)
    (linear,) = [module for module in head.mlp.modules() if isinstance(module, torch.nn.Linear)]
    assert isinstance(head.user_to_item, torch.nn.Linear) == mapped
    for row in range(4):
        u, x = user[row].tolist(), candidate[row].tolist()
        seen = head.user_to_item(user[row]).tolist()
        products = [value * x[k % 3] for k, value in enumerate(seen)]
        weights = linear.weight[0].tolist()
        logit = linear.bias.item() + sum(w * v for w, v in zip(weights, u + x + products, strict=True))
        assert head(user, candidate)[row].item() == pytest.approx(logit, abs=1e-5)


def test_without_the_product_nothing_is_multiplied():
    head = PredictionHead(user_size=6, item_size=3, hidden_sizes=())
    (linear,) = [module for module in head.mlp.modules() if isinstance(module, torch.nn.Linear)]
    assert linear.in_features == 9
