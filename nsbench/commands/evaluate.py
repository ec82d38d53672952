"""`nsbench eval` and `nsbench reference`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsbench.commands import options as given
from nsbench.run_folder import place_in_seeds
from nsbench.util.files import write_text
from nsbench.util.progress import say

if TYPE_CHECKING:
    from nsbench.evaluation.options import Options
    from nsbench.models import Classifier
    from nsbench.suites.base import Suite

EVAL_EXAMPLES = (
    "Examples:\n\n`nsbench eval runs/quickstart --suite digits digits-c`\n\n"
    "`nsbench eval runs/quickstart-seeds --suite digits digits-c`\n\n"
    "`nsbench eval timm:resnet50.a1_in1k --suite my-suite.toml --device cuda`\n\n"
    "`nsbench eval best.pth --arch resnet50 --classes names.txt --suite my-suite.toml`\n\n"
    "`nsbench eval python:mine.models:make --image-size 32 --suite my-suite.toml`"
)
REFERENCE_EXAMPLE = (
    "Example:\n\n`nsbench reference digits-a digits-c digits-p --out digits-reference.json`"
)


def evaluate(
    models: given.Models,
    suite: given.SuiteOption,
    arch: given.Arch = None,
    weights: given.WeightsFile = None,
    entry: given.EntryName = None,
    classes: given.ClassNames = None,
    image_size: given.InputSize = None,
    crop_pct: given.CropPct = None,
    interpolation: given.Interpolation = None,
    mean: given.Channels = None,
    std: given.Channels = None,
    device: given.Device = None,
    batch_size: given.BatchSize = 250,
    precision: given.Precision = "float32",
    channels_last: given.ChannelsLast = True,
    compile: given.Compile = False,
    cache: given.Cache = None,
    data: given.Data = None,
    quick: given.Quick = False,
    limit: given.Limit = None,
    redo: given.Redo = False,
    name: given.ModelName = None,
    sort: given.SortBy = None,
    dry_run: given.DryRun = False,
    json: given.JsonFile = None,
    csv: given.CsvFile = None,
    markdown: given.MarkdownFile = None,
) -> None:
    """Evaluate models on suites.

    Repeat the command after an interruption, or with more models or suites: only what is missing
    is computed. Under `torchrun --nproc-per-node N -m nsbench eval …` the processes share the work.
    Options about models, such as --mean, hold for every model and replace what its files say.
    """
    from nsbench.commands.checks import check_evaluation
    from nsbench.data.catalog import set_roots
    from nsbench.models.options import ModelOptions

    set_roots(data)
    about = ModelOptions(
        arch, weights, classes, image_size, crop_pct, interpolation, mean, std, entry, name
    )
    # Before torch is imported, which takes seconds.
    suites = check_evaluation(models, suite, about, sort)

    from nsbench.evaluation.options import make_options
    from nsbench.models import load_models

    options = make_options(
        device=device, batch_size=batch_size, precision=precision, channels_last=channels_last,
        compile=compile, cache=cache, quick=quick, limit=limit, redo=redo,
    )  # fmt: skip
    loaded = load_models(models, options.device, about)
    if dry_run:
        _estimate(loaded, suites, options, json)
    else:
        places = [place_in_seeds(Path(name)) for name in models]
        homes = list(dict.fromkeys(place[0] for place in places if place))
        _evaluate(loaded, suites, options, homes, sort, json, csv, markdown)


def _estimate(
    models: "Sequence[Classifier]", suites: "Sequence[Suite]", options: "Options", json: Path | None
) -> None:
    from nsbench.evaluation.estimate import estimate
    from nsbench.reporting.run_tables import estimate_table
    from nsbench.reporting.tables import print_table

    print_table(estimate_table(estimate(models, suites, options)), json)


def _evaluate(
    models: "Sequence[Classifier]",
    suites: "Sequence[Suite]",
    options: "Options",
    homes: "Sequence[Path]",
    sort: str | None,
    json: Path | None,
    csv: Path | None,
    markdown: Path | None,
) -> None:
    from nsbench.evaluation.runner import evaluate_with
    from nsbench.reporting import score_tables, tables
    from nsbench.reporting.order import sorted_scores
    from nsbench.reporting.seed_tables import seeds_tables, with_seeds
    from nsbench.reporting.seeds import pool_evaluated
    from nsbench.suites.scores import score
    from nsbench.util import distributed

    folders = evaluate_with(models, suites, options)
    # Asked before the group of processes is dissolved, after which every process would be alone.
    # Only one of them prints and writes.
    main_process = distributed.is_main()
    distributed.stop()
    if main_process:
        evaluated = [score(folder) for folder in folders]
        pooled = pool_evaluated(homes, evaluated)
        shown = [table for runs in pooled for table in seeds_tables(runs)]
        shown += score_tables.evaluation_tables(
            sorted_scores(evaluated, sort) if sort else evaluated
        )
        tables.print_tables(shown, json)
        if csv:
            records = score_tables.evaluation_records(evaluated)
            write_text(csv, tables.csv_text(with_seeds(records, pooled)))
        if markdown:
            write_text(markdown, tables.markdown_text(shown))


def reference(
    suite: given.SuiteArgument,
    out: Annotated[Path, typer.Option(help="The file that suites name as their reference.")],
    model: Annotated[str, typer.Option(help="The model whose errors normalise.")] = "linear:digits",
    device: given.Device = None,
    json: given.JsonFile = None,
) -> None:
    """Make the constants that normalise mCE and mFR from a model's predictions."""
    from nsbench.commands.checks import check_evaluation
    from nsbench.models.options import ModelOptions
    from nsbench.suites.load import load_suite, take_reference

    take_reference([load_suite(name) for name in suite])
    check_evaluation([model], suite, ModelOptions(), references=False)

    from nsbench.evaluation.make_reference import make_reference
    from nsbench.reporting.score_tables import reference_table
    from nsbench.reporting.tables import print_table

    content = make_reference(suite, model, out, device=device)
    print_table(reference_table(content), json)
    say(f"the reference is {out}")
