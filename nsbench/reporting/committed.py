"""Reports that are kept with a repository, with the predictions that their numbers come from.

Each is a folder: the report as a page, CSV and JSON, `about.json`, a picture, and below
`predictions/` what the report was made of, without weights. So anybody can make its numbers again.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nsbench.predictions import MANIFEST
from nsbench.reporting.committed_index import (
    ABOUT,
    PICTURE,
    PREDICTIONS,
    REPORT,
    check_name,
    write_index,
)
from nsbench.reporting.figures.claims import claims_figures
from nsbench.reporting.figures.drawn import Drawn, picture
from nsbench.reporting.figures.seeds import seeds_figures
from nsbench.reporting.gallery import Gallery
from nsbench.reporting.packed import Packer
from nsbench.reporting.places import model_places
from nsbench.reporting.report import write_report
from nsbench.reporting.results import Entry, collect
from nsbench.reporting.sections import sections
from nsbench.reporting.seeds import collect_seeds
from nsbench.run_folder import (
    DIVERGED,
    SEEDS,
    VARIANT,
    is_run,
    is_seeds,
    seed_runs,
)
from nsbench.util.files import TEMPORARY, is_temporary, read_json, write_bytes, write_json
from nsbench.util.progress import counted
from nsbench.util.provenance import git_commit

FORMATS = ("html", "csv", "json")
"""For people, for tables, and for verification; a report over seeds has the same."""

KEPT = (
    "model.json", "recipe.toml", "provenance.json", VARIANT, SEEDS, DIVERGED, "selection.json",
    "training.jsonl",
)  # fmt: skip
"""What a report reads of a run beside its results. Weights and labels are not in its numbers."""

MOST_MEGABYTES = 5.0
"""Of predictions with a report: a repository keeps what it once had, in every copy."""

MEGABYTE = 10**6
"""As disks and code hosts count."""


@dataclass(frozen=True)
class About:
    """What a report is of. title, base, across: as for `write_report`; commands: what made the run.

    hardware: in words; by default what the run says of itself. remarks: paragraphs of what to know
    of the numbers, which the page and the list of all reports show.
    """

    commands: Sequence[str] = ()
    hardware: str | None = None
    title: str | None = None
    base: str | None = None
    across: Sequence[str] = ()
    remarks: Sequence[str] = ()


def add_report(
    run: Path,
    name: str,
    about: About,
    *,
    home: Path = Path("reports"),
    most_megabytes: float = MOST_MEGABYTES,
    pictures: Callable[[Sequence[Entry]], Gallery | None] | None = None,
) -> Path:
    """Make the folder of a report, or make it anew, and the index of all; the folder.

    run: a run folder, a folder of seeds or of results. most_megabytes: of its predictions, which
    are left out where they are more. pictures: as for `write_report`.
    Raises NsbenchError as `write_report` and `check_name` do.
    """
    # Before anything is read: a report takes seconds.
    check_name(home, name)
    with _made_whole(home / name) as folder:
        # Seeds have the name of their folder.
        named = None if is_seeds(run) else about.title
        report = folder / f"{REPORT}.html"
        write_report(
            [run],
            report,
            across=about.across,
            title=named,
            base=about.base,
            formats=FORMATS,
            pictures=pictures,
            remarks=about.remarks,
        )
        shown = _write_picture(run, about.across, folder / PICTURE)
        kept = _write_predictions(run, folder / PREDICTIONS, most_megabytes)
        called = {
            # By this place, and no other, as names of models are made of their folders.
            "places": [_place(run).as_posix()],
            "title": named,
            "base": about.base,
            "across": list(about.across),
        }
        content = read_json(report.with_suffix(".json"))
        made = {"report": called, "picture": shown, "predictions": kept}
        write_json(folder / ABOUT, {"name": name, **_said(run, about, content), **made})
    write_index(home)
    return home / name


def _said(run: Path, about: About, content: dict[str, Any]) -> dict[str, Any]:
    """What is told of a report. content: of its JSON, for what nobody says."""
    provenance = _provenance(run)
    return {
        "title": about.title or content["title"],
        "commands": list(about.commands) or content.get("commands", []),
        "remarks": list(about.remarks),
        # Two of them: numbers of one training may be reported by a later version.
        "commit": git_commit(),
        "trained_at_commit": provenance.get("git_commit"),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": about.hardware or _hardware(provenance),
    }


def _write_predictions(run: Path, home: Path, most_megabytes: float) -> str:
    """Keep what a report is made of, unless it is too large; how much it is, or would be."""
    packer = Packer(home, over_seeds=is_seeds(run))
    for path, below in _files(run, _root(run)):
        if path.name == MANIFEST:
            packer.add(path.parent, below.parent)
        else:
            # Byte by byte as they are: each holds its digest, by which any change is noticed.
            write_bytes(home / below, path.read_bytes(), sync=False)
    packer.close()
    files = [path for path in home.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / MEGABYTE
    if size >= most_megabytes:
        shutil.rmtree(home)
        return f"left out: {size:.1f} MB are {most_megabytes:g} MB or more"
    return f"{counted(len(files), 'file')}, {size:.1f} MB"


def _place(run: Path) -> Path:
    return run.resolve().relative_to(_root(run).parent)


def _root(run: Path) -> Path:
    """The outermost folder that the names of a run's models are made of."""
    # Models are called by the names of folders, up to the run, or to the folder of its seeds.
    whole = run.resolve()
    if (whole / "model.json").is_file():
        whole = whole.parent
    if (whole / VARIANT).is_file():  # in RUN/controls or RUN/variants
        whole = whole.parents[1]
    return whole.parent if is_seeds(whole.parent) else whole


def _files(run: Path, root: Path) -> Iterator[tuple[Path, Path]]:
    """What a report reads of a run, each file with its place below `predictions/`."""
    whole = run.resolve()
    # By it a run is known as one of several seeds, which its models' names say.
    beside = [root / SEEDS] if (root / SEEDS).is_file() and whole != root else []
    for path in [*beside, *sorted(whole.rglob("*"))]:
        inside = path.relative_to(root.parent)
        # Of a folder of results the suites lie at its top.
        of_results = "results" in inside.parts[1:] or not _is_trained(whole)
        is_result = of_results and path.name == MANIFEST
        if path.is_file() and not is_temporary(path.name) and (path.name in KEPT or is_result):
            yield path, inside


def _is_trained(path: Path) -> bool:
    return is_run(path) or is_seeds(path) or (path / "model.json").is_file()


def _provenance(run: Path) -> dict[str, Any]:
    """What a run, or the first of several seeds, was trained with."""
    # All seeds of a run are trained by one recipe, and usually on one machine.
    first = seed_runs(run)[0] if is_seeds(run) else run
    path = first / "provenance.json"
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content


def _hardware(provenance: dict[str, Any]) -> str:
    # A GPU's name says enough; of CPUs the number of cores is what time depends on.
    device, cores = provenance.get("device"), provenance.get("cores")
    if device == "cpu" and cores:
        return f"{cores} CPU cores"
    return str(device or "not said")


def _write_picture(run: Path, across: Sequence[str], path: Path) -> str | None:
    """Write one of the report's figures; its title, None without any.

    Of seeds it is the first, else the heat map of the first suite of corruptions, which shows most
    at once, or the curve of the first attack, or the first.
    """
    if is_seeds(run):
        runs = collect_seeds(run, across)
        figures = claims_figures(runs) or seeds_figures(runs)
    else:
        entries = collect(model_places([run]), across)
        # Without models that lie beside the generations, as in the figures of the report.
        figures = [figure for section in sections(entries) for figure in section.figures]
        # The last of these is how any key ends.
        ends = ("-heat", "-curve", "")
        figures = [figure for end in ends for figure in figures if figure.key.endswith(end)]
    chosen: Drawn | None = next(iter(figures), None)
    if chosen is None:
        return None
    write_bytes(path, picture(chosen.figure, path))
    return chosen.title


@contextmanager
def _made_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill that appears in place of `folder` once all of it is there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{folder.name}.", dir=folder.parent))
    try:
        made.chmod(0o755)  # mkdtemp makes folders for their owner alone
        yield made
        # Only now: until here the old report is whole, whatever fails.
        if folder.exists():
            shutil.rmtree(folder)
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
