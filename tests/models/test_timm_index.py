from collections.abc import Iterator
from pathlib import Path

import pytest
import timm

from nsbench.models.timm_index import check_pretrained, is_architecture, timm_index, with_usual_tag
from nsbench.util.sealed import flaw, read_record, write_record


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of an index of one's own."""
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path))
    timm_index.cache_clear()
    yield tmp_path / "timm" / f"{timm.__version__}.json"
    timm_index.cache_clear()


def test_it_knows_what_timm_knows(file: Path) -> None:
    index = timm_index()
    assert list(index.architectures) == timm.list_models()
    assert list(index.pretrained) == timm.list_models(pretrained=True)
    assert flaw(file) is None
    for name in ("resnet50", "vit_base_patch16_224", "test_resnet"):
        assert with_usual_tag(name) == f"{name}.{timm.get_pretrained_cfg(name).tag}"
    for name in index.former:
        assert is_architecture(name)
        check_pretrained(name)


@pytest.mark.parametrize("damage", ["cut", "fields", "copy"])
def test_one_that_cannot_be_used_is_made_again(file: Path, damage: str) -> None:
    index = timm_index()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    elif damage == "fields":
        write_record(file, {"names": []})
    else:
        write_record(file.with_name("other.json"), {"names": []})
        file.with_name("other.json").rename(file)
    timm_index.cache_clear()
    assert timm_index() == index
    assert read_record(file, "")["architectures"] == list(index.architectures)


def test_without_a_place_to_keep_it(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file.parent.write_text("a file where the folder should be")
    assert is_architecture("resnet50")
    assert "timm's names cannot be kept" in capfd.readouterr().err
