"""Scores as an object to compute with: by suite, model and metric; as records, tables, files.

Torch-free: `load_results` needs neither a model nor a device.
"""

import operator
import warnings
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from nsbench.metrics.change import Metric
from nsbench.models.names import understood
from nsbench.predictions import read_cell
from nsbench.reporting.compare import Comparison, compare_scores
from nsbench.reporting.results import collect
from nsbench.reporting.score_tables import (
    evaluation_records,
    evaluation_tables,
    metric_text,
)
from nsbench.reporting.tables import csv_text, latex_text, markdown_text, plain_text
from nsbench.suites.base import SuiteScores
from nsbench.util.arguments import checked
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json, write_text
from nsbench.util.progress import counted
from nsbench.util.text import a_type

if TYPE_CHECKING:
    import pandas as pd


class Results(Sequence[SuiteScores]):
    """The scores of models on suites, one for each pair, suite by suite.

    `results[0]` is one score and `results[1:3]` are some. `results["imagenet-c"]` are those on a
    suite and `results["resnet50"]` those of a model; where one score is left, the name of a metric
    gives the metric: `results["imagenet-c"]["mce"].value` in percent, `.interval` its 95% interval
    over images. A score has `suite`, `model`, `metrics`, `tables` and `folder`.
    """

    def __init__(self, scores: Iterable[SuiteScores]) -> None:
        self._scores = tuple(scores) if isinstance(scores, Iterable) else (scores,)
        for one in self._scores:
            if not isinstance(one, SuiteScores):
                raise TypeError(f"Results are of scores of suites, not of {a_type(one)}")

    def __len__(self) -> int:
        return len(self._scores)

    @overload
    def __getitem__(self, key: int) -> SuiteScores: ...

    @overload
    def __getitem__(self, key: slice) -> "Results": ...

    @overload
    def __getitem__(self, key: str) -> Any: ...

    def __getitem__(self, key: int | slice | str) -> Any:
        """A score by number, some by a slice, or by the name of a suite, a model or a metric.

        Raises NsbenchError for a name that is none of them, with the nearest one.
        """
        if isinstance(key, slice):
            return Results(self._scores[key])
        if not isinstance(key, str):
            return self._at(key)
        named = [s for s in self._scores if s.suite.name == key] or self._by_model(key)
        if named:
            return Results(named)
        if len(self._scores) == 1 and key in self._scores[0].metrics:
            return self._scores[0].metrics[key]
        raise NsbenchError(self._unknown(key))

    def _at(self, key: Any) -> SuiteScores:
        try:
            # NumPy's whole numbers are positions too.
            return self._scores[operator.index(key)]
        except TypeError:
            raise TypeError(
                f"results are found by a number, a slice or a name, not by {a_type(key)}"
            ) from None

    def _unknown(self, key: str) -> str:
        metrics = list(dict.fromkeys(key for s in self._scores for key in s.metrics))
        if key in metrics:
            pairs = ", ".join(f"{s.model} on {s.suite.name}" for s in self._scores[:3])
            return (
                f"'{key}' is a metric of {len(self._scores)} results ({pairs}"
                f"{', …' if len(self._scores) > 3 else ''}): name the suite and the model first"
            )
        names = [*self.suites, *self.models, *metrics]
        return f"{self!r} has no suite, model or metric '{key}'{nearest(key, names)}"

    @property
    def suites(self) -> list[str]:
        """The names of the suites, in order."""
        return list(dict.fromkeys(score.suite.name for score in self._scores))

    @property
    def models(self) -> list[str]:
        """The names of the models, in order."""
        return list(dict.fromkeys(score.model for score in self._scores))

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics of the one score that is left, by key; the first is the headline.

        Raises NsbenchError where there are several scores.
        """
        if len(self._scores) != 1:
            raise NsbenchError(
                f"{self!r} are {len(self._scores)} scores: name a suite and a model first"
            )
        return self._scores[0].metrics

    def to_records(self) -> list[dict[str, Any]]:
        """A flat record for each metric of each model on each suite.

        Keys: suite, model, metric (as tables call it), value, low and high (95% interval, percent),
        images, unreadable, chosen, reference.
        """
        return evaluation_records(self._scores)

    def to_pandas(self) -> "pd.DataFrame":
        """`to_records` as a DataFrame. Raises NsbenchError without pandas."""
        try:
            import pandas as pd
        except ImportError as error:
            raise NsbenchError("a DataFrame needs pandas: pip install 'nsbench[pandas]'") from error
        return pd.DataFrame(self.to_records())

    def save_csv(self, path: str | Path) -> None:
        """Write `to_records` as CSV."""
        write_text(_file(path), csv_text(self.to_records()))

    def save_json(self, path: str | Path) -> None:
        """Write what `nsbench eval --json` writes: for each suite metrics and tables of models."""
        write_json(_file(path), [table.data for table in evaluation_tables(self._scores)])

    def save_markdown(self, path: str | Path) -> None:
        """Write a table for each suite as Markdown."""
        write_text(_file(path), markdown_text(evaluation_tables(self._scores)))

    def save_latex(self, path: str | Path) -> None:
        """Write a table for each suite as LaTeX (package booktabs)."""
        write_text(_file(path), latex_text(evaluation_tables(self._scores)))

    def compare(self, a: str, b: str) -> Comparison:
        """Where model `b` is better than model `a`, on all suites that both have.

        `.records()` has a flat record for each row, `.tables()` what `nsbench compare` prints.
        Raises NsbenchError for an unknown model, or where no suite was evaluated on the same images
        and in the same way for both.
        """
        by_suite = [{s.suite.name: s for s in self._of_model(name)} for name in (a, b)]
        both = [name for name in by_suite[0] if name in by_suite[1]]
        if not both:
            raise NsbenchError(f"{a} and {b} share no suite: evaluate both on one")
        return compare_scores(a, b, [(by_suite[0][name], by_suite[1][name]) for name in both])

    def _of_model(self, name: str) -> list[SuiteScores]:
        if not isinstance(name, str):
            raise TypeError(f"a model is named by a string, not by {type(name).__name__}")
        if found := self._by_model(name):
            return found
        raise NsbenchError(f"there is no model '{name}'{nearest(name, self.models)}")

    def _by_model(self, name: str) -> list[SuiteScores]:
        """The scores of a model by its name, or another spelling of it, such as resnet50."""
        names = {score.model for score in self._scores}
        metrics = {key for score in self._scores for key in score.metrics}
        own = name if name in names | metrics else understood(name).name
        return [score for score in self._scores if score.model == own]

    def predictions(self) -> pa.Table:
        """What each model answered to each image, read from the stored predictions.

        Columns: suite, model, cell (such as `fog/3`), image (its id), label (int32), top5 (list of
        five int32 class numbers, -1 where there are fewer classes), confidence (float32, of the top
        class). A clip of a perturbation has one row a frame, in order.
        Raises NsbenchError for a file that is missing or broken.
        """
        parts = [_rows(score, cell) for score in self._scores for cell in score.suite.cells()]
        return pa.concat_tables(parts) if parts else _SCHEMA.empty_table()

    def __repr__(self) -> str:
        about = f"{counted(len(self.models), 'model')} on {', '.join(self.suites) or 'no suite'}"
        return f"<Results of {about}>"

    def __str__(self) -> str:
        """A table for each suite, in the width of the terminal."""
        return plain_text(evaluation_tables(self._scores)) or repr(self)

    def _repr_html_(self) -> str:
        """A row for each model and a column for each suite's headline, as a notebook shows it."""
        shown = {(s.model, s.suite.name): next(iter(s.metrics.values())) for s in self._scores}
        titles = {suite: metric.name for (_, suite), metric in reversed(shown.items())}
        heads = [f"<th>{escape(name)}<br>{escape(titles[name])}</th>" for name in self.suites]
        rows = []
        for model in self.models:
            found = [shown.get((model, suite)) for suite in self.suites]
            cells = [f"<td>{escape(metric_text(m)) if m else ''}</td>" for m in found]
            rows.append(f"<tr><th>{escape(model)}</th>{''.join(cells)}</tr>")
        head = f"<thead><tr><th></th>{''.join(heads)}</tr></thead>"
        return f"<table>{head}<tbody>{''.join(rows)}</tbody></table>"


def _file(path: str | Path) -> Path:
    if not isinstance(path, str | Path):
        raise TypeError(f"path is {a_type(path)}, but must be the name of a file")
    return Path(path)


_SCHEMA = pa.schema(
    [
        ("suite", pa.string()),
        ("model", pa.string()),
        ("cell", pa.string()),
        ("image", pa.string()),
        ("label", pa.int32()),
        ("top5", pa.list_(pa.int32(), 5)),
        ("confidence", pa.float32()),
    ]
)


def _rows(score: SuiteScores, cell: str) -> pa.Table:
    """The predictions of a cell under what they are of."""
    rows = read_cell(score.folder, cell)
    about = [score.suite.name, score.model, cell]
    repeated = [pa.array([text]).take(pa.array(np.zeros(len(rows.labels), int))) for text in about]
    top = pa.FixedSizeListArray.from_arrays(pa.array(rows.top.reshape(-1), pa.int32()), 5)
    columns = [*repeated, pa.array(rows.ids), pa.array(rows.labels), top]
    return pa.table([*columns, pa.array(rows.confidence)], schema=_SCHEMA)


@checked
def load_results(*folders: str | Path, across: Sequence[str] = ()) -> Results:
    """The scores of stored predictions, without torch.

    folders: run folders (all their generations), generations, or folders of results. across:
    settings in which results that are compared may differ; see `nsbench report --help`. Results
    that are left out, as they are unlike those of the other models, are told by a `UserWarning`.
    Raises NsbenchError where nothing was evaluated or a file is broken.
    """
    entries = collect([Path(folder) for folder in folders], across)
    for note in (note for entry in entries for note in entry.notes):
        # Past the decorator, to the line of the caller.
        warnings.warn(note, stacklevel=3)
    scores = [score for entry in entries for score in entry.scores.values()]
    suites = dict.fromkeys(score.suite.name for score in scores)
    return Results(s for name in suites for s in scores if s.suite.name == name)
