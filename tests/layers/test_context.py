"""Embeddings of profile and context against a loop over rows and fields."""

import pytest
import torch

from recbole_marn.layers.context import ContextAlignment, ContextEncoder, side_by_side, with_code

# Widths out of order, two of one code at width 2, a bag at width 2, a bag alone at width 3.
FIELDS = {"cardinalities": [5, 3, 6, 4, 7], "widths": [2, 4, 2, 2, 3], "bags": [1, 1, 3, 1, 2]}
N_COLUMNS = sum(FIELDS["bags"])


@pytest.fixture
def encoder():
    layer = ContextEncoder(**FIELDS)
    for tables in layer.tables:
        if tables.table is not None:
            torch.nn.init.normal_(tables.table.weight)
    return layer


@pytest.fixture
def codes():
    limits = [c for c, bag in zip(FIELDS["cardinalities"], FIELDS["bags"], strict=True) for _ in range(bag)]
    codes = torch.stack([torch.randint(0, limit, (40,)) for limit in limits], dim=1)
    codes[:3, 2:5] = torch.tensor([[0, 0, 0], [0, 4, 0], [5, 5, 1]])
    codes[0, 6:8] = 0
    return codes


def by_hand(encoder, row):
    """Vectors of the fields of one row: width 2 (fields 0, 3, then bag 2), width 3 (bag 4), width 4 (field 1)."""
    two, three, four = encoder.tables
    first, second = two.table.weight[:5], two.table.weight[5:]
    mean = [table.weight[[c for c in chosen if c > 0]].mean(0) if any(chosen) else torch.zeros(table.weight.shape[1])
            for table, chosen in ((two.bag_tables[0], row[2:5]), (three.bag_tables[0], row[6:8]))]  # fmt: skip
    return [first[row[0]], second[row[5]], mean[0], mean[1], four.table.weight[row[1]]]


def test_each_field_is_looked_up_in_its_own_table(encoder, codes):
    found = encoder(codes)
    assert [tuple(value.shape) for value in found] == [(40, 3, 2), (40, 1, 3), (40, 1, 4)]
    expected = torch.stack([torch.cat(by_hand(encoder, row)) for row in codes.tolist()])
    assert torch.allclose(side_by_side(found), expected, atol=1e-6)
    assert expected.shape[1] == encoder.output_size == sum(FIELDS["widths"])


def test_fields_of_one_width_and_code_take_one_lookup(monkeypatch):
    lookups, embedding = [], torch.nn.functional.embedding

    def counting(*args, **kwargs):
        lookups.append(args)
        return embedding(*args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "embedding", counting)
    layer = ContextEncoder(cardinalities=[3, 9, 4, 2], widths=[8, 8, 4, 8], bags=[1, 1, 1, 1])
    layer(torch.ones(5, 4, dtype=torch.int64))
    assert len(lookups) == 2


def test_unknown_values_start_at_zero_and_are_learned():
    layer = ContextEncoder(cardinalities=[4, 4], widths=[3, 3], bags=[1, 1])
    (found,) = layer(torch.tensor([[0, 0], [1, 0]]))
    assert not found[0].any() and found[1, 0].all()
    found.sum().backward()
    (tables,) = layer.tables
    assert torch.equal(tables.table.weight.grad[0], torch.ones(3))
    assert torch.equal(tables.table.weight.grad[4], torch.full((3,), 2.0))


def test_padding_of_a_bag_is_never_learned():
    layer = ContextEncoder(cardinalities=[4], widths=[3], bags=[3])
    (found,) = layer(torch.tensor([[0, 2, 0], [0, 0, 0]]))
    assert not found[1].any()
    found.sum().backward()
    weight = layer.tables[0].bag_tables[0].weight
    assert torch.equal(found[0, 0], weight[2])
    assert not weight.grad[0].any() and torch.equal(weight.grad[2], torch.ones(3))


def test_tables_are_drawn_as_if_each_stood_alone():
    torch.manual_seed(0)
    layer = ContextEncoder(cardinalities=[500, 3], widths=[8, 8], bags=[1, 1])
    large, small = layer.tables[0].table.weight.split([500, 3])
    assert large[1:].std().item() == pytest.approx((2 / 508) ** 0.5, rel=0.1)
    assert small[1:].std().item() == pytest.approx((2 / 11) ** 0.5, rel=0.5)


@pytest.mark.parametrize(("column", "code"), [(0, 5), (4, 6), (7, -1), (1, 3)])
def test_a_code_of_another_field_is_never_answered(encoder, codes, column, code):
    with pytest.raises(IndexError, match=rf"in columns \[{column}\]"):
        encoder(with_code(codes, column, code))


def test_alignment_maps_each_field_by_itself(encoder, codes):
    align = ContextAlignment(widths=encoder.widths, fields_of_width=encoder.fields_of_width, output_size=6)
    aligned = align(encoder(codes))
    assert aligned.shape == (40, 5, 6)
    of_field = [(maps.weight[f], maps.bias[f]) for maps in align.maps for f in range(len(maps.weight))]
    for index, row in enumerate(codes.tolist()):
        for f, value in enumerate(by_hand(encoder, row)):
            weight, bias = of_field[f]
            assert torch.allclose(aligned[index, f], value @ weight + bias, atol=1e-5)


def test_a_fixed_column_leaves_the_others_and_the_original(codes):
    before = codes.clone()
    fixed = with_code(codes, 5, 1)
    assert (fixed[:, 5] == 1).all() and torch.equal(codes, before)
    kept = [column for column in range(N_COLUMNS) if column != 5]
    assert torch.equal(fixed[:, kept], codes[:, kept])
