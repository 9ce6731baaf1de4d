"""Titles as words: lower case, split at everything that is no letter or digit."""

from __future__ import annotations

import html
import re

__all__ = ["LONGEST_TITLE", "title_words"]

LONGEST_TITLE = 64  # words; RecBole pads every title to the longest, so one of 10,000 words would cost gigabytes
_POSSESSIVE = re.compile(r"['’]s\b")
_WORD = re.compile(r"[^\W_]+")


def title_words(text: str, longest: int = LONGEST_TITLE) -> tuple[str, bool]:
    """`("womens shoe 38", was it cut)`: the first `longest` words of a title, joined by spaces.

    HTML entities are decoded, a possessive 's is dropped, other apostrophes and hyphens separate words.
    """
    words = _WORD.findall(_POSSESSIVE.sub("", html.unescape(text[:100_000]).lower()))
    return " ".join(words[:longest]), len(words) > longest
