"""What holds for every file of the package; `python -m tests.house` prints the figures."""

import ast

import pytest

from tests import house

PARSED = house.modules()
FIGURES = house.figures()
FUNCTIONS = [(module, function) for module in PARSED for function in module.functions]


def test_files_and_functions_are_short() -> None:
    long_files = {m.name: m.text.count("\n") for m in PARSED if m.text.count("\n") > 350}
    long_functions = {
        f"{module.name}.{function.name}": house.length(function)
        for module, function in FUNCTIONS
        if house.length(function) > 60
    }
    assert long_files == long_functions == {}
    assert FIGURES["median function"] <= 10


def test_imports_lead_downwards_and_in_no_circle() -> None:
    assert house.upward_imports(PARSED) == house.circles(PARSED) == []


def test_the_class_of_a_suite_is_asked_for_nowhere() -> None:
    assert house.suite_checks(PARSED) == []


def test_what_is_public_has_a_docstring_and_types() -> None:
    assert house.undocumented(PARSED) == []


def test_no_function_only_forwards() -> None:
    assert [f"{m.name}.{f.name}" for m, f in FUNCTIONS if house.forwards(f)] == []


def test_constants_and_odd_lines_have_their_reasons() -> None:
    assert FIGURES["comments, % of lines"] >= 5


FORWARDERS = {
    "def f(a, b):\n    return g(a, b)": True,
    "def f(a, b):\n    'Do it.'\n    return g(a, b)": True,
    "def f(self, a):\n    g(a)": True,
    "def f(a, b):\n    return g(b, a)": False,
    "def f(a):\n    return g(a, 1)": False,
    "def f(a):\n    return g(a, key=1)": False,
    "def f():\n    return g()": False,
    "def f(a):\n    b = g(a)\n    return b": False,
    "def forward(self, a):\n    return self.g(a)": False,
}


@pytest.mark.parametrize("code", FORWARDERS)
def test_forwarding_is_recognised(code: str) -> None:
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert house.forwards(function) == FORWARDERS[code]


def test_comments_are_counted_and_instructions_to_tools_are_not() -> None:
    text = "a = 1  # why\n# more\nb = 2  # noqa: E501\nc = '# no'  # type: ignore[misc]\n"
    assert house.comment_lines(text) == 2
    assert house.constant_notes(ast.parse('A = 1\n"""Why."""\nB = 2\n')) == 1
