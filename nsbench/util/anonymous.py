"""Text without what names a person, a machine or the folders on it."""

import getpass
import re
import socket
from typing import Any

# At least one folder, so that "images/s" and "fog/3" stay; the last part, the file's own name, says
# what a reader needs.
_PATH = re.compile(r"(?<![\w.~/])~?/(?:[^\s/:'\"]+/)+([^\s/:'\"]*)")
_LEAST = 3
"""Letters of a name that is taken out: shorter ones are parts of too many sentences."""


def anonymous(value: Any) -> Any:
    """A JSON-like value whose strings name no folder, host or user; keys stay as they are.

    Of an absolute path the last part stays.
    """
    if isinstance(value, dict):
        return {key: anonymous(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [anonymous(part) for part in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    text = _PATH.sub(r"\1", text)
    for name, stands_for in _names().items():
        if len(name) >= _LEAST:
            text = re.sub(rf"\b{re.escape(name)}\b", stands_for, text)
    return text


def _names() -> dict[str, str]:
    # longest first: a host's full name begins with its short one
    host = socket.gethostname()
    names = {host: "HOST", host.split(".")[0]: "HOST"}
    try:
        return names | {getpass.getuser(): "USER"}
    except (OSError, KeyError):  # a number without an account, as in containers
        return names
