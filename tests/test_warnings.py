"""A warning raised in this package is an error in its tests (pyproject.toml); one raised elsewhere is not."""

import warnings

import pytest

CASES = {
    "recbole_marn": True,
    "recbole_marn.quick_start": True,
    "recbole_marn.layers.kernels.segment": True,
    "recbole_marn.benchmarks.bench": True,
    "recbole.trainer.trainer": False,
    "other.recbole_marn": False,
}


def warn_from(module):
    warnings.warn_explicit("deliberate", FutureWarning, f"{module}.py", 1, module=module, registry={})


@pytest.mark.parametrize("module", [module for module, ours in CASES.items() if ours])
def test_a_warning_of_ours_is_an_error(module):
    with pytest.raises(FutureWarning, match="deliberate"):
        warn_from(module)


@pytest.mark.parametrize("module", [module for module, ours in CASES.items() if not ours])
def test_a_warning_of_others_is_none(module):
    with warnings.catch_warnings(record=True):
        warn_from(module)
