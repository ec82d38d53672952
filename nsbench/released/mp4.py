"""Frames to MP4 files of one frame a second, as ImageNet-P stores its clips, and back."""

import importlib
import io
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nsbench.util.errors import missing_extra
from nsbench.util.files import plain

if TYPE_CHECKING:
    from nsbench.data.tar_index import TarPath

# x264's macroblock tree reads memory that nothing wrote when it uses AVX-512, so that each call
# gives other bytes; SSE2, which every such processor has, is about as fast at these sizes.
_REPEATABLE = (
    {"x264-params": "asm=SSE2"} if platform.machine().lower() in ("x86_64", "amd64") else {}
)


def encode_clip(frames: NDArray[np.uint8], *, noise: bool, lossless: bool) -> bytes:
    """Encode frames as H.264 in an MP4 of one frame a second; the same bytes on each call.

    Args:
        frames: uint8 (F, H, W, 3), RGB.
        noise: whether to keep grain, as ImageNet-P does for the noises.
        lossless: whether to keep RGB bit for bit; not every player shows such a file.

    """
    # yuv444p is what ffmpeg chooses for RGB frames where nothing is asked, as ImageNet-P's command
    # does not; it keeps colour at full resolution.
    codec, pixels = ("libx264rgb", "rgb24") if lossless else ("libx264", "yuv444p")
    file, av = io.BytesIO(), _av()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=1, options=_options(noise, lossless))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        # Clips are shared out to processes already, and x264's bytes depend on its threads.
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())  # what the encoder still holds back
    return file.getvalue()


def _av() -> Any:
    """PyAV, which only clips need. Raises NsbenchError without it."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise missing_extra("av", "clips", "a clip in an MP4 file") from error


def _options(noise: bool, lossless: bool) -> dict[str, str]:
    if lossless:
        return {"preset": "veryslow", "qp": "0"}  # x264's lossless mode
    # The options of make_imagenet_p.py: `-tune grain` for the noises, else `-crf 20`.
    quality = {"tune": "grain"} if noise else {"crf": "20"}
    return {"preset": "veryslow"} | quality | _REPEATABLE


def decode_clip(path: "Path | TarPath") -> NDArray[np.uint8]:
    """Decode a video file to uint8 (F, 3, H, W), RGB.

    Raises FileNotFoundError if there is none, ValueError with the reason if it is unreadable, and
    NsbenchError without PyAV.
    """
    av = _av()
    try:
        with plain(path).open("rb") as file, av.open(file, "r") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1  # readers are many already
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2))  # ValueError if empty
    except FileNotFoundError:
        raise
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise ValueError(getattr(error, "strerror", None) or "it holds no video") from error
