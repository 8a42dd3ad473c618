"""What would make a Job fail on MagicAnimate, beside what makes any tool fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config import NO_PATH, Job
from engines import machine
from engines.declared import check, clip
from engines.findings import Finding, kind
from engines.magicanimate.tool import GPU_BASE, GPU_PER_FRAME, TOOL
from engines.media_checks import unusable

NO_DENSEPOSE = kind(
    "settings.densepose-missing",
    "error",
    "No DensePose video, and no command that makes one",
    "MagicAnimate follows body parts as DensePose draws them; a camera picture gives noise.",
)
NOT_THERE = kind(
    "install.densepose-folder",
    "error",
    "The folder of the DensePose command is not there",
    "The command could not start.",
)
COLOURS = kind(
    "media.densepose-colours",
    "error",
    "A video that is not drawn as DensePose draws",
    "The model knows the table viridis on its own purple; any other gives poor results without an error.",
)
LENGTH = kind(
    "media.densepose-length",
    "warning",
    "The DensePose video and the driving video differ in length",
    "The sound would not belong to the movement.",
)
SHAPES = kind(
    "media.magicanimate-shapes",
    "warning",
    "Reference image and motion differ in shape",
    "Both are brought into one square: the figure stands in another place and size than the movement.",
)
SEED = kind(
    "settings.magicanimate-seed",
    "error",
    "A seed that MagicAnimate does not take",
    "It also seeds NumPy, which stops at a number that has more than 32 bits, after all models are loaded.",
)
DISTRIBUTED = kind(
    "gpus.magicanimate",
    "error",
    "Fewer than two GPUs for the distributed launch",
    "With one GPU it does nothing at all, and reports success.",
)
_LARGEST_SEED: Final = 2**32 - 1
_APART: Final = 0.2
"""Seconds."""
_OTHER_SHAPE: Final = 1.25


def findings(job: Job) -> Iterator[Finding]:
    """Everything found."""
    yield from check.findings(TOOL, job)
    if not clip.both_stages(job):
        return
    if job.seed > _LARGEST_SEED:
        what = f"--seed {job.seed} is more than {_LARGEST_SEED}."
        yield SEED.found(what, "Give a smaller number.")
    yield from _densepose(job)
    yield from _gpus(job)
    predicted = check.predict(TOOL, job)
    if predicted is None:
        return
    yield from _shapes(job)
    needed = GPU_BASE + predicted.frames * GPU_PER_FRAME
    largest = max((gpu.memory_total for gpu in machine.gpus()), default=0)
    if GPU_BASE <= largest < needed:  # less than the base is found for any job
        yield check.too_little(TOOL, needed)


def _densepose(job: Job) -> Iterator[Finding]:
    import preprocess
    from engines.magicanimate.densepose import wrong_colours

    if job.densepose_path == NO_PATH:
        if not job.densepose_command:
            what = "There is neither a DensePose video nor a command that makes one of the driving video."
            remedy = "Give --densepose_path FILE, or densepose_command in a settings file (docs/tools.md)."
            yield NO_DENSEPOSE.found(what, remedy)
        elif job.densepose_dir != NO_PATH and not job.densepose_dir.is_dir():
            what = f"--densepose_dir: {job.densepose_dir} is no folder."
            yield NOT_THERE.found(what, "Give the folder in which the command runs.")
        return
    try:
        if wrong := wrong_colours(job.densepose_path):
            what = f"--densepose_path: {job.densepose_path} {wrong}."
            yield COLOURS.found(what, "Draw the parts (fine segmentation) with the colour table viridis.")
        motion = preprocess.probe_video(job.densepose_path)
    except preprocess.MediaError as error:
        yield unusable("--densepose_path", error)
        return
    try:
        driving = preprocess.probe_video(job.video_path)
    except preprocess.MediaError:
        return  # found elsewhere
    if abs(motion.duration - driving.duration) > _APART:
        lengths = f"{motion.duration:.2f} s long, the driving video {driving.duration:.2f} s"
        what = f"The DensePose video is {lengths}."
        yield LENGTH.found(what, "Make it of this very driving video, or say --no_audio.")


def _shapes(job: Job) -> Iterator[Finding]:
    import preprocess
    from media.pictures import describe_picture

    picture = describe_picture(job.refer_path)
    motion = preprocess.probe_video(job.densepose_path if job.densepose_path != NO_PATH else job.video_path)
    ratio = (picture.width / picture.height) / (motion.width / motion.height)
    if max(ratio, 1 / ratio) > _OTHER_SHAPE:
        what = f"The reference image is {picture.width}x{picture.height}, the motion "
        what += f"{motion.width}x{motion.height}."
        yield SHAPES.found(what, "Crop one of them, so that both show the figure in the same framing.")


def _gpus(job: Job) -> Iterator[Finding]:
    count = job.nproc_per_node
    if job.multi_gpu and count is not None:
        there = len(machine.gpus())
        if count < 2 or there < count:
            what = f"--nproc_per_node {count}: this machine has {there} GPU(s) to see, and two are the least."
            yield DISTRIBUTED.found(what, "Leave out --multi_gpu, or give a number that is there.")
