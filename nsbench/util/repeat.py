"""How to go on with a command that was stopped: as a line that can be pasted into a shell."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

_done: set[str] = set()


def begin() -> None:
    """Forget what an earlier command of this process said to be done."""
    _done.clear()


def is_done(*options: str) -> None:
    """Leave options out of the line: what they asked for is done, and would undo what follows."""
    _done.update(options)


def again(arguments: Sequence[str]) -> str:
    """The command that goes on where one with these arguments stopped."""
    kept = [argument for argument in arguments if argument not in _done]
    processes = os.environ.get("LOCAL_WORLD_SIZE", "1")
    if processes != "1":
        start = ["torchrun", "--nproc-per-node", processes, "-m", "nsbench"]
    elif Path(sys.argv[0]).parts[-2:] == ("nsbench", "__main__.py"):
        start = [_found(sys.executable), "-m", "nsbench"]
    else:
        start = ["nsbench"]
    return shlex.join([*start, *kept])


def _found(program: str) -> str:
    """A program by its name alone where the shell finds it by that."""
    name = Path(program).name
    return name if shutil.which(name) == program else program
