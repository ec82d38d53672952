from pathlib import Path

import numpy as np

from nsbench.data.open import SourceSpec, open_source
from nsbench.data.prefetch import clean_crops
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop


def test_clean_crops_keep_the_order(image_folder: Path) -> None:
    source = open_source(SourceSpec(source=str(image_folder)))
    size = Preprocessing(image_size=16, crop_pct=0.5)
    crops = list(clean_crops(source, np.array([4, 0, 2]), size))
    for index, crop in zip([4, 0, 2], crops, strict=True):
        assert (crop == center_crop(source.image(index), size)).all()
