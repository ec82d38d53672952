"""`nsbench bench`: speed against the reference, side by side."""

from typing import Annotated

import typer

from nsbench.commands.habits import Group
from nsbench.commands.options import (
    BareArch,
    Corruptions,
    Device,
    JsonFile,
    ManyValues,
    Precision,
)
from nsbench.util.files import write_json

bench_app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Measure speed against the reference, side by side.",
)


@bench_app.command(cls=ManyValues, epilog="Example:\n\n`nsbench bench attack --json attack.json`")
def attack(
    arch: BareArch = "resnet18",
    image_size: Annotated[int, typer.Option(min=16, help="Pixels.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Images.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each side.")] = 5,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time an FGSM curve of 8 epsilons by nsbench and by foolbox."""
    from nsbench.bench.attack import bench_attack
    from nsbench.reporting.bench_tables import bench_table
    from nsbench.reporting.tables import print_table

    result = bench_attack(arch, image_size, batch_size, rounds, device=device)
    print_table(bench_table(result), json)


@bench_app.command(
    cls=ManyValues,
    name="eval",
    epilog="Examples:\n\n`nsbench bench eval --json eval.json`\n\n"
    "`nsbench bench eval --models 3 --images 2048 --batch-size 256 --precision bfloat16`",
)
def bench_the_evaluation(
    arch: BareArch = "resnet50",
    models: Annotated[int, typer.Option(min=1, help="Evaluated together.")] = 1,
    images: Annotated[int, typer.Option(min=1, help="Images of each of the 75 cells.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a forward pass.")] = 8,
    precision: Precision = "float32",
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time ImageNet-C on the fly beside the bare forward passes, and the reading of JPEG files."""
    from nsbench.bench.evaluation import bench_eval
    from nsbench.reporting.bench_tables import bench_table
    from nsbench.reporting.tables import print_table

    result = bench_eval(
        arch,
        models=models,
        images=images,
        batch_size=batch_size,
        precision=precision,
        device=device,
    )
    print_table(bench_table(result), json)


@bench_app.command(
    cls=ManyValues,
    name="train",
    epilog="Examples:\n\n`nsbench bench train --json train.json`\n\n"
    "`nsbench bench train --arch tf_efficientnet_b0 --image-size 224 --precision bfloat16`",
)
def bench_the_training(
    arch: BareArch = "resnet18",
    image_size: Annotated[int, typer.Option(min=16, help="Pixels.")] = 32,
    batch_size: Annotated[int, typer.Option(min=2, help="Labeled images a step.")] = 64,
    unlabeled_ratio: Annotated[
        float, typer.Option(min=0.1, help="Pseudo-labeled images for each.")
    ] = 3.0,
    precision: Precision = "float32",
    steps: Annotated[int, typer.Option(min=1, help="Steps a measurement.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each side.")] = 5,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time a student's steps beside bare ones, labeling, and RandAugment beside timm's."""
    from nsbench.bench.training import bench_train
    from nsbench.reporting.bench_tables import bench_table
    from nsbench.reporting.tables import print_table

    result = bench_train(
        arch,
        image_size=image_size,
        batch_size=batch_size,
        unlabeled_ratio=unlabeled_ratio,
        precision=precision,
        steps=steps,
        rounds=rounds,
        device=device,
    )
    print_table(bench_table(result), json)


@bench_app.command(
    cls=ManyValues, name="report", epilog="Example:\n\n`nsbench bench report --json report.json`"
)
def bench_the_report(
    models: Annotated[int, typer.Option(min=1, help="Generations.")] = 3,
    images: Annotated[int, typer.Option(min=20, help="Images of each suite, and clips.")] = 50_000,
    json: JsonFile = None,
) -> None:
    """Time a report of random predictions on five suites of the size of ImageNet."""
    from nsbench.bench.report import bench_report
    from nsbench.reporting.bench_tables import bench_table
    from nsbench.reporting.tables import print_table

    print_table(bench_table(bench_report(models=models, images=images)), json)


@bench_app.command(
    cls=ManyValues,
    name="corruptions",
    epilog="Examples:\n\n`nsbench bench corruptions --json corruptions.json`\n\n"
    "`nsbench bench corruptions --corruption fog snow --device cuda --batch-size 256`",
)
def bench_the_corruptions(
    corruption: Corruptions = None,
    image_size: Annotated[int, typer.Option(min=32, help="Pixels.")] = 224,
    batch_size: Annotated[int, typer.Option(min=1, help="Images.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each side.")] = 3,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time the corruptions by nsbench and by the package imagecorruptions, on the same cores."""
    from nsbench.bench.corruptions import bench_corruptions
    from nsbench.names import CORRUPTIONS
    from nsbench.reporting.bench_tables import bench_table, corruptions_table
    from nsbench.reporting.tables import print_tables

    result = bench_corruptions(
        corruption or CORRUPTIONS,
        image_size=image_size,
        batch_size=batch_size,
        rounds=rounds,
        device=device,
    )
    print_tables([corruptions_table(result), bench_table(result)])
    if json:
        write_json(json, result)
