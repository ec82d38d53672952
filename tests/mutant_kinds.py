"""Small changes of source code that a test should notice, one at a time.

Each is made in the text, at the place that the syntax tree names, so that a mutant differs from its
file in one line and keeps the comments and the layout of the rest.
"""

import ast
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """A file of the package with one change.

    file: its path below the checkout. line: the number, from 1, of the line that changes. function:
    the first line of the innermost function around it, 0 outside of functions. before, after: that
    line without and with the change, stripped; they name the mutant in the list of harmless ones,
    as line numbers move with every edit. parts: the file in front of the change, the change, and
    what follows it.
    """

    file: str
    line: int
    function: int
    before: str
    after: str
    parts: tuple[bytes, bytes, bytes]

    @property
    def name(self) -> tuple[str, str, str]:
        """By which the list of harmless ones knows it."""
        return self.file, self.before, self.after

    @property
    def text(self) -> str:
        """The whole file, changed."""
        return b"".join(self.parts).decode()

    @property
    def runs(self) -> bool:
        """Whether it is still a program: some arguments cannot be left out."""
        try:
            ast.parse(self.text)
        except SyntaxError:
            return False
        return True


COMPARED: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}

REPLACED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
}

SWAPPED = [
    ("min", "max"),
    ("any", "all"),
    ("argmin", "argmax"),
    ("floor", "ceil"),
    ("mean", "max"),
    ("sum", "max"),
    ("low", "high"),
    ("left", "right"),
    ("rows", "columns"),
    ("width", "height"),
]
"""Functions, methods and attributes that stand for each other; mean and sum become max only."""

NAMES = dict(SWAPPED) | {b: a for a, b in reversed(SWAPPED)}

HASHES = {"stable_hash", "generator", "fingerprint", "image_keys", "feistel_permutation"}
"""What takes any number of keys, so that one that is left out is no error."""

SAFEGUARDS = {"strict", "encoding", "exist_ok", "missing_ok", "maxsize"}
"""Keyword arguments that change no number, but how soon a mistake is noticed."""

LOOKS = {
    *(
        "alpha",
        "bbox_inches",
        "bbox_to_anchor",
        "visible",
        "capsize",
        "clip_on",
        "color",
        "colors",
        "dpi",
        "edgecolor",
    ),
    *(
        "elinewidth",
        "facecolor",
        "fontsize",
        "fontweight",
        "frameon",
        "gridspec_kw",
        "ha",
        "handles",
    ),
    *(
        "labelsize",
        "linestyle",
        "linewidth",
        "loc",
        "markersize",
        "markeredgecolor",
        "mew",
        "ncols",
    ),
    *("pad", "rotation", "size", "style", "va", "weight", "xytext", "zorder"),
}
"""Keyword arguments of a picture that show the same values otherwise; a constant is left too."""

SIZES = {"empty_axes", "legend_above"}
"""Functions of figures whose arguments are sizes and places of a picture, which shows the same."""

ONE_DEVICE = {"device"}
"""Keyword arguments that a CPU, where the tests run, has one value for."""

QUIET = {"advance", "barrier"}
"""What moves a progress bar, or waits for other processes, of which a test seldom has several."""

SYMMETRIC = {"min", "max", "maximum", "minimum", "isinstance", "len", "print", "say"}
"""What gives the same of swapped arguments, or an error at once."""


def mutants(root: Path, file: str) -> list[Mutant]:
    """All mutants of a file, in the order of their places, also those that are no programs."""
    source = (root / file).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    looks = LOOKS if "/figures/" in file else set()
    for begin, end, new in sorted(set(_Edits(source, starts, looks).of(tree))):
        if source[begin:end] == new:  # equal arguments, swapped
            continue
        number = bisect_right(starts, begin)
        start, stop = starts[number - 1], starts[bisect_left(starts, end)]
        before = _one_line(source[start:stop])
        after = _one_line(source[start:begin] + new + source[end:stop])
        parts = source[:begin], new, source[end:]
        found.append(Mutant(file, number, _function(functions, number), before, after, parts))
    return found


def _one_line(source: bytes) -> str:
    return " ".join(source.decode().split())


def _function(functions: list[ast.FunctionDef], line: int) -> int:
    """The first line, with decorators, of the innermost function whose body has a line, or 0."""
    # Defaults belong to what is around: they are evaluated as the file is imported.
    around = [
        min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        for node in functions
        if node.body[0].lineno <= line <= (node.end_lineno or line)
    ]
    return max(around, default=0)


Edit = tuple[int, int, bytes]
"""Where a piece of the source begins and ends, in bytes, and what stands there instead."""


class _Edits:
    """The changes of one file."""

    def __init__(self, source: bytes, starts: list[int], looks: set[str]) -> None:
        self._source, self._starts, self._looks = source, starts, looks
        self._kept = SAFEGUARDS | ONE_DEVICE | looks

    def of(self, node: ast.AST) -> Iterator[Edit]:
        """Changes of a node and of all below it, but for types, messages and docstrings."""
        yield from self._here(node)
        for child in self._looked_at(node):
            yield from self.of(child)

    def _looked_at(self, node: ast.AST) -> Iterator[ast.AST]:
        # Errors are of what is said, not of numbers; places within f-strings are wrong in 3.11.
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
            return
        if self._looks and isinstance(node, ast.Call) and _called(node) in SIZES:
            return
        for field, value in ast.iter_fields(node):
            if field in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword) and child.arg in self._kept:
                    continue
                if isinstance(child, ast.AST):
                    yield child

    def _here(self, node: ast.AST) -> Iterator[Edit]:
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for left, operation, right in zip(sides, node.ops, sides[1:], strict=False):
                yield from self._operator(left, right, *COMPARED[type(operation)])
        elif isinstance(node, ast.BinOp) and type(node.op) in REPLACED:
            if not any(_is_text(side) for side in (node.left, node.right)):
                yield from self._operator(node.left, node.right, *REPLACED[type(node.op)])
        elif isinstance(node, ast.BoolOp):
            words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self._operator(left, right, *words)
        elif isinstance(node, ast.AugAssign) and type(node.op) in REPLACED:
            old, new = REPLACED[type(node.op)]
            yield from self._operator(node.target, node.value, f"{old}=", f"{new}=")
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield self._begin(node), self._begin(node.operand), b""
        elif isinstance(node, ast.Constant):
            yield from self._constant(node)
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            if isinstance(node.test, ast.Name | ast.Attribute | ast.Call):
                yield self._begin(node.test), self._begin(node.test), b"not "
        elif isinstance(node, ast.FunctionDef):
            yield from self._returned(node)
        elif (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and _called(node.value) not in QUIET
        ):
            yield self._begin(node), self._end(node), b"pass"
        yield from self._named(node)
        if isinstance(node, ast.Call):
            yield from self._arguments(node)

    def _begin(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def _operator(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Edit]:
        """The operator between two expressions, which parentheses and comments may surround."""
        begin = self._end(left)
        between = self._source[begin : self._begin(right)]
        pattern = r"\s+".join(
            rf"\b{word}\b" if word.isalpha() else re.escape(word) for word in old.split()
        )
        place = re.search(
            pattern.encode(), re.sub(rb"#[^\n]*", lambda m: b" " * len(m[0]), between)
        )
        if place:
            yield begin + place.start(), begin + place.end(), new.encode()

    def _constant(self, node: ast.Constant) -> Iterator[Edit]:
        value, new = node.value, ""
        if isinstance(value, bool):
            new = str(not value)
        elif isinstance(value, int):
            new = str(value + 1)
        elif isinstance(value, float):
            # Not far away: a constant is to be noticed by its value, not by what breaks.
            new = repr(value * 1.1 if value else 0.1)
        if new:
            yield self._begin(node), self._end(node), new.encode()

    def _named(self, node: ast.AST) -> Iterator[Edit]:
        """A function, method or attribute for its opposite."""
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            name, end = node.attr, self._end(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            name, end = node.func.id, self._end(node.func)
        else:
            return
        if name in NAMES:
            yield end - len(name), end, NAMES[name].encode()

    def _arguments(self, call: ast.Call) -> Iterator[Edit]:
        """A keyword argument or a key of a hash left out, the first two arguments swapped."""
        if self._looks and _called(call) in SIZES:
            return
        for keyword in call.keywords:
            if keyword.arg and keyword.arg not in self._kept:
                begin = self._starts[keyword.lineno - 1] + keyword.col_offset
                yield self._without(begin, self._end(keyword.value))
        called = _called(call)
        if called in HASHES:
            for argument in call.args:
                yield self._without(self._begin(argument), self._end(argument))
        swapped = call.args[:2] if called not in SYMMETRIC else []
        if len(swapped) > 1 and not any(map(_is_text, swapped)):
            (a, b), (c, d) = [(self._begin(x), self._end(x)) for x in swapped]
            text = self._source
            yield a, d, text[c:d] + text[b:c] + text[a:b]

    def _without(self, begin: int, end: int) -> Edit:
        """An argument taken away, with the comma behind it."""
        comma = re.match(rb"\s*,[ ]*", self._source[end:])
        return begin, end + (comma.end() if comma else 0), b""

    def _returned(self, function: ast.FunctionDef) -> Iterator[Edit]:
        """What a function returns, where its type says what else it might be."""
        kind = function.returns.id if isinstance(function.returns, ast.Name) else ""
        wrapped = {"bool": b"not (%s)", "int": b"(%s) + 1", "float": b"(%s) * 1.1"}.get(kind)
        for node in ast.walk(function):
            if wrapped and isinstance(node, ast.Return) and node.value:
                begin, end = self._begin(node.value), self._end(node.value)
                yield begin, end, wrapped % self._source[begin:end]


def _called(call: ast.Call) -> str:
    """The name of a function or method."""
    named = call.func
    if isinstance(named, ast.Attribute):
        return named.attr
    return named.id if isinstance(named, ast.Name) else ""


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
