"""What Wan-Animate-2 will make of a driving video: size, frames, windows, as its pipeline works them out."""

from __future__ import annotations

import math
from typing import Final

from config import NO_PATH, Job
from engines.interface import Prediction
from engines.sampling import canvas_shape, sampled_frames
from execution.history import Work

LONGEST: Final = 81
"""Frames of a window, the library's own number."""
STEPS, DISTILLED_STEPS = 40, 10
SHORTEST_CLIP: Final = 3


def predict(job: Job) -> Prediction | None:
    """None while the media cannot be read, or no window fits the clip."""
    import preprocess

    if job.video_path == NO_PATH:
        return None
    try:
        width, height = result_size(*canvas_shape(job), job.resolution[0] * job.resolution[1])
        frames, _ = sampled_frames(job)
    except (preprocess.MediaError, OSError):
        return None
    if min(width, height) < 2:
        return None
    window = window_of(job, frames)
    if window is None:
        return Prediction(width=width, height=height, frames=frames)
    count = -(-(frames - job.refert_num) // (window - job.refert_num))
    surplus = count * window - frames
    return Prediction(
        width=width, height=height, frames=frames, frame_num=window, windows=count, surplus_frames=surplus
    )


def window_of(job: Job, frames: int) -> int | None:
    """The length of a window: as asked for, else one that holds the clip, 81 at most; None if none does."""
    length = job.frame_num or min(LONGEST, 4 * -(-(frames - 1) // 4) + 1)
    return length if fits(frames, length, job.refert_num) else None


def fits(frames: int, window: int, overlap: int) -> bool:
    """Whether the library can fill the clip up to whole windows: it mirrors the end once, no further."""
    stride = window - overlap
    if frames <= overlap or stride < 1 or frames < SHORTEST_CLIP:
        return False
    left_over = (frames - overlap) % stride
    return left_over == 0 or stride - left_over <= frames


def content_size(width: int, height: int, area: int) -> tuple[int, int]:
    """Width and height that the pipeline gives for a reference image and an area in pixels.

    The frame has the image's ratio and sides that are multiples of 16; what the image does not fill of it is
    cut off again. By ``WanAnimate2ProcessImagesInputStep`` of diffusers 0.42.1.
    """
    image_height, image_width = height // 16 * 16, width // 16 * 16
    if not image_height or not image_width:
        return 0, 0
    ratio = image_height / image_width
    frame_height = int(math.sqrt(area * ratio)) // 16 * 16
    frame_width = int(math.sqrt(area / ratio)) // 16 * 16
    if not frame_height or not frame_width:
        return 0, 0
    if frame_width / frame_height < image_width / image_height:
        return frame_width, image_height * frame_width // image_width
    return image_width * frame_height // image_height, frame_height


def result_size(width: int, height: int, area: int) -> tuple[int, int]:
    """The same, even: the video's coding has no odd sides, so the last row or column is left out."""
    made_width, made_height = content_size(width, height, area)
    return made_width // 2 * 2, made_height // 2 * 2


def steps_of(job: Job) -> int:
    """Diffusion steps of a window: as asked for, else what the model in the folder is made for."""
    from engines.wan_animate_2.model_folder import is_distilled

    return job.sample_steps or (DISTILLED_STEPS if is_distilled(job.animate_2_model) else STEPS)


def workload(job: Job, predicted: Prediction) -> dict[str, Work]:
    """Pixels of all windows, each step anew."""
    if predicted.windows is None or predicted.frame_num is None:
        return {}
    pixels = predicted.width * predicted.height * predicted.windows * predicted.frame_num
    amount = float(pixels * steps_of(job))
    return {"generate": Work(amount=amount, variant=job.memory)}
