"""Small sources of every kind, and the pictures of a folder in the other kinds."""

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from nsbench.data.open import SourceSpec


def spec(source: object, **keys: str) -> SourceSpec:
    return SourceSpec.model_validate({"source": str(source), **keys})


def png(value: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 6), value).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, labels: list[object], images: list[bytes | None]) -> Path:
    cells = [{"bytes": image, "path": None} for image in images]
    pq.write_table(pa.table({"image": cells, "label": labels}), path)
    return path


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def tar_of(folder: Path, path: Path, below: str = "") -> Path:
    """The folder as `tar` packs it, with members for the folders too."""
    with tarfile.open(path, "w") as tar:
        tar.add(folder, below or ".")
    return path


def shards_of(folder: Path, target: Path) -> Path:
    """Two shards with the numbers of the sorted folders as classes."""
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.png"))
    classes = sorted({str(name.parent) for name in names})
    for number in range(2):
        members = {}
        for name in names[number::2]:
            key = f"{name.parent}_{name.stem}"
            members[f"{key}.png"] = (folder / name).read_bytes()
            members[f"{key}.cls"] = str(classes.index(str(name.parent))).encode()
            members[f"{key}.json"] = b"{}"
        write_tar(target / f"test-{number:03d}.tar", members)
    return target


def arrays_of(folder: Path, target: Path) -> Path:
    names = sorted(folder.rglob("*.png"))
    target.mkdir()
    np.save(target / "images.npy", np.stack([np.asarray(Image.open(name)) for name in names]))
    classes = sorted({name.parent.name for name in names})
    np.save(target / "labels.npy", np.array([classes.index(name.parent.name) for name in names]))
    return target


def renamed(folder: Path, names: Mapping[str, str]) -> Path:
    for old, new in names.items():
        shutil.move(folder / old, folder / new)
    return folder
