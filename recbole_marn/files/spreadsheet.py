"""What a field of a CSV file may hold."""

__all__ = ["no_formula"]


def no_formula(words: str) -> str:
    """Words that a spreadsheet would take for a formula get an apostrophe before them."""
    return "'" + words if words.startswith(tuple("=+-@")) else words
