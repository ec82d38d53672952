"""What the models over seeds are, before anything is said of them."""

from nsbench.reporting.controls import WHAT
from nsbench.reporting.model_facts import images_seen
from nsbench.reporting.results import suite_names
from nsbench.reporting.seeds import Pooled, SeedRuns, entries_of
from nsbench.reporting.tables import Table
from nsbench.reporting.trust import trained_on


def models_table(runs: SeedRuns) -> Table:
    """A row for each model: its role, and what makes it larger or longer than another one."""
    rows = []
    for model in runs.models:
        # All seeds are of one recipe; what they were trained on may differ all the same.
        infos = [entry.info for entry in model.entries.values()]
        places = {trained_on(info) for info in infos} - {""}
        weights, seen = infos[0].get("parameters"), images_seen(infos[0])
        rows.append(
            [
                model.name,
                _role(model),
                f"{len(infos)}",
                f"{weights:,}" if weights else "",
                f"{seen:,}" if seen else "",
                " and ".join(sorted(places)),
            ]
        )
    heads = ["model", "what it is", "seeds", "weights", "images seen", "trained on"]
    note = "Images seen: in training, each as often as it came. Weights: of all that answers."
    return Table("What the models are", heads, rows, notes=[note], prose=True, models=True)


def suites_table(runs: SeedRuns) -> Table:
    """A row for each suite, with what it says of itself."""
    entries = entries_of(runs.models)
    rows = []
    for name in suite_names(entries):
        scores = next(entry.scores[name] for entry in entries if name in entry.scores)
        rows.append([name, scores.suite.description])
    return Table("What the suites are", ["suite", "what it is"], rows, prose=True)


def _role(model: Pooled) -> str:
    if model.kind:
        return f"control of {model.stands_for}: {WHAT[model.kind]}"
    if model.is_variant:
        return f"variant: {model.settings}"
    number = int(model.place.removeprefix("generation-").split("-")[0])
    if number == 0:
        return "the first teacher, which learns labeled images"
    return f"a student, taught by generation-{number - 1}"
