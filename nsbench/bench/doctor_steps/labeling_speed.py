"""Speed of a teacher that labels images, beside its bare forward passes."""

import tempfile
from pathlib import Path

from nsbench.bench.doctor_steps.limits import beside_parts
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.labeling import forward_side, labeling_side
from nsbench.bench.models import photograph_spec, untrained
from nsbench.bench.rates import rates
from nsbench.data.open import open_source

ROUNDS = 2
"""Measurements of each side, after one that warms up."""


def labeling_speed(machine: Machine) -> Finding:
    """Label photographs by EfficientNet-B0, in bfloat16 on a GPU, from resident images to files."""
    arch, size, precision = machine.pick(
        ("tf_efficientnet_b0", 224, "bfloat16"),
        ("tf_efficientnet_b0", 64, "float32"),
        ("test_efficientnet", 32, "float32"),
    )
    count, different = machine.pick((4096, 1024), (256, 64), (8, 8))
    folder = Path(tempfile.mkdtemp())
    source = open_source(photograph_spec(folder, size, different))
    teacher = untrained(arch, size, machine.device)
    sides = {
        "labeling": labeling_side(
            teacher, source, count, folder / "labels", precision, machine.device
        ),
        "forward": forward_side(teacher, count, precision, machine.device),
    }
    measured = rates(
        "labeling", {name: (side, count) for name, side in sides.items()}, ROUNDS, machine.device
    )
    speed = beside_parts(measured["labeling"], {"model": measured["forward"]})
    figures = {
        "images": count,
        **{f"{name}_images_per_second": rate for name, rate in measured.items()},
    }
    verdict = (
        f"{measured['labeling']:,.0f} images/s, {speed.share:.0%} of forwards, {speed.binds} binds"
    )
    return Finding("measured", verdict, figures, {f"labeling by {arch}, {precision}": speed})
