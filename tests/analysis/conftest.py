"""Pictures are drawn as ever, but as `.pdf` files only where a test asks for `pdf`, and without fonts."""

import pytest


@pytest.fixture
def blunt_probes(monkeypatch):
    """Probes of few vectors and steps: how sharp they are is the matter of test_adversary.py."""
    from recbole_marn.analysis import adversary

    monkeypatch.setattr(adversary, "PROBED", 40)
    monkeypatch.setattr(adversary, "MLP_STEPS", 5)


@pytest.fixture
def pdf(monkeypatch):
    """With the fonts of the reader: to cut our own takes longer than to draw."""
    from recbole_marn.plots import style

    monkeypatch.setitem(style.SETTINGS, "pdf.use14corefonts", True)


@pytest.fixture(autouse=True)
def no_pdf(request, monkeypatch):
    if "pdf" in request.fixturenames:
        return
    from matplotlib.figure import Figure

    draw = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda *given, **how: how["format"] == "pdf" or draw(*given, **how))
