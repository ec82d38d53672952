"""Figures are read back: places of marks, lines and bands, tips, tables and titles."""

import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import change_over_seeds, over_seeds
from nsbench.reporting.figures.accuracy import accuracy_figures
from nsbench.reporting.figures.attack import attack_figures
from nsbench.reporting.figures.corruption import corruption_figures
from nsbench.reporting.figures.drawn import Drawn, svg
from nsbench.reporting.figures.perturbation import perturbation_figures
from nsbench.reporting.figures.seeds import seeds_figures
from nsbench.reporting.figures.shift import shift_figures
from nsbench.reporting.figures.training import training_figure
from nsbench.reporting.results import Entry
from nsbench.reporting.seeds import Pooled, SeedRuns
from nsbench.suites.base import SuiteScores, Tables
from tests.published.results import result
from tests.reporting.drawn_values import SVG, Panel, panels

NAMES = ("run/one", "run/two")
Row = list[float]


def entries(suite: str, *tables: Tables, **more: Any) -> list[Entry]:
    """A model for each of the tables, by the names of `NAMES`."""
    found = []
    for name, own in zip(NAMES, tables, strict=True):
        scores = result(suite, {}, 100, tables=own, **more)
        found.append(Entry(name, None, {}, {suite: scores}))
    return found


def shown(drawn: Drawn, **scales: str) -> Panel:
    (panel,) = panels(drawn, **scales)
    return panel


def tips(panel: Panel) -> dict[str, tuple[float, float]]:
    """Where each point is, by its tip."""
    found = {mark.tip: mark.at for mark in panel.marks}
    assert len(found) == len(panel.marks)
    return found


def near(points: Any, x: Any, y: Any) -> bool:
    """Whether points are these; the SVG has six decimals of a pixel, ticks fewer of a value."""
    wanted = np.stack([np.asarray(x, float), np.asarray(y, float)], -1)
    return bool(np.allclose(points, wanted, atol=0.02))


def inside(middle: Any, row: int, column: int) -> bool:
    """Whether the middle of a cell is beside its words, which stand a little below the middle."""
    return bool(np.allclose(middle, (column, row), atol=0.2))


def reliability_tables(shift: float) -> Tables:
    bins = {f"{n}": [10.0 * n - 3, 9.0 * n - shift, 40.0] for n in range(1, 9)}
    bins["2"][2] = 9  # too few images to be drawn
    risks = {f"{share}": [0.2 * share + shift] for share in (5, 50, 100)}
    classes = {f"{label}": [5.0 * label + shift * (label - 2), 20.0] for label in range(5)}
    ece = {"ECE": [4.0 + shift]}
    return {"reliability": bins, "risk_coverage": risks, "classes": classes, "calibration": ece}


def test_accuracy_figures() -> None:
    tables = [reliability_tables(shift) for shift in (1.0, 3.0)]
    found = entries("imagenet-1k", *tables)
    reliability, risk, classes = accuracy_figures(found, "imagenet-1k")
    panel = shown(reliability)
    assert near(panel.lines[0], [0, 100], [0, 100])
    for number, (name, table) in enumerate(zip(("one", "two"), tables, strict=True)):
        drawn = [row for row in table["reliability"].values() if row[2] >= 10]
        assert len(drawn) == 7
        assert near(panel.lines[1 + number], *zip(*(row[:2] for row in drawn), strict=True))
        for mean, share, _ in drawn:
            at = tips(panel)[f"{name}, 40 images of mean confidence {mean:.1f}%: {share:.1f} %"]
            assert near(at, mean, share)
    assert reliability.table.rows[1] == ["2", "17.0 → 17.0 (9)", "17.0 → 15.0 (9)"]
    assert reliability.title == (
        "two is calibrated worst, with an ECE of 7.0%, and one best, with 5.0%"
    )
    turned, *_ = accuracy_figures(entries("imagenet-1k", *tables[::-1]), "imagenet-1k")
    assert turned.title == "one is calibrated worst, with an ECE of 7.0%, and two best, with 5.0%"
    panel = shown(risk)
    for number, shift in enumerate((1, 3)):
        assert near(panel.lines[number], [5, 50, 100], [1 + shift, 10 + shift, 20 + shift])
    assert near(tips(panel)["two, the surest 50%: 13.0 %"], 50, 13)
    assert risk.title.endswith("one errs on 11.0%")
    assert risk.table.rows[1] == ["50 %", "11.0", "13.0"]
    panel = shown(classes, y="names")
    # The second model minus the first: 2 (label - 2), the most on top.
    for place, label in enumerate((4, 3, 2, 1, 0)):
        change = 2.0 * (label - 2)
        mark = panel.marks[place]
        before, after = 5 * label + (label - 2), 5 * label + 3 * (label - 2)
        assert mark.tip == f"class {label}: {before:.1f} to {after:.1f} %"
        assert mark.points[:, 0].min() == pytest.approx(min(0, change), abs=0.02)
        assert mark.points[:, 0].max() == pytest.approx(max(0, change), abs=0.02)
        assert mark.points[:, 1].mean() == pytest.approx(place, abs=0.3)
        assert mark.color == ("var(--s2)" if change < 0 else "var(--s1)")
    assert classes.title == "two is above one on 2 of 5 classes and below on 2"
    assert classes.table.rows[0] == ["class 4", "20", "22.0", "26.0", "+4.0"]


def banded(names: list[str], start: float, step: float) -> dict[str, Row]:
    """Values with intervals that are wider above than below."""
    values = [start + step * n for n in range(len(names))]
    return {name: [v, v - 1, v + 2] for name, v in zip(names, values, strict=True)}


def check_bands(panel: Panel, rows: list[dict[str, Row]], xs: list[float]) -> None:
    """Each model's line is of the values, its band from the low to the high ends."""
    for line, band, own in zip(panel.lines, panel.bands, rows, strict=True):
        value, low, high = zip(*own.values(), strict=True)
        assert near(line, xs, value)
        for x, one, other in zip(xs, low, high, strict=True):
            ends = sorted({round(y, 1) for x_, y in band.tolist() if abs(x_ - x) < 0.01})
            assert ends == pytest.approx([one, other], abs=0.06)


def test_attack_figure() -> None:
    texts = ["0", "0.5", "2", "16"]
    rows = [banded(texts, 80.0, -20.0), banded(texts, 90.0, -15.0)]
    areas: list[Tables] = [{"area": {"mean accuracy": [v, v - 2, v + 1]}} for v in (31.0, 47.0)]
    both = [{"accuracy": own} | area for own, area in zip(rows, areas, strict=True)]
    (drawn,) = attack_figures(entries("imagenet-fgsm", *both), "imagenet-fgsm")
    panel = shown(drawn, x="ticks")
    check_bands(panel, rows, [0, 0.5, 2, 16])
    assert near(tips(panel)["two, ε = 2/255: 60.0 [59.0, 62.0] %"], 2, 60)
    assert drawn.table.rows[1] == ["ε = 0.5", "60.0 [59.0, 62.0]", "75.0 [74.0, 77.0]"]
    assert drawn.table.rows[-1] == ["mean from 0 to 16 (area)", "31.0 [29.0, 32.0]",
                                    "47.0 [45.0, 48.0]"]  # fmt: skip
    assert drawn.title == (
        "two is right on 47.0% of images on average over ε up to 16, one on 31.0%"
    )


def check_side_by_side(
    panel: Panel, rows: list[dict[str, Row]], labels: list[str], unit: str = " %"
) -> None:
    """A point for each name and model, the models beside each other, and its interval."""
    found, bars = tips(panel), iter(panel.lines)
    for number, (model, own) in enumerate(zip(("one", "two"), rows, strict=True)):
        for place, (label, (value, low, high)) in enumerate(zip(labels, own.values(), strict=True)):
            x = place + (number - 0.5) * 0.35
            assert near(
                found[f"{model}, {label}: {value:.1f} [{low:.1f}, {high:.1f}]{unit}"], x, value
            )
            assert near(next(bars), [x, x], [low, high])


def test_corruption_figures() -> None:
    names = ["fog", "zoom_blur", "contrast"]
    severities = ["1", "2", "3", "4", "5"]
    both: list[Tables] = []
    for shift in (0.0, -4.0):
        errors = {
            name: [10.0 * place + 3 * severity + shift * (place + 0.5) for severity in range(1, 6)]
            for place, name in enumerate(names, 1)
        }
        both.append(
            {
                "error": errors,
                "severity": banded(severities, 20 + shift, 7),
                "family": banded(["weather", "blur"], 30 - shift, 5),
            }
        )
    found = entries("imagenet-c", *both)
    severity, family, heat = corruption_figures(found, "imagenet-c")
    panel = shown(severity)
    check_bands(panel, [own["severity"] for own in both], [1, 2, 3, 4, 5])
    assert near(tips(panel)["two, severity 3: 30.0 [29.0, 32.0] %"], 3, 30)
    assert severity.title == (
        "At severity 5, two errs least, on 44.0% of images, and one most, on 48.0%"
    )
    assert severity.table.rows[0] == ["severity 1", "20.0 [19.0, 22.0]", "16.0 [15.0, 18.0]"]
    panel = shown(family, x="names")
    check_side_by_side(panel, [own["family"] for own in both], ["weather", "blur"])
    assert family.title == "two errs most under blur, on 39.0% of images"
    assert family.table.rows[1] == ["blur", "35.0 [34.0, 37.0]", "39.0 [38.0, 41.0]"]
    values = [np.array(list(own["error"].values())) for own in both]
    maps = [*values, values[1] - values[0]]
    for number, (panel, wanted) in enumerate(
        zip(panels(heat, "names", "names"), maps, strict=True)
    ):
        signed = number == 2
        for (row, column), value in np.ndenumerate(wanted):
            mark = panel.marks[5 * row + column]
            text = f"{value:+.1f} points" if signed else f"{value:.1f} %"
            assert mark.tip == f"{names[row].replace('_', ' ')}, severity {column + 1}: {text}"
            assert inside(mark.points[:4].mean(0), row, column)
        assert panel.texts[:15] == [f"{v:{'+' if signed else ''}z.0f}" for v in wanted.flatten()]
        # Darker is more; of the difference, less error is blue.
        first, last = (rgb(panel.marks[place].color) for place in (0, -1))
        assert sum(first) > sum(last)
        assert not signed or last[2] > last[0]
    assert heat.title == (
        "two gains on one most on contrast (-14.0 points of error), and least on fog (-6.0)"
    )
    assert heat.table.rows[0][:6] == ["fog", "13.0", "16.0", "19.0", "22.0", "25.0"]


def rgb(color: str) -> list[int]:
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def heat_of(count: int) -> Drawn:
    """The heat maps of so many models, each with more errors than the one before."""
    found = []
    for number in range(count):
        rows = {"fog": [10.0 + number + severity for severity in range(5)]}
        tables: Tables = {"error": rows, "severity": banded(list("12345"), 10, 1), "family": {}}
        scores = result("imagenet-c", {}, 100, tables=tables)
        found.append(Entry(f"run/m{number}", None, {}, {"imagenet-c": scores}))
    return corruption_figures(found, "imagenet-c")[-1]


@pytest.mark.parametrize(("models", "maps"), [(1, 1), (2, 3), (3, 4), (5, 4)])
def test_heat_maps_are_of_a_few_models_and_their_difference(models: int, maps: int) -> None:
    drawn = heat_of(models)
    axes = drawn.figure.axes
    assert len(axes) == maps
    if models > 1:
        cell = axes[-1].patches[0]
        red, _, blue, _ = to_rgba(cell.get_facecolor())
        assert red > blue  # orange: more errors
        assert cell.get_gid() == f"tip:fog, severity 1: {models - 1:+.1f} points"
    columns = 1 + 5 * min(models, 3)
    assert len(drawn.table.columns) == len(drawn.table.rows[0]) == columns
    assert ("The last map" in drawn.caption) == (models > 1)


def legend(drawn: Drawn) -> list[str]:
    """What the first panel calls its lines or points."""
    found = drawn.figure.axes[0].get_legend()
    return [text.get_text() for text in found.get_texts()] if found else []


def test_names_of_files_that_are_alike_in_ids_share_none() -> None:
    drawn = heat_of(1)
    one, other = (
        {*re.findall(r'\bid="([^"]+)"', svg(drawn.figure, name, "x"))} for name in ("a.b", "a/b")
    )
    assert len(one) == len(other) > 5
    assert not one & other


def test_percent_axes_begin_at_0_and_their_models_are_named() -> None:
    """So that a line twice as high is of twice as many."""
    curve: list[Tables] = [{"accuracy": banded(["0", "8"], 90, -30)}] * 2
    attack = attack_figures(entries("imagenet-fgsm", *curve), "imagenet-fgsm")
    plain = accuracy_figures(
        entries("imagenet-1k", *[reliability_tables(n) for n in (1.0, 3.0)]), "imagenet-1k"
    )[:2]
    errors: Tables = {
        "error": {"fog": [10.0] * 5}, "severity": banded(list("12345"), 10, 1),
        "family": banded(["weather"], 9, 1),
    }  # fmt: skip
    corruption = corruption_figures(entries("imagenet-c", errors, errors), "imagenet-c")[:2]
    for drawn in (*attack, *plain, *corruption):
        (axes,) = drawn.figure.axes
        assert axes.get_ylim()[0] == 0, drawn.key
        assert legend(drawn) == ["one", "two"], drawn.key
    for drawn in (attack[0], plain[0]):
        assert drawn.figure.axes[0].get_ylim()[1] == 101
    assert plain[0].figure.axes[0].get_xlim() == (0, 101)


def test_perturbation_figures() -> None:
    names = ["gaussian_noise", "shot_noise", "tilt"]
    clips = np.arange(40)
    both, by_frame = [], []
    for number in range(2):
        parts = {
            name: Metric(
                name, tuple(map(str, clips)), 100.0 * (clips % (3 + place + number) == 0), False
            )
            for place, name in enumerate(names)
        }
        frames = {
            name: [float(10 * place + f + number) for f in range(4)]
            for place, name in enumerate(names)
        }
        by_frame.append(frames)
        tables: Tables = {"flip_probability": {n: [m.value] for n, m in parts.items()}}
        scores = result("imagenet-p", {}, 40, tables=tables | {"flips_by_frame": frames})
        scores.parts.update(parts)
        both.append(Entry(NAMES[number], None, {}, {"imagenet-p": scores}))
    flips, frames_of = perturbation_figures(both, "imagenet-p")
    scored = [entry.scores["imagenet-p"] for entry in both]
    rows = [own.suite.cell_values(own) for own in scored]
    assert rows[0]["tilt"][0] == scored[0].parts["tilt"].value == 100 * 8 / 40
    labels = [name.replace("_", " ") for name in names]
    check_side_by_side(shown(flips, x="names"), rows, labels)
    assert legend(flips) == legend(frames_of) == ["one", "two"]
    assert flips.title.startswith("two flips most under gaussian noise, in 25.0% of frames")
    slow, noise = panels(frames_of)
    for number, frames in enumerate(by_frame):
        assert near(slow.lines[number], [2, 3, 4, 5], frames["tilt"])
        mean = np.mean([frames[name] for name in names[:2]], 0)
        assert near(noise.lines[number], [2, 3, 4, 5], mean)
    assert frames_of.title == (
        "At the last frame two flips in 24.0% of clips that move or change slowly and in 9.0% of "
        "clips under noise"
    )
    assert frames_of.table.rows[0] == ["2, compared with the frame before", "20.0", "21.0"]


def measured(suite: str, **values: float) -> SuiteScores:
    return result(suite, values, 100, tables={"calibration": {}})


def test_shift_figure_without_a_line() -> None:
    pairs = [(76.0, 31.5), (81.0, 48.25)]
    found = [
        Entry(
            name,
            None,
            {},
            {"imagenet-c": measured("imagenet-c", mce=1, clean_top1=c, error=100 - s)},
        )
        for name, (c, s) in zip(NAMES, pairs, strict=True)
    ]
    (drawn,) = shift_figures(found)
    panel = shown(drawn)
    for name, (clean, under) in zip(("one", "two"), pairs, strict=True):
        at = tips(panel)[f"{name}: {under:.1f} % under shift, {clean:.1f} % clean"]
        assert near(at, clean, under)
    assert near(panel.lines[0], [31.5, 100], [31.5, 100])
    assert drawn.title.startswith(
        "two loses 32.8 points between clean images and imagenet-c, one 44.5"
    )
    assert drawn.table.rows[0] == ["one", "76.0", "31.5", "-44.5"]


def test_shift_figure_with_the_line_of_standard_models() -> None:
    pairs = {"run/one": (58.0, 38.0), "run/two": (84.0, 76.0)}
    other = "imagenet-v2-matched-frequency"
    found = []
    for name, (clean, under) in pairs.items():
        whole = result("imagenet-1k", {"top1": clean}, 50_000, tables={"calibration": {}})
        shifted = result(other, {"top1": under}, 10_000, tables={"calibration": {}})
        found.append(Entry(name, None, {}, {"imagenet-1k": whole, other: shifted}))
    (drawn,) = shift_figures(found)
    panel = shown(drawn, x="logit", y="logit")
    for name, (clean, under) in pairs.items():
        at = tips(panel)[f"{name[4:]}: {under:.1f} % under shift, {clean:.1f} % clean"]
        assert near(at, clean, under)
    assert drawn.note == ""
    ticks = drawn.figure.axes[0].xaxis.get_majorticklocs()
    assert ticks.tolist() == [1, 2, 5, *range(10, 100, 10), 95, 98, 99]
    # A little room on either side of the models.
    assert drawn.figure.axes[0].get_xlim() == pytest.approx((53, 89))
    (line,) = panel.lines
    assert len(line) == 50
    for x, y in line.tolist():
        logit = 0.923 * np.log(x / (100 - x)) - 0.498
        assert y == pytest.approx(100 / (1 + np.exp(-logit)), abs=0.05)


def test_training_figure() -> None:
    def log(start: float, unlabeled: bool) -> list[dict[str, float | None]]:
        return [
            {"step": n, "loss": 1.0, "labeled_loss": start / n,
             "unlabeled_loss": start / n + 0.5 if unlabeled else None}
            for n in (1, 10, 20)
        ] + [{"step": 20, "validation": 50.0}]  # fmt: skip

    drawn = training_figure({"run/a": log(2.0, False), "run/b": log(3.0, True)})
    first, second = panels(drawn)
    assert len(first.lines) == 1
    assert near(first.lines[0], [1, 10, 20], [2, 0.2, 0.1])
    assert near(second.lines[0], [1, 10, 20], [3, 0.3, 0.15])
    assert near(second.lines[1], [1, 10, 20], [3.5, 0.8, 0.65])
    assert drawn.title == "a ends with the lowest labeled loss, 0.10"
    assert drawn.table.rows == [["a", "20", "0.100", ""], ["b", "20", "0.150", "0.650"]]


def seeded(place: str, level: float) -> Pooled:
    """A model of three seeds on three suites, the better by `level`."""
    found = {}
    for seed in range(3):
        images = np.arange(300)
        right = np.where((images * (seed + 3) + seed) % 10 < level, 100.0, 0.0)
        top1 = Metric("top-1", tuple(map(str, images)), right, True, proportion=True)
        tables: dict[str, Tables] = {
            "imagenet-1k": {},
            "imagenet-c": {"error": {n: [10.0 * s - level + 3 * seed + p for s in range(1, 6)]
                                     for p, n in enumerate(("fog", "snow"))}},
            "imagenet-fgsm": {"accuracy": {t: [90 - 9.0 * p + level + seed]
                                           for p, t in enumerate(("0", "2", "16"))}},
        }  # fmt: skip
        scores = {suite: result(suite, {}, 300, tables=own) for suite, own in tables.items()}
        for own in scores.values():
            own.metrics["top1"] = top1
        found[seed] = Entry(f"many/seed-{seed}/{place}", None, {}, scores)
    return Pooled(f"many/{place}", place, found)


def test_figures_over_seeds() -> None:
    models = [seeded("generation-0", 5.0), seeded("generation-1", 7.0)]
    figures = {d.key: d for d in seeds_figures(SeedRuns(Path("many"), [0, 1, 2], models, []))}
    assert list(figures) == ["seeds-claims", "seeds-changes", "imagenet-1k-seeds",
                             "imagenet-c-seeds",
                             "imagenet-c-seeds-heat", "imagenet-fgsm-seeds",
                             "imagenet-fgsm-seeds-curve"]  # fmt: skip
    tops = [list(model.metrics("imagenet-1k", "top1").values()) for model in models]
    change = change_over_seeds(tops[1], tops[0])
    assert change.interval
    panel = shown(figures["seeds-changes"], y="names")
    assert len(panel.marks) == 3  # one a suite
    for place, mark in enumerate(panel.marks):
        assert near(mark.at, change.mean, place)
        low, high = change.interval
        assert mark.tip.endswith(f": {change.mean:+.1f} [{low:+.1f}, {high:+.1f}] points")
    check_bars(panel, [change] * 3, 1)
    assert legend(figures["seeds-changes"]) == ["generation-1 against generation-0"]
    assert figures["seeds-claims"].title == "Of 3 claims of the paper, 3 not decided at this scale"
    low, high = change.interval
    gain = f"{change.mean:+.1f} [{low:+.1f}, {high:+.1f}]"
    assert figures["seeds-claims"].table.rows[0] == [
        "Students are better on clean images", "generation-1 against generation-0",
        "imagenet-1k", gain, "not decided at this scale",
    ]  # fmt: skip
    # It has no axes, but words in places.
    words = [node.text for node in fromstring(str(figures["seeds-claims"].svg)).iter(f"{SVG}text")]
    assert words.count(f"? {change.mean:+.1f}") == len(figures["seeds-claims"].table.rows) == 3
    assert words.count(f"[{low:+.1f}, {high:+.1f}]") == 3
    panel = shown(figures["imagenet-1k-seeds"], y="names")
    pooled = [over_seeds(own) for own in tops]
    for place, (mark, own) in enumerate(zip(panel.marks, pooled, strict=True)):
        assert near(mark.at, own.mean, place)
        assert f": {own.mean:.1f} [" in mark.tip
    check_bars(panel, pooled, 0)
    assert figures["imagenet-1k-seeds"].title == (
        f"top-1 on imagenet-1k: generation-1 has {gain} against generation-0"
    )
    heat, minus = panels(figures["imagenet-c-seeds-heat"], "names", "names")
    assert len(heat.marks) == len(minus.marks) == 10
    for number, (mark, other) in enumerate(zip(heat.marks, minus.marks, strict=True)):
        row, column = divmod(number, 5)
        value = 10.0 * (column + 1) - 7 + 3 + row
        assert inside(mark.points[:4].mean(0), row, column)
        assert mark.tip == f"{('fog', 'snow')[row]}, severity {column + 1}: {value:.1f} %"
        assert other.tip.endswith(": -2.0 points")
    panel = shown(figures["imagenet-fgsm-seeds-curve"], x="ticks")
    # Three seeds and their mean, of each of two models.
    for number, level in enumerate((5, 7)):
        for seed, line in enumerate(panel.lines[4 * number : 4 * number + 3]):
            assert near(line, [0, 2, 16], [90 + level + seed, 81 + level + seed, 72 + level + seed])
        assert near(panel.lines[4 * number + 3], [0, 2, 16], [91 + level, 82 + level, 73 + level])
    found = tips(panel)
    assert any(near(at, 2, 89) for tip, at in found.items() if tip.endswith("ε = 2/255: 89.0 %"))
    assert legend(figures["imagenet-fgsm-seeds-curve"]) == ["generation-0", "generation-1"]
    assert figures["imagenet-fgsm-seeds-curve"].title == (
        f"Accuracy under attack by strength; top-1: generation-1 has {gain} against generation-0"
    )


def check_bars(panel: Panel, pooled: Any, before: int) -> None:
    """Lines: `before` others, then of each mean its interval."""
    bars = panel.lines[before:]
    assert len(bars) == len(pooled)
    for place, (line, own) in enumerate(zip(bars, pooled, strict=True)):
        assert near(line, own.interval, [place, place])
