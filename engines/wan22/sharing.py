"""Several GPUs share the tokens of a window equally, or not at all: what would work where they cannot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import preprocess
from config import HEADS, PREPROCESSING, Job
from engines.interface import Prediction
from engines.wan22.windows import shareable_lengths, tokens

_SEARCHED: Final = 0.35
"""Share by which an area may differ and still be offered."""


def remedies(job: Job, predicted: Prediction, shape: tuple[int, int] | None) -> str:
    """What to change, in sentences.

    Args:
        shape: width and height of what the canvas follows, where stage 1 is still to run.
    """
    gpus = job.nproc_per_node or 1
    frame_num = predicted.frame_num or job.frame_num_max
    ways = []
    counts = [str(count) for count in working_counts(predicted.width, predicted.height, frame_num)]
    if counts:
        ways.append(f"--nproc_per_node {' or '.join(counts)}")
    bounds = (job.frame_num_min, job.frame_num_max)
    shorter = max(shareable_lengths(predicted.width, predicted.height, gpus, *bounds), default=None)
    if shorter and job.frame_num is not None:
        ways.append(f"--frame_num {shorter}")
    if shape is not None and PREPROCESSING in job.stages:
        area = job.resolution[0] * job.resolution[1]
        for width, height in nearest_canvases(shape, area, frame_num, gpus):
            ways.append(f'--resolution "{width} {height}"')
    if not ways:
        return "Use one GPU, or make stage 1 again with another --resolution."
    return f"Any of these works: {', '.join(ways)}; or one GPU."


def working_counts(width: int, height: int, frame_num: int) -> Iterator[int]:
    """Numbers of GPUs that can share such a window and divide the model's heads."""
    count = tokens(frame_num, width, height)
    return (gpus for gpus in range(2, HEADS + 1) if HEADS % gpus == 0 and count % gpus == 0)


def nearest_canvases(shape: tuple[int, int], area: int, frame_num: int, gpus: int) -> list[tuple[int, int]]:
    """The canvases next below and above in area that so many GPUs can share, as (W, H).

    ``--resolution "W H"`` gives that very canvas: each was tried with upstream's rule.

    Args:
        shape: width and height of the picture that the canvas follows; area: the pixel budget now.
    """
    found: dict[int, tuple[int, int]] = {}
    step = 16 * 16
    for budget in range(int(area * (1 - _SEARCHED)), int(area * (1 + _SEARCHED)), step):
        try:
            canvas = preprocess.canvas_size(*shape, budget)
        except preprocess.MediaError:
            continue
        size = canvas[0] * canvas[1]
        if size not in found and tokens(frame_num, *canvas) % gpus == 0:
            found[size] = canvas
    offered = []
    below = [size for size in found if size <= area]
    above = [size for size in found if size > area]
    for sizes, choose in ((below, max), (above, min)):
        while sizes:
            size = choose(sizes)
            if _gives_itself(shape, found[size]):
                offered.append(found[size])
                break
            sizes.remove(size)
    return offered


def _gives_itself(shape: tuple[int, int], canvas: tuple[int, int]) -> bool:
    """Whether the canvas as a budget gives that canvas: rounding can take it down by one block."""
    try:
        return preprocess.canvas_size(*shape, canvas[0] * canvas[1]) == canvas
    except preprocess.MediaError:
        return False
