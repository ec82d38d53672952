import sys
from pathlib import Path

import av
import numpy as np
import pytest

from nsbench.released.mp4 import decode_clip, encode_clip
from nsbench.util.errors import NsbenchError

SMOOTH = np.broadcast_to(
    np.add.outer(np.arange(7), np.add.outer(3 * np.arange(32), 4 * np.arange(48)))[..., None],
    (7, 32, 48, 3),
).astype(np.uint8)


def test_a_clip_has_its_frames_and_size_at_one_frame_a_second(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_clip(SMOOTH, noise=False, lossless=False))
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.height, stream.width) == (7, 32, 48)
        assert stream.average_rate == 1
        assert stream.codec_context.pix_fmt == "yuv444p"


@pytest.mark.parametrize("noise", [False, True])
def test_lossy_is_near_and_lossless_exact(tmp_path: Path, noise: bool) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_clip(SMOOTH, noise=noise, lossless=False))
    decoded = decode_clip(path).transpose(0, 2, 3, 1)
    assert decoded.shape == SMOOTH.shape
    assert np.abs(decoded.astype(int) - SMOOTH).mean() < 4
    for frames in (SMOOTH, np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)):
        path.write_bytes(encode_clip(frames, noise=noise, lossless=True))
        assert (decode_clip(path).transpose(0, 2, 3, 1) == frames).all()


@pytest.mark.parametrize("noise", [False, True])
def test_encoding_again_gives_the_same_bytes(noise: bool) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (9, 32, 32, 3), np.uint8)
    made = set()
    for size in range(20):
        memory = [bytes([255]) * 10_000 * size for _ in range(20)]  # which the encoder may get next
        del memory
        made.add(encode_clip(frames, noise=noise, lossless=False))
    assert len(made) == 1


@pytest.mark.parametrize("content", [b"", b"x" * 1000])
def test_what_is_no_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(FileNotFoundError):
        decode_clip(path)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="Invalid"):
        decode_clip(path)


def test_clips_need_pyav(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    frames, sentence = np.zeros((1, 32, 32, 3), np.uint8), "needs the package av: run pip install"
    with pytest.raises(NsbenchError, match=sentence):
        encode_clip(frames, noise=False, lossless=False)
    with pytest.raises(NsbenchError, match=sentence):
        decode_clip(tmp_path / "clip.mp4")
