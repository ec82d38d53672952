"""What is said of suites: how many images they have, and whether these are there."""

from pathlib import Path

import pytest

from nsbench.data.catalog import VARIABLE
from nsbench.reporting.suite_tables import suite_table
from tests.conftest import write_suite
from tests.data.readers.kinds import png


def cells(name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for head, text in suite_table(name).rows:
        found.setdefault(head, text)
    return found


@pytest.mark.parametrize(
    ("keys", "images"),
    [("", "1,000"), ("images_per_class = 3", "30"), ("misclassified = true", "208")],
)
def test_how_many_images_are_evaluated(keys: str, images: str, tmp_path: Path) -> None:
    text = 'kind = "accuracy"\nsource = { source = "digits", split = "test" }\n' + keys
    if "misclassified" in keys:
        assert cells("digits-a")["images"] == images
    else:
        assert cells(str(write_suite(tmp_path / "own.toml", text)))["images"] == images


@pytest.mark.parametrize(("count", "end"), [(8, ", eps=8"), (9, ", eps=8 …")])
def test_eight_cells_are_named(count: int, end: str, tmp_path: Path) -> None:
    text = (
        'kind = "attack"\nsource = "digits"\nattack = "fgsm"\nheadline = 1.0\n'
        f"epsilons = {[float(n) for n in range(1, count + 1)]}\n"
    )
    found = cells(str(write_suite(tmp_path / "own.toml", text)))["cells"]
    assert found.startswith(f"{count}: eps=1, eps=2")
    assert found.endswith(end)


def test_whether_images_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert cells("imagenet-a")["found"] == "missing"
    (tmp_path / "imagenet-a" / "n01498041").mkdir(parents=True)
    (tmp_path / "imagenet-a" / "n01498041" / "0.png").write_bytes(png())
    assert cells("imagenet-a")["found"] == "without clean"
    (tmp_path / "imagenet-1k" / "val" / "n01498041").mkdir(parents=True)
    (tmp_path / "imagenet-1k" / "val" / "n01498041" / "0.png").write_bytes(png())
    assert cells("imagenet-a")["found"] == "yes"
    assert cells("imagenet-c")["found"] == "made from data:imagenet-1k"
