"""The claims of the paper: which models each is asked of, and when it held."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsbench.metrics.change import Metric
from nsbench.reporting.claims import (
    CLAIMS,
    FAILED,
    HELD,
    NOT_RUN,
    UNDECIDED,
    Answer,
    Checked,
    checked_claims,
    pairs,
)
from nsbench.reporting.claims_tables import claims_data, claims_tables
from nsbench.reporting.results import Entry
from nsbench.reporting.seeds import Pooled, SeedRuns
from nsbench.util.sealed import write_record
from tests.published.results import result

SUITES = ("imagenet-1k", "imagenet-a", "imagenet-c", "imagenet-p", "imagenet-fgsm")
LOWER = ("imagenet-c", "imagenet-p")


def model(place: str, level: float, kind: str = "", student: int = 1) -> Pooled:
    """A model of three seeds on all kinds of suites, right on `level` percent of 400 images."""
    found = {}
    for seed in range(3):
        right = np.where(np.arange(400) % 100 < level, 100.0, 0.0)
        scores = {suite: result(suite, {}, 400) for suite in SUITES}
        for suite, own in scores.items():
            values = 100 - right if suite in LOWER else right
            ids = tuple(map(str, range(400)))
            own.metrics["m"] = Metric("m", ids, values, suite not in LOWER, proportion=True)
        found[seed] = Entry(f"many/seed-{seed}/{place}", None, {}, scores)
    return Pooled(f"many/{place}", place, found, kind, student)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    write_record(folder / "seeds.json", {"name": "cifar10-4k", "recipe": {}, "seeds": [0, 1, 2]})
    return folder


def asked(home: Path, *models: Pooled) -> dict[str, Checked]:
    runs = SeedRuns(home, [0, 1, 2], list(models), [])
    return {one.claim.text.split()[0]: one for one in checked_claims(runs)}


def of(one: Checked) -> list[tuple[str, str, str, str]]:
    return [(a.student.place, a.base.place, a.suite, a.verdict) for a in one.answers]


def test_students_are_compared_with_the_first_teacher_and_with_labeled_only(home: Path) -> None:
    alone = model("controls/labeled-only/generation-0", 60, "labeled-only")
    models = [model("generation-0", 50), model("generation-1", 70), model("generation-2", 80)]
    clean, *shifted = checked_claims(SeedRuns(home, [0, 1, 2], [*models, alone], []))[:5]
    assert of(clean) == [
        ("generation-1", "generation-0", "imagenet-1k", HELD),
        ("generation-1", "controls/labeled-only/generation-0", "imagenet-1k", HELD),
        ("generation-2", "generation-0", "imagenet-1k", HELD),
    ]
    assert clean.missing == ["labeled-only of generation-2"]
    assert clean.verdict == HELD
    # Each kind of suite is a claim of its own.
    assert [{suite for _, _, suite, _ in of(one)} for one in shifted] == [{s} for s in SUITES[1:]]
    assert [one.verdict for one in shifted] == [HELD] * 4
    assert [one.answers[0].change.mean for one in shifted] == [20, -20, -20, 20]


def test_each_model_of_a_claim_is_told_against_teacher_and_labeled_only(home: Path) -> None:
    alone = model("controls/labeled-only/generation-0", 40, "labeled-only")
    later = model("controls/labeled-only-2/generation-0", 30, "labeled-only", 2)
    models = [model("generation-0", 50), model("generation-1", 70), model("generation-2", 80)]
    mixed = [model(f"variants/{name}/generation-1", 60) for name in ("mixed", "mixed-hard")]
    runs = SeedRuns(home, [0, 1, 2], [*models, alone, later, *mixed], [])
    checked = {one.claim.text.split()[0]: one for one in checked_claims(runs)}

    def above(answer: Answer) -> dict[str, tuple[str, float]]:
        return {role: (name, change.mean) for role, (name, change) in answer.above.items()}

    teacher, own = models[0].name, (alone.name, 30.0)
    (soft,) = [a for a in checked["Soft"].answers if a.suite == "imagenet-a"]
    assert above(soft) == {"first teacher": (teacher, 10.0), "labeled-only": (alone.name, 20.0)}
    first = [a for a in checked_claims(runs)[0].answers if a.suite == "imagenet-1k"]
    assert [above(answer) for answer in first] == [
        {"labeled-only": own},  # against the teacher itself
        {"first teacher": (teacher, 20.0)},
        {"labeled-only": (later.name, 50.0)},  # that of the second student
        {"first teacher": (teacher, 30.0)},
    ]
    compared = {(a.place, b.place) for a, b in pairs(runs)}
    assert {("generation-1", alone.place), ("generation-2", later.place)} <= compared
    assert (mixed[1].place, mixed[0].place) not in compared
    # That of the first student is no equal of the second.
    without = SeedRuns(home, [0, 1, 2], [*models, alone], [])
    second = [a for a in checked_claims(without)[0].answers if a.student is models[2]]
    assert [above(answer) for answer in second] == [{}]


def test_the_others_are_told_over_the_same_seeds(home: Path) -> None:
    models = [model("generation-0", 50), model("generation-1", 70)]
    models[0].entries[2].scores["imagenet-1k"].metrics["m"] = Metric(
        "m", tuple(map(str, range(400))), np.zeros(400), True, proportion=True
    )
    quiet = model("variants/no-noise/generation-1", 60)
    quiet = replace(quiet, entries={seed: quiet.entries[seed] for seed in (0, 1)})
    found = asked(home, *models, quiet)["Noise"]
    (answer,) = [a for a in found.answers if a.suite == "imagenet-1k"]
    assert len(answer.change.values) == 2
    # Without the third seed, in which the teacher is never right.
    assert answer.above["first teacher"][1].values == (20, 20)


def test_models_that_are_no_equals_are_told(home: Path) -> None:
    models = [model("generation-0", 50), model("generation-1", 70)]
    for one, parameters in zip(models, (1234, 56789), strict=True):
        one.entries[0].info["parameters"] = parameters
    runs = SeedRuns(home, [0, 1, 2], models, [])
    said = "56,789 weights against 1,234"
    assert claims_data(runs)[0]["answers"][0]["unequal"] == said
    assert claims_tables(runs)[1].rows[0][1] == f"generation-1 against generation-0\n{said}"


def test_that_models_are_no_equals_is_told_once_for_their_suites(home: Path) -> None:
    models = [model(f"generation-{number}", 50 + number) for number in range(3)]
    for number, one in enumerate(models):
        one.entries[0].info["parameters"] = 1234 + number
    runs = SeedRuns(home, [0, 1, 2], models, [])
    rows = claims_tables(runs)[1].rows
    first = next(number for number, row in enumerate(rows) if row[0].startswith("Iterating"))
    of_two = [row[1] for row in rows[first : first + len(SUITES)]]
    said = "generation-2 against generation-1"
    assert of_two == [f"{said}\n1,236 weights against 1,235", *[said] * (len(SUITES) - 1)]


def test_what_was_not_evaluated_is_told(home: Path) -> None:
    models = [model("generation-0", 50), model("generation-1", 70)]
    quiet = model("variants/no-noise/generation-1", 60)
    for entry in quiet.entries.values():
        del entry.scores["imagenet-p"]
    runs = SeedRuns(home, [0, 1, 2], [*models, quiet], [])
    data = {one["claim"].split()[0]: one for one in claims_data(runs)}["Noise"]
    assert data["lacking"] == ["no-noise on imagenet-p"]
    assert {answer["suite"] for answer in data["answers"]} == {*SUITES} - {"imagenet-p"}
    notes = claims_tables(runs)[1].notes
    assert any(note.endswith("not evaluated: no-noise on imagenet-p.") for note in notes)


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [((70, 60), HELD), ((60, 70), FAILED), ((60, 60), UNDECIDED)],
)
def test_a_claim_of_a_variant(levels: tuple[float, float], verdict: str, home: Path) -> None:
    student = model("generation-1", levels[0])
    # Its own teacher is no student of it.
    other = [model(f"variants/noised-teacher/generation-{n}", levels[1]) for n in (0, 1)]
    found = asked(home, model("generation-0", 50), student, *other)["The"]
    assert {row[1] for row in of(found)} == {"variants/noised-teacher/generation-1"}
    assert len(found.answers) == len(SUITES)
    assert found.verdict == verdict


def test_one_change_for_the_worse_is_enough(home: Path) -> None:
    models = [model("generation-0", 50), model("generation-1", 60), model("generation-2", 70)]
    wide = model("controls/wide-from-teacher/generation-1", 80, "wide-from-teacher", 2)
    found = asked(home, *models, wide)
    assert {(row[0], row[1], row[3]) for row in of(found["Iterating"])} == {
        ("generation-2", "generation-1", HELD),
        ("generation-2", "controls/wide-from-teacher/generation-1", FAILED),
    }
    assert found["Iterating"].verdict == FAILED
    assert found["A"].verdict == NOT_RUN  # a large ratio, the last claim that begins so
    same = model("controls/wide-from-teacher/generation-1", 70, "wide-from-teacher", 2)
    assert asked(home, *models, same)["Iterating"].verdict == UNDECIDED


def test_what_is_missing_has_a_command(home: Path) -> None:
    runs = SeedRuns(home, [0, 1, 2], [model("generation-0", 50), model("generation-1", 60)], [])
    data = {one["claim"]: one for one in claims_data(runs)}
    assert len(data) == len(CLAIMS)
    start = "nsbench train cifar10-4k --seeds 3"
    assert data["Iterating helps"]["missing"] == ["generation-2", "wide-from-teacher"]
    assert data["Iterating helps"]["commands"] == [f"{start} --controls wide-from-teacher"]
    assert data["Students are better on clean images"]["missing"] == [
        "labeled-only of generation-1"
    ]
    alone = data["Students are better on clean images"]["commands"]
    assert alone == [f"{start} --controls labeled-only"]
    ratio = data["A large ratio of unlabeled images helps large models"]
    assert ratio["commands"] == [f"{start} --variants ratio-1 ratio-3"]
    assert ratio["verdict"] == NOT_RUN
    balance = data["Filtering and balancing help small models"]
    assert balance["lacking"] == []
    assert balance["missing"] == ["no-filter", "mixed", "mixed-no-filter", "no-balancing",
                                  "unbalanced", "unbalanced-no-balancing"]  # fmt: skip
    write_record(home / "seeds.json", {"name": "own", "recipe": {}, "seeds": [0, 1, 2]})
    assert not any(one["commands"] for one in claims_data(runs))  # of a recipe of the user's
    write_record(home / "seeds.json", {"name": "cifar10-4k", "recipe": {}, "seeds": [0, 1, 2]})
    verdicts, changes = claims_tables(runs)
    assert [row[0] for row in verdicts.rows] == [claim.text for claim in CLAIMS]
    assert verdicts.rows[0][2:] == [HELD, "1 held"]
    assert changes.rows[0][1:] == [
        "generation-1 against generation-0", "imagenet-1k, m ↑",
        "+10.0 ± 0.0\n[+7.0, +13.0]", "3 × 400", HELD, "", "",
    ]  # fmt: skip
    notes = " ".join(changes.notes)
    assert f"no-noise not trained ({start} --variants no-noise)." in notes
    counted = sum(len(one.answers) for one in checked_claims(runs))
    assert len(changes.rows) == counted > 1
    assert f"one in twenty of these {counted} would exclude zero by chance" in notes
    # A claim stands at its first change alone.
    named = [row[0] for row in changes.rows if row[0]]
    assert named == [one.claim.text for one in checked_claims(runs) if one.answers]
    other = replace(runs, models=[*runs.models, model("generation-2", 70)])
    lacking = {one["claim"]: one for one in claims_data(other)}[
        "Students are better on clean images"
    ]
    assert lacking["commands"] == [f"{start} --controls labeled-only labeled-only-2"]


def test_numbers_of_claims_are_those_of_their_answers(home: Path) -> None:
    runs = SeedRuns(home, [0, 1, 2], [model("generation-0", 50), model("generation-1", 60)], [])
    (answer, *_) = checked_claims(runs)[0].answers
    stated: dict[str, Any] = claims_data(runs)[0]["answers"][0]
    assert stated["value"] == answer.change.mean == 10
    assert stated["interval"] == list(answer.change.interval or ())
    assert (stated["seeds"], stated["images"], stated["verdict"]) == (3, 400, HELD)
    assert [(a.place, b.place) for a, b in pairs(runs)][:1] == [("generation-1", "generation-0")]
