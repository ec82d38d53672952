"""Small sources for tests."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from nsbench.data.open import SourceSpec


def spec(source: str, **keys: str) -> SourceSpec:
    return SourceSpec.model_validate({"source": source, **keys})


def write_parquet(path: Path, labels: list[object], images: list[bytes | None]) -> Path:
    cells = [{"bytes": image, "path": None} for image in images]
    pq.write_table(pa.table({"image": cells, "label": labels}), path)
    return path


def png(value: int) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.new("L", (8, 6), value).save(buffer, "PNG")
    return buffer.getvalue()
