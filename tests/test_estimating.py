"""What a person reads about time, memory and money before a run, by the runs before it."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from commands.estimating import estimate_in_words, remember
from config import GENERATION, PREPROCESSING, Job
from engines.interface import Prediction
from execution.history import Work

PREDICTED = Prediction(width=160, height=96, frames=50)
JOB = Job(stages=(PREPROCESSING, GENERATION))


class Engine:
    """An engine of which only the workload matters."""

    name = "made-up"
    uses_gpu = False

    def __init__(self, **work: Work) -> None:
        self._work = work

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        return self._work


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ran(monkeypatch):
    """Remember a run whose steps took so many seconds and so much memory."""

    def run(engine: Engine, seconds: float, gpu_bytes: int | None, *names: str) -> None:
        record = {"seconds": seconds, "peak_memory": {"gpu_bytes": gpu_bytes, "host_bytes": None}}
        monkeypatch.setattr("execution.record.record_path", lambda step: step)
        monkeypatch.setattr("execution.record.read_record", lambda step: record)
        done: list[Any] = [
            SimpleNamespace(why=("it never ran",), step=SimpleNamespace(name=name, gpus=1)) for name in names
        ]
        remember(engine, JOB, PREDICTED, done)  # type: ignore[arg-type]

    return run


def said(engine: Engine, job: Job = JOB) -> str:
    return estimate_in_words(engine, job, PREDICTED)  # type: ignore[arg-type]


def both(amount: float, gpu_size: float | None = 10.0, variant: str = "") -> Engine:
    work = Work(amount=amount, gpu_size=gpu_size, variant=variant)
    return Engine(preprocess=work, generate=work)


def test_without_earlier_runs_it_says_so():
    assert said(both(10)) == "No estimate of the time: nothing like it has run on this machine yet."


def test_no_estimate_of_a_job_of_which_one_step_never_ran(ran):
    ran(both(10), 60, None, "preprocess")
    assert said(both(10)).startswith("No estimate")


def test_the_time_of_all_steps_counts_and_grows_with_the_work(ran):
    ran(both(10), 60, None, "preprocess", "generate")
    assert said(both(20)).startswith("About 4 min 00 s by 1 earlier run on ")
    assert said(both(20), Job(stages=(GENERATION,))).startswith("About 2 min 00 s by")


def test_money_follows_from_time(ran):
    ran(both(10), 1800, None, "preprocess", "generate")
    assert said(both(10), Job(stages=JOB.stages, price_per_hour=2.5)).endswith(", 2.50 at 2.5 an hour.")


def test_memory_is_said_where_every_step_tells_it(ran):
    ran(both(10), 60, 3 * 2**30, "preprocess", "generate")
    assert "up to 3.0 GiB of GPU memory" in said(both(500))
    assert "GiB" not in said(both(10, gpu_size=11.0)), "nothing as large has run"


def test_memory_is_not_said_where_only_one_step_tells_it(ran):
    ran(both(10), 60, 3 * 2**30, "preprocess")
    ran(both(10), 60, None, "generate")
    assert said(both(10)).startswith("About 2 min") and "GiB" not in said(both(10))


def test_runs_that_cannot_be_compared_do_not_count(ran):
    ran(both(10, variant="replace"), 60, None, "preprocess", "generate")
    assert said(both(10, variant="animate")).startswith("No estimate")
