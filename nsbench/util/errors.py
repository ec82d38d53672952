"""How a command ends: by a sentence that names what is wrong and the way out, or a verdict."""


class NsbenchError(Exception):
    """Bad input or a failed environment. The command line prints it and exits with code 2."""


class ArgumentError(TypeError, ValueError):
    """An argument in Python that is of a wrong type, or has a value that cannot be."""


class ExitWith(Exception):
    """The end of a command that has said all it found: its exit code, where it is not 0."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def first_line(error: BaseException) -> str:
    """What an error of another library says, as far as one sentence can hold it."""
    return str(error).strip().split("\n")[0] or type(error).__name__


def missing_extra(package: str, extra: str | None, needed_for: str) -> NsbenchError:
    """The error for a package that is not installed. extra: whose it is, None for a plain one."""
    install = f"'nsbench[{extra}]'" if extra else package
    return NsbenchError(f"{needed_for} needs the package {package}: run pip install {install}")
