"""The checks and the Steps of a Job on the preview engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from config import GENERATION, PREPROCESSING, Job
from engines import source_folder
from engines.checks import common_findings
from engines.interface import Finding
from engines.preview import models
from execution.step import Step, StepFailed, StepRun

_HERE = Path(__file__).parent
_CODE = (*sorted(_HERE.rglob("*.py")), _HERE.parents[1] / "preprocess.py")


def findings(job: Job) -> Iterator[Finding]:
    """What would make the job fail on this engine."""
    yield from common_findings(job, "preview")
    for name in models.MODELS:
        try:
            models.model_path(name)
        except models.ModelsMissing as missing:
            yield Finding("install.preview-models", "error", str(missing), "")
            break
    if PREPROCESSING not in job.stages and _made_by_another_engine(job.src_root_path):
        yield Finding(
            "source.engine",
            "error",
            f"--src_root_path: {job.src_root_path} was made by another engine's stage 1; the puppet needs "
            f"{source_folder.TRACK}.",
            "Run run_preprocessing.py --engine preview, or generate with the engine that made the folder.",
        )


def steps(job: Job) -> Sequence[Step]:
    """The Steps of the job's stages."""
    makers = {PREPROCESSING: _preprocess_step, GENERATION: _generate_step}
    return [makers[stage](job) for stage in job.stages]


def _preprocess_step(job: Job) -> Step:
    outputs = tuple(job.save_path / name for name in _names(job))
    return Step(
        name="preprocess",
        stage=PREPROCESSING,
        title=f"Stage 1, preprocessing ({job.mode}, preview)",
        engine="preview",
        folder=job.save_path,
        inputs={"driving video": job.video_path, "reference image": job.refer_path},
        outputs=outputs,
        obsolete=source_folder.obsolete(job, outputs),
        settings=job.shaping_values(PREPROCESSING),
        function=partial(_preprocess, job),
        code=_CODE,
        weights=_weights(),
        verify=partial(source_folder.verify, replace=job.replace),
    )


def _generate_step(job: Job) -> Step:
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title=f"Stage 2, generation ({job.mode}, preview)",
        engine="preview",
        folder=job.output_path.parent,
        inputs={name: job.src_root_path / name for name in _names(job)},
        outputs=(job.output_path,),
        settings=job.shaping_values(GENERATION),
        function=partial(_generate, job),
        code=_CODE,
        weights=_weights(),
        verify=partial(
            source_folder.verify_result,
            pose=job.src_root_path / source_folder.POSE,
            name=job.output_path.name,
        ),
    )


def _made_by_another_engine(folder: Path) -> bool:
    finished = all((folder / name).is_file() for name in source_folder.ALWAYS)
    return finished and not (folder / source_folder.TRACK).is_file()


def _names(job: Job) -> tuple[str, ...]:
    extras = (source_folder.TRACK, source_folder.PLATE) if job.replace else (source_folder.TRACK,)
    return source_folder.names(job) + extras


def _weights() -> tuple[Path, ...]:
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

    try:
        stage2.render(job, job.src_root_path, run.folder / job.output_path.name, run.report)
    except (preprocess.MediaError, track.PersonNotFound, models.ModelsMissing) as error:
        raise StepFailed(str(error)) from error
