"""Scratch folders: empty at first, gone at the end, and nothing of the dead is left."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from execution.scratch import scratch_folder


def test_it_is_empty_on_the_same_file_system_and_gone_at_the_end(tmp_path):
    with scratch_folder(tmp_path / "made", "make") as scratch:
        assert scratch.is_dir() and not list(scratch.iterdir())
        assert scratch.is_relative_to(tmp_path / "made")
        (scratch / "half.mp4").write_text("half")
    assert not scratch.exists()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_is_gone_after_an_error_too(tmp_path, error):
    with pytest.raises(error), scratch_folder(tmp_path, "make") as scratch:
        (scratch / "half.mp4").write_text("half")
        raise error
    assert not scratch.exists()


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave_behind(tmp_path, host: str, owner: int):
    left = tmp_path / ".understudy" / f"scratch@{host}@{owner}@make"
    left.mkdir(parents=True)
    (left / "half.mp4").write_text("half")
    return left


def test_what_a_killed_run_left_is_removed(tmp_path):
    left = leave_behind(tmp_path, socket.gethostname(), dead_process())
    with scratch_folder(tmp_path, "make"):
        assert not left.exists()


def test_what_belongs_to_a_living_run_or_another_machine_is_left_alone(tmp_path):
    alive = leave_behind(tmp_path, socket.gethostname(), os.getppid())
    elsewhere = leave_behind(tmp_path, "another-machine", dead_process())
    with scratch_folder(tmp_path, "make"):
        pass
    assert alive.exists() and elsewhere.exists()


def test_two_steps_of_one_folder_do_not_meet(tmp_path):
    with scratch_folder(tmp_path, "one") as one, scratch_folder(tmp_path, "two") as two:
        assert one != two and one.exists() and two.exists()
