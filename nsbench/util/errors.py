"""The one exception a user sees: a sentence that names what is wrong and the way out."""


class NsbenchError(Exception):
    """Bad input or a failed environment. The command line prints it and exits with code 2."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, as far as one sentence can hold it."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def missing_extra(package: str, extra: str, needed_for: str) -> NsbenchError:
    """The error for an optional package that is not installed."""
    return NsbenchError(
        f"{needed_for} needs the package {package}: run pip install 'nsbench[{extra}]'"
    )
