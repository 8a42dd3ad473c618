"""Of what a Job's mask is made: the frames, the clicks or the finished mask, and who finds the person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import NO_PATH, PREPROCESSING, SOURCE_FPS, Job
from engines import normalising, source_folder
from engines.timing import Timing, timing_of, timing_of_folder
from execution.step import StepRun

if TYPE_CHECKING:
    from masks.clip import Clip
    from masks.files import MaskReport
    from masks.prompts import MaskObject, Prompts
    from masks.segmenter import Segmenter
    from masks.store import Mask


# ---------------------------------------------------------------------------------------------- frames


def sampled_video(job: Job) -> Path:
    """What stage 1 read, or will read: the driving video or its clean copy."""
    if PREPROCESSING in job.stages:
        return normalising.copy_path(job) if normalising.is_needed(job) else job.video_path
    known = timing_of_folder(job.src_root_path).sampled_video
    if known is not None and known.is_file() and job.video_path == NO_PATH:
        return known
    copy = job.src_root_path / normalising.FILE_NAME
    return copy if known is not None and known.name == copy.name and copy.is_file() else job.video_path


def timing(job: Job) -> Timing:
    """How the folder was sampled. Without a record the rates tell: equal ones mean the video's own.

    Raises:
        preprocess.MediaError: a video that tells it cannot be read.
    """
    import preprocess

    known = timing_of(job)
    if known.sampled_video is not None:
        return known
    own = preprocess.probe_video(sampled_video(job)).rate
    fps = SOURCE_FPS if abs(own - known.rate) < Fraction(1, 100) else round(known.rate)
    return replace(known, fps=fps)


def clip_of(job: Job) -> tuple[Clip, Fraction]:
    """The frames of stage 1's finished folder, and the rate of its files.

    Raises:
        masks.errors.MaskError: the folder was not made of this video.
        preprocess.MediaError: a video cannot be read.
    """
    import preprocess
    from masks.clip import Clip, frame_numbers
    from masks.errors import MaskError

    video = sampled_video(job)
    pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
    info = preprocess.probe_video(video)
    try:
        numbers = frame_numbers(info.frame_count, float(info.rate), timing(job).fps, pose.frame_count)
    except ValueError as error:
        what = f"{job.src_root_path} was not made of {video}: {error}."
        raise MaskError(what, "Give the driving video that stage 1 read.", code="mask.other-video") from error
    return Clip(video, numbers, pose.width, pose.height), pose.rate


# --------------------------------------------------------------------------------------------- prompts


def prompts_of(job: Job, width: int, height: int, frame_count: int) -> Prompts:
    """The clicks or the box, in pixels of the canvas, inside it, on frames that there are.

    Raises:
        masks.errors.MaskError: they cannot be read, or do not belong to such frames.
    """
    from masks.errors import MaskError
    from masks.points_check import box_prompts, check_prompts, with_exclusions
    from masks.points_file import read_points

    read = read_points(job.mask_points) if job.mask_box is None else box_prompts(job.mask_box)
    if job.mask_exclude:
        read = with_exclusions(read, job.mask_exclude)
    try:
        return check_prompts(read, width, height, frame_count)
    except MaskError as error:
        where = "--mask_box" if job.mask_box is not None else job.mask_points
        raise MaskError(f"{where}: {error.what}", error.remedy, code=error.code) from error


# ------------------------------------------------------------------------------------------- segmenters


@dataclass(frozen=True)
class Choice:
    """What finds the person, and why it was taken."""

    name: str
    title: str
    why: str = ""
    python: Path = NO_PATH
    checkpoint: Path = NO_PATH

    @property
    def weights(self) -> tuple[Path, ...]:
        """Its large model files."""
        return () if self.checkpoint == NO_PATH else (self.checkpoint,)

    @property
    def gpus(self) -> int:
        """GPUs that it uses where there are some."""
        return 0 if self.checkpoint == NO_PATH else 1


def segmenter_of(job: Job) -> Choice:
    """Who makes the job's mask. ``auto`` takes SAM 2 where it can run.

    Raises:
        masks.errors.MaskError: SAM 2 was asked for and cannot run here, or the given checkpoint is none.
    """
    if job.mask_video != NO_PATH:
        return Choice("none", "from a finished mask")
    if job.segmenter == "classic":
        return Choice("classic", "by clicks, without SAM 2")
    from masks.errors import MaskError
    from masks.sam2_checkpoint import find_checkpoint, recognise_checkpoint
    from masks.sam2_process import find_python

    if job.sam2_checkpoint != NO_PATH:
        recognise_checkpoint(job.sam2_checkpoint)  # refused for what it is, also where nothing could run it
    checkpoint = job.sam2_checkpoint if job.sam2_checkpoint != NO_PATH else find_checkpoint(job.ckpt_dir)
    python = find_python(job.wan22_python)
    if checkpoint is not None and python is not None:
        return Choice("sam2", "by clicks, with SAM 2", "", python, checkpoint)
    if checkpoint is None:
        missing = f"there is no checkpoint of it in {job.ckpt_dir / 'process_checkpoint' / 'sam2'}"
    else:
        missing = f"neither this Python nor {job.wan22_python} has torch and sam2"
    if job.segmenter == "auto" and job.sam2_checkpoint == NO_PATH:
        return Choice("classic", "by clicks, without SAM 2", f"SAM 2 cannot run here: {missing}.")
    remedy = "Give --sam2_checkpoint and --wan22_python, or --segmenter classic."
    raise MaskError(f"SAM 2 cannot run here: {missing}.", remedy, code="mask.sam2-missing")


def _segmenter(choice: Choice) -> Segmenter:
    if choice.name == "sam2":
        from masks.sam2_segmenter import Sam2Segmenter

        return Sam2Segmenter(choice.python, choice.checkpoint)
    from engines.body_mask import body_mask
    from masks.classic import ClassicSegmenter

    return ClassicSegmenter(body_mask())


# ------------------------------------------------------------------------------------------------ masks


@dataclass(frozen=True)
class Found:
    """The masks of a clip before they grow, in the order of the frames, and what they were made of."""

    masks: Iterator[Mask]
    objects: Sequence[MaskObject]
    source: str
    segmenter: str
    notices: tuple[str, ...] = ()


@contextmanager
def masks_of(job: Job, clip: Clip, run: StepRun) -> Iterator[Found]:
    """Find the person in every frame, or read the finished mask.

    Raises:
        masks.errors.MaskError: it cannot be done.
        preprocess.MediaError: a video cannot be read.
    """
    if job.mask_video != NO_PATH:
        from masks.mask_video import read_mask_video

        masks = read_mask_video(job.mask_video, clip.width, clip.height, clip.frame_count)
        yield Found(masks, (), job.mask_video.name, "none")
        return
    from masks.store import MaskStore

    prompts = prompts_of(job, clip.width, clip.height, clip.frame_count)
    choice = segmenter_of(job)
    bits = run.folder / "masks.bits"
    store = MaskStore(bits, clip.frame_count, clip.width, clip.height)
    _segmenter(choice).segment(clip, prompts.objects, store, run.report)
    masks = (store.mask(frame) for frame in range(clip.frame_count))
    yield Found(masks, prompts.objects, prompts.source, choice.name, prompts.notices)


def facts_of(found: Found, report: MaskReport) -> Mapping[str, Any]:
    """For the step's record: how the mask was made, and where nobody was found."""
    return {
        "made_of": found.source,
        "segmenter": found.segmenter,
        "coverage": round(report.mean_coverage, 4),
        "empty_frames": [list(run) for run in report.empty_frames],
        "notices": [*found.notices, *report.notices()],
    }
