"""What a user says of models that do not say it themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.data.class_names import read_class_names, refuse_twice, same_text
from nsbench.data.preprocessing import Preprocessing
from nsbench.util.arguments import check_fields
from nsbench.util.config import parse
from nsbench.util.errors import NsbenchError

USUAL = Preprocessing(image_size=224, crop_pct=0.875)
"""What most models of ImageNet are evaluated with: a short side of 256 px, and its centre."""


@dataclass(frozen=True)
class ModelOptions:
    """Options that hold for every model they can concern; None leaves a model as it is.

    arch: timm architecture of checkpoint files. weights_file: checkpoint file to load into the one
    timm model. classes: the name of each output, or a file with one a line. entry: where in
    checkpoint files the weights are, such as `state_dict`. name: what the one model is called. The
    others replace fields of the model's `Preprocessing`.
    """

    arch: str | None = None
    weights_file: str | Path | None = None
    classes: str | Path | Sequence[str] | None = None
    image_size: int | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    entry: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        """Raises TypeError for an option of another type, NsbenchError for a wrong value."""
        check_fields(self)
        # Whatever model they are for, values that none could have are wrong.
        self.preprocessing(USUAL)

    @property
    def replaced(self) -> dict[str, Any]:
        """The fields of the preprocessing that the user sets."""
        # Into JSON's types: they are hashed into the name of the folder of results.
        values = {key: getattr(self, key) for key in ("image_size", "crop_pct", "interpolation")}
        lists = {"mean": self.mean, "std": self.std}
        values |= {key: None if value is None else list(value) for key, value in lists.items()}
        return {key: value for key, value in values.items() if value is not None}

    def preprocessing(self, own: Preprocessing) -> Preprocessing:
        """A model's own preprocessing with what the user replaces.

        Raises NsbenchError naming the first value that cannot be.
        """
        return parse(Preprocessing, own.model_dump() | self.replaced, "the options of models")

    def class_names(self, name: str, num_classes: int) -> tuple[str, ...] | None:
        """The names in `classes`, None without any.

        Raises NsbenchError unless each of the model's outputs is named once.
        """
        if self.classes is None:
            return None
        where: str | Path = "the argument classes"
        if isinstance(self.classes, str | Path):
            where, names = self.classes, read_class_names(Path(self.classes), skip_blank=True)
        else:
            names = tuple(map(same_text, self.classes))
        if len(names) != num_classes:
            raise NsbenchError(
                f"{where} names {len(names)} classes, but {name} has {num_classes}: name each "
                "output, one a line in a file, in the order of the model's outputs"
            )
        # Labels are matched by name, of which the second would never be found.
        way_out = 'leave the names out where suites have sources with label_space = "indices"'
        refuse_twice(names, where, way_out)
        return names
