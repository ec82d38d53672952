"""Speed of an evaluation on ImageNet-C, made on the fly, beside bare forward passes."""

from nsbench.bench.doctor_steps.limits import beside_parts
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.evaluation import bench_eval
from nsbench.reporting.doctor_result import Goal

SHARE = 0.75
"""Of the speed of bare forward passes that an evaluation should reach on a GPU."""


def evaluation_speed(machine: Machine) -> Finding:
    """Do `nsbench bench eval` with ResNet-50 in bfloat16 (on a CPU with a small one in float32)."""
    arch = machine.pick("resnet50", "resnet10t", "test_resnet")
    precision = machine.pick("bfloat16", "float32", "bfloat16")
    count, batch_size = machine.pick((500, 250), (8, 8), (2, 2))
    found = bench_eval(
        arch,
        images=count,
        batch_size=batch_size,
        precision=precision,
        device=str(machine.device),
    )
    rates = {
        name: found[f"{name}_images_per_second"] for name in ("evaluation", "forward", "corruption")
    }
    speed = beside_parts(
        rates["evaluation"], {"model": rates["forward"], "corruptions": rates["corruption"]}
    )
    figures = {name: value for name, value in found.items() if name != "environment"}
    verdict = (
        f"{rates['evaluation']:,.0f} images/s, {speed.share:.0%} of forwards, {speed.binds} binds"
    )
    goal = Goal(name="ImageNet-C", figure=speed.share, wanted=SHARE, unit="of bare forwards")
    name = f"ImageNet-C by {arch}, {precision}"
    return Finding("measured", verdict, figures, {name: speed}, [goal] if machine.on_gpu else [])
