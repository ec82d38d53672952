"""The changes that `make mutants` makes, what it runs them against, and its list."""

import ast
from pathlib import Path

import pytest

from tests import mutants
from tests.mutant_kinds import mutants as mutants_of

CODE = '''"""Shares."""

LIMIT = 2.0


def share(part: int, whole: int, *, percent: bool = False) -> float:
    """The share, 0 of nothing."""
    if not whole or part > whole:
        raise ValueError(f"{part + 1} is too much")
    values = [part, whole]
    values.sort(key=abs, reverse=True)
    total = sum(values) - part  # whole
    return min(LIMIT, part / total) * (100 if percent else 1)
'''

CHANGES = {
    "LIMIT = 2.2",
    "def share(part: int, whole: int, *, percent: bool = True) -> float:",
    "if whole or part > whole:",
    "if not whole and part > whole:",
    "if not whole or part >= whole:",
    "pass",
    "values.sort(reverse=True)",
    "values.sort(key=abs, )",
    "values.sort(key=abs, reverse=False)",
    "total = sum(values) + part # whole",
    "total = max(values) - part # whole",
    "return max(LIMIT, part / total) * (100 if percent else 1)",
    "return min(LIMIT, part * total) * (100 if percent else 1)",
    "return min(LIMIT, part / total) / (100 if percent else 1)",
    "return min(LIMIT, part / total) * (101 if percent else 1)",
    "return min(LIMIT, part / total) * (100 if not percent else 1)",
    "return min(LIMIT, part / total) * (100 if percent else 2)",
    "return (min(LIMIT, part / total) * (100 if percent else 1)) * 1.1",
}


def written(root: Path, code: str) -> str:
    (root / "nsbench" / "part").mkdir(parents=True, exist_ok=True)
    (root / "nsbench" / "part" / "code.py").write_text(code)
    return "nsbench/part/code.py"


def test_each_change_is_of_one_line_and_can_be_run(tmp_path: Path) -> None:
    """No message, type or docstring is changed."""
    found = [mutant for mutant in mutants_of(tmp_path, written(tmp_path, CODE)) if mutant.runs]
    assert {mutant.after for mutant in found} == CHANGES
    lines = CODE.splitlines()
    for mutant in found:
        ast.parse(mutant.text)
        changed = mutant.text.splitlines()
        assert len(changed) == len(lines)
        differ = [
            n for n, pair in enumerate(zip(lines, changed, strict=True), 1) if len({*pair}) > 1
        ]
        assert differ == [mutant.line]
        assert mutant.before == " ".join(lines[mutant.line - 1].split())
        assert mutant.function == (0 if mutant.line < 8 else 6)


def test_what_only_another_machine_would_notice_is_left_alone(tmp_path: Path) -> None:
    code = "a = torch.zeros(n, device=b)\nadvance(n)\ndistributed.barrier()\nc = maximum(a, b)\n"
    assert mutants_of(tmp_path, written(tmp_path, code)) == []
    code = "axes = empty_axes(a - 1, 2.5)\n"
    assert mutants_of(tmp_path, written(tmp_path, code)) != []
    (tmp_path / "nsbench" / "figures").mkdir()
    (tmp_path / "nsbench" / "figures" / "code.py").write_text(code)
    assert mutants_of(tmp_path, "nsbench/figures/code.py") == []


def test_keys_of_a_hash_are_left_out_and_arguments_swapped(tmp_path: Path) -> None:
    code = "a = stable_hash(seed, name, 'x')\nb = cut(image, mask, how='y', strict=True)\n"
    found = [mutant.after for mutant in mutants_of(tmp_path, written(tmp_path, code))]
    assert set(found) == {
        "a = stable_hash(name, 'x')",
        "a = stable_hash(seed, 'x')",
        "a = stable_hash(seed, name, )",
        "a = stable_hash(name, seed, 'x')",
        "b = cut(mask, image, how='y', strict=True)",
        "b = cut(image, mask, strict=True)",
    }


PLANTED = """
import pytest
from nsbench.part.code import share


def test_share():
    assert share(1, 4, percent=True) == 25
    with pytest.raises(ValueError):
        share(3, 2)
"""


def test_planted_changes_are_noticed_by_the_tests_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, CODE)
    for name in ("nsbench", "nsbench/part", "tests", "tests/part"):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "tests" / "part" / "test_code.py").write_text(PLANTED)
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = mutants.folder_of(file, tmp_path)
    assert folder == tmp_path / "tests" / "part"
    known = mutants.known_tests(mutants.tests_of(folder), 1, None)
    (tests,) = known.values()
    assert tests.called[file] == [1, 6]  # the file itself, and the function
    every = {mutant.after: mutant for mutant in mutants_of(tmp_path, file)}
    some = ["total = sum(values) + part # whole", "if not whole or part >= whole:"]
    jobs = [mutants.job_of(every[after], known, tmp_path) for after in some]
    ended = {done.job.mutant.after: done.code for done in mutants.run(jobs, 1) if done.job.mutant}
    assert ended == {some[0]: 1, some[1]: 0}
    assert (tmp_path / file).read_text() == CODE  # changes are made in copies


def test_a_sample_follows_its_seed() -> None:
    found = mutants.all_mutants(patterns=["nsbench/metrics/seeds.py"])
    one = mutants.sample(found, 20, 0)
    assert [m.name for m in one] == [m.name for m in mutants.sample(found, 20, 0)]
    assert [m.name for m in one] != [m.name for m in mutants.sample(found, 20, 1)]
    assert len(one) == 20


def test_every_module_and_folder_that_is_named_is_there() -> None:
    for pattern in mutants.MODULES:
        paths = list(mutants.ROOT.glob(pattern))
        assert paths, pattern
        for path in paths:
            folder = mutants.folder_of(path.relative_to(mutants.ROOT).as_posix())
            assert mutants.tests_of(folder), path


def test_the_list_of_harmless_ones_is_of_changes_that_there_are() -> None:
    listed = mutants.harmless()
    assert all(len(reason.split()) > 3 for reason in listed.values())
    for file in {file for file, _, _ in listed}:
        names = {mutant.name for mutant in mutants_of(mutants.ROOT, file)}
        assert {name for name in listed if name[0] == file} <= names
