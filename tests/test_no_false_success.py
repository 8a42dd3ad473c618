"""No run against the misbehaving stand-in ends in exit 0 without a verified video, nor loses what was there.

The long test makes a thousand runs, each with faults by chance; the short one a few of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.faulty_runs import FAULTS, Plan, make_plan, result_faults, source_faults
from tests.media import numbered_frame, write_clip
from tests.standin import MACHINE
from tests.workplace import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's faults are POSIX signals")

LONG, SHORT = range(1000), (5, 6, 7, 8, 13, 25, 31, 32, 34, 36, 43, 53, 85, 200)


def perform(folder: Path, seeds: list[int]) -> list[dict[str, Any]]:
    """The reports of these runs, made one after the other in a process of their own."""
    path = os.pathsep.join((str(ROOT), str(MACHINE)))
    done = subprocess.run(
        [sys.executable, "-m", "tests.faulty_runs", str(folder), *map(str, seeds)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def violations(reports: list[dict[str, Any]]) -> str:
    return "\n\n".join(json.dumps(report, indent=1) for report in reports if report["violations"])


def test_faults_by_chance_never_look_like_success(tmp_path: Path) -> None:
    reports = perform(tmp_path / "work", list(SHORT))
    assert len(reports) == len(SHORT)
    assert not violations(reports), violations(reports)
    assert {report["must_fail"] for report in reports} == {True, False}


@pytest.mark.long
def test_a_thousand_runs_with_faults_by_chance_never_look_like_success(tmp_path: Path) -> None:
    workers = min(8, os.cpu_count() or 1)
    shares = [list(LONG[first::workers]) for first in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        done = pool.map(perform, (tmp_path / str(number) for number in range(workers)), shares)
        reports = [report for share in done for report in share]
    assert len(reports) == len(LONG)
    assert not violations(reports), violations(reports)


def test_a_thousand_plans_hold_every_fault_mode_and_driver() -> None:
    plans = list(map(make_plan, LONG))
    drawn = {(stage, fault) for plan in plans for stage, fault in plan.faults.items()}
    assert drawn == {(stage, fault) for stage, faults in FAULTS.items() for fault in faults}
    kinds = Counter((plan.driver, plan.replace, plan.before, plan.must_fail) for plan in plans)
    assert len(kinds) == 20, "each driver in each mode, over something and nothing, to fail and to go well"
    assert any(plan.ranks > 1 for plan in plans)
    assert any(len(plan.faults) > 1 for plan in plans) and any(not plan.faults for plan in plans)


def test_a_seed_always_makes_the_same_plan() -> None:
    assert make_plan(5) == make_plan(5) != make_plan(6)


def test_the_judge_sees_what_it_is_there_to_see(tmp_path: Path) -> None:
    """A judge that never objects would let everything pass."""
    pose = write_clip(tmp_path / "src_pose.mp4")
    assert result_faults(pose, pose) == []
    assert result_faults(tmp_path / "none.mp4", pose)
    assert result_faults(write_clip(tmp_path / "short.mp4", frame_count=9), pose)
    assert result_faults(write_clip(tmp_path / "wide.mp4", size=(176, 96)), pose)
    still = write_clip(tmp_path / "still.mp4", frame=lambda number, *size: numbered_frame(0, *size))
    assert result_faults(still, pose) == ["the result is frozen"]
    black = write_clip(tmp_path / "black.mp4", frame=lambda number, *size: numbered_frame(0, *size) * 0)
    assert result_faults(black, pose) == ["the result is black"]
    assert source_faults(tmp_path, replace=False) == ["there is no src_ref.png"]
    assert Plan(0, driver="pipeline.py", faults={"generate": "killed"}).must_fail
    assert not Plan(0, driver="pipeline.py", faults={"preprocess": "mask_empty"}).must_fail
