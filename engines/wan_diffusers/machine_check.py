"""Whether this machine can hold the model as the job asks: by estimates in bytes, see ``memory_plans``."""

from __future__ import annotations

from collections.abc import Iterator

from config import Job
from engines import machine
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.wan_diffusers import memory_plans
from engines.wan_diffusers.memory_plans import Held
from engines.wan_diffusers.model_folder import ModelFolder

NO_GPU = kind(
    "diffusers.no-gpu",
    "error",
    "No GPU for diffusers",
    "The model has 17 billion parameters: without a GPU a clip takes days.",
)
ON_CPU = kind(
    "diffusers.memory-on-cpu",
    "error",
    "A memory plan that needs a GPU",
    "Model offload moves the parts of the model to a GPU and back; without one the library refuses.",
)
GPU_MEMORY = kind(
    "diffusers.gpu-memory",
    "warning",
    "Perhaps too little GPU memory",
    "It ends with out of memory, after the model has been loaded or in the first window.",
)
HOST_MEMORY = kind(
    "diffusers.host-memory",
    "error",
    "Too little host memory for the weights",
    "All parts are loaded there first; the system ends the worker when there is no more.",
)
CHOSEN = kind(
    "diffusers.memory-plan",
    "note",
    "How the model will be held",
    "It was chosen by the memory that is free now, from estimates; the choice is recorded.",
)


def findings(job: Job, model: ModelFolder, predicted: Prediction | None) -> Iterator[Finding]:
    """What this machine lacks, and which plan was chosen."""
    if job.diffusers_device == "cpu":
        if job.memory == "model_offload":
            what = "--memory model_offload needs a GPU, and --diffusers_device is cpu."
            yield ON_CPU.found(what, "Choose another --memory.")
            return
    elif not machine.gpus() and not machine.gpu_files_exist():
        hidden = " (CUDA_VISIBLE_DEVICES hides them)" if machine.gpus_are_hidden() else ""
        remedy = "Run it on a machine with one, use --engine preview, or try --diffusers_device cpu."
        yield NO_GPU.found(f"No NVIDIA GPU was found{hidden}.", remedy)
        return
    held = memory_plans.choose(job, model, predicted)
    yield from _memory(job, held)


def _memory(job: Job, held: Held) -> Iterator[Finding]:
    memory = machine.host_memory()
    if held.host_bytes > memory.total:
        what = (
            f"The weights take {_size(held.host_bytes)} of memory while they are loaded; "
            f"this machine has {_size(memory.total)}, swap included."
        )
        yield HOST_MEMORY.found(
            what, "Give the model as a .gguf file: --memory gguf --transformer_file FILE."
        )
    if held.device == "cpu":
        return
    if job.memory == "auto":
        free = "not known" if held.free_gpu_bytes is None else _size(held.free_gpu_bytes)
        what = f"--memory auto: {in_words(held)}, {_size(held.gpu_bytes)} expected, {free} free."
        yield CHOSEN.found(what, "")
    if not held.fits and held.free_gpu_bytes is not None:
        what = (
            f"With {in_words(held)} it may need {_size(held.gpu_bytes)} of GPU memory; "
            f"{_size(held.free_gpu_bytes)} are free."
        )
        yield GPU_MEMORY.found(
            what, "Give --memory auto, a smaller --resolution or --frame_num, a shorter clip."
        )


def in_words(held: Held) -> str:
    """Such as "bf16, group offload"."""
    return held.weights + ("" if held.offload == "none" else f", {held.offload} offload")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
