"""The entry point: `main`, and how errors end."""

import os

# Threads that wait should sleep: spinning starves the workers that share their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import sys
import tempfile
import time
import traceback
import warnings
from typing import Any

from rich.console import Console

from nsbench.commands.app import app
from nsbench.commands.habits import ALIASES
from nsbench.util.errors import ExitWith, NsbenchError, first_line
from nsbench.util.launched import is_first
from nsbench.util.progress import say
from nsbench.util.repeat import again, begin
from nsbench.util.streams import take_any_text
from nsbench.util.text import printable

OTHERS_WAIT = 10.0
"""Seconds that processes of torchrun wait before they complain: where the first one does, it ends
them, and the sentence is printed once. On a busy machine the first one may start seconds later."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; bad input ends in one sentence and exit code 2.

    A mistake of nsbench itself ends in one sentence too, with exit code 1: its traceback is in a
    file that the sentence names.
    """
    take_any_text()
    warnings.showwarning = _say_warning
    begin()
    _said.clear()
    try:
        return app(arguments, prog_name="nsbench")
    except NsbenchError as error:
        _fail(str(error))
    except ExitWith as found:
        sys.exit(found.exit_code)
    except OSError as error:
        where = error.filename or "input or output failed"
        _fail(f"{error.strerror or error}: {where}; mend that, and repeat the command")
    except KeyboardInterrupt:
        _stopped(arguments)
        sys.exit(130)
    except SystemExit as left:
        # A reader such as `head` that has enough; what there was to do is done.
        if isinstance(left.__context__, BrokenPipeError):
            sys.exit(0)
        if left.code in (1, 130):
            _stopped(arguments)
        raise
    except Exception as error:
        sentence = _sentence_of(error)
        _fail(sentence or _unforeseen(error), 2 if sentence else 1)


def _unforeseen(error: Exception) -> str:
    """What to say of a mistake of nsbench, whose traceback goes to a file."""
    what = f"nsbench did not foresee this ({type(error).__name__}: {first_line(error)})"
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="nsbench-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(f"{' '.join(sys.argv)}\n")
            traceback.print_exception(error, file=file)
    except OSError as failed:
        return f"{what}, and its traceback cannot be kept ({failed.strerror}): please report it"
    return f"{what}: please report it with the traceback in {file.name}"


def _sentence_of(error: Exception) -> str | None:
    """What to say of an error that no code foresaw, None where it is a mistake of nsbench."""
    # Of torchrun's processes the one that ends says why; the others lose their connection.
    if os.environ.get("WORLD_SIZE", "1") != "1" and "by peer" in str(error):
        return "another process of this command ended: mend what it says, and repeat the command"
    from nsbench.util.device import is_short_of_memory  # torch takes seconds to import

    if not is_short_of_memory(error):
        return None
    way_out = "free some, lower the batch size, or use --device cpu"
    return f"there is too little memory ({first_line(error)}): {way_out}"


def _stopped(arguments: list[str] | None) -> None:
    words = sys.argv[1:] if arguments is None else arguments
    own = [alias if (alias := ALIASES.get(word)) == "--redo" else word for word in words]
    say("nsbench: stopped; what is finished is kept; to continue:", again(own))


_said: set[str] = set()


def _say_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning as a sentence, once, without the line of code it comes from."""
    if issubclass(category, UserWarning) and str(message) not in _said:
        _said.add(str(message))
        say(f"warning: {message}")


def _fail(sentence: str, code: int = 2) -> None:
    if not is_first():
        time.sleep(OTHERS_WAIT)
    # One line in a log, to be searched; on a terminal broken between words.
    console = Console(stderr=True, highlight=False, emoji=False)
    text = f"nsbench: {printable(sentence)}"
    console.print(text, style="red", markup=False, soft_wrap=not console.is_terminal)
    sys.exit(code)
