"""Folders, hosts and users are taken out of text that others will read."""

import pytest

from nsbench.util.anonymous import anonymous


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "calculon.example.org")
    monkeypatch.setattr("getpass.getuser", lambda: "fry")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("cannot read /home/fry/a b.json", "cannot read a b.json"),
        ("File '/opt/x/y.py', line 3", "File 'y.py', line 3"),
        ("in ~/runs/one/z", "in z"),
        ("[calculon.example.org]:2972 by calculon", "[HOST]:2972 by HOST"),
        ("fry may fry, friers too", "USER may USER, friers too"),
        ("12 images/s of fog/3, 4 / 5", "12 images/s of fog/3, 4 / 5"),
        ("https://x.org/a/b", "https://x.org/a/b"),
        ("Linux x86_64", "Linux x86_64"),
    ],
)
def test_text(text: str, left: str) -> None:
    assert anonymous(text) == left


def test_all_strings_of_a_value() -> None:
    value = {"fry": ["/a/b/c", {"x": ("/a/b", 1, None, 2.5, True)}]}
    assert anonymous(value) == {"fry": ["c", {"x": ["b", 1, None, 2.5, True]}]}


def test_an_account_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 1000")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert anonymous("fry at calculon") == "fry at HOST"
