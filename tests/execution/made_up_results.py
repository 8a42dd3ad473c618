"""A small two-step plan that ends in a result, and its record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import config
from execution.result_record import read_result_record, result_record_path
from execution.result_writing import write_result_record
from execution.runner import Planned, run_steps
from execution.step import Step, StepRun
from tests.execution.made_up_steps import Notes, function_step


def steps_of(folder: Path, **changes: Any) -> list[Step]:
    """``clip.mp4`` by way of a hidden file, from a driving video and a reference, with weights."""
    folder.mkdir(exist_ok=True)
    for name in ("drive.mp4", "character.png"):
        if not (folder / name).exists():
            (folder / name).write_text(name)
    weights = folder / "model.safetensors"
    if not weights.exists():
        weights.write_bytes(os.urandom(5000))
    output = folder / "made"
    hidden = output / ".understudy" / "clip.generated.mp4"

    def generate(run: StepRun) -> None:
        (run.folder / ".understudy" / "clip.generated.mp4").write_text("generated")

    def finish(run: StepRun) -> None:
        (run.folder / "clip.mp4").write_text("finished")

    return [
        function_step(
            output,
            generate,
            name="generate",
            file_name="generate clip.mp4",
            inputs={"driving video": folder / "drive.mp4", "reference image": folder / "character.png"},
            outputs=(hidden,),
            weights=(weights,),
            verify=lambda scratch: None,
            facts=lambda log: {"seed": 42, "upstream_commit": "42bf4cf"},
            **changes,
        ),
        function_step(
            output,
            finish,
            name="finish",
            file_name="finish clip.mp4",
            stage=3,
            inputs={"generated video": hidden},
            outputs=(output / "clip.mp4",),
            verify=lambda scratch: None,
        ),
    ]


def job_of(folder: Path, **flags: object) -> config.Job:
    """A job whose paths are those of the steps."""
    paths = {"video_path": folder / "drive.mp4", "refer_path": folder / "character.png"}
    given = {**paths, "output_path": folder / "made" / "clip.mp4", **flags}
    return config.load_job((1, 2, 3), given)


VIDEO = {"frames": 61, "width": 1280, "height": 720, "rate": "24000/1001", "audio": "aac"}
MACHINE = {"gpus": ["NVIDIA H200"], "driver": "550.54"}


def write(folder: Path, done: Sequence[Planned], job: config.Job | None = None, **more: Any) -> bool:
    """Write the record of a plan that has run, as the drivers do."""
    job = job or job_of(folder)
    given = {"video": VIDEO, "machine": MACHINE, "command": ["pipeline.py", "--replace"], **more}
    return write_result_record(
        folder / "made" / "clip.mp4", stages=job.stages, settings=job.values(), steps=done, **given
    )


def make(folder: Path, **more: Any) -> dict[str, Any]:
    """Run the plan, write its record, and read that."""
    write(folder, run_steps(steps_of(folder), Notes()), **more)
    return read_result_record(result_record_path(folder / "made" / "clip.mp4"))
