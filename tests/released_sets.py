"""Small data sets in the layouts that ImageNet's benchmarks are released in, and a model of them.

Classes are real ones of ImageNet-1k, some of which are in ImageNet-A, -R or -O.
"""

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, PERTURBATIONS, frame_count
from nsbench.suites.corruption import CorruptionSuite
from nsbench.suites.load import load_suite

MODEL = "test_resnet.r160_in1k"
CLASSES = {"n01440764": 0, "n01443537": 1, "n01770393": 71, "n01819313": 89, "n01910747": 107}
IN_A = ["n01770393", "n01819313", "n01910747"]
IN_R = ["n01443537", "n01770393", "n01910747"]
IN_O = ["n01443537", "n01819313", "n01910747"]
VAL = {f"ILSVRC2012_val_{n + 1:08d}": wnid for n, wnid in enumerate([*CLASSES, "n01910747"])}
REAL = 970
"""A right label of ILSVRC2012_val_00000002 by ImageNet-ReaL, and not its own."""

TAUGHT = 3.0
"""How much larger the logit of a taught class becomes."""

GROUPS = {"noise": 3, "blur": 4, "weather": 4, "digital": 4}
V2 = {"matched-frequency": "matched-frequency", "threshold-0.7": "threshold0.7",
      "top-images": "top-images"}  # fmt: skip


def picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A smooth picture of any colour, different each time."""
    small = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


def jpeg(rng: np.random.Generator, path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(rng, width, height).save(path, "JPEG", quality=85)


def clip(rng: np.random.Generator, path: Path, count: int, size: int) -> None:
    """Frames that drift from one picture to another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    one, other = picture(rng, size, size), picture(rng, size, size)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = size, size, "yuv420p"
        for number in range(count):
            frame = av.VideoFrame.from_image(Image.blend(one, other, number / count))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def make_root(root: Path) -> Path:
    """Every ImageNet set as folders, ImageNet-C's below their groups."""
    rng = np.random.default_rng(0)
    for name, wnid in VAL.items():
        width, height = rng.integers(60, 120, 2).tolist()
        jpeg(rng, root / "imagenet" / "val" / wnid / f"{name}.JPEG", width, height)
    for number in range(2):
        for wnid in IN_A:
            jpeg(rng, root / "imagenet-a" / wnid / f"0.00{number}.jpg", 90, 70)
        for wnid in IN_R:
            jpeg(rng, root / "imagenet-r" / wnid / f"art_{number}.jpg", 70, 90)
        for wnid in IN_O:
            jpeg(rng, root / "imagenet-o" / wnid / f"o_{number}.JPEG", 80, 80)
        for wnid, index in CLASSES.items():
            jpeg(rng, root / "imagenet-sketch" / "sketch" / wnid / f"s_{number}.JPEG", 80, 80)
            for released in V2.values():
                folder = root / f"imagenetv2-{released}-format-val" / str(index)
                jpeg(rng, folder / f"{number}.jpeg", 80, 90)
    for name, group in groups().items():
        corrupted(rng, root / "imagenet-c" / group / name)
    for suite in ("imagenet-c-bar", "imagenet-3dcc"):
        for name in names_of(suite):
            corrupted(rng, root / suite / name)
    for name in PERTURBATIONS:
        for stem, wnid in VAL.items():
            path = root / "imagenet-p" / name / wnid / f"{stem}.mp4"
            clip(rng, path, frame_count(name, 224), 224)
    return root


def names_of(suite: str) -> list[str]:
    found = load_suite(suite)
    assert isinstance(found, CorruptionSuite)
    return found.corruptions


def groups() -> dict[str, str]:
    """The group folder of each corruption of ImageNet-C."""
    listed = [group for group, count in GROUPS.items() for _ in range(count)]
    return dict(zip(CORRUPTIONS, listed, strict=True)) | dict.fromkeys(EXTRA_CORRUPTIONS, "extra")


def corrupted(rng: np.random.Generator, folder: Path) -> None:
    for severity in range(1, 6):
        for stem, wnid in VAL.items():
            jpeg(rng, folder / str(severity) / wnid / f"{stem}.JPEG", 224, 224)


def pack(root: Path, target: Path) -> Path:
    """The same as the tar files that are downloaded."""
    target.mkdir()
    for name in ("imagenet-a", "imagenet-r", "imagenet-o"):
        tar([root / name], target / f"{name}.tar")
    for released in V2.values():
        name = f"imagenetv2-{released}"
        tar([root / f"{name}-format-val"], target / f"{name}.tar")
    for group in (*GROUPS, "extra"):
        parts = sorted((root / "imagenet-c" / group).iterdir())
        tar(parts, target / "imagenet-c" / f"{group}.tar")
    tar(sorted((root / "imagenet-c-bar").iterdir()), target / "imagenet_c_bar.tar")
    for part in sorted((root / "imagenet-3dcc").iterdir()):
        tar([part], target / "imagenet-3dcc" / f"{part.name}.tar")
    tar(sorted((root / "imagenet-p").iterdir()), target / "imagenet-p" / "all.tar")
    (target / "imagenet-sketch").symlink_to(root / "imagenet-sketch")
    flat = sorted((root / "imagenet" / "val").glob("*/*"), key=lambda path: path.name)
    with tarfile.open(target / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in flat:
            archive.add(path, path.name)
    lines = [f"{stem},{wnid} 1 2 3 4" for stem, wnid in VAL.items()]
    (target / "LOC_val_solution.csv").write_text("\n".join(["ImageId,PredictionString", *lines]))
    return target


def tar(folders: Iterable[Path], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for folder in folders:
            archive.add(folder, folder.name)


def make_weights(path: Path, root: Path) -> torch.nn.Module:
    """A model of random weights whose answers differ from image to image, saved as a state dict.

    It is taught some of the images of `make_root`, so that it is right on them: by chance it would
    be on none, and all accuracies 0.
    """
    torch.manual_seed(0)
    model: Any = timm.create_model(MODEL.split(".")[0], num_classes=1000).eval()
    transform = timm.data.create_transform(
        **timm.data.resolve_data_config({}, pretrained_cfg=timm.get_pretrained_cfg(MODEL).to_dict())
    )
    rng = np.random.default_rng(1)
    pictures = np.stack([np.asarray(picture(rng, 160, 160)) for _ in range(40)])
    with torch.inference_mode():
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
        features = model.forward_head(model.forward_features(2 * images - 1), pre_logits=True)
        spread = features.std(0).clamp(min=1e-6)
        model.fc.weight.copy_(torch.randn_like(model.fc.weight) / spread / 10)
        model.fc.bias.copy_(-model.fc.weight @ features.mean(0))
        known = taught(root)
        chosen = torch.stack([transform(Image.open(p).convert("RGB")) for p in known])
        features = model.forward_head(model.forward_features(chosen), pre_logits=True)
        # Each column has the product 1 with one of the images, and 0 with the others.
        for label, own in zip(known.values(), torch.linalg.pinv(features).T, strict=True):
            model.fc.weight[label] += TAUGHT * own
    torch.save(model.state_dict(), path)
    frozen: torch.nn.Module = model.requires_grad_(False)
    return frozen


def taught(root: Path) -> dict[Path, int]:
    """Images with a class each: of every set some, of one a right label by ImageNet-ReaL only."""
    folders = [root / "imagenet-sketch" / "sketch", root / "imagenet-a", root / "imagenet-r"]
    folders += [root / f"imagenetv2-{released}-format-val" for released in V2.values()]
    found: dict[Path, int] = {}
    for folder in folders:
        for path in sorted(folder.glob("*/*"))[::4]:
            label = path.parent.name
            found[path] = CLASSES[label] if label in CLASSES else int(label)
    pictures = sorted((root / "imagenet" / "val").glob("*/*"))
    found |= {path: CLASSES[path.parent.name] for path in pictures[2:4]}
    return found | {pictures[1]: REAL}


def answers(model: torch.nn.Module, images: torch.Tensor) -> NDArray[np.float32]:
    """Logits of images in [0, 1] of any size, resized as the protocol has it."""
    if images.shape[-1] != 160:
        images = torch.nn.functional.interpolate(
            images, (160, 160), mode="bicubic", antialias=True
        ).clamp(0, 1)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in normalisation())
    with torch.inference_mode():
        logits: NDArray[np.float32] = model((images - mean) / std).numpy()
    return logits


def normalisation() -> tuple[tuple[float, ...], tuple[float, ...]]:
    settings = timm.get_pretrained_cfg(MODEL)
    return settings.mean, settings.std


def tensor(images: Iterable[Image.Image]) -> torch.Tensor:
    stacked = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2) / 255


def saved(array: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
