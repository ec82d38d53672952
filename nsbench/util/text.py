"""Text of others, such as names of models and files, made safe to show."""

import unicodedata


def printable(text: str, keep: str = "") -> str:
    """The text without control characters, which would steer a terminal or break a page.

    keep: control characters that may stay, such as a line's end. A sequence such as `ESC [ 31 m`
    loses its first character, and so its effect.
    """
    return "".join(c for c in text if c in keep or unicodedata.category(c) not in ("Cc", "Cs"))


LONG = 200
"""Letters of a name that a sentence can hold: more are no name, and would bury it."""


def shortened(name: str) -> str:
    """The name, of one that is too long its beginning."""
    return name if len(name) <= LONG else f"{name[:40]}…"


def a_type(value: object) -> str:
    """`a list`, `an int`, `None`: what a value is, for the middle of a sentence."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
