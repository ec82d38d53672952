import json
import subprocess
from pathlib import Path

import pytest

import nsbench
from nsbench.util.provenance import environment, git_commit


def test_the_environment_is_plain_json() -> None:
    found = environment("cpu")
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"]
    assert found["device"] == "cpu"


def test_the_commit_is_that_of_the_checkout() -> None:
    top = Path(nsbench.__file__).parents[1]
    if not (top / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run(
        ["git", "-C", str(top), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    found = git_commit()
    assert found is not None
    assert found.removesuffix("-dirty") == head
