"""Colours of figures and texts stand out from their background in both schemes (WCAG 2)."""

import re
from importlib import resources

import pytest

from nsbench.reporting.figures.drawn import INK, SERIES, SOFT, VARIABLES

STYLE = resources.files("nsbench.reporting").joinpath("templates/style.html").read_text()


def schemes() -> dict[str, dict[str, str]]:
    """The variables of the light and the dark scheme, and of print."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    light, dark, paper = (dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in blocks)
    return {"light": light, "dark": light | dark, "print": light | paper}


def luminance(color: str) -> float:
    whole = "".join(2 * c for c in color[1:]) if len(color) == 4 else color[1:]
    parts = [int(whole[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_the_formula_is_that_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_series_have_three_to_one_and_texts_more(scheme: str) -> None:
    colors = schemes()[scheme]
    for number in range(len(SERIES)):
        assert contrast(colors[f"s{number}"], colors["bg"]) >= 3
    for name in ("ink", "soft", "good", "bad", "link"):
        for background in ("bg", "panel"):
            assert contrast(colors[name], colors[background]) >= 4.5


def test_pictures_have_the_colours_of_the_light_scheme() -> None:
    light = schemes()["light"]
    assert {name: light[name] for name in VARIABLES.values()} == {
        name: color for color, name in VARIABLES.items()
    }
    assert contrast(INK, "#ffffff") > contrast(SOFT, "#ffffff") >= 4.5
