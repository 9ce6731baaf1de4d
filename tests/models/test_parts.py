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


def test_the_context_is_mapped_to_the_candidate_and_multiplied_with_it():
    torch.manual_seed(0)
    head = PredictionHead(user_size=3, item_size=3, hidden_sizes=(), product=True, context_size=2)
    user, candidate, context = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 2)
    (linear,) = [module for module in head.mlp.modules() if isinstance(module, torch.nn.Linear)]
    weight, bias = head.context_to_item.weight.tolist(), head.context_to_item.bias.tolist()
    for row in range(4):
        u, x, c = user[row].tolist(), candidate[row].tolist(), context[row].tolist()
        mapped = [b + sum(w * v for w, v in zip(line, c, strict=True)) for line, b in zip(weight, bias, strict=True)]
        seen = [
            *u,
            *x,
            *(a * b for a, b in zip(u, x, strict=True)),
            *c,
            *(a * b for a, b in zip(mapped, x, strict=True)),
        ]
        logit = linear.bias.item() + sum(w * v for w, v in zip(linear.weight[0].tolist(), seen, strict=True))
        assert head(user, candidate, context)[row].item() == pytest.approx(logit, abs=1e-5)


@pytest.mark.parametrize(("product", "context_size"), [(True, 0), (False, 2)])
def test_nothing_is_mapped_without_a_context_or_without_the_product(product, context_size):
    head = PredictionHead(user_size=3, item_size=3, product=product, context_size=context_size)
    assert head.context_to_item is None


@pytest.mark.parametrize(("product", "found"), [(True, 1.0), (False, 0.5)])
def test_what_a_profile_likes_is_found_without_any_hidden_layer(product, found):
    """Three ages like a third of twelve categories each, and click as much: only age x category tells the label."""
    torch.manual_seed(0)
    ages, categories = torch.nn.Embedding(3, 4), torch.nn.Embedding(12, 8)
    head = PredictionHead(user_size=8, item_size=8, hidden_sizes=(), product=product, context_size=4)
    parameters = [*ages.parameters(), *categories.parameters(), *head.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    age, category = torch.arange(3).repeat_interleave(12), torch.arange(12).repeat(3)
    liked = category % 3 == age
    for _ in range(200):
        clicked = head(torch.zeros(36, 8), categories(category), ages(age))
        optimizer.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(clicked, liked.float()).backward()
        optimizer.step()
    order = (clicked[liked][:, None] > clicked[~liked][None]).float().mean().item()
    assert order == pytest.approx(found, abs=0.15 * (not product))
