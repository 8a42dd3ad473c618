"""Our own environment: made once, filled once, made anew after a kill, and gone to on a bare machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from set_up import own_environment
from tests.set_up.made_wheels import make_wheel

PYTHON = Path("bin/python")


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """The commands that are run; none is really run, all succeed."""
    commands: list[list[str]] = []

    def run(command, **_):
        commands.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(own_environment, "ENVIRONMENT", tmp_path)
    return commands


@pytest.mark.parametrize("version", [(3, 10, 9), (3, 15, 0), (2, 7, 18)])
def test_an_unfit_python_is_refused_with_its_version(monkeypatch, version):
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(
        own_environment.OwnEnvironmentError,
        match=r"Python 3\.11 to 3\.14 is needed; this is " + str(version[0]),
    ):
        own_environment.check_python()


def test_requirements_are_installed_once_and_again_when_they_change(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(own_environment, "ROOT", tmp_path)
    (tmp_path / "requirements.txt").write_text("click")
    own_environment.install(PYTHON, ["requirements.txt"])
    own_environment.install(PYTHON, ["requirements.txt"])
    assert len(calls) == 1
    (tmp_path / "requirements.txt").write_text("click>=8")
    own_environment.install(PYTHON, ["requirements.txt"])
    assert len(calls) == 2


def test_a_failed_installation_is_not_taken_for_done(monkeypatch, tmp_path):
    monkeypatch.setattr(own_environment, "ENVIRONMENT", tmp_path)
    failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 1)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(own_environment.OwnEnvironmentError, match="could not be installed"):
        own_environment.install(PYTHON, ["requirements.txt"])
    assert list(tmp_path.iterdir()) == []


def test_an_environment_in_which_pip_was_killed_is_made_anew(calls, monkeypatch, tmp_path):
    monkeypatch.setattr(own_environment, "_works", lambda python: True)
    own_environment.make_environment()
    assert calls == []
    (tmp_path / "installing").touch()
    own_environment.make_environment()
    assert [command[1:4] for command in calls] == [["-m", "venv", "--clear"]]


def test_while_pip_works_a_file_says_so(monkeypatch, tmp_path):
    seen = []

    def run(command, **_):
        seen.append((tmp_path / "installing").exists())
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(own_environment, "ENVIRONMENT", tmp_path)
    own_environment.install(PYTHON, ["requirements.txt"])
    assert seen == [True] and not (tmp_path / "installing").exists()


def test_an_interpreter_that_has_everything_goes_on_itself(calls):
    own_environment.go_on_there(["requirements.txt"], ["json", "click"], dry_run=False)
    assert calls == []


def test_a_dry_run_on_a_bare_machine_says_what_comes_first_and_makes_nothing(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(own_environment, "ENVIRONMENT", tmp_path / ".venv")
    with pytest.raises(SystemExit) as ended:
        own_environment.go_on_there(["requirements.txt"], ["not_there_at_all"], dry_run=True)
    said = capsys.readouterr().out
    assert ended.value.code == 0 and not (tmp_path / ".venv").exists()
    assert "-m venv" in said and "-r requirements.txt" in said


def test_a_module_that_even_the_environment_lacks_ends_and_does_not_go_round(calls, monkeypatch, capsys):
    monkeypatch.setattr(own_environment, "_works", lambda python: True)
    monkeypatch.setattr(own_environment, "ENVIRONMENT", Path(sys.prefix))
    monkeypatch.setattr(own_environment, "install", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        own_environment.go_on_there(["requirements.txt"], ["not_there_at_all"], dry_run=False)
    assert ended.value.code == 1 and "lacks not_there_at_all" in capsys.readouterr().err


def test_a_command_on_a_bare_machine_makes_the_environment_and_goes_on_there(tmp_path):
    """With a real environment and a real pip; what is installed comes from a folder."""
    project, wheels = tmp_path / "project", tmp_path / "wheels"
    (project / "set_up").mkdir(parents=True)
    wheels.mkdir()
    shutil.copy(own_environment.__file__, project / "set_up")
    (project / "set_up" / "__init__.py").touch()
    (project / "needs.txt").write_text("made-thing\n")
    make_wheel(wheels, "made-thing", "1.2", modules={"made_thing": "__version__ = '1.2'\n"})
    (project / "command.py").write_text(
        "import sys\nfrom set_up.own_environment import go_on_there\n"
        "go_on_there(['needs.txt'], ['made_thing'], dry_run=False)\n"
        "import made_thing\nprint(made_thing.__version__, sys.prefix, sys.argv[1:])\nsys.exit(7)\n"
    )
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    for first in (True, False):
        done = subprocess.run(
            [sys.executable, "command.py", "--x", "a b"],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 7, done.stderr
        assert done.stdout.splitlines()[-1] == f"1.2 {project / '.venv'} ['--x', 'a b']"
        assert ("installing" in done.stdout) is first
