"""Whether this machine can do a job on the official repository: GPUs, memory, disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from config import GENERATION, HEADS, NO_PATH, PREPROCESSING, Job
from engines import machine
from engines.findings import Finding, kind
from engines.interface import Prediction
from engines.wan22 import needs
from engines.wan22.packages import needs_gpu

_ENDS_EARLY = "Upstream ends with out of memory, after it has loaded for minutes or in the first window."

NO_GPU = kind(
    "machine.no-gpu",
    "error",
    "No NVIDIA GPU",
    "Upstream's stage 2 asks for one while it imports; so do SAM 2 (replace mode) and FLUX.",
)
SLOW = kind(
    "machine.no-gpu-for-poses",
    "warning",
    "No NVIDIA GPU for stage 1",
    "Animate mode works without one, but finding the poses takes seconds for each frame.",
)
UNKNOWN = kind(
    "machine.gpu-unknown",
    "warning",
    "The GPUs cannot be asked",
    "Whether there are enough of them, and memory enough, is not known.",
)
TOO_FEW = kind(
    "machine.too-few-gpus",
    "error",
    "Fewer GPUs than asked for",
    "torch.distributed.run would start and fail.",
)
TOO_OLD = kind(
    "machine.gpu-too-old",
    "error",
    "A GPU that flash-attn 2 does not know",
    "flash-attn 2 and bfloat16 need the Ampere generation (compute capability 8.0) or a later one.",
)
GPU_MEMORY = kind("machine.gpu-memory", "error", "Too little GPU memory", _ENDS_EARLY)
GPU_TIGHT = kind(
    "machine.gpu-memory-tight",
    "warning",
    "Perhaps too little GPU memory",
    "The weights fit, but people report that the work on them needs more.",
)
GPU_TAKEN = kind("machine.gpu-memory-taken", "warning", "Other programs hold GPU memory", _ENDS_EARLY)
HOST_MEMORY = kind(
    "machine.host-memory",
    "error",
    "Too little host memory",
    "Upstream holds all frames in memory; the system kills it (exit code -9), in the end or half-way.",
)
HOST_TIGHT = kind(
    "machine.host-memory-tight",
    "warning",
    "Host memory may run out",
    "Upstream holds all frames in memory; the system kills it (exit code -9) when there is no more.",
)
DISK_FULL = kind("machine.disk-full", "error", "The disk is full", "Upstream reports success all the same.")
DISK_TIGHT = kind(
    "machine.disk-tight", "warning", "The disk may get full", "The result cannot be saved then."
)

_OLDEST_GENERATION: Final = (8, 0)
_NAMES: Final = {PREPROCESSING: "Stage 1", GENERATION: "Stage 2"}


def machine_findings(job: Job, predicted: Prediction | None) -> Iterator[Finding]:
    """What this machine lacks for the job: by its weights, and by its frames where they are ``predicted``."""
    wanted = needs.needs_of_stages(job, predicted, _source_pixels(job))
    yield from _gpus(job, predicted, wanted)
    yield from _host(wanted)
    yield from _disks(job, wanted)


def _source_pixels(job: Job) -> int:
    if job.video_path == NO_PATH:
        return 0
    import preprocess

    try:
        video = preprocess.probe_video(job.video_path)
    except preprocess.MediaError:
        return 0
    return video.width * video.height


# ------------------------------------------------------------------------------------------------- GPUs


def _gpus(job: Job, predicted: Prediction | None, wanted: dict[int, needs.Needs]) -> Iterator[Finding]:
    gpus = machine.gpus()
    if not gpus:
        yield from _none(job)
        return
    count = job.nproc_per_node or 1
    if GENERATION in job.stages and len(gpus) < count:
        what = f"--nproc_per_node {count}: this machine has {len(gpus)} GPU(s) to see."
        yield TOO_FEW.found(what, f"Give {len(gpus)} at most, or set CUDA_VISIBLE_DEVICES otherwise.")
        return
    old = [gpu for gpu in gpus[:count] if gpu.generation < _OLDEST_GENERATION]
    if GENERATION in job.stages and old:
        what = f"{old[0].name} has compute capability {old[0].generation[0]}.{old[0].generation[1]}."
        yield TOO_OLD.found(what, "Use an Ampere GPU or a later one.")
    for stage, need in wanted.items():
        if stage == GENERATION or needs_gpu(replace(job, stages=(stage,))):
            yield from _memory(job, predicted, stage, need, gpus[: count if stage == GENERATION else 1])


def _none(job: Job) -> Iterator[Finding]:
    if machine.gpu_files_exist() and not machine.gpus_are_hidden():
        what = "This machine has NVIDIA GPUs, but their driver does not answer."
        yield UNKNOWN.found(what, "See what nvidia-smi says; in a container, pass on the utility capability.")
        return
    hidden = " (CUDA_VISIBLE_DEVICES hides them)" if machine.gpus_are_hidden() else ""
    what = f"No NVIDIA GPU was found{hidden}."
    if needs_gpu(job):
        yield NO_GPU.found(what, "Run it on a machine with one, or use --engine preview, which needs none.")
    else:
        yield SLOW.found(what, "Run it on a machine with one, or be patient.")


def _memory(
    job: Job, predicted: Prediction | None, stage: int, need: needs.Needs, gpus: Sequence[machine.Gpu]
) -> Iterator[Finding]:
    smallest = min(gpus, key=lambda gpu: gpu.memory_total)
    fullest = min(gpus, key=lambda gpu: gpu.memory_free)
    each = "" if len(gpus) == 1 else " on each GPU"
    at_least, likely = _size(need.at_least.gpu), _size(need.likely.gpu)
    if smallest.memory_total < need.at_least.gpu:
        what = (
            f"{_NAMES[stage]} needs at least {at_least} of GPU memory{each}; "
            f"{smallest.name} has {_size(smallest.memory_total)}."
        )
        yield GPU_MEMORY.found(what, _relief(job, predicted, stage, smallest.memory_total))
    elif fullest.memory_free < need.at_least.gpu:
        what = (
            f"{_NAMES[stage]} needs at least {at_least} of GPU memory{each}; of GPU {fullest.index} "
            f"({fullest.name}, {_size(fullest.memory_total)}) only {_size(fullest.memory_free)} are free."
        )
        yield GPU_TAKEN.found(what, "End the programs that hold it (nvidia-smi lists them).")
    elif smallest.memory_total < need.likely.gpu:
        what = (
            f"{_NAMES[stage]} may need {likely} of GPU memory{each}; "
            f"{smallest.name} has {_size(smallest.memory_total)}."
        )
        yield GPU_TIGHT.found(what, "If it runs out: --t5_cpu, a smaller --frame_num or --resolution.")


def _relief(job: Job, predicted: Prediction | None, stage: int, total: int) -> str:
    """What would make it fit, by the same estimate."""
    if stage == PREPROCESSING:
        return "Use a larger GPU." if not job.use_flux else "Leave out --use_flux, or use a larger GPU."
    on_cpu = replace(job, t5_cpu=True)
    if needs.stage_2(on_cpu, predicted).at_least.gpu <= total:
        return "Add --t5_cpu: the text encoder then runs on the CPU."
    if needs.stage_2(on_cpu, None).at_least.gpu <= total:
        with_it = "" if job.t5_cpu or job.multi_gpu else ", and --t5_cpu"
        return f"Give a smaller --resolution or --frame_num{with_it}."
    tokens = (predicted and predicted.tokens) or 0
    for count in (number for number in range(2, HEADS + 1) if HEADS % number == tokens % number == 0):
        shared = replace(job, multi_gpu=True, nproc_per_node=count)
        if count > (job.nproc_per_node or 1) and needs.stage_2(shared, predicted).at_least.gpu <= total:
            return f"Use {count} such GPUs (--multi_gpu --nproc_per_node {count}), or larger ones."
    return "Use larger GPUs."


# ------------------------------------------------------------------------------------- memory and disks


def _host(wanted: dict[int, needs.Needs]) -> Iterator[Finding]:
    memory = machine.host_memory()
    for stage, need in wanted.items():
        if need.at_least.host > memory.total:
            what = (
                f"{_NAMES[stage]} needs at least {_size(need.at_least.host)} of memory; "
                f"this machine has {_size(memory.total)}, swap included."
            )
            yield HOST_MEMORY.found(what, _host_relief(stage))
        elif need.likely.host > memory.available:
            what = (
                f"{_NAMES[stage]} may need {_size(need.likely.host)} of memory; "
                f"{_size(memory.available)} are available."
            )
            yield HOST_TIGHT.found(what, _host_relief(stage))


def _host_relief(stage: int) -> str:
    if stage == PREPROCESSING:
        return "Scale the driving video down before, or split a long one where it cuts."
    return "End other programs, give a smaller --resolution, or split a long clip where it cuts."


def _disks(job: Job, wanted: dict[int, needs.Needs]) -> Iterator[Finding]:
    folders = {PREPROCESSING: job.save_path, GENERATION: job.output_path.parent}
    on_disk: dict[int, tuple[Path, int, int, int]] = {}
    for stage, need in wanted.items():
        try:
            disk, free = machine.free_space(folders[stage])
        except OSError:
            continue  # whether it can be written is checked elsewhere
        folder, at_least, likely, _ = on_disk.get(disk, (folders[stage], 0, 0, free))
        on_disk[disk] = (folder, at_least + need.at_least.disk, likely + need.likely.disk, free)
    for folder, at_least, likely, free in on_disk.values():
        remedy = "Make room there, or choose another folder."
        if free < max(at_least, 1):
            what = f"{folder} has {_size(free)} free; at least {_size(at_least)} are needed."
            yield DISK_FULL.found(what, remedy)
        elif free < likely:
            yield DISK_TIGHT.found(f"{folder} has {_size(free)} free; it may take {_size(likely)}.", remedy)


def _size(count: int) -> str:
    """Such as 34.5 GB or 120 MB."""
    if count < 1e9:
        return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count} bytes"
    return f"{count / 1e9:.1f} GB"
