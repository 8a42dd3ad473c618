"""The launcher of tools: its folder goes with it, however it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engines.declared.plan import LAUNCHER
from engines.declared.run_tool import NO_RESULT, main
from tests.workplace import is_alive, wait_until


def words(target: Path, *command: str, find: str = "{run}/made.txt") -> list[str]:
    return ["--find", find, "--bring", str(target), "--", *command]


def script(text: str) -> tuple[str, str, str, str]:
    return sys.executable, "-c", text, "{run}"


def test_what_the_command_makes_is_brought_and_its_folder_is_gone(tmp_path):
    make = script("import sys, pathlib; pathlib.Path(sys.argv[1], 'made.txt').write_text('made')")
    assert main(words(tmp_path / "result.txt", *make)) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["result.txt"]


@pytest.mark.parametrize(("text", "code"), [("pass", NO_RESULT), ("raise SystemExit(9)", 9)])
def test_a_command_that_leaves_nothing_is_no_success(tmp_path, text, code):
    assert main(words(tmp_path / "result.txt", *script(text))) == code
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_run_is_not_taken(tmp_path):
    (tmp_path / "u0-made.txt").write_text("another's")
    found = words(tmp_path / "result.txt", *script("pass"), find=f"{tmp_path}/{{token}}*.txt")
    assert main(found) == NO_RESULT


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_asked_to_end_it_ends_its_command_and_cleans_up(tmp_path):
    target = tmp_path / "place" / "result.txt"
    target.parent.mkdir()
    told = tmp_path / "number"
    sleep = (
        f"import os, pathlib, time; pathlib.Path({str(told)!r}).write_text(str(os.getpid())); time.sleep(60)"
    )
    launcher = [sys.executable, "-I", str(LAUNCHER), *words(target, *script(sleep))]
    with subprocess.Popen(launcher) as process:
        wait_until(lambda: told.exists() and bool(told.read_text()), "the command")
        process.terminate()
        assert process.wait(20) == 128 + 15
    assert not list(target.parent.iterdir())
    wait_until(lambda: not is_alive(int(told.read_text())), "its end")
