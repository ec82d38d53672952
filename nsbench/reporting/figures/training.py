"""The figure of training: loss by step."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from nsbench.reporting.figures.drawn import INK, SERIES, STYLE, Drawn
from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.tables import Table
from nsbench.util.text import printable

LOSSES = {"labeled_loss": SERIES[1], "unlabeled_loss": SERIES[2]}


def training_figure(logs: Mapping[str, Sequence[Mapping[str, float | None]]]) -> Drawn:
    """Loss on labeled and on pseudo-labeled images by step, a panel a generation."""
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(3.4 * len(logs), 2.9),
        )
        panels = figure.subplots(1, len(logs), sharey=True, squeeze=False)
    rows, ends = [], {}
    prefix = shared_prefix(list(logs))
    for axes, (whole, log) in zip(panels[0], logs.items(), strict=True):
        name = printable(whole.removeprefix(prefix))
        # The log has lines without losses too, such as those of validation.
        steps = [row for row in log if "loss" in row]
        last = steps[-1] if steps else {}
        for key, color in LOSSES.items():
            # A teacher has no pseudo-labeled images.
            if last.get(key) is not None:
                label = key.replace("_", " ")
                axes.plot(
                    [r["step"] for r in steps], [r[key] for r in steps], label=label, color=color
                )
        ends[name] = last.get("labeled_loss")
        cells = [last.get(key) for key in LOSSES]
        rows.append([name, f"{last.get('step', '')}", *(f"{v:.3f}" if v else "" for v in cells)])
        axes.set(title=name, xlabel="step")
        if axes.lines:
            axes.legend(labelcolor=INK, frameon=False)
    panels[0][0].set(ylabel="cross-entropy", ylim=(0, None))
    known = {name: end for name, end in ends.items() if end is not None}
    lowest = min(known, key=known.__getitem__) if known else ""
    title = f"{lowest} ends with the lowest labeled loss, {known[lowest]:.2f}" if known else "Loss"
    columns = ["model", "last step", "labeled loss", "unlabeled loss"]
    return Drawn(
        "training-loss",
        title,
        "Cross-entropy by step, on noised images; labels are smoothed where the recipe says so, so "
        "the labeled loss does not reach zero.",
        figure,
        Table("loss at the last step logged", columns, rows),
    )
