"""Files on disk: run folders, atomic writes, hashes and provenance."""

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nsbench.util.errors import NsbenchError

TEMPORARY = ".nsbench-"
PACKAGES = ("nsbench", "torch", "torchvision", "timm", "numpy", "pillow", "imagecorruptions-imaug")


@contextmanager
def written_whole(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file to fill that appears whole or not at all: a temporary neighbour, then renamed.

    sync: whether to wait until the disk has it; without, a crash of the machine may lose it.

    Raises NsbenchError where the folder cannot be made or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.name}.", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise NsbenchError(
            f"cannot write {path}: {error.strerror}; what was finished before is kept, so make "
            "room or choose another place and repeat the command"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def is_temporary(name: str) -> bool:
    """Whether a file of this name is what a killed process left of `written_whole`."""
    return re.fullmatch(re.escape(TEMPORARY) + r".+\.[a-z0-9_]{8}", name) is not None


def write_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file whole or not at all, as `written_whole` does."""
    with written_whole(path, sync=sync) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises NsbenchError naming the file if it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NsbenchError(
            f"cannot read {path} ({error}): repair it, or remove it and repeat the command that "
            "made it"
        ) from error


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(value: Any) -> str:
    """Hash of a JSON-like value, independent of the order of keys."""
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def generation_folders(run: Path) -> list[Path]:
    """The finished generations of a run folder, in order, each before its fine-tuned form."""
    folders = [path.parent for path in run.glob("generation-*/model.json")]
    numbered = [(re.fullmatch(r"generation-(\d+)(-fine-tuned)?", f.name), f) for f in folders]
    return [
        folder
        for _, folder in sorted(
            ((int(found[1]), found[2] or ""), folder) for found, folder in numbered if found
        )
    ]


VARIANT = "variant.json"
"""Of a variant's run folder: its name and number, what it changes, and where its teacher lies."""


def variant_folders(run: Path) -> list[Path]:
    """The run folders of a run's variants, in the order of the recipe."""
    found = [path.parent for path in run.glob(f"variants/*/{VARIANT}") if is_run(path.parent)]
    return sorted(found, key=lambda folder: (read_json(folder / VARIANT)["number"], folder.name))


def run_name(run: Path) -> str:
    """The name of a run folder; of a variant's, the name of its run before its own."""
    whole = run.resolve()
    return f"{whole.parents[1].name}/{whole.name}" if (run / VARIANT).is_file() else whole.name


def is_run(path: Path) -> bool:
    """Whether a folder was made by `nsbench train`."""
    return (path / "recipe.toml").is_file()


def environment(device: str) -> dict[str, Any]:
    """Versions, git commit and machine: what a reader needs to repeat a result."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device,
        "versions": {name: _version(name) for name in PACKAGES},
        "git_commit": git_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """Commit of the checkout nsbench runs from (`-dirty` if changed), None outside a checkout."""
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != package.parent.resolve():
            return None
        commit = git("rev-parse", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return None
