"""One run at a time: the second is told who the first is, and the dead hold nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from execution import lock
from execution.lock import FolderBusy, holder, locked
from tests.execution.made_up_steps import command_step
from tests.workplace import PATIENCE, ROOT, is_alive, wait_until

HOLD = """
import subprocess, sys
from pathlib import Path
from execution.lock import locked
from tests.execution.made_up_steps import command_step
with locked([command_step(Path(sys.argv[1]), file_name=name) for name in sys.argv[2:]]):
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = subprocess.Popen(sleep, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    print(child.pid, flush=True)
    sys.stdin.read()
child.kill()
child.wait()
"""


@contextmanager
def another_run(folder: Path, *names: str) -> Iterator[SimpleNamespace]:
    """Another process that holds the locks, with a long-lived child, until it is told to end."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *(names or ("make",))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    child = int(process.stdout.readline())
    try:
        yield SimpleNamespace(process=process, pid=process.pid, child=child)
    finally:
        if is_alive(child):
            os.kill(child, signal.SIGTERM)
        process.communicate("", timeout=PATIENCE)


@pytest.fixture
def step(tmp_path):
    return command_step(tmp_path / "made")


def test_a_free_folder_has_no_holder_and_asking_leaves_nothing(step):
    assert holder(step.folder, step.file_name) is None
    assert not step.folder.exists()


def test_the_second_run_is_told_who_the_first_is_and_what_to_do(step):
    with another_run(step.folder) as other:
        with pytest.raises(FolderBusy) as busy, locked([step]):
            pytest.fail("two runs at once")
        who = rf"process {other.pid}, which started at \d\d:\d\d on \S+, is making the same files"
        assert re.match(f"{re.escape(str(step.folder))} is in use: {who}", str(busy.value))
        assert "choose another folder" in str(busy.value)
        assert str(other.pid) in (holder(step.folder, step.file_name) or "")
    assert holder(step.folder, step.file_name) is None
    with locked([step]):
        pass


def test_a_holder_on_another_machine_is_named_with_it(step, monkeypatch):
    with another_run(step.folder):
        monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
        assert re.search(r"process \d+ on \S+, which", holder(step.folder, step.file_name) or "")


def test_a_killed_run_holds_nothing_though_its_children_live(step):
    with another_run(step.folder) as other:
        os.kill(other.pid, signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL)
        other.process.wait(PATIENCE)
        assert is_alive(other.child)
        wait_until(lambda: holder(step.folder, step.file_name) is None, "the kernel lets go")
        with locked([step]):
            pass


def test_all_locks_of_a_plan_are_held_and_none_when_one_is_taken(tmp_path):
    first, second = command_step(tmp_path / "a"), command_step(tmp_path / "b")
    with another_run(tmp_path / "b"):
        with pytest.raises(FolderBusy), locked([second, first]):
            pass
        assert holder(first.folder, first.file_name) is None
    with locked([second, first, first]):
        assert holder(first.folder, first.file_name) and holder(second.folder, second.file_name)


def test_two_steps_of_one_folder_do_not_hinder_each_other(tmp_path):
    with another_run(tmp_path / "made", "generate one.mp4"):
        other = command_step(tmp_path / "made", file_name="generate two.mp4")
        with locked([other]):
            assert holder(other.folder, "generate one.mp4") and holder(other.folder, "generate two.mp4")


def test_within_one_process_too_one_run_at_a_time(step):
    with locked([step]), pytest.raises(FolderBusy), locked([step]):
        pytest.fail("two runs at once")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_is_released_however_the_run_ends(step, error):
    with pytest.raises(error), locked([step]):
        raise error
    assert holder(step.folder, step.file_name) is None


def test_a_look_at_the_holder_does_not_stop_a_run(step, monkeypatch):
    """The look takes the lock for an instant."""
    path = lock.lock_path(step.folder, step.file_name)
    path.parent.mkdir(parents=True)
    taken = threading.Event()

    def look() -> None:
        looking = lock._taken(path, 0)
        taken.set()
        time.sleep(0.1)
        assert looking is not None
        looking.release()

    thread = threading.Thread(target=look)
    thread.start()
    assert taken.wait(PATIENCE)
    monkeypatch.setattr(lock, "_PATIENCE_SECONDS", PATIENCE)
    with locked([step]):
        thread.join()


def test_where_nothing_can_be_locked_the_run_goes_on(tmp_path, monkeypatch):
    """A folder that is a file: nothing can be written below it, by root neither."""
    (tmp_path / "made").write_text("in the way")
    (tmp_path / "source.txt").write_text("source")
    with locked([command_step(tmp_path / "made")]):
        pass
    import filelock

    def refuse(self, *args, **kwargs):
        raise OSError(38, "Function not implemented")

    step = command_step(tmp_path / "other")
    with locked([step]):
        pass
    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with locked([step]):
        assert holder(step.folder, step.file_name) is None


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_not_locked(tmp_path):
    step = command_step(tmp_path / "made")
    step.folder.mkdir(mode=0o555)
    with locked([step]):
        assert holder(step.folder, step.file_name) is None


def test_a_holder_that_cannot_be_read_is_another_run(step):
    with another_run(step.folder):
        lock._holder_path(lock.lock_path(step.folder, step.file_name)).write_text("{")
        assert holder(step.folder, step.file_name) == "another run"
