"""Generation 1 of `cifar10` on images that other models get wrong, against its teacher.

`python reports/hard_images.py` prints the table of README.md, from the predictions beside it. The
models that choose images are of other seeds than those that are compared, so that none is asked on
its own mistakes.
"""

import tempfile
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import SeedChange, change_over_seeds
from nsbench.predictions import results_of
from nsbench.reporting.packed import unpack
from nsbench.reporting.seed_texts import interval_text
from nsbench.suites.scores import score

HERE = Path(__file__).parent
STUDENT, TEACHER = "generation-1", "generation-0"
SEEDS = range(5)

CHOOSERS: dict[str, tuple[str, tuple[int, ...]]] = {
    "the outside model (cifar10-a)": ("", ()),
    "the first teachers of seeds 3 and 4": (TEACHER, (3, 4)),
    "the first teachers of seeds 0 and 1": (TEACHER, (0, 1)),
    "`labeled-only` of seeds 3 and 4": ("controls/labeled-only/generation-0", (3, 4)),
    "generation 1 of seeds 3 and 4": (STUDENT, (3, 4)),
    "`oracle` of seeds 3 and 4": ("controls/oracle/generation-1", (3, 4)),
}
"""Who chooses images by getting them wrong: a model's place, and the seeds that must all do so."""


def table() -> list[str]:
    """Lines of Markdown: a row for each choice of images."""
    rows = ["| wrong by | images | change of top-1 | n seeds |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        unpack(HERE / "cifar10" / "predictions", home)
        metrics = {
            (seed, place): _metric(home, seed, place, "cifar10")
            for place in {STUDENT, *(place for place, own in CHOOSERS.values() if own)}
            for seed in SEEDS
        }
        hard = set(_metric(home, 0, TEACHER, "cifar10-a").ids)
    ids = metrics[0, TEACHER].ids
    for name, (place, own) in CHOOSERS.items():
        seeds = [seed for seed in SEEDS if seed not in own]
        if own:
            chosen = reduce(np.logical_and, [metrics[seed, place].scores == 0 for seed in own])
        else:
            chosen = np.array([one in hard for one in ids])
        change = _change(metrics, chosen, seeds)
        text = f"{change.mean:+.1f} {interval_text(change, '+')}"
        rows.append(f"| {name} | {int(chosen.sum()):,} | {text} | {len(seeds)} |")
    return rows


def _metric(home: Path, seed: int, place: str, suite: str) -> Metric:
    """Top-1 of one model on a suite."""
    results = results_of(home / "cifar10-4k" / f"seed-{seed}" / place / "results")
    return score(results[suite][0].folder).metrics["top1"]


def _change(
    metrics: dict[tuple[int, str], Metric], chosen: NDArray[np.bool_], seeds: list[int]
) -> SeedChange:
    """What the student has above its teacher on the chosen images, over seeds."""

    def part(seed: int, place: str) -> Metric:
        whole = metrics[seed, place]
        ids = tuple(np.array(whole.ids)[chosen])
        return Metric(whole.name, ids, whole.scores[chosen], True, proportion=True)

    after, before = ([part(seed, place) for seed in seeds] for place in (STUDENT, TEACHER))
    return change_over_seeds(after, before)


if __name__ == "__main__":
    print("\n".join(table()))
