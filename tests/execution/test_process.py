"""A supervised command: exact start, all of its output, its exit code, and no process left."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from execution import process as process_module
from execution.process import SupervisedProcess, kill_running
from tests.workplace import is_alive, wait_until

SUPERVISOR = Path(process_module.__file__).with_name("supervisor.py")


def follow(program: str, log: Path, **options) -> tuple[int, list[str]]:
    lines: list[str] = []
    with SupervisedProcess([sys.executable, "-c", program], cwd=None, env={}, log=log, **options) as running:
        code = running.follow(lines.append)
    return code, lines


def test_the_supervisor_is_started_with_exactly_this(tmp_path):
    with mock.patch("execution.process.subprocess.Popen") as started:
        SupervisedProcess(["prog", "-x y", "$HOME"], cwd=tmp_path, env={"A": "1"}, log=tmp_path / "log")
    (argv,), options = started.call_args
    assert argv == [sys.executable, "-P", str(SUPERVISOR), "35.0", "prog", "-x y", "$HOME"]
    assert options == {
        "cwd": tmp_path,
        "env": {**os.environ, "A": "1"},
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "start_new_session": True,
    }
    process_module._running.clear()


@pytest.mark.parametrize("code", [0, 1, 3, 127])
def test_the_exit_code_is_the_commands(tmp_path, code):
    assert follow(f"raise SystemExit({code})", tmp_path / "log")[0] == code


def test_a_signal_is_128_and_its_number(tmp_path):
    assert follow("import os; os.kill(os.getpid(), 9)", tmp_path / "log")[0] == 137


def test_lines_end_at_carriage_returns_too_and_both_streams_come(tmp_path):
    program = (
        "import sys; print('one'); sys.stdout.flush()\n"
        "sys.stderr.write('\\r10%|x|\\r20%|x|\\r\\n'); sys.stderr.flush(); sys.stdout.write('no end')"
    )
    _, lines = follow(program, tmp_path / "log")
    assert [line for line in lines if line] == ["one", "10%|x|", "20%|x|", "no end"]


def test_the_log_has_every_byte(tmp_path):
    program = (
        "import sys; sys.stdout.buffer.write(b'bad \\xff\\xfe\\xc3( bytes\\r\\n\\x00' + bytes(range(256)))"
    )
    _, lines = follow(program, tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"bad \xff\xfe\xc3( bytes\r\n\x00" + bytes(range(256))
    assert lines[0] == "bad \ufffd\ufffd\ufffd( bytes"


def test_a_line_is_whole_however_the_pipe_cuts_it(tmp_path):
    """Three lines of 50,000 bytes: reads end within lines, and within letters."""
    _, lines = follow("for _ in range(3): print('ä' * 25_000)", tmp_path / "log")
    assert [line for line in lines if line] == ["ä" * 25_000] * 3


def test_megabytes_without_a_line_end_do_not_fill_the_memory(tmp_path):
    _, lines = follow("import sys; sys.stdout.write('x' * 5_000_000)", tmp_path / "log")
    assert max(map(len, lines)) <= 2**17 and (tmp_path / "log").stat().st_size == 5_000_000


def test_the_command_gets_no_standard_input_and_the_added_environment(tmp_path):
    program = "import os, sys; print(repr(sys.stdin.read()), os.environ['ADDED'], os.getcwd())"
    lines: list[str] = []
    command = [sys.executable, "-c", program]
    with SupervisedProcess(command, cwd=tmp_path, env={"ADDED": "yes"}, log=tmp_path / "log") as running:
        running.follow(lines.append)
    assert lines == [f"'' yes {tmp_path.resolve()}"]


def test_psutil_may_come_from_anywhere_that_this_process_has_it_from(tmp_path, monkeypatch):
    """Installed for the user alone, or on PYTHONPATH: the supervisor must find it as well."""
    import psutil

    site = Path(psutil.__file__).parents[1]
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    monkeypatch.setenv("PYTHONPATH", str(site))
    running = SupervisedProcess(["/bin/echo", "fine"], cwd=None, env={}, log=tmp_path / "log")
    with running:
        assert running.follow(lambda line: None) == 0
    assert (tmp_path / "log").read_text() == "fine\n"


TREE = """
import os, subprocess, sys, time
program = "import signal, time, os; {ignore} print('pid', os.getpid(), flush=True); time.sleep(600)"
children = [subprocess.Popen([sys.executable, "-c", program], start_new_session=True) for _ in range(2)]
print('pid', os.getpid(), flush=True)
time.sleep(600)
"""
DEAF = "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGINT)];"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


class Enough(BaseException):
    """Ends the reading when all processes of the tree have said who they are."""


def tree_until_known(program: str, log: Path, grace_seconds: float) -> list[int]:
    """Start a tree, learn its process ids, and leave."""
    known: list[int] = []

    def read(line: str) -> None:
        if match := re.match(r"pid (\d+)", line):
            known.append(int(match[1]))
        if len(known) == 3:
            raise Enough

    command = [sys.executable, "-c", program]
    with (
        pytest.raises(Enough),
        SupervisedProcess(command, cwd=None, env={}, log=log, grace_seconds=grace_seconds) as running,
    ):
        running.follow(read)
    return known


@posix_only
def test_leaving_ends_the_whole_tree_sessions_of_their_own_included(tmp_path):
    known = tree_until_known(TREE.format(ignore=""), tmp_path / "log", grace_seconds=30)
    assert len(known) == 3 and not any(map(is_alive, known))


@posix_only
def test_who_ignores_sigterm_is_killed_after_the_grace(tmp_path):
    known = tree_until_known(TREE.format(ignore=DEAF), tmp_path / "log", grace_seconds=0.3)
    assert len(known) == 3 and not any(map(is_alive, known))


@posix_only
def test_who_ignores_sigterm_is_killed_at_once_when_asked(tmp_path):
    """The grace would be longer than the test's patience."""
    known: list[int] = []

    def read(line: str) -> None:
        if match := re.match(r"pid (\d+)", line):
            known.append(int(match[1]))
        if len(known) == 3:
            kill_running()

    command = [sys.executable, "-c", TREE.format(ignore=DEAF)]
    with SupervisedProcess(command, cwd=None, env={}, log=tmp_path / "log", grace_seconds=600) as running:
        assert running.follow(read) == 137
    assert len(known) == 3 and not any(map(is_alive, known))
    kill_running()  # nothing runs: nothing happens


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can adopt orphans")
def test_what_a_command_leaves_running_is_ended_when_it_ends(tmp_path):
    program = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(600)'], start_new_session=True); print('pid', child.pid)"
    )
    code, lines = follow(program, tmp_path / "log")
    assert code == 0
    assert not is_alive(int(lines[0].split()[1]))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can adopt orphans")
def test_an_orphan_of_the_tree_is_found(tmp_path):
    """A daemon: its parent is gone, its session is its own, and it has closed its output."""
    program = (
        "import os, time\n"
        "if os.fork(): time.sleep(0.2); raise SystemExit\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "print('pid', os.getpid(), flush=True); os.close(1); os.close(2); time.sleep(600)"
    )
    code, lines = follow(program, tmp_path / "log")
    assert code == 0
    assert not is_alive(int(lines[0].split()[1]))


@posix_only
def test_the_supervisors_own_death_is_no_success(tmp_path):
    """Killed by the system for want of memory, say."""
    program = "import os, time; print('parent', os.getppid(), flush=True); time.sleep(600)"
    children: list[int] = []

    def read(line: str) -> None:
        supervisor = int(line.split()[1])
        import psutil

        children.extend(child.pid for child in psutil.Process(supervisor).children())
        os.kill(supervisor, 9)
        for child in children:
            os.kill(child, 9)

    command = [sys.executable, "-c", program]
    with SupervisedProcess(command, cwd=None, env={}, log=tmp_path / "log") as running:
        assert running.follow(read) != 0
    wait_until(lambda: not any(map(is_alive, children)), "the command is gone")
