"""Every model of the table inherits the same tests; nothing here is written per model."""

import pytest
from cases import OUR_MODELS, ModelCase

from recbole_marn.registration import MODELS, properties_folder


@pytest.fixture(params=OUR_MODELS)
def name(request):
    return request.param


class TestEveryModel(ModelCase):
    pass


def test_every_yaml_belongs_to_a_row_of_the_table():
    assert {path.stem for path in (properties_folder() / "model").glob("*.yaml")} == set(MODELS)
