"""What series are told apart by."""

from itertools import islice

import pytest

from recbole_marn.plots.style import picture, strokes, styled


@pytest.mark.parametrize("parts", [("color", "linestyle"), ("color", "marker")])
def test_no_two_series_are_drawn_alike(parts):
    drawn = {tuple(getattr(stroke, part) for part in parts) for stroke in islice(strokes(), 49)}
    assert len(drawn) == 49


def test_dashes_and_marks_differ_where_a_colour_comes_again():
    first, again = (list(islice(strokes(), 8))[at] for at in (0, 7))
    assert first.color == again.color and first.linestyle != again.linestyle and first.marker != again.marker


def test_a_name_that_the_font_lacks_stays_text():  # warnings of ours are errors
    with styled() as pyplot:
        figure, axes = pyplot.subplots()
        axes.set_title("帽子")
        assert "帽子" in picture(figure).svg
