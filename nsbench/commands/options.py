"""Options that several commands share."""

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand


class ManyValues(TyperCommand):
    """A command whose repeatable options also take several values at once: `--suite a b c`.

    BARE: the values of those that may stand without one.
    """

    BARE: ClassVar[dict[str, str]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spell `--suite a b` as `--suite a --suite b`."""
        many = {flag for p in self.params if getattr(p, "multiple", False) for flag in p.opts}
        spread: list[str] = super().parse_args(ctx, _spread(_filled(args, self.BARE), many))
        return spread


class WithVariants(ManyValues):
    """A command whose option `--variants` without a name means all of them."""

    BARE: ClassVar = {"--variants": "all"}


def _filled(args: list[str], bare: dict[str, str]) -> list[str]:
    filled: list[str] = []
    for arg, following in pairwise([*args, "-"]):
        filled.append(arg)
        if arg in bare and following.startswith("-"):
            filled.append(bare[arg])
    return filled


def _spread(args: list[str], many: set[str]) -> list[str]:
    spread: list[str] = []
    current, fresh = "", False
    for arg in args:
        if arg.startswith("-") and len(arg) > 1:
            current, fresh = (arg if arg in many else ""), True
        elif current and not fresh:
            spread.append(current)
        else:
            fresh = False
        spread.append(arg)
    return spread


JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the table as JSON.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Also write every row as CSV.")]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", help="Also write the tables as Markdown.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default the GPU if there is one.")
]
Precision = Annotated[str, typer.Option(help="Of the forward pass: float32, bfloat16 or float16.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the random draws.")]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Data roots; by default those in NSBENCH_DATA."),
]
