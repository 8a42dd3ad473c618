"""--on_oom retry: the next rung of the ladder is one that the check lets pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from commands.report import RunOptions
from commands.running import _relieved
from config import GENERATION, Job
from engines.findings import Finding
from execution.step import GPU_MEMORY, StepFailed

LADDER = (61, 45, 33)
OUT_OF_MEMORY = StepFailed("CUDA out of memory", cause=GPU_MEMORY)
JOB = Job(stages=(GENERATION,), on_oom="retry", frame_num=77)


class Engine:
    """An engine whose check refuses some window lengths."""

    def __init__(self, *refused: int) -> None:
        self._refused = refused

    def check(self, job: Job) -> Sequence[Finding]:
        refused = job.frame_num in self._refused
        return [Finding("gpus.sharing", "error", "Not this length.", "", "")] if refused else []

    def predict(self, job: Job) -> None:
        return None

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        shorter = [length for length in LADDER if length < (job.frame_num or 77)]
        return (replace(job, frame_num=shorter[0]), f"--frame_num {shorter[0]}") if shorter else None


def rung(engine: Engine, job: Job = JOB, failure: StepFailed = OUT_OF_MEMORY, *ignored: str) -> Any:
    found = _relieved(engine, job, failure, RunOptions(ignore=ignored))  # type: ignore[arg-type]
    return found and found[1]


def test_the_next_rung_is_taken():
    assert rung(Engine()) == "--frame_num 61"


def test_rungs_that_the_check_refuses_are_passed_over():
    assert rung(Engine(61)) == "--frame_num 45" and rung(Engine(*LADDER)) is None


def test_an_ignored_error_stays_ignored():
    assert rung(Engine(61), JOB, OUT_OF_MEMORY, "gpus.sharing") == "--frame_num 61"


def test_nothing_is_tried_again_unasked_or_for_another_cause():
    assert rung(Engine(), replace(JOB, on_oom="stop")) is None
    assert rung(Engine(), JOB, StepFailed("disk full")) is None
