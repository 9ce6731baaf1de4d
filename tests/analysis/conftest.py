"""Pictures are drawn as ever, but their `.pdf` files bring no fonts: to cut those takes longer than to draw."""

import pytest


@pytest.fixture(autouse=True)
def fonts_of_the_reader(monkeypatch):
    from recbole_marn.plots import style

    monkeypatch.setitem(style.SETTINGS, "pdf.use14corefonts", True)
