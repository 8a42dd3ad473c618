"""How long a job will take by this machine's earlier runs, and what each run teaches for the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from config import Job

if TYPE_CHECKING:
    from engines.interface import Engine, Prediction
    from execution.history import Run, Work
    from execution.runner import Planned


def estimate_in_words(engine: Engine, job: Job, predicted: Prediction) -> str:
    """Time, memory and, with a price, money; or that nothing is known yet."""
    from execution.history import earlier_runs, estimate
    from execution.words import duration

    work = {name: each for name, each in engine.workload(job, predicted).items() if name in _steps(job)}
    if not work:
        return ""
    device, gpus, runs = _device(engine), job.nproc_per_node or 1, earlier_runs()
    found = [
        estimate(_kind(engine, name, each), device, gpus if name == "generate" else 1, each, runs)
        for name, each in work.items()
    ]
    known = [each for each in found if each is not None]
    if len(known) < len(found):
        return "No estimate of the time: nothing like it has run on this machine yet."
    seconds = sum(each.seconds for each in known)
    count = min(each.runs for each in known)
    text = f"About {duration(seconds)} by {count} earlier run{'s' if count > 1 else ''} on {device}"
    gpu_bytes = [each.gpu_bytes for each in known if each.gpu_bytes]
    if len(gpu_bytes) == len(known):
        text += f", up to {max(gpu_bytes) / 2**30:.1f} GiB of GPU memory"
    if job.price_per_hour is not None:
        text += f", {seconds / 3600 * job.price_per_hour:.2f} at {job.price_per_hour:g} an hour"
    return text + "."


def remember(engine: Engine, job: Job, predicted: Prediction | None, done: Sequence[Planned]) -> None:
    """Keep what the steps that ran just now took."""
    from execution.history import Run
    from execution.history import remember as keep
    from execution.record import read_record, record_path

    work = {} if predicted is None else engine.workload(job, predicted)
    for entry in done:
        if not entry.why or entry.step.name not in work:
            continue
        record, does = read_record(record_path(entry.step)), work[entry.step.name]
        memory = record.get("peak_memory") or {}
        run: Run = Run(
            kind=_kind(engine, entry.step.name, does),
            device=_device(engine),
            gpus=max(1, entry.step.gpus),
            work=does.amount,
            seconds=float(record.get("seconds") or 0.0),
            gpu_bytes=memory.get("gpu_bytes"),
            host_bytes=memory.get("host_bytes"),
            gpu_size=does.gpu_size,
            host_size=does.host_size,
        )
        keep(run)


def _steps(job: Job) -> tuple[str, ...]:
    names = {1: "preprocess", 2: "generate"}
    return tuple(names[stage] for stage in job.stages if stage in names)


def _kind(engine: Engine, step: str, work: Work) -> str:
    return f"{engine.name} {step} {work.variant}".strip()


def _device(engine: Engine) -> str:
    """What does the engine's work: the first GPU, or this machine's processor."""
    import os
    import platform

    from engines.machine import gpus

    found = gpus() if engine.uses_gpu else ()
    return found[0].name if found else f"{platform.machine()} with {os.cpu_count()} processors"
