"""References: constants from models and from the literature."""

import json
from pathlib import Path

import pytest

from nsbench.suites.load import load_suite


def test_the_committed_reference_agrees_with_itself() -> None:
    """digits-a are the images behind the clean error of digits-c."""
    content = json.loads(Path(str(load_suite("digits-c").reference)).read_text())
    wrong = content["suites"]["digits-a"]["misclassified"]
    assert len(wrong) == pytest.approx(1000 * content["suites"]["digits-c"]["clean"], abs=0.5)
