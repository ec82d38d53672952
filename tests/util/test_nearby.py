"""What lies where a wrong path leads is offered, whatever the path is of."""

from pathlib import Path
from typing import Any

import pytest

from nsbench.commands.checks import check_evaluation
from nsbench.models.names import check_models
from nsbench.models.options import ModelOptions
from nsbench.reporting.places import model_places
from nsbench.suites.given import suite_of
from nsbench.suites.reference import load_reference, reference_of
from nsbench.util.errors import NsbenchError
from nsbench.util.nearby import nearest_path
from tests.conftest import write_suite


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a file or folder of each kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("r18.pth", "names.txt", "cat.jpg", "own.json", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "hf" / "resnet10t").mkdir(parents=True)
    (tmp_path / "hf" / "resnet10t" / "config.json").touch()
    run = tmp_path / "results" / "one"
    run.mkdir(parents=True)
    (run / "recipe.toml").touch()
    return tmp_path


def test_a_path_is_offered_as_it_would_be_written() -> None:
    assert nearest_path(Path("r19.pth")) == "; did you mean 'r18.pth'?"
    assert nearest_path(Path("hf/resnet10")) == "; did you mean 'hf/resnet10t'?"
    assert nearest_path(Path("hiden")) == nearest_path(Path("gone/r18.pth")) == ""


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "r19.pth": ("cannot read r19.pth: .*did you mean 'r18.pth'", {"arch": "resnet18"}),
    "local-dir:hf/resnet10": ("config.json beside its weights; did you mean 'hf/resnet10t'", {}),
    "cat.jpg": ("cat.jpg is not the file of a model: name a run folder", {}),
    "r18.pth": ("needs its architecture: give a name of timm's by --arch or arch=", {}),
    " ": ("no model was named", {}),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_there(name: str) -> None:
    sentence, options = MODELS[name]
    with pytest.raises(NsbenchError, match=sentence):
        check_models([name], ModelOptions(**options))


def test_files_of_classes_and_folders_of_results() -> None:
    with pytest.raises(NsbenchError, match=r"cannot read nam.txt.*did you mean 'names.txt'"):
        check_models(["r18.pth"], ModelOptions(arch="resnet18", classes="nam.txt"))
    with pytest.raises(NsbenchError, match="did you mean 'results'"):
        model_places([Path("result")])


def test_a_reference_that_is_not_there(here: Path) -> None:
    keys: dict[str, Any] = {"kind": "corruption", "image_size": 224, "reference": "alexne.json"}
    suite = suite_of(data="digits", **keys)
    with pytest.raises(NsbenchError, match=r"did you mean 'alexnet.json'"):
        reference_of(suite)
    with pytest.raises(NsbenchError, match=r"did you mean 'own.json'"):
        load_reference("owm.json")
    text = "\n".join(f'{k} = "{v}"' for k, v in keys.items() if k != "image_size")
    file = write_suite(here / "c.toml", f'{text}\nimage_size = 224\nsource = "digits"\n')
    with pytest.raises(NsbenchError, match=r"did you mean 'alexnet.json'"):
        check_evaluation(["linear:digits"], [file], ModelOptions())


def test_only_metrics_that_a_suite_has_are_offered_to_sort_by() -> None:
    with pytest.raises(NsbenchError, match="called 'clean_top1'; valid are digits, top-1, top-5"):
        check_evaluation(["linear:digits"], ["digits"], ModelOptions(), "clean_top1")
    check_evaluation(["linear:digits"], ["digits-a"], ModelOptions(), "clean_top1")
