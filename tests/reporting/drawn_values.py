"""What a figure shows, read back from its SVG: the places of its marks in units of its axes."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, fromstring

import numpy as np
from numpy.typing import NDArray

from nsbench.reporting.figures.drawn import Drawn

SVG = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"

Points = NDArray[np.float64]
Scale = Callable[[float], float]


@dataclass(frozen=True)
class Mark:
    """A mark with a tip. points: its place, or the corners of a bar or a cell, (N, 2)."""

    tip: str
    points: Points
    color: str

    @property
    def at(self) -> tuple[float, float]:
        """Where a point is."""
        assert len(self.points) == 1
        return float(self.points[0, 0]), float(self.points[0, 1])


@dataclass(frozen=True)
class Panel:
    """Axes of a figure. marks: those with tips. lines, bands: the points of each, (N, 2). texts:
    what is written on the area itself."""

    marks: list[Mark]
    lines: list[Points]
    bands: list[Points]
    texts: list[str]


def panels(drawn: Drawn, x: str = "linear", y: str = "linear") -> list[Panel]:
    """The panels of a figure.

    x, y: `linear` or `logit`; `names` of axes with words, whose places are counted from 0; or
    `ticks`, where marks stand at ticks only, as on an axis that is linear in part.
    """
    root = fromstring(str(drawn.svg))
    found = [node for node in root.iter(f"{SVG}g") if _id(node).startswith("axes_")]
    # Of panels side by side only the first has labels up its side.
    up = _scale(found[0], "y", y)
    return [_panel(node, _scale(node, "x", x), up) for node in found]


def _panel(axes: Element, across: Scale, up: Scale) -> Panel:
    def placed(points: Points) -> Points:
        return np.array([[across(x), up(y)] for x, y in points])

    marks, lines, bands = [], [], []
    for node in axes:
        name = _id(node)
        title = node.find(f"{SVG}title")
        if title is not None:
            paths = [*_used(node)] or [*_drawn(node)]
            marks.append(Mark(title.text or "", placed(paths[0]), _color(node)))
        elif name.startswith("line2d_"):
            lines += [placed(points) for points in _drawn(node)]
        elif name.startswith("FillBetweenPolyCollection_"):
            bands += [placed(points) for points in _collection(node)]
    texts = [t.text or "" for t in axes.findall(f"{SVG}g/{SVG}text")]
    return Panel(marks, lines, bands, texts)


def _id(node: Element) -> str:
    """The id that matplotlib gives it: without the prefix that keeps figures apart."""
    return re.sub(r"^.*-(?=(axes|line2d|matplotlib|xtick|ytick|FillB))", "", node.get("id", ""))


def _color(node: Element) -> str:
    inner = "".join(part.get("style", "") for part in node.iter())
    match = re.search(r"fill: ?([^;\"]+)", inner)
    return match[1] if match else ""


def _used(node: Element) -> Iterator[Points]:
    for use in node.iter(f"{SVG}use"):
        yield np.array([[float(use.get("x", 0)), float(use.get("y", 0))]])


def _drawn(node: Element) -> Iterator[Points]:
    for path in node.findall(f"{SVG}path"):
        yield _points(path)


def _points(path: Element) -> Points:
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", path.get("d", ""))]
    return np.array(numbers).reshape(-1, 2)


def _collection(node: Element) -> Iterator[Points]:
    """Paths that are defined once, and shown at an offset."""
    paths = {path.get("id"): _points(path) for path in node.iter(f"{SVG}path") if path.get("id")}
    for use in node.iter(f"{SVG}use"):
        moved = [float(use.get("x", 0)), float(use.get("y", 0))]
        yield paths[use.get(LINK, "").removeprefix("#")] + moved


def _scale(axes: Element, key: str, kind: str) -> Scale:
    """From a place in the SVG to a value, by the ticks of an axis."""
    across, up = (node for node in axes if _id(node).startswith("matplotlib.axis_"))
    places: list[float] = []
    values: list[float] = []
    for tick in (across, up)[key == "y"]:
        marks, texts = list(tick.iter(f"{SVG}use")), list(tick.iter(f"{SVG}text"))
        if _id(tick).startswith(f"{key}tick_") and texts:
            # Some axes have words without strokes beside them.
            places.append(float((marks or texts)[0].get(key, 0)))
            text = (texts[0].text or "").replace("−", "-")
            values.append(float(len(values)) if kind == "names" else float(text))
    if kind == "ticks":
        known = dict(zip(places, values, strict=True))
        return lambda place: known[min(known, key=lambda tick: abs(tick - place))]
    if kind == "logit":
        values = [math.log(value / (100 - value)) for value in values]
    slope, start = np.polyfit(places, values, 1)
    off = np.abs(slope * np.array(places) + start - values).max()
    assert off < 1e-3 * max(1.0, np.ptp(values)), "ticks are on no line"
    if kind == "logit":
        return lambda place: 100 / (1 + math.exp(-(slope * place + start)))
    return lambda place: float(slope * place + start)
