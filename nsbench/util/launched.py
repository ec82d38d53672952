"""What torchrun tells a process of itself, in variables of its environment."""

import os

from nsbench.util.errors import NsbenchError

NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Of several processes each has them."""


def process_count(variable: str = "WORLD_SIZE") -> int:
    """How many processes torchrun started, 1 without it; by LOCAL_WORLD_SIZE on this machine.

    Raises NsbenchError where the environment says something that torchrun never does.
    """
    return _number(variable, 1)


def check_complete() -> None:
    """Raise NsbenchError if this is to be one of several processes that cannot find the others."""
    lacking = [name for name in NEEDED if not os.environ.get(name)]
    if lacking:
        raise NsbenchError(
            f"the environment variable WORLD_SIZE is {os.environ.get('WORLD_SIZE')}, but "
            f"{lacking[0]} is not set: start several processes by torchrun, or unset WORLD_SIZE"
        )


def local_rank() -> int:
    """The number of this process on its machine, from 0. Raises NsbenchError as above."""
    return _number("LOCAL_RANK", 0)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) >= default):
        raise NsbenchError(
            f"the environment variable {variable} is '{text}', which is no number of processes: "
            "unset it, or start by torchrun"
        )
    return int(text)


def is_first() -> bool:
    """Whether this process speaks for all that torchrun started."""
    return os.environ.get("RANK", "0") == "0"
