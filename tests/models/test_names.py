"""Names of models: those of others, one form for each, and what is told without torch."""

import json
from pathlib import Path

import pytest
import timm

from nsbench.models import names
from nsbench.models.options import ModelOptions
from nsbench.util.errors import NsbenchError


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("resnet50", "timm:resnet50"),
        ("timm/resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("hf-hub:timm/resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("hf_hub:timm/resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("timm:hf-hub:timm/resnet50.a1_in1k", "timm:resnet50.a1_in1k"),
        ("timm:hf-hub:user/model", "timm:hf-hub:user/model"),
        ("hf-hub:user/model", "timm:hf-hub:user/model"),
        ("local-dir:weights", "timm:local-dir:weights"),
        ("timm:resnet50", "timm:resnet50"),
        ("runs/resnet50", "runs/resnet50"),
        ("resnet50.pth", "resnet50.pth"),
        ("python:mine:make", "python:mine:make"),
        ("linear:digits", "linear:digits"),
    ],
)
def test_every_way_to_write_a_name_is_one_model(written: str, canonical: str) -> None:
    assert names.canonical(written) == canonical


def test_a_file_or_folder_of_that_name_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resnet50").mkdir()
    assert names.canonical("resnet50") == "resnet50"


def test_the_index_is_kept_for_a_version_of_timm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path))
    names.timm_names.cache_clear()
    assert names.timm_names() == tuple(timm.list_models())
    (kept,) = tmp_path.rglob("*.json")
    assert kept.stem == timm.__version__
    kept.write_text(json.dumps(["mine"]))
    names.timm_names.cache_clear()
    assert names.timm_names() == ("mine",)
    for other in ("damaged", '{"architectures": []}', "[1, 2]", "[]", ""):
        kept.write_text(other)
        names.timm_names.cache_clear()
        assert len(names.timm_names()) > 500
        assert len(json.loads(kept.read_text())) > 500


BAD = {
    "timm has no model 'resnet5O'; did you mean 'resnet50'": "timm:resnet5O",
    "there is no model resnt50: .*; did you mean 'resnet50'": "resnt50",
    "there is no model runs/none: name a run folder": "runs/none",
    "cannot read none.pth: No such file": "none.pth",
    "must be python:MODULE:FUNCTION": "python:mine",
    "there is no folder none, which local-dir: names": "local-dir:none",
}


@pytest.mark.parametrize("sentence", BAD)
def test_wrong_names_are_told(sentence: str) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        names.check_named([BAD[sentence]], ModelOptions(arch=None))
