"""A resumed evaluation ends as an undisturbed one, and one that is finished only looks."""

import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from nsbench import cli
from nsbench.evaluation.model_run import ModelRun
from nsbench.released.make import make_imagenet_c
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import only_writer
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.evaluation.test_runner import ten_digits

FEW = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 1\n'


def own(tiny_run: Path, folder: Path) -> Path:
    """A generation without results, for one test alone."""
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("results"))
    return folder / "generation-1"


def cells(folder: Path) -> dict[str, bytes]:
    paths = folder.rglob("*.parquet")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def lossy(tmp_path: Path) -> str:
    """A suite of two corruptions in files, one of whose clean images cannot be read."""
    lines = ten_digits(tmp_path / "ten")
    made, names = tmp_path / "made", ["fog", "snow"]
    make_imagenet_c(
        str(tmp_path / "ten"), made, corruptions=names, severities=[1], layout="folder", workers=1
    )
    (made / "nsbench.json").unlink()  # as of a released set, which does not know its images
    broken = next((tmp_path / "ten" / "3").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    text = f'kind = "corruption"\n{lines}image_size = 32\ncorruptions = ["fog", "snow"]\n'
    return write_suite(tmp_path / "lossy.toml", f'{text}severities = [1]\nfiles = "{made}"\n')


@pytest.mark.parametrize("lost", ["snow/1.parquet", "fog/1.parquet", "clean.parquet", "suite.json"])
def test_an_image_that_could_not_be_read_stays_an_error_after_a_resume(
    tiny_run: Path, tmp_path: Path, lossy: str, lost: str
) -> None:
    model = own(tiny_run, tmp_path / "run")
    (folder,) = evaluate([str(model)], [lossy], device="cpu")
    whole, before = cells(folder), score(folder)
    assert len(before.manifest["unreadable"]) == 1
    (folder / lost).unlink()
    evaluate([str(model)], [lossy], device="cpu")
    assert cells(folder) == whole
    after = score(folder)
    assert after.manifest["unreadable"] == before.manifest["unreadable"]
    values = [{key: m.value for key, m in s.metrics.items()} for s in (before, after)]
    assert values[0] == values[1]


def test_a_finished_evaluation_is_shown_where_nobody_can_write(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model, suite = own(tiny_run, tmp_path / "run"), write_suite(tmp_path / "s.toml", FEW)
    folders = evaluate([str(model)], [suite], device="cpu")

    def refuse(*_: object, **__: object) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    assert evaluate([str(model)], [suite], device="cpu") == folders
    assert "cannot be written to, so its results are only shown" in capfd.readouterr().err
    other = write_suite(tmp_path / "t.toml", FEW.replace("= 1", "= 2"))
    with pytest.raises(NsbenchError, match="cannot write .*Read-only file system"):
        evaluate([str(model)], [other], device="cpu")


def test_of_two_evaluations_into_one_folder_the_second_is_told(
    tiny_run: Path, tmp_path: Path
) -> None:
    model, suite = own(tiny_run, tmp_path / "run"), write_suite(tmp_path / "s.toml", FEW)
    with (
        only_writer(model / "results"),
        pytest.raises(NsbenchError, match="another nsbench is writing to .*generation-1/results"),
    ):
        evaluate([str(model)], [suite], device="cpu")
    folders = evaluate([str(model)], [suite], device="cpu")
    with only_writer(model / "results"):  # who only reads needs no lock
        assert evaluate([str(model)], [suite], device="cpu") == folders


def test_it_is_told_why_earlier_results_do_not_serve(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, suite = own(tiny_run, tmp_path / "run"), write_suite(tmp_path / "s.toml", FEW)
    evaluate([str(model)], [suite], device="cpu")
    assert "evaluated before" not in capfd.readouterr().err
    evaluate([str(model)], [suite], device="cpu", precision="bfloat16")
    assert "s was evaluated before, but not like this (precision is bfloat16, was float32)" in (
        capfd.readouterr().err
    )
    write_suite(tmp_path / "s.toml", FEW.replace("= 1", "= 2"))
    evaluate([str(model)], [suite], device="cpu", precision="bfloat16")
    assert "not like this (another protocol)" in capfd.readouterr().err
    evaluate([str(model)], [suite], device="cpu", precision="bfloat16", limit=3)
    assert "not like this (--limit 3, not all images)" in capfd.readouterr().err


def test_a_damaged_result_is_no_other_evaluation(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model, suite = own(tiny_run, tmp_path / "run"), write_suite(tmp_path / "s.toml", FEW)
    (folder,) = evaluate([str(model)], [suite], device="cpu")
    (folder / "images.parquet").write_bytes(b"damaged")
    assert evaluate([str(model)], [suite], device="cpu") == [folder]
    told = capfd.readouterr().err
    assert "made again" in told
    assert "evaluated before" not in told


def test_a_suite_of_the_same_images_under_another_path_has_the_same_results(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As where each job of a cluster has a scratch folder of its own."""
    model, images = own(tiny_run, tmp_path / "run"), tmp_path / "ten"
    text = f'kind = "accuracy"\n{ten_digits(images)}'
    (folder,) = evaluate([str(model)], [write_suite(tmp_path / "s.toml", text)], device="cpu")
    shutil.copytree(images, tmp_path / "job-2")
    moved = write_suite(tmp_path / "s.toml", text.replace(str(images), str(tmp_path / "job-2")))
    assert evaluate([str(model)], [moved], device="cpu") == [folder]
    assert "nothing left to do" in capfd.readouterr().err
    (tmp_path / "job-2" / "3" / "0.png").write_bytes(next((images / "4").iterdir()).read_bytes())
    assert evaluate([str(model)], [moved], device="cpu") != [folder]


def test_the_same_images_elsewhere_are_not_evaluated_again(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Copied bytes have other times; a replaced image of the same size and time is another."""
    model, images = own(tiny_run, tmp_path / "run"), tmp_path / "ten"
    suite = write_suite(tmp_path / "s.toml", f'kind = "accuracy"\n{ten_digits(images)}')
    (folder,) = evaluate([str(model)], [suite], device="cpu")
    shutil.move(images, tmp_path / "old")
    shutil.copytree(tmp_path / "old", images, copy_function=shutil.copyfile)
    capfd.readouterr()
    assert evaluate([str(model)], [suite], device="cpu") == [folder]
    assert "nothing left to do" in capfd.readouterr().err
    file = next((images / "3").iterdir())
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert evaluate([str(model)], [suite], device="cpu") != [folder]
    assert "not like this (other images)" in capfd.readouterr().err


def test_redo_makes_what_is_finished_again(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = own(tiny_run, tmp_path / "run")
    few, other = (write_suite(tmp_path / f"{name}.toml", FEW) for name in ("few", "other"))
    folders = evaluate([str(model)], [few, other], device="cpu")
    whole = cells(folders[0])
    times = [next(folder.rglob("*.parquet")).stat().st_mtime_ns for folder in folders]
    assert evaluate([str(model)], [few], device="cpu", redo=True) == folders[:1]
    assert "nothing left to do" not in capfd.readouterr().err
    assert cells(folders[0]) == whole
    after = [next(folder.rglob("*.parquet")).stat().st_mtime_ns for folder in folders]
    assert after[0] > times[0]
    assert after[1] == times[1]


def test_a_redo_that_is_stopped_goes_on_without_it(
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    model = own(tiny_run, tmp_path / "run [1]")
    suite = write_suite(
        tmp_path / "two.toml",
        f"{FEW.replace('accuracy', 'corruption')}image_size = 32\n"
        'corruptions = ["fog", "snow"]\nseverities = [1]\n',
    )
    words = ["eval", str(model), "--suite", suite, "--device", "cpu"]
    run_command(words, 0)
    (folder,) = (model / "results" / "two").iterdir()
    whole, made = cells(folder), []
    finish = ModelRun.finish

    def stopped(self: ModelRun, cell: str, images: Any) -> None:
        finish(self, cell, images)
        made.append(cell)
        if len(made) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ModelRun, "finish", stopped)
        capfd.readouterr()
        run_command([*words, "--overwrite"], 130)
    printed = capfd.readouterr().err.splitlines()[-1]
    assert len(cells(folder)) == 2
    assert not (folder / "suite.json").exists()
    start, *pasted = shlex.split(printed.partition("to continue: ")[2])
    assert start == "nsbench"
    assert pasted == words
    run_command(pasted, 0)
    assert cells(folder) == whole


def run_command(words: list[str], code: int) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words)
    assert left.value.code == code
