"""The benchmark times both sides of what it says, and its ratios are those of its figures."""

import json
from pathlib import Path

import pytest

from nsbench import cli


def test_both_sides_are_timed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    names = ["contrast", "pixelate"]
    small = ["--image-size", "64", "--batch-size", "4", "--rounds", "1", "--device", "cpu"]
    with pytest.raises(SystemExit) as left:
        cli.main(["bench", "corruptions", "--corruption", *names, *small,
                  "--json", str(tmp_path / "b.json")])  # fmt: skip
    assert not left.value.code
    found = json.loads((tmp_path / "b.json").read_text())
    assert [(cell["corruption"], cell["severity"]) for cell in found["cells"]] == [
        (name, severity) for name in names for severity in range(1, 6)
    ]
    for cell in found["cells"]:
        ratio = cell["nsbench_images_per_second"] / cell["imagecorruptions_images_per_second"]
        assert cell["ratio"] == pytest.approx(ratio)
    times = [
        sum(1 / cell[f"{side}_images_per_second"] for cell in found["cells"])
        for side in ("imagecorruptions", "nsbench")
    ]
    assert found["speedup"] == pytest.approx(times[0] / times[1])
    assert set(found["ratios"]) == set(names)
    assert found["slowest_ratio"] == min(found["ratios"].values())
    assert "contrast" in capfd.readouterr().out
