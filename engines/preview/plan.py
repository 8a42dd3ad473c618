"""The Steps of a Job on the preview engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from config import FINISHING, GENERATION, PREPROCESSING, Job
from engines import finishing, masking, normalising, our_code, source_folder, verification
from engines.preview import models
from engines.timing import timing_of
from execution.step import Step, StepFailed, StepRun

_HERE = Path(__file__).parent
CODE = (*sorted(_HERE.rglob("*.py")), *our_code.READING)


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the job's stages."""
    if PREPROCESSING in job.stages:
        yield from stage_1_steps(job)
    if GENERATION in job.stages:
        yield _generate_step(job)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "preview")


def stage_1_steps(job: Job) -> Iterator[Step]:
    """Stage 1 alone, with what belongs to it; the frame engine's is the same."""
    if normalising.is_needed(job):
        yield normalising.normalise_step(job)
    first = _preprocess_step(job)
    yield masking.stage_1_for_own_mask(first, first) if job.has_own_mask else first
    yield from masking.mask_steps(job)


def _preprocess_step(job: Job) -> Step:
    outputs = tuple(job.save_path / name for name in names(job))
    video = normalising.copy_path(job) if normalising.is_needed(job) else job.video_path
    return Step(
        name="preprocess",
        stage=PREPROCESSING,
        title=f"Stage 1, preprocessing ({job.mode}, preview)",
        engine="preview",
        folder=job.save_path,
        inputs={"driving video": video, "reference image": job.refer_path},
        outputs=outputs,
        obsolete=(*source_folder.obsolete(job, (*outputs, video)), *masking.leftovers(job)),
        settings=job.shaping_values(PREPROCESSING),
        function=partial(_preprocess, replace(job, video_path=video)),
        code=CODE,
        weights=weights(),
        verify=partial(verification.verify_source, replace=job.replace, exact_background=True),
        facts=partial(_timing, job),
    )


def _timing(job: Job, log: str) -> Mapping[str, Any]:
    return {"timing": timing_of(job).as_facts()}


def _generate_step(job: Job) -> Step:
    generated = finishing.generated_path(job)
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title=f"Stage 2, generation ({job.mode}, preview)",
        engine="preview",
        folder=job.output_path.parent,
        inputs={name: job.src_root_path / name for name in names(job)},
        outputs=(generated,),
        obsolete=masking.originals(job),
        settings=job.shaping_values(GENERATION),
        function=partial(_generate, job),
        code=CODE,
        weights=weights(),
        verify=partial(
            verification.verify_generated,
            pose=job.src_root_path / source_folder.POSE,
            name=str(generated.relative_to(job.output_path.parent)),
        ),
    )


def names(job: Job) -> tuple[str, ...]:
    """The files of stage 1 that the preview engine's stage 2 reads."""
    extras = (source_folder.TRACK, source_folder.PLATE) if job.replace else (source_folder.TRACK,)
    return source_folder.names(job) + extras


def weights() -> tuple[Path, ...]:
    """The model files."""
    return tuple(models.models_folder() / model.file_name for model in models.MODELS.values())


def _preprocess(job: Job, run: StepRun) -> None:
    import preprocess
    from engines.preview import stage1, track

    try:
        stage1.make_inputs(job, run.folder, run.report)
    except (preprocess.MediaError, track.PersonNotFound, models.ModelsMissing) as error:
        raise StepFailed(str(error)) from error


def _generate(job: Job, run: StepRun) -> None:
    import preprocess
    from engines.preview import stage2, track

    target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
    try:
        stage2.render(job, job.src_root_path, target, run.report)
    except (preprocess.MediaError, track.PersonNotFound, models.ModelsMissing) as error:
        raise StepFailed(str(error)) from error
