"""Several GPUs share the tokens of a window equally, or not at all: what would work where they cannot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import preprocess
from config import HEADS, PREPROCESSING, Job
from engines.interface import Prediction
from engines.wan22.relief import WINDOWS
from engines.wan22.windows import lengths, tokens

_SEARCHED: Final = 0.35
"""Share by which an area may differ and still be offered."""
_BLOCK: Final = 16


def remedies(job: Job, predicted: Prediction, shape: tuple[int, int] | None) -> str:
    """What to change, in sentences. Each of the ways works by itself, with all else as it is.

    Args:
        shape: width and height of what the canvas follows, where stage 1 is still to run.
    """
    gpus = job.nproc_per_node or 1
    canvas = predicted.width, predicted.height
    allowed = allowed_lengths(job)
    ways = []
    if counts := working_counts(canvas, allowed):
        ways.append(f"--nproc_per_node {' or '.join(map(str, counts))}")
    if length := _other_length(job, canvas, gpus):
        ways.append(f"--frame_num {length}")
    if shape is not None and PREPROCESSING in job.stages:
        area = job.resolution[0] * job.resolution[1]
        scale = 2 if job.draft else 1  # a draft halves what is typed
        for width, height in nearest_resolutions(shape, area, allowed, gpus):
            ways.append(f'--resolution "{scale * width} {scale * height}"')
    if not ways:
        return "Use one GPU, or make stage 1 again with another --resolution."
    return f"Any of these works: {', '.join(ways)}; or one GPU."


def allowed_lengths(job: Job) -> tuple[int, ...]:
    """The window lengths that the job leaves open: the one it names, or all within its bounds."""
    if job.frame_num is not None:
        return (job.frame_num,)
    return tuple(lengths(job.frame_num_min, job.frame_num_max))


def can_share(canvas: tuple[int, int], allowed: Iterable[int], gpus: int) -> bool:
    """Whether so many GPUs can share a window of this canvas (W, H) and one of these lengths."""
    return any(tokens(length, *canvas) % gpus == 0 for length in allowed)


def working_counts(canvas: tuple[int, int], allowed: Iterable[int]) -> list[int]:
    """Numbers of GPUs that divide the model's heads and can share such a window."""
    allowed = tuple(allowed)
    counts = (count for count in range(2, HEADS + 1) if HEADS % count == 0)
    return [count for count in counts if can_share(canvas, allowed, count)]


def _other_length(job: Job, canvas: tuple[int, int], gpus: int) -> str:
    """Another window length that works: auto if that finds one, else the longest below it; "" for none."""
    within = lengths(job.frame_num_min, job.frame_num_max)
    if job.frame_num is not None and can_share(canvas, within, gpus):
        return "auto"
    below = lengths(WINDOWS[-1], (job.frame_num or job.frame_num_min) - 4)
    return next((str(length) for length in reversed(below) if can_share(canvas, [length], gpus)), "")


def nearest_resolutions(
    shape: tuple[int, int], area: int, allowed: Iterable[int], gpus: int
) -> list[tuple[int, int]]:
    """Values of ``--resolution``, the next below and above, whose canvas so many GPUs can share.

    Only their product counts for upstream. They are the canvas itself, or a little higher where rounding
    would make it smaller by a block.

    Args:
        shape: width and height of the picture that the canvas follows; area: the pixel budget now.
    """
    allowed = tuple(allowed)
    lowest, highest = int(area * (1 - _SEARCHED)), int(area * (1 + _SEARCHED))
    below = _first_that_shares(shape, range(area, lowest, -(_BLOCK**2)), allowed, gpus)
    above = _first_that_shares(shape, range(area, highest, _BLOCK**2), allowed, gpus)
    return [found for found in (below, above) if found is not None]


def _first_that_shares(
    shape: tuple[int, int], budgets: Iterable[int], allowed: tuple[int, ...], gpus: int
) -> tuple[int, int] | None:
    for budget in budgets:
        canvas = _canvas(shape, budget)
        if canvas is None or not can_share(canvas, allowed, gpus):
            continue
        for height in range(canvas[1], canvas[1] + _BLOCK):
            if _canvas(shape, canvas[0] * height) == canvas:
                return canvas[0], height
    return None


def _canvas(shape: tuple[int, int], area: int) -> tuple[int, int] | None:
    try:
        return preprocess.canvas_size(*shape, area)
    except preprocess.MediaError:
        return None
