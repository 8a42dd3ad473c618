"""Our own environment: made once, filled once, made anew after a kill, and gone to on a bare machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from set_up import own_environment

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
