"""A Job on this engine: what stands in its way, what it will make, and its Steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from config import FINISHING, GENERATION, Job
from engines import finishing, our_code
from engines.animatediff import checking, interpreter, loras, problems, running
from engines.animatediff.clip import NEGATIVE_PROMPT, PRESETS, PROMPT, Clip
from engines.animatediff.configuration import read_configuration
from engines.checks import common_findings
from engines.findings import Finding
from engines.interface import Prediction
from execution.history import Work
from execution.step import Step, StepFailed, StepRun

_HERE: Final = Path(__file__).parent
_WEIGHTS: Final = (".safetensors", ".bin")


def clip_of(job: Job) -> Clip:
    """What the job draws.

    Raises:
        Refused: its configuration or its LoRAs cannot be used.
    """
    configuration = read_configuration(job.animatediff_config)
    preset = PRESETS[job.animatediff_preset]
    width, height = job.animatediff_size or (preset.width, preset.height)
    names = job.animatediff_loras or ()
    return Clip(
        checkpoint=configuration.checkpoint,
        motion_adapter=configuration.motion_adapter,
        pipeline_config=configuration.pipeline_config,
        prompts=((0, job.prompt or PROMPT),),
        negative_prompt=job.animatediff_negative or NEGATIVE_PROMPT,
        frames=job.animatediff_frames or preset.frames,
        steps=job.sample_steps or preset.steps,
        width=width,
        height=height,
        guidance=preset.guidance if job.sample_guide_scale is None else job.sample_guide_scale,
        seed=job.seed,
        fps=job.animatediff_fps,
        loras=tuple(loras.parse_lora(name, Path.cwd(), number) for number, name in enumerate(names)),
    )


def findings(job: Job) -> Iterator[Finding]:
    """What would make the job fail; and that there is no stage 1."""
    what = "The animatediff engine has no stage 1: it draws the clip from the text."
    yield problems.NO_STAGE_1.found(what, "")
    try:
        clip = clip_of(job)
    except problems.Refused as refused:
        yield from refused.findings
    else:
        yield from checking.clip_findings(clip)
        yield from interpreter.package_findings(job.animatediff_python, with_loras=bool(clip.loras))
    yield from common_findings(job, "animatediff")


def predict(job: Job) -> Prediction | None:
    """Size and frames; None where the configuration cannot be read."""
    try:
        clip = clip_of(job)
    except problems.Refused:
        return None
    return Prediction(width=clip.width, height=clip.height, frames=clip.frames)


def workload(job: Job, predicted: Prediction) -> Mapping[str, Work]:
    """Pixels of all frames, each step anew; the families differ."""
    try:
        clip = clip_of(job)
        family = checking.family_of(clip)
    except problems.Refused:
        return {}
    amount = float(predicted.width * predicted.height * predicted.frames * clip.steps)
    return {"generate": Work(amount=amount, variant=family)}


def steps(job: Job) -> Iterator[Step]:
    """The clip, and its finish."""
    if GENERATION in job.stages:
        yield _generate_step(job)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "animatediff")


def _generate_step(job: Job) -> Step:
    try:
        clip = clip_of(job)
    except problems.Refused as refused:
        raise StepFailed(str(refused)) from refused
    made: dict[str, Any] = {}
    generated = finishing.generated_path(job)
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title="Stage 2, generation (from text, AnimateDiff)",
        engine="animatediff",
        folder=job.output_path.parent,
        inputs={"configuration": job.animatediff_config},
        outputs=(generated,),
        settings=job.shaping_values(GENERATION),
        function=partial(_generate, job, clip, made),
        code=(*sorted(_HERE.rglob("*.py")), *our_code.READING),
        weights=tuple(_weight_files(clip)),
        verify=partial(_verify, job, clip),
        facts=lambda log: dict(made),
        gpus=1,
    )


def _generate(job: Job, clip: Clip, made: dict[str, Any], run: StepRun) -> None:
    target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    drawn = running.draw(clip, target, job.animatediff_python, run)
    told = drawn.as_data()
    told.pop("path")
    told.pop("clip")
    made.update(told, packages=told.pop("versions"), notices=told.pop("notes"))


def _verify(job: Job, clip: Clip, folder: Path) -> None:
    running.verify(folder / finishing.generated_path(job).relative_to(job.output_path.parent), clip)


def _weight_files(clip: Clip) -> Iterator[Path]:
    for path in clip.weights:
        if path.is_dir():
            yield from sorted(each for each in path.rglob("*") if each.suffix in _WEIGHTS)
        else:
            yield path
