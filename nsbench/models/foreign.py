"""Code that is not nsbench's own: whatever it raises becomes one sentence that names the model."""

from collections.abc import Iterator
from contextlib import contextmanager

from nsbench.util.device import compiling, is_short_of_memory
from nsbench.util.errors import NsbenchError, first_line


@contextmanager
def foreign_code(sentence: str, way_out: str = "") -> Iterator[None]:
    """Around a call of a model's code. Raises NsbenchError with what it said.

    sentence: names the model and what it was to do. way_out: a clause for the end.
    A shortage of memory passes as it is, since smaller batches may help; so does Ctrl-C.
    """
    try:
        with compiling():
            yield
    except NsbenchError:
        raise
    except (Exception, SystemExit) as error:  # sys.exit(0) would end nsbench as if all were well
        if is_short_of_memory(error):
            raise
        raise NsbenchError(f"{sentence}: {described(error)}{way_out}") from error


def described(error: BaseException) -> str:
    """`ValueError: what it says`, as one line."""
    return f"{type(error).__name__}: {first_line(error)}"
