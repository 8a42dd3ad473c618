"""What upstream needs of a machine, in bytes: estimated from the files on disk and the predicted result.

Nothing here was measured on a GPU. ``at_least`` follows from upstream's code and is a lower bound: what it
rules out cannot work. ``likely`` is what people report, or the worst moment that the code allows.

* **GPU, stage 2.** The diffusion model (its files as they are, bfloat16), CLIP (stored in float32, used in
  float16), the VAE (float32) and CUDA itself stay. Beside them comes the text encoder while it encodes,
  unless it runs on the CPU, and later the activations. With several GPUs the diffusion model and the text
  encoder are shared out, and the text encoder stays. Activations: at least 130 kB for each token, which is
  what one attention layer holds while it turns the queries: the residual stream in float32 (20 kB at width
  5120), queries, keys and values in bfloat16 (30 kB), and the queries in double precision twice (80 kB).
  People report that 1280x720 (75,600 tokens) wants 80 GB, which leaves 557 kB for each. With several GPUs
  each has its share of the tokens.
* **GPU, stage 1.** The two ONNX models; SAM 2 and up to 400 frames at 1024x1024 in float32; FLUX.
* **Host, stage 2.** Twice the text encoder for a moment; later the videos, for each pixel and padded frame
  at least 18 bytes in animate mode and 43 in replace mode, 55 at the worst moment, beside the text encoder.
  Every process does so. With several, each holds the whole diffusion model first.
* **Host, stage 1.** Twice the sampled frames at the driving video's size, 3 bytes a pixel; in replace mode
  14 bytes more for each pixel of the canvas; FLUX once.
* **Disk.** Lossy video: 0.002 bytes for each pixel of a frame is less than a still picture costs, 0.06 is
  what the result of a lively clip takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config import GENERATION, PREPROCESSING, Job
from engines.interface import Prediction
from engines.wan22 import checkout

_CUDA_ITSELF: Final = 500_000_000
"""A process's own share of a GPU, and its libraries' workspaces."""
_SEGMENTER_CHUNK: Final = 400
_SEGMENTER_FRAME: Final = 1024 * 1024 * 3 * 4
_STAGE_1_CANVAS: Final = 14
_FACE: Final = 512 * 512


@dataclass(frozen=True)
class _Rates:
    """Bytes for each unit of work; see the module's own words."""

    token: int
    frame_pixel: tuple[int, int]
    """On the host, for each pixel of a padded frame: animate mode, replace mode."""
    video_pixel: float


_AT_LEAST: Final = _Rates(token=130_000, frame_pixel=(6 + 12, 31 + 12), video_pixel=0.002)
_LIKELY: Final = _Rates(token=557_000, frame_pixel=(55, 55), video_pixel=0.06)


@dataclass(frozen=True)
class Bytes:
    """Bytes at the highest moment."""

    gpu: int
    """On each GPU."""
    host: int
    """In all processes together."""
    disk: int


@dataclass(frozen=True)
class Needs:
    """What a stage needs."""

    at_least: Bytes
    likely: Bytes


def needs_of_stages(job: Job, predicted: Prediction | None, source_pixels: int) -> dict[int, Needs]:
    """The needs of each of the job's stages.

    Args:
        source_pixels: pixels of a frame of the video that stage 1 reads; 0 if unknown.
    """
    needs = {}
    if PREPROCESSING in job.stages:
        sizes = (_stage_1(job, predicted, source_pixels, rates) for rates in (_AT_LEAST, _LIKELY))
        needs[PREPROCESSING] = Needs(*sizes)
    if GENERATION in job.stages:
        needs[GENERATION] = stage_2(job, predicted)
    return needs


def stage_2(job: Job, predicted: Prediction | None) -> Needs:
    """What stage 2 needs, with as many GPUs as the job has."""
    return Needs(*(_stage_2(job, predicted, rates) for rates in (_AT_LEAST, _LIKELY)))


def _stage_1(job: Job, predicted: Prediction | None, source_pixels: int, rates: _Rates) -> Bytes:
    folder = job.ckpt_dir / checkout.PREPROCESS_CHECKPOINTS
    frames = predicted.frames if predicted else 0
    canvas = predicted.width * predicted.height if predicted else 0
    gpu = _CUDA_ITSELF + size_of(folder / checkout.DETECTOR) + size_of(folder / checkout.POSE_MODEL)
    host = 2 * 3 * source_pixels * frames
    pixels = canvas + _FACE
    if job.masks_in_stage_1:
        gpu += size_of(folder / checkout.SAM2) + _SEGMENTER_FRAME * min(frames, _SEGMENTER_CHUNK)
    if job.replace:
        host += _STAGE_1_CANVAS * canvas * frames
        pixels += 2 * canvas
    if job.use_flux:
        flux = size_of(folder / checkout.FLUX)
        gpu, host = gpu + flux, max(host, flux)
    return Bytes(gpu=gpu, host=host, disk=int(pixels * frames * rates.video_pixel))


def _stage_2(job: Job, predicted: Prediction | None, rates: _Rates) -> Bytes:
    count = job.nproc_per_node or 1
    text_encoder = size_of(job.ckpt_dir / checkout.T5)
    diffusion = sum(size_of(path) for path in checkout.diffusion_shards(job.ckpt_dir))
    lasting = (
        _CUDA_ITSELF
        + diffusion // count
        + size_of(job.ckpt_dir / checkout.CLIP) // 2
        + size_of(job.ckpt_dir / checkout.VAE)
    )
    activations = rates.token * (predicted.tokens or 0) // count if predicted else 0
    on_cpu = job.t5_cpu and count == 1  # several GPUs share it out whatever the flag says
    encoding = 0 if on_cpu else text_encoder // count
    stays = job.no_offload or count > 1
    gpu = lasting + (encoding + activations if stays else max(encoding, activations))

    back_on_host = 0 if stays and not on_cpu else text_encoder
    videos = _padded_pixels(job, predicted) * rates.frame_pixel[job.replace]
    host = max(2 * text_encoder, back_on_host + videos, diffusion if count > 1 else 0) * count
    pixels = predicted.width * predicted.height * predicted.frames if predicted else 0
    # The generated file, and the finished one beside it.
    return Bytes(gpu=gpu, host=host, disk=int(2 * pixels * rates.video_pixel))


def _padded_pixels(job: Job, predicted: Prediction | None) -> int:
    """Pixels of all frames, which upstream fills up to a whole number of windows and holds whole."""
    if predicted is None:
        return 0
    frames = predicted.frames
    if predicted.windows and predicted.frame_num:
        frames = predicted.windows * (predicted.frame_num - job.refert_num) + job.refert_num
    return predicted.width * predicted.height * frames


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; 0 if it is not there."""
    try:
        if path.is_dir():
            return sum(size_of(inside) for inside in path.iterdir())
        return path.stat().st_size
    except OSError:
        return 0
