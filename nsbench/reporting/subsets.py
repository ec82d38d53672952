"""What reports and comparisons say of results on a part of a suite's images."""

from collections.abc import Iterable, Sequence

from nsbench.suites.base import SuiteScores
from nsbench.util.progress import counted


def chosen_text(scores: SuiteScores) -> str | None:
    """`10 images, chosen by --limit 10`; None of all images."""
    chosen = scores.manifest.get("chosen")
    if not chosen:
        return None
    return f"{counted(scores.manifest['images'], 'image')}, chosen by {chosen}"


def subset_notes(scores: Iterable[SuiteScores]) -> list[str]:
    """A sentence for each suite, or for suites together, that is not of all images."""
    by_suite: dict[str, dict[str, list[str]]] = {}
    for one in scores:
        own = by_suite.setdefault(one.suite.name, {})
        own.setdefault(chosen_text(one) or "all images", []).append(one.model)
    alike: dict[str, list[str]] = {}
    for suite, groups in by_suite.items():
        for text, models in groups.items():
            # Only where a user asks for it do models of other images stand in one column.
            of = f" of {', '.join(dict.fromkeys(models))}" if len(groups) > 1 else ""
            alike.setdefault(text, []).append(f"{suite}{of}")
    return [f"{', '.join(s)}: {text}." for text, s in alike.items() if text != "all images"]


def chosen_of_both(a: SuiteScores, b: SuiteScores) -> str | None:
    """What chose the images of a comparison: `--limit 10`; None where both have all of them."""
    chosen = (scores.manifest.get("chosen") for scores in (a, b))
    return " and ".join(dict.fromkeys(filter(None, chosen))) or None


def compared_notes(
    names: Sequence[str], pairs: Iterable[tuple[SuiteScores, SuiteScores]]
) -> list[str]:
    """As `subset_notes`, of two models: also where one was evaluated on other images.

    names: of the two. pairs: of each suite their scores, on the images that both have.
    """
    alike: list[SuiteScores] = []
    notes = []
    for pair in pairs:
        # The scores are those of common images by now, and the manifests still of each model's.
        texts = [chosen_text(scores) or "all images" for scores in pair]
        if texts[0] == texts[1]:
            alike += pair
            continue
        count = len(next(iter(pair[0].metrics.values())).scores)
        each = ", ".join(f"{name}: {text}" for name, text in zip(names, texts, strict=True))
        notes.append(f"{pair[0].suite.name}: {counted(count, 'image')} that both have ({each}).")
    return [*subset_notes(alike), *notes]
