"""Pictures are drawn as ever, but their `.pdf` files bring no fonts: to cut those takes longer than to draw."""

import pytest


@pytest.fixture
def blunt_probes(monkeypatch):
    """Probes of few vectors and steps: how sharp they are is the matter of test_adversary.py."""
    from recbole_marn.analysis import adversary

    monkeypatch.setattr(adversary, "PROBED", 40)
    monkeypatch.setattr(adversary, "MLP_STEPS", 5)


@pytest.fixture(autouse=True)
def fonts_of_the_reader(monkeypatch):
    from recbole_marn.plots import style

    monkeypatch.setitem(style.SETTINGS, "pdf.use14corefonts", True)
