"""The one error that means "your input", as opposed to a fault of this package."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Diverged", "InputError", "entries_of", "first_line", "printable", "without_recbole"]


class InputError(ValueError):
    """Input that cannot be used: the command line prints it without a traceback and exits with code 2.

    Args:
        expected: what would have been right, without the word "Expected".
        got: what was found instead.
        hint: a whole sentence that says what to do about it.
    """

    def __init__(self, expected: str, got: str, hint: str):
        self.expected, self.got, self.hint = expected, got, hint
        super().__init__(expected, got, hint)

    def __str__(self) -> str:
        return f"Expected {self.expected}. Got {self.got}. {self.hint}"


class Diverged(InputError):
    """Training that ended in a loss that is not a number."""

    def __init__(self, loss: str, rate: float):
        super().__init__(
            "a loss that is a number", f"{loss} after a step at learning_rate {rate}", "Choose a smaller learning_rate."
        )


@contextmanager
def entries_of(what: str, hint: str) -> Iterator[None]:
    """Around what takes plain data apart: entries that another version wrote otherwise, or did not write, are told.

    Args:
        what: the file.
        hint: as of `InputError`.

    Raises:
        InputError: one of them is not as it is read here.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        differs = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{what} with the entries that this version of recbole_marn writes", f"others ({differs})", hint
        ) from error


def first_line(error: Exception) -> str:
    """What another library's error says, on one line; its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def printable(text: object) -> str:
    """A text on one line: what a terminal or a browser would obey rather than show is written out (`\\x1b`)."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(text)
    )


def without_recbole() -> InputError:
    """What to say where RecBole cannot be imported: on Python 3.12 and later no other package brings it."""
    return InputError(
        "RecBole 1.2.1",
        "no package of that name",
        "Install it: pip install --no-deps recbole==1.2.1 (docs/install.md).",
    )
