import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch

from nsbench.models import ModelOptions, load_model
from nsbench.models.names import check_models, understood
from nsbench.util.errors import NsbenchError


@pytest.mark.parametrize(
    ("spelled", "kind", "name"),
    [
        ("resnet50", "timm", "timm:resnet50.a1_in1k"),
        ("resnet50.a1_in1k", "timm", "timm:resnet50.a1_in1k"),
        ("timm:resnet50", "timm", "timm:resnet50.a1_in1k"),
        ("timm/resnet50", "timm", "timm:resnet50.a1_in1k"),
        ("timm/resnet50.a1_in1k", "timm", "timm:resnet50.a1_in1k"),
        ("hf-hub:timm/resnet50.a1_in1k", "timm", "timm:resnet50.a1_in1k"),
        ("hf_hub:timm/resnet50.a1_in1k", "timm", "timm:resnet50.a1_in1k"),
        ("timm:hf-hub:timm/resnet50.a1_in1k", "timm", "timm:resnet50.a1_in1k"),
        ("resnet50.d_in1k", "timm", "timm:resnet50.d_in1k"),
        ("hf-hub:user/model", "timm", "hf-hub:user/model"),
        ("timm:hf_hub:user/model", "timm", "hf-hub:user/model"),
        ("hf-hub:timm/resnet50.a1_in1k@v1", "timm", "hf-hub:timm/resnet50.a1_in1k@v1"),
        ("convnext_base_in22ft1k", "timm", "timm:convnext_base.fb_in22k_ft_in1k"),
        ("linear:digits", "linear", "linear:digits"),
        ("python:a.b:c", "python", "python:a.b:c"),
        ("best.pth", "checkpoint", "best.pth"),
        ("best.onnx", "onnx", "best.onnx"),
        ("nowhere", "folder", "nowhere"),
        ("user/model", "folder", "user/model"),
    ],
)
def test_a_model_has_one_name_however_it_is_spelled(spelled: str, kind: str, name: str) -> None:
    found = understood(spelled)
    assert (found.kind, found.name) == (kind, name)


def test_a_path_comes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50").mkdir()
    (tmp_path / "timm" / "resnet18").mkdir(parents=True)
    (tmp_path / "vgg16").touch()
    assert understood("resnet50").kind == understood("timm/resnet18").kind == "folder"
    assert understood("vgg16").kind == "checkpoint"
    assert understood("timm:resnet50").kind == "timm"
    with pytest.raises(NsbenchError, match="write timm:resnet50 for the model of timm's"):
        load_model("resnet50", "cpu")
    (tmp_path / "resnet50" / "config.json").touch()
    with pytest.raises(NsbenchError, match="write local-dir:resnet50 for a model in timm's form"):
        load_model("resnet50", "cpu")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timm:resnet5O", "timm has no model 'resnet5O'; did you mean 'resnet50'?"),
        ("resnet5O", "there is no model resnet5O; did you mean 'resnet50'?"),
        ("timm/resnet5O", "timm has no model 'resnet5O'; did you mean 'resnet50'?"),
        ("vit_b_16", "did you mean 'vit_base_patch16_224'?"),
        ("resnet50.a1", "timm has no weights 'a1' of resnet50; did you mean 'resnet50.a1_in1k'?"),
        ("botnet50ts_256", "timm has no pretrained weights of botnet50ts_256: name a file"),
        ("hf-hub:resnet", "the model hf-hub:resnet must be hf-hub:USER/MODEL"),
        ("local-dir:nowhere", "nowhere holds no model in timm's form"),
        ("user/model", "there is no model user/model; name a run folder"),
        ("quickstart", "there is no model quickstart; did you mean 'runs/quickstart'?"),
        ("runs/quickstrat", "did you mean 'runs/quickstart'?"),
        ("best.pth", "cannot read best.pth: No such file"),
        ("best.onnx", "cannot read best.onnx: No such file"),
        ("python:mine", "the model python:mine must be python:MODULE:FUNCTION"),
        ("linear:cats", "the only linear one is linear:digits"),
    ],
)
def test_a_name_that_leads_nowhere(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    with pytest.raises(NsbenchError) as caught:
        check_models([name], ModelOptions())
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"arch": "resnet5O"}, "timm has no architecture 'resnet5O'; did you mean 'resnet50'?"),
        ({"arch": "resnet50", "classes": "c.txt"}, "cannot read c.txt"),
        ({}, "best.pth needs its architecture"),
    ],
)
def test_options_of_a_checkpoint_are_checked_before_it_is_read(
    options: dict[str, str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.pth").touch()
    with pytest.raises(NsbenchError) as caught:
        check_models(["best.pth"], ModelOptions(**options))  # type: ignore[arg-type]
    assert sentence in str(caught.value)


def test_one_model_in_two_spellings_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="timm:resnet50.a1_in1k is named twice"):
        check_models(["resnet50", "hf-hub:timm/resnet50.a1_in1k"], ModelOptions())
    folders = [tmp_path / name / "run" / "final" for name in ("a", "b")]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    check_models([f"local-dir:{folder}" for folder in folders], ModelOptions())  # two models
    with pytest.raises(NsbenchError, match="local-dir:run/final is named twice"):
        check_models([f"local-dir:{folders[0]}", f"local-dir:{folders[0]}/"], ModelOptions())


def test_spellings_load_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = timm.create_model

    def untrained(name: str, pretrained: bool) -> torch.nn.Module:
        asked.append((name, pretrained))
        made: torch.nn.Module = create("test_resnet")
        return made

    monkeypatch.setattr("timm.create_model", untrained)
    name = "timm/test_resnet.r160_in1k"
    spelled = ["test_resnet", name, f"timm:hf-hub:{name}"]
    models = [load_model(one, "cpu") for one in spelled]
    assert {model.name for model in models} == {"timm:test_resnet.r160_in1k"}
    assert {model.results for model in models} == {Path("results/timm-test_resnet.r160_in1k")}
    assert asked == [("test_resnet.r160_in1k", True)] * 3
    model = load_model("hf_hub:user/model", "cpu")
    assert asked[-1] == ("hf-hub:user/model", True)
    assert (model.name, str(model.results)) == ("hf-hub:user/model", "results/hf-hub-user-model")


def test_a_folder_in_timms_form(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "final"
    folder.mkdir(parents=True)
    made = timm.create_model("test_resnet", num_classes=3)
    torch.save(made.state_dict(), folder / "pytorch_model.bin")
    config = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3, "num_classes": 3}
    content = {"architecture": "test_resnet", "num_classes": 3, "pretrained_cfg": config}
    (folder / "config.json").write_text(json.dumps(content))
    (tmp_path / "classes.txt").write_text("a\nb\nc\n")
    options = ModelOptions(classes=tmp_path / "classes.txt")
    one = load_model(f"local-dir:{folder}", "cpu", options)
    other = load_model(f"timm:local-dir:{folder}/", "cpu", options)
    assert one.name == other.name == "local-dir:mine/final"
    assert one.results == other.results
    assert (one.classes, one.preprocessing.image_size) == (("a", "b", "c"), 64)
    for key, value in made.state_dict().items():
        assert torch.equal(one.module.state_dict()[key], value)


def test_a_wrong_name_needs_neither_torch_nor_timm(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from nsbench.models.names import check_models\n"
        "from nsbench.models.options import ModelOptions\n"
        "from nsbench.models.timm_index import timm_index\n"
        "from nsbench.util.errors import NsbenchError\n"
        "try:\n    check_models(sys.argv[1:], ModelOptions())\n"
        "except NsbenchError as error:\n    print(error)\n"
        "print([name for name in ('torch', 'timm') if name in sys.modules])\n"
    )
    env = {**os.environ, "NSBENCH_CACHE": str(tmp_path)}
    for expected in ("['torch', 'timm']", "[]"):  # the first one makes the index
        done = subprocess.run(
            [sys.executable, "-c", code, "resnet5O"], capture_output=True, text=True, env=env
        )
        sentence, imported = done.stdout.splitlines()
        assert "did you mean 'resnet50'?" in sentence
        assert imported == expected
    (kept,) = (tmp_path / "timm").iterdir()
    assert kept.name == f"{timm.__version__}.json"
