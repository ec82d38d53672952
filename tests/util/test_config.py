from pathlib import Path

import pytest
from pydantic import Field

from nsbench.util.config import NAME, Config, apply_settings, nearest, parse, read_named, read_toml
from nsbench.util.errors import NsbenchError


class Inner(Config):
    width: int = 1


class Outer(Config):
    name: str
    rate: float = 0.1
    inner: Inner = Inner()
    items: list[Inner] = []


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"name": "a", "rat": 1}, "file.toml: unknown key 'rat'; did you mean 'rate'?"),
        (
            {"name": "a", "inner": {"widht": 1}},
            "file.toml: unknown key 'inner.widht'; did you mean 'width'?",
        ),
        (
            {"name": "a", "items": [{"width": 1}, {"wdth": 1}]},
            "file.toml: unknown key 'items.1.wdth'; did you mean 'width'?",
        ),
        ({}, "file.toml: the key 'name' is missing"),
        (
            {"name": "a", "rate": "fast"},
            "file.toml: the key 'rate' is 'fast', but must be a valid number",
        ),
        (
            {"name": "a", "inner": {"width": 1.5}},
            "file.toml: the key 'inner.width' is 1.5, but must be a valid integer",
        ),
    ],
)
def test_a_wrong_table_is_one_sentence(table: dict[str, object], sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        parse(Outer, table, "file.toml")
    assert str(caught.value) == sentence


def test_whole_numbers_are_fine_where_numbers_are_asked() -> None:
    assert parse(Outer, {"name": "a", "rate": 1}, "f").rate == 1.0


def test_a_far_name_lists_what_there_is() -> None:
    assert nearest("zzz", ["one", "two"]) == "; valid are one, two"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("a=2", {"a": 2, "list": [{"b": 1}]}),
        ("a=text", {"a": "text", "list": [{"b": 1}]}),
        ("list.0.b=[1, 2]", {"a": 1, "list": [{"b": [1, 2]}]}),
        ("new.key=true", {"a": 1, "list": [{"b": 1}], "new": {"key": True}}),
        ("a=x=y", {"a": "x=y", "list": [{"b": 1}]}),
    ],
)
def test_settings(setting: str, expected: dict[str, object]) -> None:
    assert apply_settings({"a": 1, "list": [{"b": 1}]}, [setting]) == expected


@pytest.mark.parametrize("setting", ["a", "=1", "list.7.b=1", "list.x=1", "a.b.c=1"])
def test_settings_that_lead_nowhere(setting: str) -> None:
    with pytest.raises(NsbenchError, match="--set"):
        apply_settings({"a": 1, "list": [{"b": 1}]}, [setting])


def test_files_that_are_no_toml(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("a = ")
    with pytest.raises(NsbenchError, match="not valid TOML"):
        read_toml(broken)
    with pytest.raises(NsbenchError, match=r"cannot read .*absent\.toml"):
        read_toml(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    "content",
    [b"[]", b"a = " + b"[" * 5000, b"a = " + b"9" * 5000, b"\xff", b"a\0 = 1", b"a = {b = {" * 900],
)
def test_broken_toml_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(NsbenchError, match=r"x\.toml is not valid TOML: ") as raised:
        read_toml(path)
    assert "\n" not in str(raised.value)


def test_a_setting_of_any_text_is_a_value_or_a_text() -> None:
    assert apply_settings({}, ["a=" + "[" * 5000]) == {"a": "[" * 5000}
    assert apply_settings({}, ["a=" + "9" * 5000]) == {"a": "9" * 5000}


def test_toml_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbfa = 1\r\n")
    assert read_toml(tmp_path / "x.toml") == {"a": 1}


def test_a_file_is_called_what_it_holds_unless_it_says_otherwise(tmp_path: Path) -> None:
    (tmp_path / "a.b.toml").write_text("x = 1")
    assert read_named(tmp_path / "a.b.toml") == {"name": "a.b", "x": 1}
    (tmp_path / "run [1].toml").write_text("x = 1")
    with pytest.raises(NsbenchError, match=r"run \[1\]\.toml names what it holds.*rename the file"):
        read_named(tmp_path / "run [1].toml")
    (tmp_path / "run [1].toml").write_text('name = "é"')
    assert read_named(tmp_path / "run [1].toml") == {"name": "é"}  # refused as a key


def test_names_are_explained_in_words() -> None:
    class Named(Config):
        name: str = Field(pattern=NAME)

    with pytest.raises(NsbenchError, match="x: the key 'name' is 'a b', but must be of letters, d"):
        parse(Named, {"name": "a b"}, "x")
