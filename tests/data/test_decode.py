"""From the bytes of a file to RGB pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nsbench.data.open import open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec, write_parquet


def test_unreadable_images_are_named(image_folder: Path, tmp_path: Path) -> None:
    bad = image_folder / "cat" / "1.png"
    bad.write_bytes(bad.read_bytes()[:60])
    with pytest.raises(NsbenchError, match=r"1\.png cannot be read"):
        open_source(spec(str(image_folder))).image(1)
    bad.write_bytes(b"")
    with pytest.raises(NsbenchError, match=r"1\.png cannot be read"):
        open_source(spec(str(image_folder))).image(1)
    table = write_parquet(tmp_path / "t.parquet", [0, 1], [png(0), b"no image"])
    with pytest.raises(NsbenchError, match=r"the image 1 of .*t\.parquet cannot be read"):
        open_source(spec(str(table))).image(1)


def test_sixteen_bits_are_scaled_and_not_clipped(image_folder: Path) -> None:
    wide = np.full((8, 8), 20000, np.uint16)
    Image.fromarray(wide).save(image_folder / "cat" / "1.png")
    pixels = np.asarray(open_source(spec(str(image_folder))).image(1))
    assert pixels.shape == (8, 8, 3)
    assert (pixels == 20000 >> 8).all()
    Image.fromarray(np.ones((8, 8), np.float32)).save(image_folder / "cat" / "3.tif")
    with pytest.raises(NsbenchError, match=r"3\.tif cannot be read .*type F"):
        open_source(spec(str(image_folder))).image(3)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "1", "LA"])
def test_other_modes_become_rgb(image_folder: Path, mode: str) -> None:
    ending = "tif" if mode == "CMYK" else "png"
    Image.new(mode, (9, 9)).save(image_folder / "cat" / f"x.{ending}")
    assert open_source(spec(str(image_folder))).image(3).mode == "RGB"


def test_an_image_far_longer_than_wide_counts_as_unreadable(image_folder: Path) -> None:
    # Resized to a short side of 224, it would take 1,200 GB.
    Image.new("L", (1, 8_000_000)).save(image_folder / "cat" / "0.png")
    source = open_source(spec(str(image_folder)))
    with pytest.raises(NsbenchError, match=r"it is 1 x 8,000,000 pixels, of more than 200 to 1"):
        source.image(source.ids.index("cat/0.png"))
    Image.new("L", (400, 2)).save(image_folder / "cat" / "0.png")
    assert open_source(spec(str(image_folder))).image(0).size == (400, 2)
