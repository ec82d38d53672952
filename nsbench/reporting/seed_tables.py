"""Tables over seeds: mean, spread, and intervals over seeds and images."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import OVER, SeedChange, over_seeds
from nsbench.metrics.verdict import SEEDS_RULE, verdict_over_seeds
from nsbench.reporting.claims import beside, checked_claims, commands_for, pairs
from nsbench.reporting.controls import WHAT
from nsbench.reporting.gains import Gain, sentence
from nsbench.reporting.model_facts import unequal
from nsbench.reporting.results import suite_names
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_parts import part_records
from nsbench.reporting.seed_texts import (
    ONE_SEED,
    level_text,
    over_seeds_columns,
    over_seeds_data,
    seed_change_text,
)
from nsbench.reporting.seeds import (
    Pooled,
    SeedRuns,
    entries_of,
    generations,
    labeled_only,
    variants_of,
)
from nsbench.reporting.summary import notes_on_images
from nsbench.reporting.tables import Table
from nsbench.reporting.trust import trained_on
from nsbench.run_folder import name_over_seeds, read_info
from nsbench.util.progress import counted


def seeds_tables(runs: SeedRuns) -> list[Table]:
    """The models over seeds; their changes against the first one, controls and variants."""
    tables = [_levels(runs)]
    base = runs.models[0]
    tables += _changes(runs, base, runs.models[1:], f"Change against {base.name}", [])
    for control in _controls(runs):
        # A student of another size or length would be no equal.
        students = [model for model in runs.models if model.place == control.stands_for]
        what = f"{control.name} is of {_student(runs, control)}: {WHAT[control.kind]}."
        title = f"What students have above {control.name}"
        tables += _changes(runs, control, students, title, [what])
    # Against the generation that they change, as what they are asked is what it is for.
    for own in generations(runs.models):
        variants = variants_of(runs.models, own)
        title = f"Variants against {own.name}"
        settings = [_settings(variant, own) for variant in variants]
        notes = [*settings, *_untrained(runs, variants)]
        tables += _changes(runs, own, variants, title, notes)
    return tables


def _untrained(runs: SeedRuns, variants: Sequence[Pooled]) -> list[str]:
    """The variants of a shipped recipe that no seed has, with what trains them."""
    trained = {variant.called for variant in variants}
    names = [name for name in beside(runs).get("--variants", {}) if name not in trained]
    how = "; ".join(commands_for(runs, names))
    return [f"Not trained: {', '.join(names)} ({how})."] if names else []


def _settings(variant: Pooled, own: Pooled) -> str:
    """What a variant changes of a generation, by the records of the first seeds."""
    text = f"{variant.called}: {variant.settings}"
    # A setting may change this too, and then is not all that differs.
    differing = unequal(*(read_info(model.folder) for model in (variant, own)))
    return f"{text}; {differing}" if differing else text


def seeds_answers(runs: SeedRuns) -> list[str]:
    """A sentence for each student against its teacher, the first model and its `labeled-only`."""
    own, said = generations(runs.models), []
    # A generation is taught by the one before it, in every seed.
    for teacher, student in pairwise(own):
        said.append(_answer(runs, student, teacher, f"its teacher, {_short(teacher)}"))
        if teacher is not own[0]:
            said.append(_answer(runs, student, own[0], _short(own[0])))
        for control in labeled_only(runs.models, student):
            role = "the same model trained on labeled images only"
            said.append(_answer(runs, student, control, role))
    return said


def _short(model: Pooled) -> str:
    """`generation 1` for quickstart/generation-1."""
    return model.name.rsplit("/", 1)[-1].replace("-", " ")


def _answer(runs: SeedRuns, student: Pooled, base: Pooled, role: str) -> str:
    gains = []
    for suite in _suites(runs):
        if change := runs.headline_change(student, base, suite):
            metric = student.headlines()[suite]
            verdict = verdict_over_seeds(change)
            gains.append(Gain(suite, metric, change.mean, change.interval, verdict))
    return sentence(_short(student), f"{role}, over {counted(len(runs.seeds), 'seed')}", gains)


def _student(runs: SeedRuns, control: Pooled) -> str:
    """The name of the student that a control is of."""
    return name_over_seeds(runs.home, Path(f"generation-{control.student}"))


def _controls(runs: SeedRuns) -> list[Pooled]:
    """The controls, above which students show what their gain comes of."""
    return [model for model in runs.models if model.kind]


def _levels(runs: SeedRuns) -> Table:
    several = len(runs.seeds) > 1
    over = f", mean ± standard deviation over seeds, [95% interval over {OVER}]" if several else ""
    title = f"{runs.home.resolve().name}: {counted(len(runs.seeds), 'seed')}{over} (%)"
    rows = []
    for model in runs.models:
        cells = [_level(model, suite) for suite in _suites(runs)]
        rows.append([model.name, f"{len(model.entries)}", *cells])
    notes = [
        *notes_on_images(entries_of(runs.models)),
        *_devices(runs),
        *runs.notes,
        *([] if several else [ONE_SEED]),
    ]
    columns = ["model", "seeds", *_columns(runs)]
    records = [_record(runs, model) for model in runs.models]
    return Table(title, columns, rows, records, notes, models=True)


def _devices(runs: SeedRuns) -> list[str]:
    """What the models were trained on, where it is not the same."""
    found: dict[str, list[str]] = {}
    for model in runs.models:
        known = {trained_on(entry.info) for entry in model.entries.values()}
        if where := " and ".join(sorted(known - {""})):
            found.setdefault(where, []).append(model.name)
    # Named is what the fewest have.
    most = max(found, key=lambda where: len(found[where]), default="")
    others = [f"{', '.join(names)} on {where}" for where, names in found.items() if where != most]
    return [f"Trained on {most}, but {'; '.join(others)}."] if others else []


def _level(model: Pooled, suite: str) -> str:
    shown = model.metrics_of_headline(suite)
    return level_text(over_seeds(list(shown.values()))) if shown else "not evaluated"


def _changes(
    runs: SeedRuns, base: Pooled, models: Sequence[Pooled], title: str, notes: list[str]
) -> list[Table]:
    """A table of changes; none where there is nothing to compare."""
    rows = []
    for model in models:
        suites = _suites(runs)
        if any(runs.headline_change(model, base, suite) for suite in suites):
            rows.append([model.name, *(_change(runs, model, base, suite) for suite in suites)])
    if not rows:
        return []
    title = f"{title}, paired, mean ± standard deviation over seeds, [95% interval over {OVER}]"
    several = len(runs.seeds) > 1
    notes = [*notes, SEEDS_RULE if several else ONE_SEED]
    notes += notes_on_images(entries_of([base, *models]))
    return [Table(title, ["model", *_columns(runs)], rows, [], notes, models=True)]


def _change(runs: SeedRuns, model: Pooled, base: Pooled, suite: str) -> str:
    if change := runs.headline_change(model, base, suite):
        return f"{seed_change_text(change)}\n{verdict_over_seeds(change)}"
    both = model.scores_on(suite) and base.scores_on(suite)
    return "on other images" if both else "not evaluated"


def _suites(runs: SeedRuns) -> list[str]:
    return suite_names(entries_of(runs.models))


def _columns(runs: SeedRuns) -> list[str]:
    """The heads of the suites' columns: name, headline and direction."""
    shown: dict[str, Metric] = {}
    for model in reversed(runs.models):  # the first one is written last, and so wins
        shown |= model.headlines()
    heads = [(suite, shown[suite]) for suite in _suites(runs)]
    return [f"{suite}\n{metric_head(metric)}" for suite, metric in heads]


def _record(runs: SeedRuns, model: Pooled) -> dict[str, Any]:
    """A model over seeds as JSON, with every metric of every suite and its changes."""
    suites: dict[str, Any] = {}
    bases = _bases(runs, model)
    for suite, key, metrics in _metrics(model):
        first = next(iter(metrics.values()))
        data = {"name": first.name, "higher_is_better": first.higher_is_better}
        data |= over_seeds_data(over_seeds(list(metrics.values())))
        compared = _compared(runs, model, bases, suite, key)
        changes = [_change_data(change, name) for name, change in compared]
        suites.setdefault(suite, {})[key] = {**data, "changes": changes}
    about = {"model": model.name, "seeds": sorted(model.entries), "control": model.kind or None}
    if model.kind:
        about["student"] = _student(runs, model)
    return {**about, "suites": suites, "missing": runs.notes}


def _metrics(model: Pooled) -> Iterator[tuple[str, str, dict[int, Metric]]]:
    for suite in model.headlines():
        for key in model.keys(suite):
            yield suite, key, model.metrics(suite, key)


def _bases(runs: SeedRuns, model: Pooled) -> list[Pooled]:
    """What the metrics of a model are compared with."""
    bases = [runs.models[0], *(_controls(runs) if model.is_student else [])]
    # What the claims compare too, so that each of their numbers is in the data beside them.
    bases += [base for student, base in pairs(runs) if student is model]
    bases += [own for own in generations(runs.models) if model in variants_of(runs.models, own)]
    return list({base.name: base for base in bases}.values())


def _compared(
    runs: SeedRuns, model: Pooled, bases: Sequence[Pooled], suite: str, key: str
) -> Iterator[tuple[str, SeedChange]]:
    """The changes of a metric, each with the name of what it is against."""
    for base in bases:
        if change := runs.change(model, base, suite, key):
            yield base.name, change


def _over_fewer(runs: SeedRuns) -> Mapping[tuple[str, str], dict[tuple[str, int], SeedChange]]:
    """Changes of headlines that claims tell over as many seeds as what they compare has.

    By the places of models, and suites; then by what each is against, and the number of seeds.
    """
    found: dict[tuple[str, str], dict[tuple[str, int], SeedChange]] = {}
    for answer in (answer for one in checked_claims(runs) for answer in one.answers):
        of_model = found.setdefault((answer.student.place, answer.suite), {})
        of_model |= {(name, len(c.values)): c for name, c in answer.above.values()}
    return found


def _change_data(change: SeedChange, against: str) -> dict[str, Any]:
    verdict = {"better": change.better, "verdict": verdict_over_seeds(change)}
    return {"against": against, **over_seeds_data(change), **verdict}


def with_seeds(
    records: Sequence[dict[str, Any]], pooled: Sequence[SeedRuns]
) -> list[dict[str, Any]]:
    """The records of `evaluation_records`, after those of the models over seeds, for CSV.

    All have the same columns, of which those of seeds are there only if there are any:
    `interval_over` tells the two kinds of intervals apart. A record with `against` is a change.
    """
    if not pooled:
        return list(records)
    over = [record for runs in pooled for record in _records(runs)]
    plain = [{**record, "interval_over": "images"} for record in records]
    columns = dict.fromkeys(chain.from_iterable([*plain, *over]))
    return [{key: record.get(key) for key in columns} for record in (*over, *plain)]


def _records(runs: SeedRuns) -> Iterator[dict[str, Any]]:
    """A flat record for each metric of each suite and model, and for each of its changes."""
    fewer = _over_fewer(runs)
    for model in runs.models:
        bases = _bases(runs, model)
        for suite, key, metrics in _metrics(model):
            about = {"suite": suite, "model": model.name}
            about["metric"] = next(iter(metrics.values())).name
            yield {**about, **over_seeds_columns(over_seeds(list(metrics.values())))}
            compared = {(n, len(c.values)): c for n, c in _compared(runs, model, bases, suite, key)}
            if key == model.keys(suite)[0]:
                compared |= fewer.get((model.place, suite), {})
            for (name, _), change in compared.items():
                verdict = verdict_over_seeds(change)
                yield {**about, **over_seeds_columns(change), "against": name, "verdict": verdict}
    yield from part_records(runs)
