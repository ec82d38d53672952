"""Reports as HTML: one file, without a network, with everything escaped."""

from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from nsbench.reporting.contents import Contents
from nsbench.reporting.gallery import RULE
from nsbench.reporting.standing import NONE
from nsbench.util.progress import counted
from nsbench.util.text import printable


def page(report: Contents) -> str:
    """The report as HTML."""
    weights = [(e.name, e.info["weights"]) for e in report.entries if "weights" in e.info]
    own = {
        "title": report.title,
        "prefix": report.prefix,
        "report": report,
        "contents": _headings(report),
        "tables": report.beside_tables,
        "weights": weights,
        "rule": RULE,
        "no_published": NONE,
    }
    return page_environment(report.prefix).get_template("report.html").render(own)


def _headings(report: Contents) -> list[tuple[str, str]]:
    """The list of contents: ids of sections, and what they are about."""
    parts = {
        "answer": ("Did each generation get better?", True),
        "lineage": ("Where each model comes from", report.links),
        "summary": ("Summary", True),
        "gain": ("Controls and ablations", report.controls or report.ablations),
        **{section.key: (section.title, True) for section in report.sections},
        "shift": ("Accuracy under shift", report.shift),
        "published": ("Published numbers", True),
        "images": ("Images", report.gallery),
        "labels": ("Pseudo-labels", report.labels),
        "training": ("Training", report.training),
        "trust": ("Trust", True),
    }
    return [(key, text) for key, (text, there) in parts.items() if there]


def page_environment(prefix: str = "") -> Environment:
    """Templates. prefix: what names of models begin with, which the filter `short` leaves out."""
    made = Environment(
        loader=PackageLoader("nsbench.reporting"),
        autoescape=select_autoescape(),
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters.update(counted=counted, short=lambda text: text.replace(prefix, ""))
    return made


def _shown(value: Any) -> Any:
    """A value without control characters, which names of models and files may have."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, keep="\n\t")
    return value
