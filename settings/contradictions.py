"""Settings that do not go together, each with its remedy."""

from __future__ import annotations

from collections.abc import Iterator

from config import (
    FINISHING,
    GENERATION,
    HEADS,
    MASKING,
    NO_PATH,
    PREPROCESSING,
    TOOLS,
    WITHOUT_STAGE_1,
    Job,
    Problem,
)


def contradictions(job: Job) -> Iterator[Problem]:
    """What is wrong with a Job by its settings alone: no file is looked at."""
    yield from _stage_contradictions(job)
    yield from _mode_contradictions(job)
    yield from _mask_contradictions(job)
    yield from _window_contradictions(job)
    yield from _gpu_contradictions(job)
    yield from _result_contradictions(job)


def _stage_contradictions(job: Job) -> Iterator[Problem]:
    both = PREPROCESSING in job.stages and GENERATION in job.stages
    if job.engine in WITHOUT_STAGE_1 and not both and job.stages != (MASKING,):
        what = f"--engine {job.engine} has no stage 1: it does the whole at once, so no stage can run alone."
        yield Problem("settings.no-stage-1", what, f"Use pipeline.py --engine {job.engine}.")
    if job.engine in TOOLS and job.replace:
        what = f"--engine {job.engine} cannot put the character into the driving video's scene."
        yield Problem("settings.no-replace", what, "Leave out --replace, or use another engine.")


def _mode_contradictions(job: Job) -> Iterator[Problem]:
    if job.replace and job.retarget:
        what = "--retarget works in animate mode only."
        yield Problem("settings.retarget-with-replace", what, "Leave out --retarget or --replace.")
    if job.use_flux and job.replace:
        what = "--use_flux needs retargeting, which replace mode has not."
        yield Problem("settings.flux-with-replace", what, "Leave out one of the two.")
    elif job.use_flux and job.retarget is False:
        what = "--use_flux needs retargeting."
        yield Problem("settings.flux-without-retarget", what, "Leave out --no_retarget or --use_flux.")
    if job.use_relighting_lora and not job.replace:
        what = "--use_relighting_lora is for replace mode."
        yield Problem("settings.relighting-in-animate", what, "Add --replace, or leave it out.")


def _mask_contradictions(job: Job) -> Iterator[Problem]:
    sources = {
        "--mask_points": job.mask_points != NO_PATH,
        "--mask_box": job.mask_box is not None,
        "--mask_video": job.mask_video != NO_PATH,
    }
    given = [flag for flag, is_given in sources.items() if is_given]
    alone = job.stages == (MASKING,)
    if given and not job.replace and not alone:
        what = f"{given[0]} is for replace mode."
        yield Problem("settings.mask-in-animate", what, "Add --replace, or leave it out.")
    if len(given) > 1:
        what = f"{' and '.join(given)} each make the mask."
        yield Problem("settings.several-masks", what, "Give one of them; a points file can hold boxes too.")
    if alone and not given:
        what = "There is nothing to make a mask of."
        yield Problem("settings.mask-missing", what, "Give --points FILE, --mask_box or --mask_video FILE.")
    if job.mask_exclude and not sources["--mask_points"]:
        what = "--mask_exclude names objects of a points file, and there is none."
        yield Problem("settings.exclude-without-points", what, "Give --mask_points FILE, or leave it out.")


def _window_contradictions(job: Job) -> Iterator[Problem]:
    shortest = 2 * job.refert_num + 3
    if job.frame_num is not None and job.frame_num < 2 * job.refert_num + 1:
        yield Problem(
            "settings.window-too-short",
            f"--frame_num {job.frame_num} is too short for --refert_num {job.refert_num}: "
            f"at least {shortest} frames are needed.",
            f"Give --frame_num {shortest} or more, or auto.",
        )
    if job.frame_num_min > job.frame_num_max:
        what = f"--frame_num_min {job.frame_num_min} is more than --frame_num_max {job.frame_num_max}."
        yield Problem("settings.window-bounds", what, "Exchange the two.")
    elif job.frame_num_min < shortest:
        what = f"--frame_num_min {job.frame_num_min} is too short for --refert_num {job.refert_num}."
        yield Problem("settings.window-bounds", what, f"Give {shortest} or more.")


def _gpu_contradictions(job: Job) -> Iterator[Problem]:
    count = job.nproc_per_node
    allowed = ", ".join(str(number) for number in range(2, HEADS + 1) if HEADS % number == 0)
    if count is not None and not job.multi_gpu:
        what = f"--nproc_per_node {count} does nothing without --multi_gpu."
        yield Problem("settings.gpus-without-multi-gpu", what, "Add --multi_gpu.")
    elif job.multi_gpu and count is None:
        what = "--multi_gpu needs --nproc_per_node N, the number of GPUs."
        yield Problem("settings.multi-gpu-without-gpus", what, f"N is one of {allowed}.")
    elif count is not None and job.engine not in TOOLS and (count < 2 or HEADS % count):
        what = f"--nproc_per_node must divide the model's {HEADS} heads: {allowed}; it is {count}."
        yield Problem("settings.gpus-and-heads", what, "Give one of these numbers.")


def _result_contradictions(job: Job) -> Iterator[Problem]:
    if GENERATION in job.stages and job.output_path.suffix.lower() != ".mp4":
        what = f"--output_path must end in .mp4; it is '{job.output_path.name}'."
        yield Problem("settings.output-suffix", what, "Change the end of its name to .mp4.")
    if FINISHING in job.stages and job.no_audio and job.audio != NO_PATH:
        what = "--no_audio and --audio contradict each other."
        yield Problem("settings.audio-and-no-audio", what, "Leave out one of the two.")
