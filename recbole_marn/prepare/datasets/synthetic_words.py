"""The vocabulary of amazon-clothing-synthetic: what categories, brands and degrees of a factor are called."""

from __future__ import annotations

__all__ = ["BRANDS", "CATEGORIES", "SHARED_WORDS", "TITLE_WORDS"]

# Category as in the data, and the noun in the title.
CATEGORIES = (
    ("Dresses", "dress"), ("Jeans", "jeans"), ("Sneakers", "sneakers"), ("Boots", "boots"), ("Jackets", "jacket"),
    ("Sweaters", "sweater"), ("Watches", "watch"), ("Handbags", "handbag"), ("Socks", "socks"), ("Hats", "hat"),
    ("Rings", "ring"), ("Scarves", "scarf"),
)  # fmt: skip
BRANDS = (
    "alder", "birchly", "cedarcraft", "dunmore", "elmwood", "fernway", "gorsefield", "hawthorne", "ivyline", "juniper",
    "kelpie", "larkspur", "maplehill", "nettle", "oakham", "pinecrest", "quillon", "rowanton", "sorrel", "thistle",
    "umbra", "vetchley", "willowby", "yarrow",
)  # fmt: skip
# Seven degrees of each of two factors, from low to high. Only the title shows these ...
TITLE_WORDS = (
    ("gym", "outdoor", "everyday", "office", "dinner", "evening", "gala"),
    ("tropical", "beach", "summer", "spring", "autumn", "winter", "arctic"),
)
# ... and these are also to be seen in the picture.
SHARED_WORDS = (
    ("black", "navy", "brown", "green", "red", "yellow", "white"),
    ("plain", "ribbed", "striped", "checked", "dotted", "floral", "sequined"),
)
