"""The Steps of a Job on the frame engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from config import FINISHING, GENERATION, PREPROCESSING, Job
from engines import finishing, masking, source_folder, verification
from engines.frame import remote
from engines.frame.configuration import ConfigurationError, FrameConfiguration, read_configuration
from engines.frame.model import ModelError
from engines.preview import plan as preview_plan
from engines.timing import Timing, timing_of
from execution.step import HOST_MEMORY, Step, StepFailed, StepRun

_HERE: Final = Path(__file__).parent
_CODE: Final = (*sorted(_HERE.glob("*.py")), *preview_plan.CODE, *remote.CODE)


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the job's stages."""
    if PREPROCESSING in job.stages:
        yield from preview_plan.stage_1_steps(job)
    if GENERATION in job.stages:
        yield _generate_step(job)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "frame")


def configuration_of_job(job: Job) -> FrameConfiguration:
    """What ``--frame_config`` says.

    Raises:
        ConfigurationError: it cannot be read, or is wrong.
        ModelError: two models have one name, or the Python for them cannot be asked.
    """
    return read_configuration(job.frame_config, remote.known_models(job))


def model_name(job: Job) -> str:
    """The model's name; empty while the file cannot be read."""
    try:
        return configuration_of_job(job).model
    except (ConfigurationError, ModelError):
        return ""


def brought_by(job: Job) -> str:
    """The package and version that brings the job's model."""
    try:
        return remote.known_models(job).get(configuration_of_job(job).model, "")
    except (ConfigurationError, ModelError):
        return ""


def _generate_step(job: Job) -> Step:
    import preprocess
    from engines.frame.runner import Made

    try:
        configuration = configuration_of_job(job)
        timing = timing_of(job)
    except (ConfigurationError, ModelError, preprocess.MediaError) as error:
        raise StepFailed(str(error)) from error
    generated = finishing.generated_path(job)
    inputs = {name: job.src_root_path / name for name in preview_plan.names(job)}
    inputs["model configuration"] = job.frame_config
    video = timing.sampled_video
    # Stage 1 of this run makes it, or else it may be gone: most models can do without.
    if video is not None and (PREPROCESSING in job.stages or video.is_file()):
        inputs["driving video"] = video
    made = Made()
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title=f"Stage 2, generation ({job.mode}, frame model {configuration.model})",
        engine="frame",
        folder=job.output_path.parent,
        inputs=inputs,
        outputs=(generated,),
        obsolete=masking.originals(job),
        settings={**job.shaping_values(GENERATION), "frame_model_of": brought_by(job)},
        function=partial(_generate, job, configuration, timing, made),
        code=_CODE,
        weights=_weights(configuration),
        verify=partial(
            verification.verify_generated,
            name=str(generated.relative_to(job.output_path.parent)),
            pose=job.src_root_path / source_folder.POSE,
        ),
        facts=partial(_facts, made),
    )


def _facts(made: Any, log: str) -> Mapping[str, Any]:
    return dict(made.facts)


def _weights(configuration: FrameConfiguration) -> tuple[Path, ...]:
    """The model's file, and the files beside it that hold its weights; the puppet's models."""
    path = configuration.model_path
    if configuration.model == "puppet":
        return preview_plan.weights()
    if path is None or not path.is_file():
        return ()
    if configuration.model != "onnx":
        return (path,)
    from engines.frame.onnx_file import NotOnnx, read_onnx

    try:
        external = read_onnx(path).external
    except (OSError, NotOnnx):
        return (path,)
    return (path, *(path.parent / name for name in external if (path.parent / name).is_file()))


def _generate(job: Job, configuration: FrameConfiguration, timing: Timing, made: Any, run: StepRun) -> None:
    import preprocess
    from engines.frame import runner
    from engines.frame.tuning import ran_out_of_memory

    target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
    if remote.is_wanted(job, configuration):
        made.facts = remote.render(job, configuration, timing, target, run)
        return
    try:
        runner.render(
            configuration, job.src_root_path, target, timing, run.report, replace=job.replace, made=made
        )
    except ModelError as error:
        cause = HOST_MEMORY if ran_out_of_memory(error) else None
        raise StepFailed(str(error), cause=cause) from error
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
