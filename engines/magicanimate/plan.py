"""The Steps of a Job on MagicAnimate: inputs, DensePose video, its square, the model, the cut, the finish."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import preprocess
from config import NO_PATH, PREPROCESSING, Job
from engines.declared import plan, result
from engines.declared.clip import Clip
from engines.declared.tool import DRIVING, REFERENCE, Call, Command
from engines.magicanimate.tool import DENSEPOSE, MOTION, SIDE, TOOL
from execution.step import Step, StepFailed, StepRun

_CODE = (*plan.OUR_CODE, *sorted(Path(__file__).parent.glob("*.py")))


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the whole."""
    clip = plan.readable_clip(TOOL, job)
    call = Call(job, clip.frames, SIDE, SIDE)
    made = job.densepose_path == NO_PATH
    yield _prepare_step(job, clip, with_video=made)
    if made:
        yield densepose_step(job, clip)
    yield _square_step(job, clip)
    yield plan.command_step(TOOL, job, clip, TOOL.commands[0], call)
    yield from plan.ending(TOOL, job, clip, _box(clip))


def _box(clip: Clip) -> tuple[int, int, int, int]:
    """The motion's own shape inside the square."""
    width, height = clip.result or (SIDE, SIDE)
    return (SIDE - width) // 4 * 2, (SIDE - height) // 4 * 2, width, height


def _prepare_step(job: Job, clip: Clip, *, with_video: bool) -> Step:
    inputs = {"reference image": job.refer_path} | ({"driving video": job.video_path} if with_video else {})
    names = (REFERENCE, DRIVING) if with_video else (REFERENCE,)
    return Step(
        name="prepare",
        stage=PREPROCESSING,
        title="Inputs for MagicAnimate",
        engine=TOOL.name,
        folder=plan.staged(job),
        inputs=inputs,
        outputs=tuple(plan.staged(job) / name for name in names),
        settings={"rate": str(clip.timing.rate), "frame_limit": job.frame_limit} if with_video else {},
        function=partial(_prepare, job, clip, with_video),
        code=_CODE,
        verify=lambda folder: None,
    )


def _prepare(job: Job, clip: Clip, with_video: bool, run: StepRun) -> None:
    from engines.declared.staging import pad
    from media.normalise import write_normalised

    try:
        # Alpha and grey pictures fail in its VAE, and it squeezes what is not square.
        picture = pad(preprocess.read_picture(job.refer_path), (SIDE, SIDE), None)
        preprocess.write_picture(run.folder / REFERENCE, picture)
        if with_video:
            write_normalised(
                job.video_path,
                run.folder / DRIVING,
                rate=clip.timing.rate,
                frame_limit=job.frame_limit,
                report=run.report,
            )
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def densepose_step(job: Job, clip: Clip) -> Step:
    """The user's own command, in its own folder."""
    target = plan.staged(job) / DENSEPOSE
    places = {"{input}": f"{{run}}/{DRIVING}", "{output}": f"{{run}}/{DENSEPOSE}"}
    words = list(job.densepose_command)
    for name, place in places.items():
        words = [word.replace(name, place) for word in words]
    command = Command(
        name="densepose",
        title="the DensePose video",
        words=lambda call: [],
        takes={DRIVING: places["{input}"]},
        finds=places["{output}"],
        script="",
    )
    return Step(
        name="densepose",
        stage=PREPROCESSING,
        title="The DensePose video, by your command",
        engine=TOOL.name,
        folder=plan.staged(job),
        inputs={DRIVING: plan.staged(job) / DRIVING},
        outputs=(target,),
        settings={"command": list(job.densepose_command)},
        argv=plan.launched(command, {plan.staged(job) / DRIVING: places["{input}"]}, {}, target, words),
        cwd=job.densepose_dir if job.densepose_dir != NO_PATH else Path.cwd(),
        env={"PYTHONUNBUFFERED": "1"},
        code=_CODE,
        gpus=1,
        verify=partial(result.verify, TOOL, Path(DENSEPOSE), clip.frames, None, False),
    )


def _square_step(job: Job, clip: Clip) -> Step:
    made = job.densepose_path == NO_PATH
    source = plan.staged(job) / DENSEPOSE if made else job.densepose_path
    return Step(
        name="square",
        stage=PREPROCESSING,
        title="The DensePose video in MagicAnimate's square",
        engine=TOOL.name,
        folder=plan.staged(job),
        inputs={"DensePose video": source},
        outputs=(plan.staged(job) / MOTION,),
        settings={"rate": str(clip.timing.rate), "frame_limit": job.frame_limit},
        function=partial(_square, replace(job, densepose_path=source), clip),
        code=_CODE,
        verify=partial(result.verify, TOOL, Path(MOTION), clip.frames, (SIDE, SIDE), False),
    )


def _square(job: Job, clip: Clip, run: StepRun) -> None:
    from engines.magicanimate import densepose

    try:
        if wrong := densepose.wrong_colours(job.densepose_path):
            raise StepFailed(f"{job.densepose_path} {wrong}. Draw parts (fine segmentation) with viridis.")
        densepose.write_square(
            job.densepose_path,
            run.folder / MOTION,
            rate=clip.timing.rate,
            frame_limit=job.frame_limit,
            report=run.report,
        )
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
