"""The report in a browser: requests, sorting, both schemes, narrow screens, print, axe-core."""

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nsbench.evaluation.gallery import make_gallery
from nsbench.reporting.report import write_report
from tests.reporting.test_report import evaluated as evaluated  # the run, evaluated on every kind
from tests.reporting.test_seeds import files as files
from tests.reporting.test_seeds import home as home

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

SERIOUS = ("moderate", "serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        # Without its sandbox, which root cannot have.
        browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    write_report(evaluated, out, pictures=lambda entries: make_gallery(entries, 1))
    return out


def opened(browser: Any, report: Path, width: int = 1280, **options: Any) -> tuple[Any, list[str]]:
    """The page, and everything it complains of or asks for."""
    page = browser.new_page(viewport={"width": width, "height": 740}, **options)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(report.as_uri())
    # Of pictures inside the page browsers tell too.
    return page, [text for text in said if text != report.as_uri() and not text.startswith("data:")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280, 1800])
def test_nothing_is_asked_for_and_nothing_scrolls_sideways(
    browser: Any, report: Path, width: int, scheme: str
) -> None:
    page, said = opened(browser, report, width, color_scheme=scheme)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_the_first_result_is_seen_on_a_phone(browser: Any, report: Path) -> None:
    page, _ = opened(browser, report, 360)
    box = page.locator(".answers li").first.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert box["y"] + box["height"] <= 740
    page.close()


def test_tables_sort_both_ways(browser: Any, report: Path) -> None:
    page, _ = opened(browser, report)
    table = page.locator("#summary ~ .scroll table, #summary + .scroll table").last
    head = table.locator("thead th").nth(3)
    for order, step in (("ascending", 1), ("descending", -1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        values = (
            table.locator("tbody")
            .first.locator("tr td:nth-child(4)")
            .evaluate_all("cells => cells.map(cell => parseFloat(cell.dataset.value))")
        )
        assert values == sorted(values, reverse=step < 0)
        assert len(values) == 2
    page.close()


def test_the_schemes_differ_and_marks_tell_their_values(browser: Any, report: Path) -> None:
    colors = []
    for scheme in ("light", "dark"):
        page, _ = opened(browser, report, color_scheme=scheme)
        colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        mark = page.locator("#c-severity .tip").first
        mark.scroll_into_view_if_needed()
        mark.hover(force=True)
        assert "severity 1" in page.locator("#tip").inner_text()
        page.close()
    assert colors[0] != colors[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(browser: Any, report: Path, width: int, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    page, _ = opened(browser, report, width, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = axe.Axe().run(page).response["violations"]
    bad = [
        f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
        for one in found
        if one["impact"] in SERIOUS
    ]
    assert bad == []
    page.close()


def test_print_holds_every_cell_of_the_summary(browser: Any, report: Path) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    page, _ = opened(browser, report)
    cells = page.locator(".wide td").all_inner_texts()
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    pages = pypdf.PdfReader(io.BytesIO(printed)).pages
    text = re.sub(r"\s+", "", "".join(one.extract_text() for one in pages))
    assert len(cells) > 20
    assert [cell for cell in cells if re.sub(r"\s+", "", cell) not in text] == []
    # The summary lies across, where it has more room.
    assert any(float(p.mediabox.width) > float(p.mediabox.height) for p in pages)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_over_seeds_holds_too(
    browser: Any, home: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    write_report(home, tmp_path / "seeds.html")
    page, said = opened(browser, tmp_path / "seeds.html", width, color_scheme=scheme)
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("figure svg").count() >= 4
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = axe.Axe().run(page).response["violations"]
    assert [one["help"] for one in found if one["impact"] in SERIOUS] == []
    page.close()
