"""Every model of the table inherits the same tests; nothing here is written per model."""

import dataclasses
from pathlib import Path

import pytest
from cases import OUR_MODELS, ModelCase, prepared

from recbole_marn.errors import InputError
from recbole_marn.registry import MODELS, properties_folder
from recbole_marn.settings.models import MARNSettings

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


@pytest.fixture(params=OUR_MODELS)
def name(request):
    return request.param


class TestEveryModel(ModelCase):
    pass


def test_a_preset_of_one_modality_says_where_it_is_missing(settings):
    modalities = {"ids": {"kind": "id", "fields": {"item_id": 2}}}
    with pytest.raises(InputError) as error:
        prepared("BaseModelIMAGE", settings, modalities=modalities)
    assert str(error.value) == (
        "Expected use_modalities to name modalities of the dataset (ids). Got 'image'. "
        "Describe it under modalities, or leave it out."
    )


@pytest.mark.parametrize("name", MODELS)
def test_the_documentation_speaks_of_every_model(name):
    assert f"`{name}`" in PAGE or f"### {name}\n" in PAGE


def test_the_documentation_explains_every_switch_of_marn():
    switches = {field.name for field in dataclasses.fields(MARNSettings)}
    assert [name for name in sorted(switches) if f"| `{name}` |" not in PAGE] == []


def test_every_yaml_belongs_to_a_row_of_the_table():
    assert {path.stem for path in (properties_folder() / "model").glob("*.yaml")} <= set(MODELS)
