"""Folders of released sets, on disk or inside the tar archives they were released in."""

from pathlib import Path, PurePosixPath

from nsbench.data.tar_index import Index, TarPath, index_of

Tree = Path | TarPath
"""A file or folder, on disk or in a tar."""

# The archives of ImageNet-C: unpacking one may leave its folder above those of its corruptions.
GROUPS = ("", "noise", "blur", "weather", "digital", "extra")
# Which archive holds a name that does not say it; the rest is digital.
_HELD_OUT = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
_WEATHER = {"snow", "frost", "fog", "brightness"}


def find_part(root: Path, name: str) -> Tree | None:
    """The folder NAME or the file NAME.npy of a set, with or without a group folder above it.

    root: a folder, perhaps of `.tar` files, or a `.tar` file. What is unpacked goes first.
    Raises NsbenchError for a broken archive.
    """
    paths = [*(root / group / name for group in GROUPS), root / f"{name}.npy"]
    present = [path for path in paths if (path.is_file() if path.suffix else path.is_dir())]
    if present:
        return present[0]
    # A generator, so that archives after the one that has it are not indexed.
    inside = (_inside(index_of(archive), name) for archive in _archives(root, name))
    return next(filter(None, inside), None)


def _archives(root: Path, name: str) -> list[Path]:
    """The archives of a set, the most likely ones first: to index a large one takes long."""
    if root.is_file():
        return [root]
    likely = (name, *_groups(name))
    # The outer sort is stable: by name among the likely ones and among the others.
    return sorted(sorted(root.glob("*.tar")), key=lambda archive: archive.stem not in likely)


def _groups(name: str) -> list[str]:
    """The group of a corruption or perturbation, as far as its name tells."""
    if name in _HELD_OUT:  # first, as two of these are noises and blurs by name
        return ["extra"]
    if name in _WEATHER:
        return ["weather"]
    return [group for group in ("noise", "blur") if group in name] or ["digital"]


def _inside(index: Index, name: str) -> TarPath | None:
    """The folder or .npy file of that name that is nearest to the top."""
    paths = [PurePosixPath(above) / name for above, below in index.folders.items() if name in below]
    file = f"{name}.npy"
    paths += [path for path in map(PurePosixPath, index.rows) if path.name == file]
    nearest = min(paths, key=lambda path: len(path.parts), default=None)
    return TarPath(index.archive, str(nearest)) if nearest else None


def part_names(root: Path) -> list[str]:
    """The names that `find_part` would find, and perhaps some that are other folders."""
    names = {path.stem for path in root.glob("*.npy")}
    for group in GROUPS:
        names |= folders(root / group)
    for archive in _archives(root, ""):
        names |= _names_inside(index_of(archive))
    return sorted(names - {"labels", *GROUPS})


def _names_inside(index: Index) -> set[str]:
    """The folders above severities and classes, or above classes for clips, and the arrays."""
    names = set()
    for path in map(PurePosixPath, index.names):
        # NAME/class/clip.mp4, but NAME/severity/class/image.JPEG.
        depth = 2 if path.suffix == ".mp4" else 3
        if path.suffix == ".npy":
            names.add(path.stem)
        elif len(path.parts) > depth:
            names.add(path.parts[-1 - depth])
    return names


def folders(tree: Tree) -> set[str]:
    """The names of the folders in a folder, none if it is missing."""
    if isinstance(tree, TarPath):
        return tree.folders()
    inside = tree.iterdir() if tree.is_dir() else ()
    return {e.name for e in inside if e.is_dir() and not e.name.startswith(".")}
