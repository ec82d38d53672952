"""Damaged files of every kind that nsbench reads: none ends in more than a sentence.

`python -m tests.fuzz --count 20000` damages that many, in turns a kind, and lists what is not read
and not refused, or took more than 20 s. What is random follows from the seed and the number alone.
"""

import argparse
import io
import json
import random
import resource
import signal
import sys
import tarfile
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from nsbench.data.class_names import read_class_names
from nsbench.data.label_files import relabeled
from nsbench.data.open import open_source
from nsbench.data.spec import SourceSpec
from nsbench.models.onnx import load_onnx
from nsbench.models.options import ModelOptions
from nsbench.models.state_dict import load_file
from nsbench.recipes.recipe import load_recipe
from nsbench.suites.load import load_suite
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_object

LIMIT = 20
"""Seconds that reading a damaged file may take."""

MEMORY = 2e9
"""Bytes that it may take above what the program has."""

RECIPE = """
[data]
labeled = { source = "digits", split = "labeled" }
unlabeled = { source = "digits", split = "unlabeled" }
[defaults]
arch = "test_resnet"
image_size = 32
[[generations]]
steps = 3
[[generations]]
"""

SUITE = """
kind = "corruption"
image_size = 32
corruptions = ["fog", "contrast"]
severities = [1, 3, 5]
jpeg_quality = 85
images_per_class = 30
[source]
source = "digits"
"""


def picture(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 255, (12, 10, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def encoded(number: int, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture(number).save(buffer, kind)
    return buffer.getvalue()


def tar_of(names: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read_images(path: Path, labels: str | None = None) -> None:
    """Open a source and read its first images, as an evaluation does."""
    source = open_source(SourceSpec(source=str(path), labels=labels), {})
    _ = source.version
    for index in range(min(3, len(source))):
        source.image(index)


def read_folder(path: Path) -> None:
    read_images(path.parents[1])


def read_labels(path: Path) -> None:
    source = open_source(SourceSpec(source=str(path.parent / "images")), {})
    relabeled(source, str(path), "indices")


def read_model(path: Path) -> None:
    load_file(path, "test_resnet", torch.device("cpu"), ModelOptions())


def read_onnx(path: Path) -> None:
    load_onnx(path, torch.device("cpu"), ModelOptions(image_size=32))


def parquet() -> bytes:
    cells = [{"bytes": encoded(n, "png"), "path": f"{n}.png"} for n in range(6)]
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 2] * 2}), buffer)
    return buffer.getvalue()


def array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.stack([np.asarray(picture(n)) for n in range(5)]))
    return buffer.getvalue()


def checkpoint() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": _weights(), "epoch": 3}, buffer)
    return buffer.getvalue()


def tensors() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        save_file(_weights(), path)
        return path.read_bytes()


def _weights() -> dict[str, torch.Tensor]:
    module = timm.create_model("test_resnet", num_classes=3)
    return {key: value.clone() for key, value in module.state_dict().items()}


def network() -> bytes:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 3)).eval()
    program = torch.onnx.export(module, (torch.zeros(1, 3, 32, 32),), dynamo=True, verbose=False)
    assert program
    with tempfile.TemporaryDirectory() as folder:
        program.save(str(Path(folder) / "x.onnx"), include_initializers=True)
        return (Path(folder) / "x.onnx").read_bytes()


def member(ending: str) -> dict[str, bytes]:
    return {f"a/{n}.{ending}": encoded(n, "jpeg") for n in range(3)}


SHARD = {f"{n}.{end}": content for n in range(3) for end, content in
         (("jpg", encoded(n, "jpeg")), ("cls", str(n).encode()))}  # fmt: skip

ROWS = b"".join(b"%d.png,%d\n" % (n, n % 3) for n in range(3))

Kind = tuple[str, Callable[[], bytes], Callable[[Path], object]]

KINDS: dict[str, Kind] = {
    "jpeg": ("train/a/x.jpg", lambda: encoded(1, "jpeg"), read_folder),
    "png": ("train/a/x.png", lambda: encoded(1, "png"), read_folder),
    "webp": ("train/a/x.webp", lambda: encoded(1, "webp"), read_folder),
    "tiff": ("train/a/x.tiff", lambda: encoded(1, "tiff"), read_folder),
    "gif": ("train/a/x.gif", lambda: encoded(1, "gif"), read_folder),
    "tar": ("x.tar", lambda: tar_of(member("jpg")), read_images),
    "shard": ("shard.tar", lambda: tar_of(SHARD), read_images),
    "parquet": ("x.parquet", parquet, read_images),
    "npy": ("x.npy", array, read_images),
    "csv": ("labels.csv", lambda: b"file,label\n" + ROWS, read_labels),
    "txt": ("classes.txt", lambda: "tench\ngoldfish\nänder\n".encode(), read_class_names),
    "suite": ("suite.toml", SUITE.encode, load_suite),
    "recipe": ("recipe.toml", RECIPE.encode, lambda path: load_recipe(str(path))),
    "json": ("x.json", lambda: json.dumps({"a": [1, {"b": None}], "c": "ä"}).encode(), read_object),
    "safetensors": ("x.safetensors", tensors, read_model),
    "pth": ("x.pth", checkpoint, read_model),
    "onnx": ("x.onnx", network, read_onnx),
}  # fmt: skip
"""By name: the file, what makes a whole one, and how it is read."""


def damaged(content: bytes, draws: random.Random) -> bytes:
    """The content after one to four kinds of damage."""
    made = bytearray(content)
    for _ in range(draws.randint(1, 4)):
        at = draws.randrange(len(made) + 1)
        size = draws.choice([1, 1, 2, 4, 8, 64, 1000])
        what = draws.randrange(8)
        if what == 0:
            del made[at:]
        elif what == 1:
            del made[at : at + size]
        elif what == 2:
            made[at : at + size] = draws.randbytes(size)
        elif what == 3:
            made[at:at] = draws.randbytes(size)
        elif what == 4:
            made[at : at + size] = made[at : at + size] * draws.choice([2, 3, 50])
        elif what == 5:
            made[at : at + size] = bytes([draws.choice([0, 255, 127, 128])]) * size
        elif what == 6:
            # Heads, where sizes and kinds stand, are a small part of large files.
            made[min(at, 200) % max(1, len(made)) :][:1] = draws.randbytes(1)
            head = draws.randrange(min(len(made), 200) + 1)
            made[head : head + 1] = draws.randbytes(1)
        else:
            extreme = draws.choice(
                [b"[" * 3000, b"9" * 5000, b"\xff" * 8, b"nan", b"-1", b"\n", b"\0"]
            )
            made[at:at] = extreme
    return bytes(made)


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in what takes longer."""

    def late(*_: object) -> None:
        raise TimeoutError(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def whole_files(folder: Path, wanted: list[str]) -> dict[str, bytes]:
    """What the kinds hold, and what lies beside their files."""
    (folder / "images").mkdir()
    (folder / "train" / "b").mkdir(parents=True)
    (folder / "train" / "a").mkdir()
    for number in range(3):
        picture(number).save(folder / "images" / f"{number}.png")
        picture(number).save(folder / "train" / "b" / f"{number}.png")
    return {kind: KINDS[kind][1]() for kind in wanted}


def problem(kind: str, path: Path) -> str | None:
    """What is wrong with how a damaged file is read; None if it is read or refused."""
    try:
        with within(LIMIT):
            KINDS[kind][2](path)
    except NsbenchError as error:
        return "a sentence of several lines" if "\n" in str(error) else None
    except BaseException:
        return traceback.format_exc()
    return None


def run(count: int, seed: int, start: int, wanted: list[str]) -> list[str]:
    """Damage files and read them; a text for each that was neither read nor refused."""
    warnings.simplefilter("ignore")
    found = []
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        whole = whole_files(folder, wanted)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(start, start + count):
            kind = wanted[number % len(wanted)]
            path = folder / KINDS[kind][0]
            path.write_bytes(damaged(whole[kind], random.Random(f"{seed}/{number}")))
            if wrong := problem(kind, path):
                found.append(f"number {number}, {kind}: {wrong}")
            path.unlink()
        grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    if grown > MEMORY:
        found.append(f"{grown / 1e9:.1f} GB more were needed than before")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    given = parser.parse_args()
    found = run(given.count, given.seed, given.start, given.kinds)
    print("\n".join([*found, f"{given.count} damaged files, {len(found)} problems"]))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
