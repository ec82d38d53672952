"""Predictions against a plain loop, resume, one pass, and bad input, on real digits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecorruptions
import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.corruptions import corrupt
from nsbench.data.open import DigitsSource, SourceSpec, open_source
from nsbench.data.subset import select_per_class
from nsbench.data.transforms import to_array
from nsbench.evaluation import accuracy, corruption
from nsbench.evaluation.plan import crop_for
from nsbench.models import load_model
from nsbench.perturbations import frames
from nsbench.predictions import read_cell
from nsbench.suites.load import parse_suite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 2\n'
CORRUPTION = f'kind = "corruption"\n{FEW}image_size = 32\njpeg_quality = 0\n'


def images_of(suite_images: int = 2) -> tuple[torch.Tensor, np.ndarray, list[str]]:
    source = DigitsSource("test")
    chosen = select_per_class(source, suite_images, "test")
    images = np.stack([to_array(source.image(index)) for index in chosen])
    assert source.labels is not None
    return torch.from_numpy(images), source.labels[chosen], [source.ids[i] for i in chosen]


def top(model: str, images: torch.Tensor) -> np.ndarray:
    with torch.inference_mode():
        return load_model(model, "cpu").logits(images / 255).topk(5).indices.numpy()


def test_accuracy_equals_a_plain_loop(tiny_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "s.toml", f'kind = "accuracy"\n{FEW}')
    folders = evaluate([str(tiny_run)], [suite], device="cpu", batch_size=7)
    assert [folder.parents[2].name for folder in folders] == ["generation-0", "generation-1"]
    images, labels, ids = images_of()
    for index, folder in enumerate(folders):
        rows = read_cell(folder, "images")
        assert (rows.top == top(str(tiny_run / f"generation-{index}"), images)).all()
        assert rows.labels.tolist() == labels.tolist()
        assert list(rows.ids) == ids
        assert score(folder).metrics["top1"].value == pytest.approx(
            100 * (rows.top[:, 0] == labels).mean()
        )


def by_package(images: torch.Tensor, name: str, severity: int) -> torch.Tensor:
    changed = [
        imagecorruptions.corrupt(
            image.permute(1, 2, 0).numpy(), corruption_name=name, severity=severity
        )
        for image in images
    ]
    return torch.from_numpy(np.stack(changed).transpose(0, 3, 1, 2).copy())


def by_nsbench(images: torch.Tensor, name: str, severity: int) -> torch.Tensor:
    return corrupt(images, name, severity, ids=images_of()[2])


@pytest.mark.parametrize(
    ("generator", "make"), [("nsbench", by_nsbench), ("imagecorruptions", by_package)]
)
def test_corrupted_images_are_the_generators(
    generator: str, make: Callable[..., torch.Tensor], tiny_run: Path, tmp_path: Path
) -> None:
    text = CORRUPTION + 'corruptions = ["defocus_blur", "contrast"]\nseverities = [1, 4]\n'
    text += f'generator = "{generator}"\n'
    suite = write_suite(tmp_path / "s.toml", text)
    model = str(tiny_run / "generation-1")
    (folder,) = evaluate([model], [suite], device="cpu", batch_size=6)
    images, labels, _ = images_of()
    errors = {}
    for name in ("defocus_blur", "contrast"):
        for severity in (1, 4):
            expected = top(model, make(images, name, severity))
            assert (read_cell(folder, f"{name}/{severity}").top == expected).all()
            errors[name, severity] = 100 * (expected[:, 0] != labels).mean()
    scores = score(folder)
    assert scores.tables["error"]["contrast"] == pytest.approx(
        [errors["contrast", 1], errors["contrast", 4]]
    )
    assert scores.metrics["error"].value == pytest.approx(np.mean(list(errors.values())))
    assert "mce" not in scores.metrics


def test_clips_are_stored_clip_by_clip(tiny_run: Path, tmp_path: Path) -> None:
    text = f'kind = "perturbation"\n{FEW}image_size = 32\nperturbations = ["translate"]\nseed = 3\n'
    suite = write_suite(tmp_path / "s.toml", text)
    model = str(tiny_run / "generation-1")
    (folder,) = evaluate([model], [suite], device="cpu", batch_size=6)
    rows = read_cell(folder, "translate")
    images, labels, ids = images_of()
    expected = np.stack([top(model, f) for f in frames(images, "translate", ids=ids, seed=3)], 1)
    assert (rows.top.reshape(20, 16, 5) == expected).all()
    assert rows.ids == [name for name in ids for _ in range(16)]
    assert rows.labels.reshape(20, 16)[:, 5].tolist() == labels.tolist()
    flips = (expected[:, 1:, 0] != expected[:, :-1, 0]).mean()
    assert score(folder).metrics["flip_probability"].value == pytest.approx(100 * flips)


def test_attacked_predictions_and_their_clean_point(tiny_run: Path, tmp_path: Path) -> None:
    text = f'kind = "attack"\n{FEW}epsilons = [0.0, 8.0]\nheadline = 8.0\n'
    suite = write_suite(tmp_path / "s.toml", text)
    model = str(tiny_run / "generation-1")
    (folder,) = evaluate([model], [suite], device="cpu")
    images, _, _ = images_of()
    assert (read_cell(folder, "eps=0").top == top(model, images)).all()
    metrics = score(folder).metrics
    assert list(metrics) == ["fgsm_8", "fgsm_0"]
    assert metrics["fgsm_8"].value <= metrics["fgsm_0"].value


def test_only_what_is_missing_is_computed(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = CORRUPTION + 'corruptions = ["contrast", "fog"]\nseverities = [1]\nseed = 11\n'
    suite = write_suite(tmp_path / "s.toml", text)
    folders = evaluate([str(tiny_run)], [suite], device="cpu")
    cells = sorted(folders[0].rglob("*.parquet"))
    assert len(cells) == 3
    before = {cell: (cell.read_bytes(), cell.stat().st_mtime_ns) for cell in cells}
    capfd.readouterr()
    evaluate([str(tiny_run)], [suite], device="cpu")
    assert "nothing left to do" in capfd.readouterr().err
    (folders[0] / "fog" / "1.parquet").unlink()
    evaluate([str(tiny_run)], [suite], device="cpu")
    assert "1 of 2 models" in capfd.readouterr().err
    for cell, (content, time) in before.items():
        assert cell.read_bytes() == content
        assert (cell.stat().st_mtime_ns == time) == ("fog" not in str(cell))


def test_images_are_read_once_for_all_models_and_suites(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = DigitsSource.image

    def counted(self: DigitsSource, index: int) -> Image.Image:
        reads.append(index)
        return read(self, index)

    monkeypatch.setattr(DigitsSource, "image", counted)
    made: list[str] = []

    def seen(images: torch.Tensor, name: str, severity: int, **options: Any) -> torch.Tensor:
        made.append(f"{name}/{severity}")
        return corrupt(images, name, severity, **options)

    monkeypatch.setattr(corruption, "corrupt", seen)
    suites = [
        write_suite(tmp_path / "a.toml", f'kind = "accuracy"\n{FEW}seed = 21\n'),
        write_suite(
            tmp_path / "c.toml",
            CORRUPTION + 'corruptions = ["contrast"]\nseverities = [2]\nseed = 21\n',
        ),
    ]
    evaluate([str(tiny_run)], suites, device="cpu")
    assert len(reads) == len(set(reads)) == 20
    assert made == ["contrast/2"]  # one batch for both models


def test_bytes_do_not_depend_on_batch_size_or_company(tiny_run: Path, tmp_path: Path) -> None:
    text = (
        CORRUPTION + 'corruptions = ["glass_blur", "impulse_noise"]\nseverities = [3]\nseed = 31\n'
    )
    suite = write_suite(tmp_path / "s.toml", text)

    def run(models: list[str], size: int) -> list[np.ndarray]:
        folder = evaluate(models, [suite], device="cpu", batch_size=size)[-1]
        cells = ["glass_blur/3", "impulse_noise/3"]
        found = [read_cell(folder, cell).top for cell in cells]
        for cell in cells:
            (folder / f"{cell}.parquet").unlink()
        return found

    alone, together = run([str(tiny_run / "generation-1")], 3), run([str(tiny_run)], 20)
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_a_kill_between_the_last_cell_and_the_manifest_is_mended(
    tiny_run: Path, tmp_path: Path
) -> None:
    suite = write_suite(tmp_path / "k.toml", f'kind = "accuracy"\n{FEW}')
    (folder,) = evaluate([str(tiny_run / "generation-0")], [suite], device="cpu")
    before = score(folder).metrics["top1"].value
    (folder / "suite.json").unlink()
    evaluate([str(tiny_run / "generation-0")], [suite], device="cpu")
    assert score(folder).metrics["top1"].value == before


def test_a_changed_suite_never_meets_old_predictions(tiny_run: Path, tmp_path: Path) -> None:
    folders = {
        evaluate(
            [str(tiny_run / "generation-0")],
            [write_suite(tmp_path / "s.toml", CORRUPTION + f'corruptions = ["fog"]\n{more}')],
            device="cpu",
        )[0]
        for more in ("", "seed = 1\n", "severities = [1]\n")
    }
    assert len(folders) == 3


@pytest.mark.filterwarnings("ignore:images of")
def test_models_of_another_size_get_the_changed_crop_resized(
    tiny_run: Path, tmp_path: Path
) -> None:
    text = CORRUPTION.replace("image_size = 32", "image_size = 48")
    suite = write_suite(
        tmp_path / "s.toml", text + 'corruptions = ["contrast"]\nseverities = [1]\n'
    )
    (folder,) = evaluate([str(tiny_run / "generation-1")], [suite], device="cpu")
    source, chosen = DigitsSource("test"), images_of()[2]
    pictures = [
        source.image(source.ids.index(name)).resize((48, 48), Image.Resampling.BILINEAR)
        for name in chosen
    ]
    large = torch.from_numpy(np.stack([to_array(picture) for picture in pictures])) / 255
    small = torch.nn.functional.interpolate(large, (32, 32), mode="bicubic", antialias=True)
    with torch.inference_mode():
        logits = load_model(str(tiny_run / "generation-1"), "cpu").logits(small.clamp(0, 1))
    assert (read_cell(folder, "clean").top == logits.topk(5).indices.numpy()).all()


def test_masked_classes(tiny_run: Path, tmp_path: Path) -> None:
    source = DigitsSource("test")
    assert source.labels is not None
    for label in (3, 8):
        for index in np.flatnonzero(source.labels == label)[:5]:
            path = tmp_path / "two" / str(label) / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            source.image(int(index)).save(path)
    text = f'kind = "accuracy"\nsource = "{tmp_path / "two"}"\n'
    model = str(tiny_run / "generation-1")
    (whole,) = evaluate([model], [write_suite(tmp_path / "whole.toml", text)], device="cpu")
    (masked,) = evaluate(
        [model], [write_suite(tmp_path / "mask.toml", text + "mask = true\n")], device="cpu"
    )
    assert set(read_cell(whole, "images").labels) == {3, 8}
    rows = read_cell(masked, "images")
    assert set(rows.labels) == {0, 1}
    assert set(rows.top[:, :2].ravel()) == {0, 1}
    assert (rows.top[:, 2:] == -1).all()
    folder = open_source(SourceSpec(source=str(tmp_path / "two")))
    images = torch.from_numpy(np.stack([to_array(folder.image(i)) for i in range(10)]))
    with torch.inference_mode():
        logits = load_model(model, "cpu").logits(images / 255)[:, [3, 8]]
    assert (rows.top[:, 0] == logits.argmax(1).numpy()).all()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('kind = "accuracy"\nsource = "digits"\nimages_per_class = 101\n', "asks for 101 images"),
        (
            'kind = "accuracy"\nsource = { source = "digits", split = "unlabeled" }\n',
            "has no labels",
        ),
        ('kind = "accuracy"\nsource = "/no/where"\n', "there is no /no/where"),
        ('kind = "corruption"\nsource = "digits"\nimage_size = 8\n', "'image_size' is 8"),
    ],
)
def test_bad_suites_end_before_anything_is_written(
    tiny_run: Path, tmp_path: Path, text: str, sentence: str
) -> None:
    suite = write_suite(tmp_path / "bad.toml", text)
    with pytest.raises(NsbenchError) as caught:
        evaluate([str(tiny_run)], [suite], device="cpu")
    assert sentence in str(caught.value)
    assert not list(tiny_run.rglob("results/bad"))


def ten_digits(folder: Path, each: int = 1) -> str:
    """A folder of test digits, `each` of a class; returns a suite's line for it."""
    source = DigitsSource("test")
    for index in select_per_class(source, each, "test").tolist():
        assert source.labels is not None
        path = folder / str(source.labels[index]) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        source.image(index).save(path)
    return f'source = "{folder}"\n'


def test_unreadable_images_are_listed_and_count_as_errors(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ten_digits(tmp_path / "ten")
    broken = [next((tmp_path / "ten" / label).iterdir()) for label in "37"]
    broken[0].write_bytes(b"no image")
    broken[1].write_bytes(broken[1].read_bytes()[:60])
    model = str(tiny_run / "generation-1")
    texts = {
        "lost": f'kind = "accuracy"\n{lines}',
        "lost-c": f'kind = "corruption"\n{lines}image_size = 32\ncorruptions = ["fog"]\n'
        "severities = [1]\n",
        "lost-p": f'kind = "perturbation"\n{lines}image_size = 32\nperturbations = ["rotate"]\n',
        "lost-fgsm": f'kind = "attack"\n{lines}epsilons = [0.0]\nheadline = 0.0\n',
    }
    suites = [write_suite(tmp_path / f"{name}.toml", text) for name, text in texts.items()]
    folders = evaluate([model], suites, device="cpu")
    assert "2 images of" in capfd.readouterr().err
    for folder, cell in zip(folders, ["images", "fog/1", "rotate", "eps=0"], strict=True):
        rows = read_cell(folder, cell)
        lost = np.repeat([label in (3, 7) for label in range(10)], len(rows.ids) // 10)
        assert (rows.top[lost] == -1).all()
        assert (rows.top[~lost, 0] >= 0).all()
        named = score(folder).manifest["unreadable"]
        assert sorted(named) == [f"{path.parent.name}/{path.name}" for path in broken]
        assert all("cannot be read" in reason for reason in named.values())
    assert score(folders[0]).metrics["top1"].value <= 80
    flips = score(folders[2]).metrics["flip_probability"].scores
    assert flips[[3, 7]].tolist() == [100, 100]


def test_too_many_unreadable_images_stop_the_command(tiny_run: Path, tmp_path: Path) -> None:
    lines = ten_digits(tmp_path / "ten", 2)
    for path in sorted((tmp_path / "ten").rglob("*.png"))[:11]:
        path.write_bytes(b"no image")
    suite = write_suite(tmp_path / "many.toml", f'kind = "accuracy"\n{lines}')
    with pytest.raises(NsbenchError, match=r"11 of 20 images of .* cannot be read, such as: "):
        evaluate([str(tiny_run)], [suite], device="cpu")
    assert not list(tiny_run.rglob("results/many"))


def test_a_class_that_the_model_does_not_know(tiny_run: Path, image_folder: Path) -> None:
    suite = write_suite(
        image_folder.parent / "pets.toml", f'kind = "accuracy"\nsource = "{image_folder}"\n'
    )
    with pytest.raises(NsbenchError, match="class 'cat' of .* is not known to run/generation-0"):
        evaluate([str(tiny_run)], [suite], device="cpu")


def test_nan_logits_are_refused(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = write_suite(tmp_path / "nan.toml", f'kind = "accuracy"\n{FEW}')
    monkeypatch.setattr(
        accuracy, "logits_of", lambda run, images, _: torch.full((len(images), 10), torch.nan)
    )
    with pytest.raises(NsbenchError, match="run/generation-0 gives outputs that are not finite"):
        evaluate([str(tiny_run)], [suite], device="cpu")


def test_the_manifest_says_what_was_measured(tiny_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "m.toml", f'kind = "accuracy"\n{FEW}')
    (folder,) = evaluate([str(tiny_run / "generation-0")], [suite], device="cpu")
    manifest = json.loads((folder / "suite.json").read_text())
    assert manifest["images"] == 20
    assert manifest["model"]["arch"] == "test_efficientnet"
    assert set(manifest["identity"]) == {
        "protocol", "images", "classes", "weights", "preprocessing", "generator",
        "precision", "tf32", "memory_format", "device", "compiled",
    }  # fmt: skip
    assert manifest["environment"]["versions"]["torch"]


def test_changed_pixels_are_evaluated_again(
    tiny_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = DigitsSource("test")
    for label in range(10):
        (tmp_path / "pics" / str(label)).mkdir(parents=True)
        source.image(label).save(tmp_path / "pics" / str(label) / "0.png")
    text = f'kind = "accuracy"\nsource = "{tmp_path / "pics"}"\n'
    suite = write_suite(tmp_path / "pics.toml", text)
    model = str(tiny_run / "generation-0")
    (before,) = evaluate([model], [suite], device="cpu")
    assert evaluate([model], [suite], device="cpu") == [before]
    Image.new("RGB", (32, 32), (200, 10, 10)).save(tmp_path / "pics" / "3" / "0.png")
    assert evaluate([model], [suite], device="cpu") != [before]


def test_two_different_suites_of_one_name_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    paths = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        text = f'kind = "accuracy"\ndescription = "{name}"\n{FEW}'
        paths.append(write_suite(tmp_path / name / "same.toml", text))
    with pytest.raises(NsbenchError, match="two different suites are named same"):
        evaluate([str(tiny_run)], paths, device="cpu")
    assert len(evaluate([str(tiny_run / "generation-0")], [paths[0]] * 2, device="cpu")) == 1


def test_a_mask_needs_names(tiny_run: Path, tmp_path: Path) -> None:
    source = DigitsSource("test")
    (tmp_path / "n" / "3").mkdir(parents=True)
    source.image(0).save(tmp_path / "n" / "3" / "0.png")
    keys = f'{{ source = "{tmp_path / "n"}", label_space = "indices" }}'
    plain = write_suite(tmp_path / "i.toml", f'kind = "accuracy"\nsource = {keys}\n')
    (folder,) = evaluate([str(tiny_run / "generation-0")], [plain], device="cpu")
    assert read_cell(folder, "images").labels.tolist() == [3]
    masked = write_suite(tmp_path / "j.toml", f'kind = "accuracy"\nsource = {keys}\nmask = true\n')
    with pytest.raises(NsbenchError, match="sets mask, but the classes"):
        evaluate([str(tiny_run)], [masked], device="cpu")


def test_the_evaluated_curve_equals_foolbox(tiny_run: Path, tmp_path: Path) -> None:
    import foolbox

    epsilons = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0]
    text = f'kind = "attack"\n{FEW}epsilons = {epsilons}\nheadline = 8.0\nseed = 5\n'
    suite = write_suite(tmp_path / "fb.toml", text)
    path = str(tiny_run / "generation-1")
    (folder,) = evaluate([path], [suite], device="cpu", batch_size=20)
    images, labels, _ = images_of()
    model = load_model(path, "cpu")
    size = model.preprocessing
    wrapped = foolbox.PyTorchModel(
        model.module,
        bounds=(0, 1),
        device="cpu",
        preprocessing={"mean": size.mean, "std": size.std, "axis": -3},
    )
    pixels = (images / 255).contiguous(memory_format=torch.channels_last)
    _, _, success = foolbox.attacks.LinfFastGradientAttack()(
        wrapped, pixels, torch.from_numpy(labels), epsilons=[e / 255 for e in epsilons]
    )
    for epsilon, fooled in zip(epsilons, success, strict=True):
        rows = read_cell(folder, f"eps={epsilon:g}")
        assert ((rows.top[:, 0] != rows.labels) == fooled.numpy()).all()
    assert 0 < success.sum() < success.numel()


@pytest.mark.filterwarnings("ignore:images of")
def test_a_resized_crop_is_recorded(tiny_run: Path, tmp_path: Path) -> None:
    text = CORRUPTION.replace("image_size = 32", "image_size = 40")
    suite = write_suite(tmp_path / "r.toml", text + 'corruptions = ["fog"]\nseverities = [1]\n')
    (folder,) = evaluate([str(tiny_run / "generation-0")], [suite], device="cpu")
    manifest = json.loads((folder / "suite.json").read_text())
    assert manifest["resized"] == "40 to 32 px, bicubic, antialiased"


@pytest.mark.parametrize("resize_size", range(32, 512, 7))
def test_a_suites_short_side_is_exactly_the_one_it_names(tiny_run: Path, resize_size: int) -> None:
    table = {"name": "s", "kind": "corruption", "source": "digits", "image_size": 32}
    suite = parse_suite({**table, "resize_size": resize_size}, "s")
    model = load_model(str(tiny_run / "generation-0"), "cpu")
    assert crop_for(suite, model).resize_size == resize_size


def test_a_part_of_the_images_is_its_own_result(tiny_run: Path, tmp_path: Path) -> None:
    model = str(tiny_run / "generation-0")
    suite = write_suite(tmp_path / "part.toml", 'kind = "accuracy"\nsource = "digits"\n')
    (whole,) = evaluate([model], [suite], device="cpu")
    (few,) = evaluate([model], [suite], device="cpu", limit=30)
    (quick,) = evaluate([model], [suite], device="cpu", quick=True)
    assert quick == whole  # of 1,000 images all are chosen
    assert score(whole).manifest["chosen"] is None
    rows, all_rows = read_cell(few, "images"), read_cell(whole, "images")
    assert len(rows.ids) == 30
    place = {name: row for row, name in enumerate(all_rows.ids)}
    assert (rows.top == all_rows.top[[place[name] for name in rows.ids]]).all()
    assert score(few).manifest["chosen"] == "--limit 30"
    wide, narrow = (score(folder).metrics["top1"].interval for folder in (few, whole))
    assert wide.high - wide.low > narrow.high - narrow.low


@pytest.mark.parametrize("options", [{"quick": True}, {"limit": 10}, {"limit": 11}])
def test_a_choice_of_all_images_is_the_whole_suite(
    tiny_run: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    """A full evaluation that finds it finished must not show it as a part."""
    model, source = str(tiny_run / "generation-0"), ten_digits(tmp_path / "ten")
    suite = write_suite(tmp_path / "ten.toml", f'kind = "accuracy"\n{source}')
    (chosen,) = evaluate([model], [suite], device="cpu", **options)
    assert score(chosen).manifest["chosen"] is None
    assert evaluate([model], [suite], device="cpu") == [chosen]
    (part,) = evaluate([model], [suite], device="cpu", limit=9)
    assert score(part).manifest["chosen"] == "--limit 9"


def test_precision_is_recorded_and_close(tiny_run: Path, tmp_path: Path) -> None:
    model = str(tiny_run / "generation-1")
    suite = write_suite(tmp_path / "half.toml", f'kind = "accuracy"\n{FEW}')
    folders = [
        evaluate([model], [suite], device="cpu", **options)[0]
        for options in ({}, {"precision": "bfloat16"}, {"channels_last": False})
    ]
    assert len(set(folders)) == 3
    full, half, first = (read_cell(folder, "images") for folder in folders)
    assert 0 < np.abs(full.confidence - half.confidence).max() < 0.05
    assert np.abs(full.confidence - first.confidence).max() < 1e-5
    identity = score(folders[1]).manifest["identity"]
    assert (identity["precision"], identity["memory_format"]) == ("bfloat16", "channels last")
    assert (identity["device"], identity["tf32"], identity["compiled"]) == ("cpu", [], False)
    with pytest.raises(NsbenchError, match="there is no precision 'bf16'"):
        evaluate([model], [suite], device="cpu", precision="bf16")
