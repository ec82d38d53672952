"""What a report says of each suite: how it was measured, its metrics, its figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from nsbench.reporting.figures.accuracy import accuracy_figures
from nsbench.reporting.figures.attack import attack_figures
from nsbench.reporting.figures.corruption import corruption_figures
from nsbench.reporting.figures.drawn import Drawn, plain
from nsbench.reporting.figures.perturbation import perturbation_figures
from nsbench.reporting.results import Entry, headline, suite_names
from nsbench.reporting.score_tables import metric_head, metric_text
from nsbench.reporting.subsets import subset_notes
from nsbench.reporting.tables import Table
from nsbench.suites.base import SuiteScores
from nsbench.suites.corruption import rising_corruptions

FIGURES: dict[str, Callable[[Sequence[Entry], str], list[Drawn]]] = {
    "accuracy": accuracy_figures,
    "corruption": corruption_figures,
    "perturbation": perturbation_figures,
    "attack": attack_figures,
}
"""By kind; a kind without any, such as one that a user registers, has its table of metrics."""

TITLES = {
    "accuracy": "accuracy",
    "detection": "telling images of unknown classes",
    "corruption": "error under corruption",
    "perturbation": "flips under perturbation",
    "attack": "accuracy under {attack}",
}
"""What the section of a suite is about; of attacks which one."""

CALIBRATION = (
    "Calibration is in percent, without intervals: ECE in 15 bins of equal width (↓), RMS "
    "calibration error in bins of 100 images (↓), by its definition and by the released code, "
    "which leaves out the last bin, and the area under the response rate accuracy curve, AURRA "
    "(↑). NLL, the negative log-likelihood of the label in nats, and the Brier score, "
    "from 0 to 2, are not percentages, and have intervals."
)

UNKNOWN = (
    "The score is minus the confidence, the largest softmax over the suite's classes. Images of "
    "unknown classes are the positives; FPR95 is the share of known ones taken for unknown where "
    "95% of the unknown are found (↓). Intervals resample both groups of images."
)


@dataclass(frozen=True)
class Section:
    """One suite in a report. key: its name. notes: paragraphs. tables: the metrics come first."""

    key: str
    title: str
    notes: list[str]
    tables: list[Table]
    figures: list[Drawn]


def sections(entries: Sequence[Entry]) -> list[Section]:
    """A section for each suite that a model was evaluated on, the plainest first."""
    return [_section(entries, name) for name in suite_names(entries)]


def _section(entries: Sequence[Entry], name: str) -> Section:
    shown = [entry for entry in entries if name in entry.scores]
    first = shown[0].scores[name]
    kind = first.suite.kind
    draw = FIGURES.get(kind)
    tables = [_metrics_table(shown, name)]
    if "ce" in first.tables:
        tables.append(_corruption_errors(shown, name))
    attack = str(first.suite.model_dump().get("attack")).upper()
    what = TITLES.get(kind, "").format(attack=attack)
    title = f"{name}: {what}" if what else name
    images = " ".join(subset_notes(entry.scores[name] for entry in shown))
    figures = [replace(drawn, note=images) for drawn in draw(shown, name)] if draw else []
    return Section(name, title, _notes(shown, name), tables, figures)


def _metrics_table(shown: Sequence[Entry], name: str) -> Table:
    """A row for each model: every metric with its interval, and calibration where there is any."""
    metrics = {key: metric for entry in shown for key, metric in entry.scores[name].metrics.items()}
    # The headline of an attack suite is one of its strengths, and is shown once, in its place.
    calibration = shown[0].scores[name].tables.get("calibration", {})
    # Results of earlier versions have no proper scores.
    every = (entry.scores[name].tables.get("proper") for entry in shown)
    proper = next(filter(None, every), {})
    arrows = list(map(metric_head, metrics.values()))
    rows = []
    for entry in shown:
        own = entry.scores[name]
        cells = [metric_text(own.metrics[k]) if k in own.metrics else "" for k in metrics]
        cells += [f"{own.tables['calibration'][measure][0]:.1f}" for measure in calibration]
        if proper:
            found = own.tables.get("proper", {})
            cells += [_proper_text(found.get(measure)) for measure in proper]
        rows.append([entry.name, *cells])
    signs = [f"{measure} {'↑' if measure == 'AURRA' else '↓'}" for measure in calibration]
    heads = ["model", *arrows, *signs, *(f"{measure} ↓" for measure in proper)]
    return Table(f"{name}, in % where nothing else is said", heads, rows, models=True)


def _proper_text(row: Sequence[float] | None) -> str:
    """A proper score with three digits, as it is not in percent."""
    if row is None:
        return "evaluate again"
    return f"{row[0]:.3f} [{row[1]:.3f}, {row[2]:.3f}]"


def _corruption_errors(shown: Sequence[Entry], name: str) -> Table:
    rows = [
        [
            plain(corruption),
            *(f"{entry.scores[name].tables['ce'][corruption][0]:.1f}" for entry in shown),
        ]
        for corruption in shown[0].scores[name].tables["ce"]
    ]
    columns = ["corruption", *(entry.name for entry in shown)]
    return Table("Corruption errors (CE, %)", columns, rows)


def _notes(shown: Sequence[Entry], name: str) -> list[str]:
    scores = shown[0].scores[name]
    suite, kind = scores.suite, scores.suite.kind
    images = scores.manifest["images"]
    notes = [f"{suite.description} {suite.describe()} {images:,} images.".strip()]
    if kind == "accuracy":
        notes.append(CALIBRATION)
    elif kind == "detection":
        notes.append(UNKNOWN)
    elif suite.takes_reference:
        notes.append(_normalised(scores))
        notes += _clean_elsewhere(shown, name)
    if "relative_mce" in scores.metrics:
        notes.append(_relative(scores))
    if "mfr" in scores.metrics:
        notes.append(_smallest(scores))
    return notes


def _normalised(scores: SuiteScores) -> str:
    made = scores.manifest["identity"]["generator"]
    pixels = f"Pixels by {made}. " if made else ""
    if not scores.reference:
        return f"{pixels}Not normalised: the suite has no reference."
    return f"{pixels}Normalised by {scores.reference}, which is at 100 by definition."


def _relative(scores: SuiteScores) -> str:
    """What relative mCE is, and of which corruptions."""
    every = list(scores.tables["error"])
    rising = rising_corruptions(every, scores.manifest["reference"])
    text = (
        "Relative mCE is the rise of the error over clean images, by that of the reference, whose "
        "own error is not part of the intervals."
    )
    if len(rising) == len(every):
        return text
    return (
        f"{text} It leaves out corruptions that raise the reference's mean error by less than five "
        f"points, because it divides by that rise: of {len(every)} it is of "
        f"{', '.join(map(plain, rising))}."
    )


def _smallest(scores: SuiteScores) -> str:
    """What the flip rates are, and how little the reference's constants may be."""
    flips = scores.manifest["reference"]["flip_probability"]
    own = {name: flips[name] for name in scores.suite.cells()}
    least = min(own, key=own.__getitem__)
    return (
        "mFR is the mean over sequences of the flip probability relative to the reference's, mT5D "
        "that of the distance by which the first five classes move between frames. The reference "
        f"flips least under {plain(least)}, in {100 * own[least]:.1f}% of frames: of a sequence "
        "with so few a ratio is large and uncertain."
    )


def _clean_elsewhere(shown: Sequence[Entry], name: str) -> list[str]:
    """A sentence where the same model has another clean accuracy, on another crop."""
    for entry in shown:
        clean = entry.scores[name].metrics.get("clean_top1")
        for other, scores in entry.scores.items():
            metric = headline(scores)
            plain = scores.suite.kind == "accuracy" and "clean_top1" not in scores.metrics
            if clean and plain and f"{clean.value:.1f}" != f"{metric.value:.1f}":
                crop = entry.scores[name].suite.crop
                size = f"{crop.image_size} px" if crop else "fixed"
                return [
                    f"The clean top-1 here ({clean.value:.1f} for {entry.name}) is not that of "
                    f"{other} ({metric.value:.1f}): here it is of the {size} crop that is "
                    "corrupted, there of the model's own crop and images."
                ]
    return []
