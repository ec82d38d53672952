"""Standard output and error that take any text, whatever encoding the terminal has."""

import codecs
import sys

PLAIN = {
    "±": "+-", "→": "->", "↑": "(up)", "↓": "(down)", "ε": "eps", "–": "-", "—": "-", "−": "-",
    "…": "...", "“": '"', "”": '"', "’": "'", "─": "-", "·": "-", "≥": ">=", "≤": "<=",
    "κ": "kappa",
}  # fmt: skip
"""What stands for signs of our own where an encoding has none of them."""

HANDLER = "nsbench.plain"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(PLAIN.get(letter, "?") for letter in text), error.end


def take_any_text() -> None:
    """Have signs that the encoding of a stream lacks replaced by plain ones, not refused."""
    codecs.register_error(HANDLER, _replaced)
    for stream in (sys.stdout, sys.stderr):
        # A test or a notebook may have put something else in its place.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
