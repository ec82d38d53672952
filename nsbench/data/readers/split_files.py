"""Released files that hold one split each, such as `train_32x32.mat` and `train_X.bin`."""

from pathlib import Path

from nsbench.util.errors import NsbenchError


def file_of_split(folder: Path, split: str | None, ending: str) -> Path:
    """The file of a split, `SPLIT` and the ending. Raises NsbenchError listing the splits."""
    splits = sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
    if split not in splits:
        wrong = f"has no {split}{ending}" if split else "holds several splits"
        raise NsbenchError(f"{folder} {wrong}: set split to one of {', '.join(splits)}")
    return folder / f"{split}{ending}"


def numbered_ids(path: Path, ending: str, count: int) -> list[str]:
    """Ids of the images of a file: `train-00000000` and so on."""
    # .mat for files that are named directly and do not end as released.
    stem = path.name.removesuffix(ending).removesuffix(".mat")
    return [f"{stem}-{index:08d}" for index in range(count)]
