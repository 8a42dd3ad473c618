"""The Steps of a Job on diffusers: stage 1 by its own engine, stage 2 by the worker, the finish as ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from config import FINISHING, GENERATION, MASKING, NO_PATH, PREPROCESSING, Job
from engines import finishing, masking, our_code, source_folder, verification
from engines.interface import Prediction
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan_diffusers import memory_plans, prediction
from engines.wan_diffusers.loras import loras_of
from engines.wan_diffusers.model_folder import BrokenModel, ModelFolder, read_model
from engines.wan_diffusers.stage_1 import engine_of_stage_1, job_of_stage_1
from execution.step import GPU_MEMORY, HOST_MEMORY, Step, StepFailed, StepRun
from execution.worker import HARNESS, run_in_worker

WORKER: Final = Path(__file__).with_name("worker.py")
CODE: Final = (
    WORKER,
    HARNESS,
    *sorted((WORKER.parent / "in_worker").glob("*.py")),
    *(WORKER.with_name(f"{name}.py") for name in ("plan", "clips", "loras")),
    *our_code.READING,
)
_PROMPT: Final = "视频中的人在做动作"
"""Upstream's own prompt for this model: "the person in the video is doing actions"."""
_CLIPS: Final = {
    "pose": source_folder.POSE,
    "face": source_folder.FACE,
    "background": source_folder.BACKGROUND,
    "mask": source_folder.MASK,
}


def steps(job: Job) -> Iterator[Step]:
    """The Steps of the job's stages. That of stage 2 is made when stage 1 has run, if it is to run."""
    if PREPROCESSING in job.stages or job.stages == (MASKING,):
        yield from engine_of_stage_1(job).plan(job_of_stage_1(job))
    if GENERATION in job.stages:
        yield generate_step(job, prediction.predict_folder(job) or prediction.predict(job))
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, "wan_diffusers")


def generate_step(job: Job, predicted: Prediction | None) -> Step:
    """Stage 2. ``predicted`` holds the windows; it is None only for a job that ``check`` refuses."""
    generated = finishing.generated_path(job)
    loras = loras_of(job)
    told: dict[str, Any] = {}
    return Step(
        name="generate",
        file_name=f"generate {job.output_path.name}",
        stage=GENERATION,
        title=f"Stage 2, generation ({job.mode}, wan_diffusers)",
        engine="wan_diffusers",
        folder=job.output_path.parent,
        inputs={name: job.src_root_path / name for name in source_folder.names(job)},
        outputs=(generated,),
        obsolete=masking.originals(job),
        settings={
            **job.shaping_values(GENERATION),
            "frame_num": predicted.frame_num if predicted else job.frame_num,
            "lora_weights": [lora.weight for lora in loras],
        },
        function=partial(_generate, job, told),
        code=CODE,
        weights=(*_weight_files(job), *(lora.file for lora in loras)),
        gpus=0 if job.diffusers_device == "cpu" else 1,
        verify=partial(
            verification.verify_generated,
            pose=job.src_root_path / source_folder.POSE,
            name=str(generated.relative_to(job.output_path.parent)),
        ),
        facts=lambda log: {**of_python(job), **told},
    )


def of_python(job: Job) -> dict[str, Any]:
    """Which Python, and the packages in it."""
    try:
        python = probe_interpreter(job.diffusers_python)
    except InterpreterError:
        return {}
    return {
        "upstream_python": ".".join(map(str, python.python)),
        "upstream_packages": dict(sorted(python.packages.items())),
    }


def read_model_of(job: Job) -> ModelFolder:
    """The job's model.

    Raises:
        BrokenModel: see ``read_model``.
    """
    return read_model(job.diffusers_model, own_transformer=memory_plans.weights_of(job) != "gguf")


def _weight_files(job: Job) -> tuple[Path, ...]:
    gguf = (job.transformer_file,) if memory_plans.weights_of(job) == "gguf" else ()
    try:
        return (*read_model_of(job).files, *gguf)
    except BrokenModel:
        return gguf  # check says why; nothing runs


# ------------------------------------------------------------------------------------------------- stage 2


def _generate(job: Job, told: dict[str, Any], run: StepRun) -> None:
    import preprocess
    from engines.wan_diffusers import clips

    scratch = run.folder / "clips"
    scratch.mkdir()
    predicted = prediction.predict_folder(job)
    try:
        held = memory_plans.choose(job, read_model_of(job), predicted)
        names = list(_CLIPS) if job.replace else ["pose", "face"]
        files = {name: scratch / f"{name}.npy" for name in names}
        for name, target in files.items():
            clips.unpack(job.src_root_path / _CLIPS[name], target, run.report)
        request = job_for_worker(job, held, predicted, files, scratch / "result.npy")
        answer = in_worker(job, request, run, is_tiny=_is_tiny(job))
        rate = preprocess.probe_video(job.src_root_path / source_folder.POSE).rate
        target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
        clips.pack(scratch / "result.npy", target, rate, run.report)
    except (BrokenModel, preprocess.MediaError) as error:
        raise StepFailed(str(error)) from error
    told.update(_facts(job, held, request, answer))


def in_worker(job: Job, request: Mapping[str, Any], run: StepRun, *, is_tiny: bool) -> Mapping[str, Any]:
    """Have the worker of the job's interpreter do this, and return what it answers.

    Args:
        is_tiny: the model is one of those made for tests, where threads would only wait for each other.

    Raises:
        StepFailed: it failed; with a remedy where memory was short.
    """
    command = [str(job.diffusers_python), str(WORKER)]
    threads = {"OMP_NUM_THREADS": "1"} if is_tiny else {}
    environment = {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8", **threads}
    try:
        return run_in_worker(
            f"diffusers {job.diffusers_python}", command, request, run, environment=environment
        )
    except StepFailed as failure:
        if failure.cause not in (GPU_MEMORY, HOST_MEMORY):
            raise
        remedy = "Say --on_oom retry, or give --memory group_offload, --vae_tiling, a smaller --frame_num."
        raise StepFailed(f"{failure} {remedy}", cause=failure.cause) from failure


def _is_tiny(job: Job) -> bool:
    """Whether the model is one of those made for tests: threads would only wait for each other."""
    return sum(path.stat().st_size for path in _weight_files(job)) < 10_000_000


def job_for_worker(
    job: Job,
    held: memory_plans.Held,
    predicted: Prediction | None,
    clips: Mapping[str, Path],
    result: Path,
) -> dict[str, Any]:
    """The job as the worker reads it.

    Raises:
        StepFailed: stage 1's folder cannot be read, or no window can be made of it.
    """
    if predicted is None or predicted.frame_num is None:
        raise StepFailed(f"{job.src_root_path} holds too few frames. Run stage 1 again with a longer clip.")
    tiles = {"vae_tiling": job.vae_tiling}
    file = str(job.transformer_file) if job.transformer_file != NO_PATH else None
    loras = [lora.as_data() for lora in loras_of(job)]
    return {
        "model": str(job.diffusers_model),
        "mode": job.mode,
        "frames": predicted.frames,
        "width": predicted.width,
        "height": predicted.height,
        "reference": str(job.src_root_path / source_folder.REFERENCE),
        "clips": {name: str(path) for name, path in clips.items()},
        "result": str(result),
        "held": {
            "weights": held.weights,
            "offload": held.offload,
            "device": held.device,
            "transformer_file": file if held.weights == "gguf" else None,
            "loras": loras,
            **tiles,
        },
        "prompt": job.prompt or _PROMPT,
        "steps": job.sample_steps or prediction.STEPS,
        "guidance": 1.0 if job.sample_guide_scale is None else job.sample_guide_scale,
        "shift": job.sample_shift,
        "solver": job.sample_solver or "unipc",
        "window": predicted.frame_num,
        "overlap": job.refert_num,
        "windows": predicted.windows,
        "seed": job.seed,
    }


def _facts(
    job: Job, held: memory_plans.Held, request: Mapping[str, Any], answer: Mapping[str, Any]
) -> dict[str, Any]:
    """What the record keeps besides: how the model was really held, which LoRAs took effect."""
    notices = [
        f"{Path(lora['file']).name}: {lora['layers_loaded']} of its {lora['layers_in_file']} layers are this "
        "model's; the rest had no effect."
        for lora in answer.get("loras", ())
        if lora["layers_loaded"] < lora["layers_in_file"]
    ]
    return {
        "memory": held.as_facts(),
        "loras": answer.get("loras"),
        "device": answer.get("device"),
        "gpu_bytes": answer.get("gpu_bytes"),
        "windows": request["windows"],
        "frame_num": request["window"],
        "overlap": job.refert_num,
        "seed": job.seed,
        "frames": request["frames"],
        "width": request["width"],
        "height": request["height"],
        **({"notices": notices} if notices else {}),
    }
