import shlex
import sys

import pytest

from nsbench.util.repeat import again, begin, is_done


def test_the_line_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nsbench"])
    words = ["eval", "my run [1]", "--suite", "a;b", "--set", "x='y'"]
    assert shlex.split(again(words)) == ["nsbench", *words]


def test_it_starts_as_the_command_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/lib/nsbench/__main__.py"])
    monkeypatch.setattr(sys, "executable", "/env/bin/python3")
    assert again(["ls"]) == "/env/bin/python3 -m nsbench ls"
    monkeypatch.setattr("shutil.which", lambda name: f"/env/bin/{name}")
    assert again(["ls"]) == "python3 -m nsbench ls"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert again(["ls"]) == "torchrun --nproc-per-node 4 -m nsbench ls"


def test_what_is_done_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["nsbench"])
    begin()
    assert again(["eval", "--redo"]) == "nsbench eval --redo"
    is_done("--redo")
    assert again(["eval", "--redo"]) == "nsbench eval"
    begin()
    assert again(["eval", "--redo"]) == "nsbench eval --redo"
