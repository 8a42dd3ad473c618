"""The supervisor as a program: what ends with what."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from execution import process as process_module
from tests.workplace import PATIENCE, is_alive, wait_until

SUPERVISOR = Path(process_module.__file__).with_name("supervisor.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
DEAF = (
    "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print(os.getpid(), flush=True); time.sleep(600)"
)


def supervise(program: str, grace: str = "600", *options: str) -> tuple[subprocess.Popen[str], int]:
    """A supervisor and the id of its command, which has started."""
    running = subprocess.Popen(
        [sys.executable, "-P", str(SUPERVISOR), grace, *options, sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    return running, int(running.stdout.readline())


def finish(running: subprocess.Popen[str]) -> int:
    code = running.wait(PATIENCE)
    for stream in (running.stdin, running.stdout):
        if stream is not None:
            stream.close()
    return code


def test_a_closed_pipe_ends_the_command():
    """That is what remains of an orchestrator that died, however it died."""
    running, command = supervise(SLEEPER)
    assert running.stdin is not None
    running.stdin.close()
    assert finish(running) == 128 + signal.SIGTERM
    assert not is_alive(command)


def test_sigterm_ends_the_command_gently():
    running, command = supervise(SLEEPER)
    running.terminate()
    assert finish(running) == 128 + signal.SIGTERM
    assert not is_alive(command)


def test_sigint_alone_does_nothing():
    """The terminal's Ctrl-C is for the orchestrator, which then asks."""
    running, command = supervise(SLEEPER)
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGINT)
    assert running.poll() is None and is_alive(command)
    running.terminate()
    finish(running)


def test_sigquit_kills_a_command_that_ignores_sigterm():
    running, command = supervise(DEAF)
    running.terminate()
    running.send_signal(signal.SIGQUIT)
    assert finish(running) == 128 + signal.SIGKILL
    assert not is_alive(command)


def test_the_grace_ends_a_command_that_ignores_sigterm():
    running, command = supervise(DEAF, grace="0.2")
    running.terminate()
    assert finish(running) == 128 + signal.SIGKILL
    assert not is_alive(command)


def test_many_signals_at_once_are_one_end():
    running, command = supervise(DEAF)
    for _ in range(20):
        running.terminate()
    running.send_signal(signal.SIGQUIT)
    for _ in range(20):
        running.send_signal(signal.SIGQUIT)
    assert finish(running) == 128 + signal.SIGKILL
    wait_until(lambda: not is_alive(command), "the command is gone")


@pytest.mark.parametrize(
    ("program", "words"), [("/no/such/program", "No such file"), (str(SUPERVISOR), "Permission denied")]
)
def test_a_command_that_cannot_be_started_says_so(program, words):
    done = subprocess.run(
        [sys.executable, "-P", str(SUPERVISOR), "1", program],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 127
    assert f"{program} cannot be started" in done.stderr and words in done.stderr
    assert "Traceback" not in done.stderr


ECHO = "import os, sys; print(os.getpid(), flush=True); print(len(sys.stdin.readline()), flush=True); input()"


def test_what_is_written_to_it_reaches_the_command_where_asked_to():
    running, command = supervise(ECHO, "600", "--relay")
    assert running.stdin is not None and running.stdout is not None
    running.stdin.write("x" * 300_000 + "\n")
    running.stdin.flush()
    assert running.stdout.readline() == "300001\n"
    running.stdin.close()
    assert finish(running) == 128 + signal.SIGTERM
    assert not is_alive(command)


def test_a_command_that_does_not_read_ends_with_the_orchestrator_all_the_same():
    running, command = supervise(SLEEPER, "600", "--relay")
    assert running.stdin is not None
    running.stdin.write("x" * 300_000)  # more than any pipe holds
    running.stdin.close()
    assert finish(running) == 128 + signal.SIGTERM
    assert not is_alive(command)
