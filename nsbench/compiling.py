"""torch.compile, where it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager

from nsbench.util.errors import NsbenchError, first_line


@contextmanager
def compiling() -> Iterator[None]:
    """Around calls of models that may be compiled then. Raises NsbenchError where that fails."""
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # slow to import

        if not isinstance(error, TorchDynamoException):
            raise
        raise NsbenchError(
            f"torch.compile fails here ({first_line(error)}): do without it, or install what it "
            "needs, on the CPU a C++ compiler"
        ) from error
