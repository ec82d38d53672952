"""Commands as people type them who come from other tools, and what their spellings lead to."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from nsbench.util.errors import NsbenchError
from nsbench.util.likeness import most_alike

SENTENCE = 200
"""Letters of a sentence in a list of commands, at most."""

FIRST = "FIRST"
"""Stands for a command's own arguments, which need no option."""

ALIASES = {
    "--model": FIRST, "--models": FIRST, "-m": FIRST, "--run": FIRST, "--runs": FIRST,
    "--recipe": FIRST, "--config": FIRST, "--results": FIRST,
    "--task": "--suite", "--tasks": "--suite", "--suites": "--suite", "-t": "--suite",
    "--benchmark": "--suite", "--benchmarks": "--suite",
    "--output": "--out", "--output-dir": "--out", "--output-path": "--out", "--outdir": "--out",
    "--out-dir": "--out", "--output-file": "--out", "--save-dir": "--out", "-o": "--out",
    "--overwrite": "--redo", "--force": "--redo", "--rerun": "--redo", "--again": "--redo",
    "--bs": "--batch-size", "--batch": "--batch-size", "-b": "--batch-size",
    "--dtype": "--precision", "--img-size": "--image-size", "--input-size": "--image-size",
    "--checkpoint": "--weights", "--ckpt": "--weights", "--num-classes-file": "--classes",
    "--data-dir": "--data", "--data-root": "--data", "--data-path": "--data", "--root": "--data",
    "--max-samples": "--limit", "--num-samples": "--limit", "--num-images": "--limit",
    "--num-workers": "--workers", "-j": "--workers", "-y": "--yes",
}  # fmt: skip
"""What timm, lm-eval, inspect and others call an option, where a command has the one it stands for.
"""

_WRITTEN = "--json FILE, --csv FILE or --markdown FILE writes the tables"
_KEPT = "choose another folder with --out, or remove that one to train it again"

TOLD = {
    "eval": {
        "--output": f"predictions go beside each model, or below results/: {_WRITTEN}",
        "--model-args": "name the model itself, such as resnet50 or hf-hub:USER/MODEL",
        "--pretrained": "models of timm's have their weights, and --weights FILE names others",
        "--num-classes": "the outputs are counted: --classes FILE names them",
        "--seed": "the random draws are those of the suite's key seed, so that all models see the "
        "same",
        "--workers": "every core is used",
        "--amp": "name the numbers by --precision bfloat16 or --precision float16",
        "--gpu": "name the device by --device cuda:0",
        "--out": f"predictions go beside each model, or below results/: {_WRITTEN}",
    },
    "train": {
        "--redo": f"what is finished is kept: {_KEPT}",
        "--gpu": "name the device by --device cuda:0",
        "--gpus": "start it by torchrun --nproc-per-node N -m nsbench train …",
        "--tasks": "training evaluates nothing: run nsbench eval on the run folder",
        "--suite": "training evaluates nothing: run nsbench eval on the run folder",
    },
    "compare": {"--out": _WRITTEN, "--redo": "it computes nothing: nsbench eval has --redo"},
    "report": {
        "--redo": "it is always written anew: nsbench eval has --redo",
        "--suite": "a report has every suite: nsbench compare has --suite",
    },
}
"""Options of others that a command has no place for, and what does what they are for."""

COMMANDS = {
    "evaluate": "eval", "test": "eval", "validate": "eval", "val": "eval", "list": "ls",
    "models": "ls", "fit": "train", "diff": "compare", "rm": "forget", "delete": "forget",
    "remove": "forget", "reset": "forget", "html": "report", "datasets": "data", "check": "doctor",
    "benchmark": "bench", "help": "--help", "version": "--version",
}  # fmt: skip
"""What other tools call a command."""


WHOLE = {"--set", "--command"}
"""Options whose values may have commas in them: settings, and commands as they were typed."""


class _Examples:
    """Help whose last part is examples."""

    epilog: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """The examples, to be copied: what is too long goes on after a backslash."""
        if not self.epilog:
            return
        for line in self.epilog.replace("`", "").split("\n\n"):
            formatter.write(f"\n{line}" if line.endswith(":") else f"\n  {_in_lines(line)}")
        formatter.write("\n")


def _in_lines(command: str) -> str:
    """A command in lines of 80 letters, which a shell takes as one."""
    lines = [""]
    for word in re.findall(r"'[^']*'|\S+", command):
        longer = f"{lines[-1]} {word}".strip() if len(lines) == 1 else f"{lines[-1]} {word}"
        # Two blanks stand before each line, and a blank and a backslash at its end.
        if len(longer) > 76 and lines[-1]:
            lines.append(f"    {word}")
        else:
            lines[-1] = longer
    return " \\\n  ".join(lines)


class Command(_Examples, TyperCommand):
    """A command that takes others' spellings of its options, and refuses in one sentence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments in the command's own spelling, parsed. Raises NsbenchError."""
        name = ctx.command_path.partition(" ")[2]
        # The completion of a shell parses what is not yet whole.
        own = args if ctx.resilient_parsing else self.spelled(args, name)
        with _in_a_sentence(name, self.params):
            parsed: list[str] = super().parse_args(ctx, own)
        return parsed

    def spelled(self, args: list[str], name: str) -> list[str]:
        """The arguments as the parser takes them. name: the command's own, such as `bench eval`."""
        return translated(args, name, self.params)


class Group(_Examples, TyperGroup):
    """A command of commands, which refuses an unknown one with the nearest."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, parsed. Raises NsbenchError."""
        with _in_a_sentence(ctx.command_path.partition(" ")[2], self.params):
            parsed: list[str] = super().parse_args(ctx, args)
        return parsed

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands with a whole sentence each, which click would cut."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, c.get_short_help_str(SENTENCE)) for name, c in named if c and not c.hidden]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named. Raises NsbenchError if there is none of that name."""
        name, home = args[0], ctx.command_path
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            meant = COMMANDS.get(name) if home == "nsbench" else None
            meant = meant or most_alike(name, known)
            near = f"did you mean '{home} {meant}'?" if meant else f"there are {', '.join(known)}"
            raise NsbenchError(f"there is no command {home} {name}; {near}")
        return super().resolve_command(ctx, args)


def many_valued(params: list[Any]) -> set[str]:
    """The options of a command that may be repeated."""
    return {flag for p in params if getattr(p, "multiple", False) for flag in p.opts}


def translated(args: list[str], command: str, params: list[Any]) -> list[str]:
    """A command's arguments with options of its own, and its own arguments first.

    params: the command's parameters. Raises NsbenchError for an option of others that has no place
    here, saying what does what it is for.
    """
    many = many_valued(params)
    flags = {flag for p in params for flag in (*p.opts, *p.secondary_opts)} | {"--help"}
    takes_arguments = any(p.param_type_name == "argument" for p in params)
    first: list[str] = []
    rest: list[str] = []
    current = ""
    for number, arg in enumerate(args):
        if arg == "--":
            rest += args[number:]
            break
        if arg.startswith("-") and len(arg) > 1:
            flag, equals, value = arg.partition("=")
            current = _own(flag, command, flags, takes_arguments)
            if current != FIRST:
                rest.append(current + equals + value)
            elif equals:
                first += _split(value)
        elif current == FIRST:
            first += _split(arg)
        else:
            rest += _split(arg) if current in many - WHOLE else [arg]
    return first + rest


def _own(flag: str, command: str, flags: set[str], takes_arguments: bool) -> str:
    """An option as the command calls it; as it was written where it is unknown."""
    spelled = flag.replace("_", "-")
    if flag in flags or spelled in flags:
        return flag if flag in flags else spelled
    alias = ALIASES.get(spelled, "")
    told = TOLD.get(command, {})
    if why := told.get(spelled) or told.get(alias):
        raise NsbenchError(f"{command} has no option {flag}: {why}")
    if alias in flags or (alias == FIRST and takes_arguments):
        return alias
    # --corruptions fog, --severities 1 2: the plural of an option that takes several.
    others = (re.sub("s$", "", spelled), re.sub("ies$", "y", spelled), f"{spelled}s")
    return next((other for other in others if other in flags), flag)


def _split(value: str) -> list[str]:
    """`a,b` as two values, as lm-eval has its tasks; a path may have a comma in it."""
    return [value] if Path(value).exists() else [part for part in value.split(",") if part]


@contextmanager
def _in_a_sentence(command: str, params: list[Any]) -> Iterator[None]:
    """A context: what the parser refuses is an NsbenchError; other errors, and help, stay."""
    try:
        yield
    except Exception as error:
        # By name: some versions of typer have a copy of click, with classes of its own.
        if type(error).__name__ == "NoArgsIsHelpError" or not hasattr(error, "format_message"):
            raise
        raise NsbenchError(_sentence(error, command, params)) from error


def _sentence(error: Any, command: str, params: list[Any]) -> str:
    whole = command or "nsbench"
    kind, param = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        near = _nearest(str(error.option_name), command, params)
        return f"{whole} has no option {error.option_name}{near}"
    if kind == "MissingParameter" and param is not None:
        is_option = param.param_type_name == "option"
        called = param.opts[0] if is_option else str(param.name).upper()
        what = (getattr(param, "help", None) or "").rstrip(".")
        return f"{whole} needs {called}: {what[:1].lower()}{what[1:]}"
    message = error.format_message().rstrip(".")
    return f"{whole}: {message[:1].lower()}{message[1:]}"


def _nearest(option: str, command: str, params: list[Any]) -> str:
    """A clause that offers the option, or the key of a recipe, that was meant."""
    name = option.lstrip("-")
    known = {flag.lstrip("-"): flag for flag in _flags(params)}
    keys: Mapping[str, str] = {}
    if command == "train":
        from nsbench.recipes.recipe import places

        keys = places()
    meant = most_alike(name, [*known, *keys])
    if meant in known:
        return f"; did you mean {known[meant]}?"
    if meant:
        return f"; it is a key of the recipe: write --set {keys[meant]}=…"
    return f"; {' '.join(filter(None, ('nsbench', command, '--help')))} lists them"


def _flags(params: list[Any]) -> Iterator[str]:
    for param in params:
        if param.param_type_name == "option":
            yield from (flag for flag in param.opts if flag.startswith("--"))
