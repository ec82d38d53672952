"""`nsbench compare`."""

from nsbench.commands.options import Across, CsvFile, JsonFile, MarkdownFile, OneModel, SomeSuites
from nsbench.run_folder import place_in_seeds
from nsbench.util.files import write_json, write_text

COMPARE_EXAMPLES = (
    "Examples:\n\n`nsbench compare runs/quickstart/generation-0 "
    "runs/quickstart/generation-2`\n\n"
    "`nsbench compare runs/quickstart-seeds/controls/labeled-only "
    "runs/quickstart-seeds/generation-1`\n\n"
    "`nsbench compare results/timm-resnet50.a1_in1k runs/mine/generation-2 --suite imagenet-c "
    "imagenet-a --csv changes.csv`"
)


def compare(
    a: OneModel,
    b: OneModel,
    suite: SomeSuites = None,
    across: Across = None,
    json: JsonFile = None,
    csv: CsvFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Compare two models: where B is better than A, by how much, and how certain that is.

    Reads stored predictions, as `nsbench report` does. Only results that were computed alike are
    compared, unless --across names the difference. In a folder of seeds, OUT/generation-1 stands
    for that generation of every seed.
    """
    from nsbench.reporting.compare import Comparison
    from nsbench.reporting.compare import compare as compare_models
    from nsbench.reporting.compare_seeds import SeedComparison, compare_seeds
    from nsbench.reporting.tables import csv_text, markdown_text, print_tables

    over_seeds = place_in_seeds(a) or place_in_seeds(b)
    compared = compare_seeds if over_seeds else compare_models
    comparison: Comparison | SeedComparison = compared(a, b, suite, across or ())
    tables = comparison.tables()
    print_tables(tables)
    if json:
        write_json(json, comparison.data())
    if markdown:
        write_text(markdown, markdown_text(tables))
    if csv:
        write_text(csv, csv_text(comparison.records()))
