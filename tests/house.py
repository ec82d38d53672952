"""What the house looks like in figures: `python -m tests.house` prints them, a test holds them."""

import ast
import io
import re
import statistics
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "nsbench"

STOREYS: list[set[str]] = [
    {"util"},
    {"names", "predictions", "run_folder", "metrics", "pixels"},
    {"recipes", "suites", "models", "data", "pseudo_labels", "augment", "corruptions"}
    | {"perturbations", "released", "published"},
    {"training", "evaluation", "bench", "reporting", "results"},
    {"commands"},
    {"cli"},
]
"""From the ground up; `nsbench/__init__.py` and `__main__.py` may import anything."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A file of the package, parsed."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """Such as `data.readers.tar`."""
        return ".".join(self.path.relative_to(PACKAGE).with_suffix("").parts)

    @property
    def functions(self) -> list[Function]:
        """All functions and methods, also inner ones."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


def modules() -> list[Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in paths]
    return [Module(p, text, ast.parse(text)) for p, text in zip(paths, texts, strict=True)]


def length(function: Function) -> int:
    """Lines, without decorators."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def body_of(function: Function) -> list[ast.stmt]:
    """Statements, without the docstring."""
    has_doc = ast.get_docstring(function) is not None
    return function.body[1:] if has_doc else function.body


def comment_lines(text: str) -> int:
    """Lines with a comment that is no instruction to a tool."""
    tool = re.compile(r"#\s*(noqa|fmt:|type:)\S*(?!.*\s-\s)")
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token for token in tokens if token.type == tokenize.COMMENT]
    return len({token.start[0] for token in comments if not tool.match(token.string)})


def constant_notes(tree: ast.Module) -> int:
    """Strings below assignments, which say what a constant is and why."""
    pairs = zip(tree.body, tree.body[1:], strict=False)
    return sum(
        isinstance(first, ast.Assign | ast.AnnAssign)
        and isinstance(second, ast.Expr)
        and isinstance(second.value, ast.Constant)
        for first, second in pairs
    )


def forwards(function: Function) -> bool:
    """Whether a function only passes its arguments on, in their order, to another one."""
    if function.name == "forward":  # torch calls it, so that there is no other place for the call
        return False
    body = body_of(function)
    if len(body) != 1 or not isinstance(body[0], ast.Return | ast.Expr):
        return False
    call = body[0].value
    if not isinstance(call, ast.Call) or call.keywords or function.decorator_list:
        return False
    own = [argument.arg for argument in function.args.args if argument.arg != "self"]
    passed = [argument.id for argument in call.args if isinstance(argument, ast.Name)]
    return bool(own) and passed == own and len(passed) == len(call.args)


def used_names(parsed: list[Module]) -> Counter[str]:
    """How often each name is used, and not defined or imported."""
    used: Counter[str] = Counter()
    for module in parsed:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used[node.id] += 1
            elif isinstance(node, ast.Attribute):
                used[node.attr] += 1
    return used


def private_helpers(parsed: list[Module]) -> list[str]:
    return [
        function.name
        for module in parsed
        for function in module.functions
        if function.name.startswith("_") and not function.name.startswith("__")
    ]


def undocumented(parsed: list[Module]) -> list[str]:
    """Public functions, classes and modules without a docstring or without all types."""
    bad = [module.name for module in parsed if not ast.get_docstring(module.tree)]
    for module in parsed:
        for node in _public(module.tree):
            where = f"{module.name}:{node.lineno} {node.name}"
            inherited = isinstance(node, Function) and node.name.startswith("__")
            if not ast.get_docstring(node) and not inherited and not _is_overload(node):
                bad.append(where)
            if isinstance(node, Function) and not _typed(node):
                bad.append(f"{where} (types)")
    return bad


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Function | ast.ClassDef]:
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not re.match(r"_[^_]", node.name):
            if node.name != "forward":  # torch's own method, which its users never call
                yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)


def _typed(function: Function) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    named = [argument for argument in arguments if argument.arg not in ("self", "cls")]
    return all(argument.annotation for argument in named) and function.returns is not None


def suite_checks(parsed: list[Module]) -> list[str]:
    """Where code asks for the class of a suite."""
    return [
        f"{module.name}:{node.lineno}"
        for module in parsed
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "isinstance"
        and re.search(r"\w+Suite\b", ast.unparse(node.args[1]))
    ]


def imports(module: Module) -> set[str]:
    """The first names of the package's parts that a module imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module == "nsbench":
                names |= {alias.name for alias in node.names}
            elif node.module.startswith("nsbench."):
                names.add(node.module.split(".")[1])
    return names


def upward_imports(parsed: list[Module]) -> list[str]:
    """Imports of a higher storey, and of training by evaluation or the other way."""
    storey = {name: number for number, names in enumerate(STOREYS) for name in names}
    bad = []
    for module in parsed:
        own = module.name.split(".")[0]
        if own.startswith("__"):
            continue
        for other in imports(module) & storey.keys():
            apart = {own, other} in ({"training", "evaluation"}, {"training", "reporting"})
            if storey[other] > storey[own] or apart:
                bad.append(f"{module.name} imports {other}")
    return bad


def circles(parsed: list[Module]) -> list[str]:
    """Parts of the package that import each other, directly or by others."""
    arrows: dict[str, set[str]] = {}
    for module in parsed:
        own = module.name.split(".")[0]
        if not own.startswith("__"):
            arrows.setdefault(own, set()).update(imports(module) - {own})
    reached = {start: set(below) for start, below in arrows.items()}
    for _ in reached:
        for start in reached:
            for middle in list(reached[start]):
                reached[start] |= reached.get(middle, set())
    return sorted(start for start, below in reached.items() if start in below)


def figures() -> dict[str, float]:
    """Everything that `make test` prints."""
    parsed = modules()
    functions = [function for module in parsed for function in module.functions]
    lengths = [length(function) for function in functions]
    lines = sum(module.text.count("\n") for module in parsed)
    notes = sum(comment_lines(m.text) + constant_notes(m.tree) for m in parsed)
    used, helpers = used_names(parsed), private_helpers(parsed)
    once = sum(used[name] <= 1 for name in helpers)
    return {
        "files": len(parsed),
        "lines": lines,
        "largest file": max(module.text.count("\n") for module in parsed),
        "functions": len(functions),
        "largest function": max(lengths),
        "median function": statistics.median(lengths),
        "comments, % of lines": round(100 * notes / lines, 1),
        "private helpers called once, % of functions": round(100 * once / len(functions), 1),
        "functions that only forward": sum(map(forwards, functions)),
        "public names without docstring or types": len(undocumented(parsed)),
        "checks for the class of a suite": len(suite_checks(parsed)),
        "upward imports": len(upward_imports(parsed)),
        "circles": len(circles(parsed)),
    }


if __name__ == "__main__":
    print("\n".join(f"{name}: {value:,}" for name, value in figures().items()))
