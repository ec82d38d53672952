"""Wrong types are told by the name of the argument."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nsbench
from nsbench.util.arguments import checked


@checked
def sample(
    name: str | Path, sizes: Sequence[int] = (), *, rate: float | None = None, **others: Any
) -> list[Any]:
    """Docstring."""
    return [name, sizes, rate, others]


def test_what_fits_passes_as_it_is() -> None:
    sizes = [1, 2]
    found = sample("a", sizes, rate=1, more=object)
    assert found[1] is sizes
    assert (found[0], found[2], found[3]) == ("a", 1, {"more": object})
    assert sample.__doc__ == "Docstring."
    assert list(inspect.signature(sample).parameters) == ["name", "sizes", "rate", "others"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": 3}, "sample: the argument name is 3, but must be str or Path"),
        ({"name": "a", "sizes": "12"}, r"sizes is '12', but must be Sequence\[int\]"),
        ({"name": "a", "sizes": [True]}, r"sizes is \[True\], but must be"),
        ({"name": "a", "rate": "1"}, "rate is '1', but must be float or None"),
        ({"name": "a", "rate": ["x" * 99]}, "rate is a list, but must be float or None"),
    ],
)
def test_what_does_not_fit_is_a_wrong_type(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        sample(**arguments)


def test_unknown_and_missing_arguments_are_pythons_own() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        sample()  # type: ignore[call-arg]


CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "train: the argument recipe": (nsbench.train, {"recipe": 3}),
    "train: the argument settings": (nsbench.train, {"recipe": "quickstart", "settings": 3}),
    "train: the argument seeds": (nsbench.train, {"recipe": "quickstart", "seeds": "3"}),
    "train: the argument device": (nsbench.train, {"recipe": "quickstart", "device": 3}),
    "load_model: the argument name": (nsbench.load_model, {"name": 3}),
    "ModelOptions: the argument arch": (nsbench.ModelOptions, {"arch": 3}),
    "ModelOptions: the argument mean": (nsbench.ModelOptions, {"mean": "0.5"}),
    "load_results: the argument across": (nsbench.load_results, {"across": 3}),
    "write_report: the argument runs": (nsbench.write_report, {"runs": 3, "out": "x"}),
    "load_reference: the argument name": (nsbench.load_reference, {"name": 3}),
    "load_suite: the argument name": (nsbench.load_suite, {"name": 3}),
    "suite_of: the argument kind": (nsbench.suite_of, {"kind": 3, "data": ([], [])}),
}


@pytest.mark.parametrize("sentence", CALLS)
def test_every_public_function_names_the_argument(sentence: str) -> None:
    function, arguments = CALLS[sentence]
    with pytest.raises(TypeError, match=sentence):
        function(**arguments)


def test_every_public_function_is_documented_and_typed() -> None:
    for name in nsbench.__all__:
        value = getattr(nsbench, name)
        if inspect.isfunction(value):
            signature = inspect.signature(value)
            assert value.__doc__, name
            assert signature.return_annotation is not signature.empty, name
            for parameter in signature.parameters.values():
                assert parameter.annotation is not parameter.empty, (name, parameter.name)


def test_settings_may_be_a_mapping(tmp_path: Path) -> None:
    from nsbench.util.config import as_settings

    nested: Mapping[str, Any] = {
        "seed": 1,
        "defaults": {"lr": 0.1, "randaugment": ""},
        "data.mean": [0.5, 0.5],
        "pseudo_labels.balance": False,
        "name": 'a"b',
    }
    assert as_settings(nested) == [
        "seed=1",
        "defaults.lr=0.1",
        'defaults.randaugment=""',
        "data.mean=[\n    0.5,\n    0.5,\n]",
        "pseudo_labels.balance=false",
        'name="a\\"b"',
    ]


def test_each_of_several_arguments_is_checked() -> None:
    with pytest.raises(TypeError, match="load_results: the argument folders is 3, but must be str"):
        nsbench.load_results("results", 3)  # type: ignore[arg-type]


def test_a_classifier_is_made_of_what_it_says() -> None:
    model = nsbench.load_model("linear:digits", "cpu")
    with pytest.raises(TypeError, match="Classifier: the argument module is None, but must be Mod"):
        replace(model, module=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="images is a list, but must be a tensor"):
        model([1.0])  # type: ignore[arg-type]
