"""The most memory that a process tree held, as far as samples can tell, and never at the run's expense."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from execution import memory
from execution.memory import PeakMemory
from execution.runner import run_steps
from execution.step import StepRun
from tests.execution.made_up_steps import Notes, function_step, write_output
from tests.workplace import PATIENCE, wait_until

MEBIBYTE = 2**20
TREE = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "held = b'x' * (150 * 2**20); print(1, flush=True); input()"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
input()
child.communicate(b"\\n")
"""


def test_what_descendants_hold_counts_and_the_peak_stays_when_it_is_given_back():
    process = subprocess.Popen(
        [sys.executable, "-c", TREE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with PeakMemory(process.pid) as peak:
        wait_until(lambda: (peak.host_bytes or 0) > 150 * MEBIBYTE, "a sample of the whole tree")
        process.communicate("\n", timeout=PATIENCE)
    assert 150 * MEBIBYTE < (peak.host_bytes or 0) < 300 * MEBIBYTE
    assert peak.gpu_bytes is None


def test_a_process_that_is_gone_is_unknown_and_no_error():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with PeakMemory(process.pid) as peak:
        pass
    assert peak.as_data() == {"host_bytes": None, "gpu_bytes": None}


def test_even_the_shortest_step_has_a_sample():
    for _ in range(20):
        with PeakMemory(os.getpid()) as peak:
            pass
        assert (peak.host_bytes or 0) > MEBIBYTE


def test_samples_come_quickly_at_first_and_twice_a_second_later():
    class Over:
        def __init__(self) -> None:
            self.pauses: list[float] = []

        def wait(self, pause: float) -> bool:
            self.pauses.append(pause)
            return len(self.pauses) == 9

        def set(self) -> None:
            pass

    over = Over()
    peak = PeakMemory(os.getpid())
    peak._over = over  # type: ignore[assignment]
    peak._watch()
    assert over.pauses[0] == 0.02 and over.pauses[-1] >= 0.5
    assert all(pause >= min(0.5, 0.02 * 2**number) for number, pause in enumerate(over.pauses))


class Driver:
    """What nvidia-ml-py offers, with figures of the test's own."""

    def __init__(self) -> None:
        self.used = [0, 5_000]
        self.processes: list[list[tuple[int, int | None]]] = [[], []]
        self.open = 0
        self.opened = 0
        self.broken = False
        self.asked = 0

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1
        self.opened += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.used)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetMemoryInfo(self, device: int) -> Any:  # noqa: N802
        self.asked += 1
        if self.broken:
            raise RuntimeError("GPU is lost")
        return SimpleNamespace(used=self.used[device])

    def nvmlDeviceGetComputeRunningProcesses(self, device: int) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes[device]]


@pytest.fixture
def driver(monkeypatch):
    made = Driver()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.setattr(memory, "_SECONDS", 0.01)
    return made


def await_samples(driver: Driver) -> None:
    """Until the state that the driver has now has been sampled."""
    wanted = driver.asked + 2 * len(driver.used)
    wait_until(lambda: driver.asked > wanted, "samples")


def sampled(driver: Driver, *changes: Any) -> int | None:
    """The peak over states of the driver, each of which is sampled."""
    with PeakMemory(os.getpid(), gpus=True) as peak:
        await_samples(driver)
        for change in changes:
            change()
            await_samples(driver)
    assert driver.open == 0
    return peak.gpu_bytes


def test_gpu_memory_goes_by_process_where_the_driver_tells(driver):
    driver.processes = [[(os.getpid(), 700), (1, 9_999)], [(os.getpid(), 900)]]
    driver.used = [20_000, 90_000]
    assert sampled(driver, lambda: driver.processes[1].clear()) == 900


def test_else_by_what_the_fullest_gpu_holds_more_than_before(driver):
    def fill() -> None:
        driver.used = [300, 5_800]

    def empty() -> None:
        driver.used = [0, 5_000]

    assert sampled(driver, fill, empty) == 800


@pytest.mark.parametrize("told", [None, 0])
def test_a_driver_that_does_not_tell_a_process_its_share_falls_back_too(driver, told):
    def fill() -> None:
        driver.used = [0, 5_400]
        driver.processes[1] = [(os.getpid(), told)]

    assert sampled(driver, fill) == 400


def test_without_use_of_a_gpu_nothing_is_told(driver):
    assert sampled(driver) is None


def test_a_lost_gpu_does_not_end_the_sampling(driver):
    driver.processes[0] = [(os.getpid(), 700)]
    with PeakMemory(os.getpid(), gpus=True) as peak:
        await_samples(driver)
        driver.broken = True
        wanted = driver.asked + 3
        peak.host_bytes = None
        wait_until(lambda: driver.asked > wanted and peak.host_bytes is not None, "samples after that")
    assert peak.gpu_bytes == 700


def test_without_the_module_or_the_driver_the_host_is_sampled_all_the_same(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with PeakMemory(os.getpid(), gpus=True) as peak:
        pass
    assert peak.host_bytes and peak.gpu_bytes is None


def test_without_a_thread_nothing_is_known_and_nothing_fails(monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with PeakMemory(os.getpid()) as peak:
        pass
    assert peak.as_data() == {"host_bytes": None, "gpu_bytes": None}


def test_a_step_asks_for_gpus_only_when_it_uses_them(driver, tmp_path):
    def wait_for_the_driver(run: StepRun) -> None:
        wait_until(lambda: driver.open == 1, "the driver is asked")
        write_output(run)

    run_steps([function_step(tmp_path / "one", write_output)], Notes())
    assert driver.opened == 0
    run_steps([function_step(tmp_path / "two", wait_for_the_driver, gpus=1)], Notes())
    assert (driver.opened, driver.open) == (1, 0)
