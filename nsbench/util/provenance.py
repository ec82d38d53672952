"""What a reader needs to repeat a result: versions, commit and machine."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("nsbench", "torch", "torchvision", "timm", "numpy", "pillow", "imagecorruptions-imaug")
"""Those whose version can change a pixel or a logit."""


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


def short_commit(commit: str) -> str:
    """Twelve digits of a commit, by which git itself tells them apart, and `-dirty` if changed."""
    return commit[:12] + ("-dirty" if commit.endswith("-dirty") else "")


def git_commit() -> str | None:
    """Commit of the checkout nsbench runs from (`-dirty` if changed), None outside a checkout."""
    # the package, not this file's folder: git is asked whether it is the top of a checkout
    package = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        # an installation inside some other project's checkout must not claim that project's commit
        if Path(git("rev-parse", "--show-toplevel")) != package.parent.resolve():
            return None
        commit = git("rev-parse", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "-uno") else commit
    except (OSError, subprocess.CalledProcessError):
        return None
