"""What would make the mask step fail, found before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from config import MASKING, NO_PATH, PREPROCESSING, SETTINGS, Job
from engines import source_folder
from engines.checks import (
    NO_EFFECT,
    SOURCE_MODE,
    in_use,
    unfinished_folder,
    writable,
)
from engines.findings import Finding, kind, registry
from engines.interface import Examined

_LATER: Final = "Without this check it would show only when stage 1 has run."
_OTHER_PLACE: Final = "The mask would be made of something else in the picture."

_KINDS: Final = (
    ("mask.other-video", "The driving video is another", "Mask and background would show another scene."),
    (
        "mask.video-unknown",
        "The folder does not say of which video it was made",
        "The background is made of the driving video's own frames.",
    ),
    ("mask.checkpoint-missing", "SAM 2's weights are not there", _LATER),
    ("mask.checkpoint-damaged", "SAM 2's weights are damaged", _LATER),
    ("mask.checkpoint-not-sam2", "A model file that is no SAM 2", _LATER),
    ("mask.sam2-missing", "SAM 2 was asked for and cannot run", "There is no other way to get its mask."),
    ("mask.video-unreadable", "The finished mask is no video that can be read", _LATER),
    (
        "mask.video-length",
        "The finished mask has another number of frames",
        "It would run out of step with pose and face.",
    ),
    ("mask.video-shape", "The finished mask has another shape", "Stretched, it would cover other things."),
    ("mask.points-missing", "The file with the clicks is not there", _LATER),
    ("mask.points-unreadable", "The file with the clicks cannot be read", _LATER),
    ("mask.points-empty", "The file with the clicks is empty", _LATER),
    ("mask.points-too-large", "The file is too large for clicks", "It is something else."),
    ("mask.points-not-json", "The file is no JSON, and nothing else that holds clicks", _LATER),
    ("mask.points-unknown-shape", "JSON in which no clicks are known", _LATER),
    ("mask.points-value", "A value in the clicks that is none", _OTHER_PLACE),
    ("mask.points-box", "A box without an area", "There is nothing in it to follow."),
    ("mask.points-none", "A points file without a click", _LATER),
    ("mask.points-unknown-key", "A name that points files do not have", "It would be ignored in silence."),
    ("mask.points-duplicate", "An object or a frame that stands twice", "One would be ignored in silence."),
    ("mask.points-version", "A points file of another version", "It may mean something else."),
    ("mask.points-no-workflow", "A picture or video without a ComfyUI workflow", _LATER),
    ("mask.points-no-editor", "A workflow without clicks", _LATER),
    ("mask.points-several-editors", "A workflow with clicks in several places", _OTHER_PLACE),
    ("mask.points-aspect", "Clicks on a picture of another shape", _OTHER_PLACE),
    ("mask.points-outside", "A click outside the picture", _OTHER_PLACE),
    ("mask.points-no-positive", "An object without a positive click", "There is nothing to follow."),
    ("mask.points-unknown-frame", "A click on a frame that is not there", _OTHER_PLACE),
    ("mask.points-exclude", "--mask_exclude names an object that is not there", "It would change nothing."),
    ("mask.points-all-excluded", "Every object is taken out of the mask", "Nobody would be replaced."),
)
for _code, _summary, _why in _KINDS:
    kind(_code, "error", _summary, _why)

NOTICE = kind(
    "mask.notice", "note", "How the clicks were read", "mask_contact_sheet.png shows where they are."
)
WITHOUT_SAM2 = kind(
    "mask.without-sam2",
    "warning",
    "The mask is made without SAM 2",
    "Clicks, body mask and optical flow follow a person well, but find nobody again who was hidden.",
)
SLOW = kind(
    "mask.sam2-on-cpu",
    "warning",
    "SAM 2 runs on the CPU",
    "It takes seconds for each frame there.",
)
WITHOUT_BODY_MASK = kind(
    "mask.without-body-mask",
    "warning",
    "The classic segmenter works without the body mask",
    "The preview engine's models, which find persons, are not there: the mask follows the clicks alone.",
)


def findings(job: Job) -> Iterator[Finding]:
    """For the mask step alone: the folder, the driving video, and what the mask is made of."""
    folder_is_fine = True
    for found in _folder(job):
        folder_is_fine &= found.level != "error"
        yield found
    yield from writable("src_root_path", job.src_root_path)
    yield from in_use(((job.src_root_path, "mask"), (job.src_root_path, "preprocess")))
    if folder_is_fine:
        yield from mask_findings(job)


def examine(job: Job) -> Iterator[Examined]:
    """Who can find the person by clicks here. The classic segmenter always can."""
    from engines.mask_sources import segmenter_of
    from masks.errors import MaskError

    try:
        choice = segmenter_of(replace(job, segmenter="sam2", mask_video=NO_PATH))
    except MaskError as error:
        what = f"{error.what} The classic segmenter, which needs no weights, takes its place."
        found = (registry()[error.code].found(what, ""),)
        yield Examined(area="SAM 2", fine="", findings=found, needed=False)
        return
    yield Examined(area="SAM 2", fine=f"{choice.checkpoint.name}, in {choice.python}", needed=False)


def mask_findings(job: Job) -> Iterator[Finding]:
    """What the mask is made of, and who finds the person. Between the stages too, before stage 1 has run."""
    if not job.has_own_mask:
        yield from _useless(job)
        return
    from masks.errors import MaskError
    from media.errors import MediaError

    try:
        yield from _source(job)
        yield from _segmenter(job)
    except MaskError as error:
        yield registry()[error.code].found(error.what, error.remedy)
    except MediaError:
        return  # the findings about the media say so
    growth = [name for name in ("iterations", "k", "w_len", "h_len") if name in job.given]
    if growth:
        flags = ", ".join(f"--{name}" for name in growth)
        what = f"{flags}: the mask step makes the mask, not upstream."
        yield NO_EFFECT.found(what, "Use --mask_grow and --mask_blockify.")


def _useless(job: Job) -> Iterator[Finding]:
    given = [name for name in SETTINGS if name in job.given and SETTINGS[name].stages == (MASKING,)]
    if given:
        flags = ", ".join(f"--{name}" for name in given)
        what = f"{flags}: there are no clicks, and no mask to make of them."
        yield NO_EFFECT.found(what, "Give --mask_points, --mask_box or --mask_video.")


def _source(job: Job) -> Iterator[Finding]:
    from engines import mask_sources

    width, height, frame_count = _canvas(job)
    if job.mask_video != NO_PATH:
        from masks.errors import MaskError
        from masks.mask_video import check_mask_video
        from media.errors import MediaError

        try:
            check_mask_video(job.mask_video, width, height, frame_count)
        except MediaError as error:
            raise MaskError(
                f"--mask_video: {error.what}", error.remedy, code="mask.video-unreadable"
            ) from error
        return
    for notice in mask_sources.prompts_of(job, width, height, frame_count).notices:
        yield NOTICE.found(notice, "")


def _canvas(job: Job) -> tuple[int, int, int]:
    """Width, height and frame count of stage 1's files, as they are or as they will be.

    Raises:
        MediaError: they cannot be known; the findings about the media say why.
    """
    if PREPROCESSING not in job.stages:
        from engines.mask_sources import clip_of

        clip, _ = clip_of(job)
        return clip.width, clip.height, clip.frame_count
    from engines import load_engine
    from media.errors import MediaError

    predicted = load_engine(job.engine).predict(job)
    if predicted is None:
        raise MediaError(f"{job.video_path} cannot be read.")
    return predicted.width, predicted.height, predicted.frames


def _segmenter(job: Job) -> Iterator[Finding]:
    from engines.machine import gpus
    from engines.mask_sources import segmenter_of

    choice = segmenter_of(job)
    if choice.name == "sam2":
        from masks.sam2_checkpoint import recognise_checkpoint
        from masks.sam2_segmenter import speed_notice

        model = recognise_checkpoint(choice.checkpoint)
        if model.notice:
            yield NOTICE.found(model.notice, "")
        if not gpus():
            what = speed_notice(model, _canvas(job)[2])
            yield SLOW.found(what, "Take a smaller --sam2_checkpoint, or --segmenter classic.")
    if choice.name != "sam2" and job.sam2_checkpoint != NO_PATH:
        what = "--sam2_checkpoint: SAM 2 is not used."
        yield NO_EFFECT.found(what, "Leave it out, or leave out what takes its place.")
    if choice.name != "classic":
        return
    if choice.why:
        remedy = "Give --sam2_checkpoint and --wan22_python for SAM 2."
        yield WITHOUT_SAM2.found(f"{choice.why} --segmenter auto takes classic.", remedy)
    from engines.preview import models

    try:
        for name in models.MODELS:
            models.model_path(name)
    except models.ModelsMissing as missing:
        yield WITHOUT_BODY_MASK.found(str(missing), "")


# ---------------------------------------------------------------------------------------------- folder


def _folder(job: Job) -> Iterator[Finding]:
    folder = job.src_root_path
    unfinished = list(unfinished_folder(folder))
    if unfinished:
        yield from unfinished
        return
    yield from _driving_video(job)
    if (shape := _shape_of_another_mode(job)) is not None:
        what = f"--src_root_path: {folder} was made for animate mode{shape}; there nobody is replaced."
        yield SOURCE_MODE.found(what, "Run stage 1 with --replace.")


def _driving_video(job: Job) -> Iterator[Finding]:
    from engines.mask_sources import sampled_video
    from engines.media_checks import unusable
    from engines.timing import timing_of_folder
    from media.errors import MediaError
    from media.probe import probe_video

    known = timing_of_folder(job.src_root_path)
    video = sampled_video(job)
    if video == NO_PATH or not video.is_file():
        told = known.driving_video
        what = f"{job.src_root_path} does not say of which driving video it was made."
        if video != NO_PATH:
            what = f"The driving video {video} is not there."
        elif told is not None:
            what = f"The driving video of {job.src_root_path}, {told}, is not there any more."
        yield registry()["mask.video-unknown"].found(what, "Give --video_path FILE.")
        return
    try:
        probe_video(video)
    except MediaError as error:
        yield unusable("--video_path", error)
        return
    if job.video_path != NO_PATH and _is_another(job):
        what = f"--video_path: {job.video_path} is not the video of which {job.src_root_path} was made."
        yield registry()["mask.other-video"].found(what, "Give that video, or leave the flag out.")


def _is_another(job: Job) -> bool:
    """Whether the given driving video has other content than the one that stage 1 read."""
    from engines.normalising import FILE_NAME
    from execution.fingerprint import describe_file
    from execution.record import HIDDEN_FOLDER, read_record

    for name in ("normalise", "preprocess"):  # a clean copy is made of the driving video that people know
        known = read_record(job.src_root_path / HIDDEN_FOLDER / f"{name}.json").get("inputs", {})
        entry = known.get("driving video")
        if entry and not (name == "normalise" and not (job.src_root_path / FILE_NAME).is_file()):
            return bool(describe_file(job.video_path, entry)["sha256"] != entry.get("sha256"))
    return False


def _shape_of_another_mode(job: Job) -> str | None:
    """Words for what tells that the folder is of animate mode, or None when it is not."""
    import preprocess
    from engines.mask_sources import sampled_video
    from execution.record import HIDDEN_FOLDER, read_record

    settings = read_record(job.src_root_path / HIDDEN_FOLDER / "preprocess.json").get("settings", {})
    if "replace" in settings:
        return None if settings["replace"] else ""
    try:
        pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
        video = preprocess.probe_video(sampled_video(job))
    except (preprocess.MediaError, OSError):
        return None
    expected = preprocess.canvas_size(video.width, video.height, (pose.width + 16) * (pose.height + 16))
    near = abs(expected[0] - pose.width) <= 32 and abs(expected[1] - pose.height) <= 32
    return None if near else f" (it is {pose.width}x{pose.height}, the video {video.width}x{video.height})"
