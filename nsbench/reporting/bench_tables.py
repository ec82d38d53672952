"""Figures of benchmarks and of made data sets as tables."""

from typing import Any

from nsbench.reporting.tables import Table


def bench_table(result: dict[str, Any]) -> Table:
    """The figures of a benchmark, one a row."""
    rows = [[key, f"{value:,.2f}"] for key, value in result.items() if isinstance(value, float)]
    return Table("bench", ["figure", "value"], rows, result)


def corruptions_table(result: dict[str, Any]) -> Table:
    """A benchmark of corruptions: images a second, and the ratio to the package by severity."""
    rows = []
    for name, ratio in result["ratios"].items():
        cells = [cell for cell in result["cells"] if cell["corruption"] == name]
        taken = [
            # The harmonic mean, which is the rate over all severities together.
            len(cells) / sum(1 / cell[f"{side}_images_per_second"] for cell in cells)
            for side in ("nsbench", "imagecorruptions")
        ]
        ratios = [f"{cell['ratio']:.1f}" for cell in cells]
        rows.append([name, *(f"{speed:,.0f}" for speed in taken), f"{ratio:.2f}", *ratios])
    severities = [str(severity) for severity in range(1, 6)]
    columns = ["images/s", "nsbench", "package", "ratio", *severities]
    return Table("nsbench beside imagecorruptions", columns, rows, result)


def made_table(summary: dict[str, Any]) -> Table:
    """What a `nsbench make` command found and wrote, one figure a row."""
    figures = {**summary, "seconds": f"{summary['seconds']:.1f}"}
    rows = [[key, str(value)] for key, value in figures.items()]
    return Table("made", ["figure", "value"], rows, summary)
