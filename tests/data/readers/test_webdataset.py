"""WebDataset shards as sources."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.data.open import open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec, write_tar


def test_shards_that_share_keys(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / f"{number}.tar", {"0.PNG": png(number), "0.cls": b"7\n"})
    source = open_source(spec(tmp_path))
    assert source.ids == ["0/0", "1/0"]
    assert source.labels is not None
    assert source.labels.tolist() == [7, 7]
    assert np.asarray(source.image(1)).max() == 1


def test_wrong_shards(tmp_path: Path) -> None:
    def shard(**members: bytes) -> str:
        names = {name.replace("_", "."): content for name, content in members.items()}
        return str(write_tar(tmp_path / "x" / "0.tar", names).parent)

    with pytest.raises(NsbenchError, match=r"the image b of .* has no label file \.cls"):
        open_source(spec(shard(a_png=png(), a_cls=b"0", b_png=png())))
    with pytest.raises(
        NsbenchError, match=r"a\.cls in .* holds 'cat', which is not a class number"
    ):
        open_source(spec(shard(a_png=png(), a_cls=b"cat")))
    with pytest.raises(NsbenchError, match="two images of the key 'a'"):
        open_source(spec(shard(a_png=png(), a_jpg=png())))
    with pytest.raises(NsbenchError, match="holds no images: shards have"):
        open_source(spec(shard(a_txt=b"")))
    with pytest.raises(NsbenchError, match=r"there is no .*x/1\.tar: fetch all shards"):
        open_source(spec(tmp_path / "x" / "{0..1}.tar"))
    # A mistyped end may be far away: shards are looked for one by one.
    with pytest.raises(NsbenchError, match=r"there is no .*x/1\.tar: fetch all shards"):
        open_source(spec(tmp_path / "x" / "{0..999999999999}.tar"))
    with pytest.raises(NsbenchError, match="counts down from 1 to 0: swap the two numbers"):
        open_source(spec(tmp_path / "x" / "{1..0}.tar"))
    with pytest.raises(NsbenchError, match=r"the image a in .*0\.tar cannot be read"):
        open_source(spec(shard(a_png=b"broken", a_cls=b"1"))).image(0)
