"""Training that is killed, stopped, divided or diverges."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from nsbench.recipes.recipe import load_recipe
from nsbench.training import fit, generations, schedule
from nsbench.training import state as training_state
from nsbench.training.checks import claim_run_folder
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError

# layer norm only, so that dividing a batch does not change what a network sees
RECIPE = """
name = "walk"
workers = 0
checkpoint_steps = 4

[data]
labeled = { source = "digits", split = "labeled" }
unlabeled = { source = "digits", split = "unlabeled" }
validation_per_class = 2

[pseudo_labels]
min_confidence = 0.0
balance = false

[defaults]
arch = "test_vit"
model_args = { img_size = 32 }
image_size = 32
crop = "pad"
flip = 0.0
randaugment = "paper-m9-n2"
dropout = 0.0
drop_path = 0.0
batch_size = 20
unlabeled_ratio = 1
optimizer = "adamw"
lr = 2e-3
epochs = 2

[[generations]]

[[generations]]
epochs = 4
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "walk.toml"
    path.write_text(RECIPE)
    return path


def weights(run: Path, index: int = 1) -> str:
    found: str = json.loads((run / f"generation-{index}" / "model.json").read_text())["weights"]
    return found


def rows(run: Path, index: int = 1) -> list[dict[str, Any]]:
    lines = (run / f"generation-{index}" / "training.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def losses(run: Path) -> list[float]:
    return [row["loss"] for index in range(2) for row in rows(run, index) if "loss" in row]


PLAIN = ["defaults.arch=test_resnet", "defaults.model_args={}", "defaults.lr=1e-4"]
NOISY = ["defaults.dropout=0.1", "defaults.drop_path=0.1", "defaults.arch=test_resnet"]
NOISY += ["defaults.model_args={}", "defaults.optimizer=rmsproptf"]


@pytest.mark.parametrize("more", [[], ["generations.1.epochs=8", "defaults.crop=random-resized"]])
def test_killed_and_repeated_it_ends_with_the_same_weights(
    recipe: Path, tmp_path: Path, more: list[str]
) -> None:
    undisturbed = train(str(recipe), tmp_path / "a", settings=NOISY + more, device="cpu")
    command = [sys.executable, "-m", "nsbench", "train", str(recipe), "--out", str(tmp_path / "b")]
    command += ["--device", "cpu", "--set", *NOISY, *more]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    checkpoint = tmp_path / "b" / "generation-1" / "checkpoint.safetensors"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "generation 1: going on after step" in done.stderr
    assert weights(tmp_path / "b") == weights(undisturbed)
    assert losses(tmp_path / "b") == losses(undisturbed)
    assert not checkpoint.exists()


def test_ctrl_c_keeps_the_step_it_stops_at(recipe: Path, tmp_path: Path) -> None:
    settings = ["generations.1.epochs=400", "checkpoint_steps=1000000"]
    command = [sys.executable, "-m", "nsbench", "train", str(recipe), "--out", str(tmp_path / "b")]
    command += ["--device", "cpu", "--set", *settings]
    log = tmp_path / "b" / "generation-1" / "training.jsonl"
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (log.exists() and len(log.read_text()) > 500):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130
    assert " -m nsbench train" in said.rpartition("to continue:")[2]
    about, _ = training_state._read(log.parent / "checkpoint.safetensors")
    assert about["step"] >= rows(tmp_path / "b")[-1]["step"] > 0


def test_resume_goes_on_by_the_recipe_in_the_folder(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(str(recipe), tmp_path / "a", device="cpu")
    interrupted_at(monkeypatch, 13)
    with pytest.raises(KeyboardInterrupt):
        train(str(recipe), tmp_path / "b", device="cpu")
    monkeypatch.undo()
    assert (tmp_path / "b" / "generation-0" / "checkpoint.safetensors").exists()
    recipe.unlink()
    run = train(resume=tmp_path / "b", device="cpu")
    assert weights(run, 0) == weights(whole, 0)
    assert weights(run) == weights(whole)
    with pytest.raises(NsbenchError, match=r"holds no recipe\.toml, so there is nothing to resume"):
        train(resume=tmp_path)


def interrupted_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    from nsbench.training.step import TrainStep

    call = TrainStep.__call__

    def stops(self: TrainStep, passes: Any) -> Any:
        if self._state.step == step:
            raise KeyboardInterrupt
        return call(self, passes)

    monkeypatch.setattr(TrainStep, "__call__", stops)


@pytest.mark.parametrize("optimizer", ["lamb", "adan", "lookahead_adamw"])
def test_what_optimizers_count_for_all_weights_is_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    settings = [f"defaults.optimizer={optimizer}", "defaults.steps=14", "checkpoint_steps=5"]
    whole = train(str(recipe), tmp_path / "a", settings=settings, device="cpu")
    interrupted_at(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        train(str(recipe), tmp_path / "b", settings=settings, device="cpu")
    monkeypatch.undo()
    run = train(str(recipe), tmp_path / "b", settings=settings, device="cpu")
    assert weights(run, 0) == weights(whole, 0)


def test_a_checkpoint_of_other_settings_is_refused_and_goes_on_later(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A refused command changes nothing, so that the right one goes on."""
    interrupted_at(monkeypatch, 13)
    with pytest.raises(KeyboardInterrupt):
        train(str(recipe), tmp_path / "b", device="cpu")
    monkeypatch.undo()
    before = {path: path.read_bytes() for path in (tmp_path / "b").rglob("*") if path.is_file()}
    with pytest.raises(NsbenchError, match=r"another recipe \(generations\.0\.lr is 0\.001, was"):
        train(str(recipe), tmp_path / "b", settings=["defaults.lr=1e-3"], device="cpu")
    # a recipe that was put in its place does not hide what the checkpoint is of
    other = tmp_path / "other" / "recipe.toml"
    claim_run_folder(other.parent, load_recipe(str(recipe), ["defaults.lr=1e-3"]))
    shutil.copy(other, tmp_path / "b")
    with pytest.raises(NsbenchError, match=r"written while .*\(generation\.lr is 0\.001, was "):
        train(str(recipe), tmp_path / "b", settings=["defaults.lr=1e-3"], device="cpu")
    (tmp_path / "b" / "recipe.toml").write_bytes(before[tmp_path / "b" / "recipe.toml"])
    assert all(path.read_bytes() == content for path, content in before.items())
    capfd.readouterr()
    train(str(recipe), tmp_path / "b", device="cpu")
    assert "going on after step" in capfd.readouterr().err


def test_a_damaged_checkpoint_is_moved_aside_and_the_generation_begun_again(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = train(str(recipe), tmp_path / "a", device="cpu")
    interrupted_at(monkeypatch, 13)
    with pytest.raises(KeyboardInterrupt):
        train(str(recipe), tmp_path / "b", device="cpu")
    monkeypatch.undo()
    checkpoint = tmp_path / "b" / "generation-0" / "checkpoint.safetensors"
    content = bytearray(checkpoint.read_bytes())
    content[-100] ^= 1
    checkpoint.write_bytes(content)
    run = train(str(recipe), tmp_path / "b", device="cpu")
    told = capfd.readouterr().err
    assert "checkpoint.safetensors is not as it was written" in told
    assert "going on" not in told
    assert checkpoint.with_name("checkpoint.safetensors.set-aside-1").read_bytes() == content
    assert weights(run, 0) == weights(whole, 0)


@pytest.mark.parametrize("processes", [2])
def test_two_processes_train_to_the_same_losses(
    recipe: Path, tmp_path: Path, processes: int
) -> None:
    alone = train(str(recipe), tmp_path / "a", device="cpu")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *launch, "-m", "nsbench", "train", str(recipe)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "b"), "--device", "cpu"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    together = losses(tmp_path / "b")
    assert len(together) > 20
    np.testing.assert_allclose(together, losses(alone), rtol=1e-3)
    assert done.stdout.count("test_vit") == 2  # one table


def test_processes_that_torchrun_starts_again_go_on(recipe: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    more = ["-m", "nsbench", "train", str(recipe), "--device", "cpu", "--set"]
    more += ["generations.1.epochs=8", "checkpoint_steps=8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launch, "--max-restarts", "1", *more]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "a")],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    checkpoint = tmp_path / "a" / "generation-1" / "checkpoint.safetensors"
    while process.poll() is None and not checkpoint.exists():
        time.sleep(0.005)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert "generation 1: going on after step" in said
    alone = train(str(recipe), tmp_path / "b", settings=["generations.1.epochs=8"], device="cpu")
    np.testing.assert_allclose(losses(tmp_path / "a"), losses(alone), rtol=1e-3)


def test_bad_input_is_told_once_by_several_processes(recipe: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launch, "-m", "nsbench", "train", str(recipe), "--device", "cpu"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "b"), "--set", "defaults.archh=x"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("unknown key 'defaults.archh'") == 1
    assert not (tmp_path / "b").exists()


def test_accumulated_parts_train_to_the_same_losses(recipe: Path, tmp_path: Path) -> None:
    whole = train(str(recipe), tmp_path / "a", device="cpu")
    settings = ["defaults.accumulate=4", "defaults.checkpoint_activations=true"]
    parts = train(str(recipe), tmp_path / "b", settings=settings, device="cpu")
    np.testing.assert_allclose(losses(parts), losses(whole), rtol=1e-3)


def test_activations_computed_twice_count_once_in_batch_norm(recipe: Path, tmp_path: Path) -> None:
    def statistics(name: str, *more: str) -> dict[str, torch.Tensor]:
        run = train(str(recipe), tmp_path / name, settings=[*PLAIN, *more], device="cpu")
        found = safetensors.torch.load_file(run / "generation-1" / "model.safetensors")
        return {key: value for key, value in found.items() if "running" in key}

    once, twice = statistics("a"), statistics("b", "defaults.checkpoint_activations=true")
    assert len(once) > 4
    for key, value in once.items():
        torch.testing.assert_close(twice[key], value, rtol=1e-4, atol=1e-5)


def test_parts_must_divide_the_batch(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=r"accumulate = 3 cannot share evenly"):
        train(str(recipe), tmp_path / "a", settings=["defaults.accumulate=3"], device="cpu")


def test_bfloat16_and_clipping_train(recipe: Path, tmp_path: Path) -> None:
    settings = ["defaults.precision=bfloat16", "defaults.clip_norm=1.0"]
    run = train(str(recipe), tmp_path / "a", settings=settings, device="cpu")
    whole = train(str(recipe), tmp_path / "b", device="cpu")
    assert losses(run) != losses(whole)
    np.testing.assert_allclose(losses(run)[:3], losses(whole)[:3], rtol=2e-2)
    with pytest.raises(NsbenchError, match="'precision' is 'float16', which is for GPUs"):
        train(str(recipe), tmp_path / "c", settings=["defaults.precision=float16"], device="cpu")


def test_a_loss_that_grows_out_of_bounds_stops_with_the_last_good_state(
    recipe: Path, tmp_path: Path
) -> None:
    settings = ["defaults.optimizer=sgd", "defaults.lr=300.0", "defaults.warmup=0.9"]
    with pytest.raises(NsbenchError) as caught:
        train(str(recipe), tmp_path / "a", settings=[*settings, "checkpoint_steps=1"], device="cpu")
    sentence = str(caught.value)
    assert "the loss of generation 0 is" in sentence
    assert "with learning rate" in sentence
    assert "the last good state is in" in sentence
    assert "generation-0/checkpoint.safetensors" in sentence


@pytest.mark.parametrize("broken_at", [4, 16])  # where a state is written, and in the last step
def test_weights_that_are_no_numbers_are_not_kept(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_at: int
) -> None:
    from nsbench.training.step import TrainStep

    step = TrainStep._step

    def breaks(self: TrainStep) -> None:
        step(self)
        if self._state.step + 1 == broken_at:
            next(self._state.model.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(TrainStep, "_step", breaks)
    settings = ["defaults.steps=16", "checkpoint_steps=4"]
    with pytest.raises(NsbenchError, match=rf"is nan at step {broken_at} with learning rate"):
        train(str(recipe), tmp_path / "a", settings=settings, device="cpu")
    folder = tmp_path / "a" / "generation-0"
    assert (folder / "checkpoint.safetensors").exists() == (broken_at == 16)
    assert not (folder / "model.json").exists()


def test_too_little_memory_names_the_ways_out(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.training import step

    def short(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    keys = r"raise accumulate \(now 1\), lower batch_size \(now 20\) or unlabeled_ratio \(now 1\)"
    with monkeypatch.context() as patch:
        patch.setattr(step, "noisy_student_loss", short)
        with pytest.raises(NsbenchError, match=f"memory for 20 images of 32 px.*{keys}"):
            train(str(recipe), tmp_path / "a", device="cpu")
    with monkeypatch.context() as patch:  # where the device or NumPy lacks memory for the average
        patch.setattr(schedule.WeightAverage, "update", lambda *_: np.empty((2**40, 2**15)))
        with pytest.raises(NsbenchError, match=f"memory for 20 images of 32 px.*{keys}"):
            train(str(recipe), tmp_path / "b", device="cpu")
    monkeypatch.setattr(generations, "TrainingState", short)
    with pytest.raises(NsbenchError, match=f"memory for the training of generation 0: {keys}"):
        train(str(recipe), tmp_path / "c", device="cpu")


def test_images_are_read_for_each_step_where_the_step_needs_the_memory(
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = ["generations.0.steps=2", "generations.1.steps=2"]
    run = train(str(recipe), tmp_path / "a", settings=settings, device="cpu")
    assert "reading labeled images" in capfd.readouterr().err
    asked: list[int] = []

    def most(generation: Any, classes: int, at_once: int) -> int:
        asked.append(at_once)
        return 10**18

    monkeypatch.setattr(fit, "memory_of", most)
    again = train(str(recipe), tmp_path / "b", settings=settings, device="cpu")
    assert "reading labeled images" not in capfd.readouterr().err
    assert asked == [20, 40]  # the student has as many unlabeled images
    assert weights(again) == weights(run)


def test_too_little_memory_for_fine_tuning_names_its_own_keys(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.training import step
    from nsbench.training.loss import noisy_student_loss

    def short(logits: torch.Tensor, *others: Any, **settings: Any) -> Any:
        if len(logits) == 24:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return noisy_student_loss(logits, *others, **settings)

    monkeypatch.setattr(step, "noisy_student_loss", short)
    settings = ["generations.0.fine_tune={image_size=48, epochs=1, batch_size=24, lr=0.01}"]
    sentence = r"24 images of 48 px.*lower fine_tune\.batch_size \(now 24\), or set checkpoint_act"
    with pytest.raises(NsbenchError, match=sentence):
        train(str(tiny_recipe), tmp_path / "a", settings=[*settings, "defaults.steps=1"])


def test_warm_start_begins_with_the_teachers_weights(recipe: Path, tmp_path: Path) -> None:
    settings = ["generations.1.warm_start=true", "generations.1.lr=1e-9"]
    run = train(str(recipe), tmp_path / "a", settings=settings, device="cpu")
    from nsbench.models import load_model

    teacher, student = (load_model(str(run / f"generation-{i}"), "cpu") for i in range(2))
    for one, other in zip(
        teacher.module.state_dict().values(), student.module.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)
    with pytest.raises(NsbenchError, match=r"'generations\.1\.warm_start' is true"):
        train(
            str(recipe),
            tmp_path / "b",
            settings=[*settings, "generations.1.arch=test_vit2"],
            device="cpu",
        )


def test_a_run_goes_on_where_its_images_moved_and_not_on_others(
    tmp_path: Path,
    image_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its recipe too is left alone by a command that is refused."""
    recipe, run = tmp_path / "r.toml", tmp_path / "run"
    recipe.write_text(
        f'workers = 0\ncheckpoint_steps = 2\n[data]\nlabeled = "{image_folder}"\n'
        '[defaults]\narch = "test_resnet"\n'
        'image_size = 32\nsteps = 20\nbatch_size = 2\noptimizer = "adamw"\n[[generations]]\n'
    )
    interrupted_at(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train(str(recipe), run, device="cpu")
    monkeypatch.undo()
    before = (run / "recipe.toml").read_bytes()
    shutil.copytree(image_folder, tmp_path / "other")
    (tmp_path / "other" / "cat" / "0.png").unlink()
    with pytest.raises(
        NsbenchError, match=r"generation-0 was begun with .*\(other labeled images\)"
    ):
        train(str(recipe), run, settings=[f"data.labeled={tmp_path / 'other'}"], device="cpu")
    assert (run / "recipe.toml").read_bytes() == before
    shutil.move(image_folder, tmp_path / "moved")
    train(str(recipe), run, settings=[f"data.labeled={tmp_path / 'moved'}"], device="cpu")
    assert "going on after step 4" in capfd.readouterr().err
    assert "moved" in (run / "recipe.toml").read_text()
