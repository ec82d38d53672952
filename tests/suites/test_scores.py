"""Metrics of stored predictions, against the pure functions and the reference itself."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.metrics.change import change
from nsbench.metrics.robustness import mce, normalised_mean, relative_mce
from nsbench.names import frame_count
from nsbench.predictions import Predictions, Store
from nsbench.suites.load import load_suite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError

IDS = [f"i{index}" for index in range(40)]
RNG = np.random.default_rng(0)


def stored(
    tmp_path: Path, suite_text: str, cells: dict[str, Predictions], reference: object
) -> Path:
    path = tmp_path / "s.toml"
    path.write_text(suite_text)
    suite = load_suite(str(path))
    store = Store(tmp_path, suite.name, {})
    for cell, rows in cells.items():
        store.write(cell, rows)
    model = {"name": "m", "arch": "a"}
    store.finish({"suite": suite.model_dump(), "model": model, "reference": reference})
    return store.folder


def rows(error: float) -> Predictions:
    """Forty images of class 0, a share of them answered with class 1."""
    first = (RNG.random(40) < error).astype(np.int32)
    top = np.stack([first, 1 - first, *(np.full(40, c) for c in (2, 3, 4))], 1).astype(np.int32)
    return Predictions(IDS, np.zeros(40, np.int32), top, np.full(40, 0.5, np.float32))


def errors_of(cells: dict[str, Predictions], name: str) -> list[float]:
    return [float((cells[f"{name}/{s}"].top[:, 0] != 0).mean()) for s in range(1, 6)]


SUITE = 'kind = "corruption"\nsource = "digits"\nimage_size = 32\ncorruptions = ["fog", "snow"]\n'


def test_corruption_scores_equal_the_formulas(tmp_path: Path) -> None:
    cells = {f"{n}/{s}": rows(0.1 * s) for n in ("fog", "snow") for s in range(1, 6)}
    cells["clean"] = rows(0.1)
    reference = {
        "model": "ref", "clean": 0.2,
        "errors": {"fog": [0.3, 0.4, 0.5, 0.6, 0.7], "snow": [0.25, 0.3, 0.35, 0.3, 0.4]},
    }  # fmt: skip
    scores = score(stored(tmp_path, SUITE, cells, reference))
    errors = {name: errors_of(cells, name) for name in ("fog", "snow")}
    clean = float((cells["clean"].top[:, 0] != 0).mean())
    metrics = scores.metrics
    assert next(iter(metrics)) == "mce"
    assert metrics["mce"].value == pytest.approx(mce(errors, reference["errors"]))  # type: ignore
    assert metrics["relative_mce"].name == "relative mCE"
    assert metrics["relative_mce"].value == pytest.approx(
        relative_mce(errors, clean, reference["errors"], 0.2)  # type: ignore[arg-type]
    )
    assert metrics["error"].value == pytest.approx(100 * np.mean(list(errors.values())))
    assert metrics["clean_top1"].value == pytest.approx(100 * (1 - clean))
    assert scores.reference == "ref"
    low, high = metrics["mce"].interval
    assert low < metrics["mce"].value < high


def test_relative_mce_says_when_the_reference_does_not_suffer(tmp_path: Path) -> None:
    cells = {f"{n}/{s}": rows(0.5) for n in ("fog", "snow") for s in range(1, 6)}
    cells["clean"] = rows(0.1)
    errors = {"fog": [0.3] * 5, "snow": [0.24] * 5}
    reference = {"model": "ref", "clean": 0.2, "errors": errors}
    metric = score(stored(tmp_path, SUITE, cells, reference)).metrics["relative_mce"]
    clean = float((cells["clean"].top[:, 0] != 0).mean())
    fog = {"fog": errors_of(cells, "fog")}
    assert metric.name == "relative mCE (1 of 2)"
    assert metric.value == pytest.approx(relative_mce(fog, clean, {"fog": [0.3] * 5}, 0.2))


def test_perturbation_scores_equal_the_formulas(tmp_path: Path) -> None:
    names = ("gaussian_noise", "translate")
    cells, flips = {}, {}
    for name in names:
        frames = frame_count(name, 32)
        first = RNG.integers(0, 2, (40, frames))
        base = np.broadcast_to([2, 3, 4, 5], (40, frames, 4))
        top = np.concatenate([first[..., None], base], -1).astype(np.int32)
        ids = [name for name in IDS for _ in range(frames)]
        count = len(ids)
        cells[name] = Predictions(
            ids, np.zeros(count, np.int32), top.reshape(-1, 5), np.ones(count, np.float32)
        )
        before = first[:, :1] if "noise" in name else first[:, :-1]
        flips[name] = float((first[:, 1:] != before).mean())
    reference = {
        "model": "ref",
        "flip_probability": {"gaussian_noise": 0.2, "translate": 0.4},
        "top5_distance": {"gaussian_noise": 2.0, "translate": 1.0},
    }
    text = (
        'kind = "perturbation"\nsource = "digits"\nimage_size = 32\n'
        'perturbations = ["gaussian_noise", "translate"]\n'
    )
    metrics = score(stored(tmp_path, text, cells, reference)).metrics
    expected = normalised_mean(flips, reference["flip_probability"])  # type: ignore[arg-type]
    assert metrics["mfr"].value == pytest.approx(expected)
    # a flip of the first class here changes nothing but the first rank: |0 - 5|
    distances = {name: 5 * flip for name, flip in flips.items()}
    expected = normalised_mean(distances, reference["top5_distance"])  # type: ignore[arg-type]
    assert metrics["mt5d"].value == pytest.approx(expected)
    assert len(metrics["mfr"].scores) == 40  # a clip is the unit


def test_a_broken_manifest_is_one_sentence(tmp_path: Path) -> None:
    for content in ("{}", "[]", '{"suite": {}}', ""):
        (tmp_path / "suite.json").write_text(content)
        with pytest.raises(NsbenchError, match=r"suite\.json (holds no digest|cannot be read)"):
            score(tmp_path)
    store = Store(tmp_path, "s", {})
    store.finish({"suite": {"kind": "accuracy"}})
    with pytest.raises(NsbenchError, match="are broken|is not a kind of suite|key"):
        score(store.folder)


def test_accuracy_suites_carry_calibration(tmp_path: Path) -> None:
    cells = {"images": rows(0.25)}
    scores = score(stored(tmp_path, 'kind = "accuracy"\nsource = "digits"\n', cells, None))
    top1 = scores.metrics["top1"].value
    found = scores.tables["calibration"]
    assert set(found) == {"ECE", "RMS calibration error", "AURRA"}  # 40 images: no released RMS
    assert found["ECE"] == [pytest.approx(abs(top1 - 50))]  # all are of confidence 0.5
    assert found["RMS calibration error"] == [pytest.approx(found["ECE"][0])]
    assert found["AURRA"] == [pytest.approx(top1)]


def test_accuracies_count_the_ranks_that_they_name(tmp_path: Path) -> None:
    """Of 40 images 10 have their label first, 5 fifth and 8 third."""
    top = np.tile(np.arange(1, 6, dtype=np.int32), (40, 1))
    top[:10, 0] = top[10:15, 4] = top[15:23, 2] = 0
    cells = {"images": rows(0.0)._replace(top=top)}
    found = score(stored(tmp_path, 'kind = "accuracy"\nsource = "digits"\n', cells, None))
    assert found.metrics["top1"].value == 100 * 10 / 40
    assert found.metrics["top5"].value == 100 * 23 / 40


def test_tables_are_means_over_severities_and_corruptions(tmp_path: Path) -> None:
    names = {"fog": 0.05, "snow": 0.1, "contrast": 0.18}
    cells = {f"{n}/{s}": rows(share * s) for n, share in names.items() for s in range(1, 6)}
    errors = {name: np.array(errors_of(cells, name)) for name in names}
    reference = {
        "model": "ref", "clean": 0.1,
        "errors": {"fog": [0.3, 0.4, 0.5, 0.6, 0.7], "snow": [0.2] * 5, "contrast": [0.4] * 5},
    }  # fmt: skip
    text = SUITE.replace('"snow"]', '"snow", "contrast"]')
    tables = score(stored(tmp_path, text, cells | {"clean": rows(0.0)}, reference)).tables
    assert list(tables["error"]) == list(names)
    for name, row in errors.items():
        assert tables["error"][name] == pytest.approx(100 * row)
        ce = 100 * row.sum() / sum(reference["errors"][name])  # type: ignore[index]
        assert tables["ce"][name] == [pytest.approx(ce)]
    for severity in range(5):
        (value, low, high) = tables["severity"][str(severity + 1)]
        assert value == pytest.approx(100 * np.mean([row[severity] for row in errors.values()]))
        assert low < value < high
    # fog and snow are of one family
    weather, digital = tables["family"]["weather"], tables["family"]["digital"]
    assert weather[0] == pytest.approx(50 * (errors["fog"].mean() + errors["snow"].mean()))
    assert digital[0] == pytest.approx(100 * errors["contrast"].mean())
    assert all(row[1] < row[0] < row[2] for row in (weather, digital))


def test_a_clip_that_was_lost_is_the_worst_there_can_be(tmp_path: Path) -> None:
    names = ("gaussian_noise", "translate")
    cells = {}
    for name in names:
        frames = frame_count(name, 32)
        steady = all_rows(1, frames)
        top = steady.top.copy()
        top[:frames] = -1  # the first clip of forty
        cells[name] = steady._replace(top=top)
    reference = {
        "model": "ref",
        "flip_probability": {"gaussian_noise": 0.2, "translate": 0.5},
        "top5_distance": {"gaussian_noise": 3.0, "translate": 1.5},
    }
    text = SUITE.replace("corruption", "perturbation").replace("fog", names[0])
    found = score(stored(tmp_path, text.replace("snow", names[1]), cells, reference))
    assert found.metrics["flip_probability"].scores.tolist() == [100, *[0] * 39]
    assert found.metrics["mfr"].scores[0] == pytest.approx(100 * (1 / 0.2 + 1 / 0.5) / 2)
    # 15 is the sum of |i - 5| over the five ranks
    assert found.metrics["mt5d"].scores[0] == pytest.approx(100 * (15 / 3 + 15 / 1.5) / 2)
    assert not found.metrics["mt5d"].scores[1:].any()
    assert found.tables["top5_distance"] == {name: [15 / 40] for name in names}


def test_parts_are_the_tables_by_image(tmp_path: Path) -> None:
    cells = {f"{n}/{s}": rows(0.1 * s) for n in ("fog", "snow") for s in range(1, 6)}
    scores = score(stored(tmp_path, SUITE, cells | {"clean": rows(0.1)}, None))
    for name, part in scores.parts.items():
        assert part.value == pytest.approx(np.mean(scores.tables["error"][name]))
        assert part.ids == tuple(IDS)
    assert list(scores.parts) == ["fog", "snow"]


def all_rows(answer: int, frames: int = 1) -> Predictions:
    """Forty images of class 0, all answered with one class."""
    count = 40 * frames
    ids = [name for name in IDS for _ in range(frames)]
    top = np.tile(np.arange(answer, answer + 5, dtype=np.int32), (count, 1))
    return Predictions(ids, np.zeros(count, np.int32), top, np.full(count, 0.5, np.float32))


def test_a_model_that_is_always_wrong_has_intervals(tmp_path: Path) -> None:
    cells = {f"{n}/{s}": all_rows(1) for n in ("fog", "snow") for s in range(1, 6)}
    errors = {"fog": [0.5] * 5, "snow": [0.8] * 5}
    reference = {"model": "ref", "clean": 0.2, "errors": errors}
    scores = score(stored(tmp_path, SUITE, cells | {"clean": all_rows(0)}, reference))
    z2 = 1.959963984540054**2
    least, most = 40 / (40 + z2), z2 / (40 + z2)
    mce = 100 * (1 / 0.5 + 1 / 0.8) / 2
    found = scores.metrics["mce"]
    assert found.value == pytest.approx(mce)
    assert found.interval == pytest.approx((least * mce, mce))
    # always right on clean images and always wrong on others is the most there is
    relative = 100 * (1 / 0.3 + 1 / 0.6) / 2
    assert scores.metrics["relative_mce"].interval == pytest.approx(
        (relative - 2 * most * relative, relative)
    )
    assert scores.metrics["error"].interval == pytest.approx((100 * least, 100))
    assert scores.parts["fog"].interval == pytest.approx((100 * least, 100))
    # nor is it sure that another such model is equal
    same = change(found, found)
    assert same.value == 0
    assert same.interval == pytest.approx((-most * mce, most * mce))
    assert same.p_value == 1


def test_a_model_that_never_flips_has_intervals(tmp_path: Path) -> None:
    names = ("gaussian_noise", "translate")
    cells = {name: all_rows(1, frame_count(name, 32)) for name in names}
    reference = {
        "model": "ref",
        "flip_probability": {"gaussian_noise": 0.2, "translate": 0.5},
        "top5_distance": {"gaussian_noise": 3.0, "translate": 1.5},
    }
    text = SUITE.replace("corruption", "perturbation").replace("fog", names[0])
    metrics = score(stored(tmp_path, text.replace("snow", names[1]), cells, reference)).metrics
    z2 = 1.959963984540054**2
    most = z2 / (40 + z2)
    assert metrics["mfr"].interval == pytest.approx((0, most * 100 * (1 / 0.2 + 1 / 0.5) / 2))
    assert metrics["mt5d"].interval == pytest.approx((0, most * 100 * (15 / 3 + 15 / 1.5) / 2))
    assert metrics["flip_probability"].interval == pytest.approx((0, 100 * most))
