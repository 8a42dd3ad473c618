"""A folder to run the drivers in: clip, picture, stand-in Wan2.2 and weights, where the defaults look."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from click.testing import CliRunner, Result

from preprocess import write_picture
from tests.media import numbered_frame, write_clip
from tests.standin import MACHINE, make_checkpoints, make_standin

ROOT = Path(__file__).parents[1]
DRIVERS = ("pipeline.py", "run_preprocessing.py", "run_generation.py")
PATIENCE = 30.0
"""Seconds until a test gives up on a process. Never the time that a passing test takes."""


@dataclass(frozen=True)
class Workplace:
    """The current folder of the runs."""

    folder: Path

    video = "drive.mp4"
    picture = "character.png"
    inputs = ("--video_path", "drive.mp4", "--refer_path", "character.png", "--resolution", "160x96")

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def invoke(self, driver: str, *arguments: str) -> Result:
        """Run a driver inside this process (quick); the caller has made ``folder`` the current folder."""
        module = import_module(driver.removesuffix(".py").replace("/", "."))
        return CliRunner().invoke(module.main, list(arguments))

    def start(self, driver: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a driver as people do, as a process of its own on the stand-in machine; streams are piped."""
        path = os.pathsep.join(filter(None, [str(MACHINE), environment.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, str(ROOT / driver), *arguments],
            cwd=self.folder,
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )

    def run(self, driver: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a driver as a process of its own, to its end."""
        process = self.start(driver, *arguments, **environment)
        try:
            out, error = process.communicate(timeout=PATIENCE * 2)
        finally:
            process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def run_here(self, driver: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """As ``run``, in half the time: the driver runs inside this process, the stages as ever as their own.

        The caller has made ``folder`` the current folder. An error that the driver does not handle is raised.
        """
        module = import_module(driver.removesuffix(".py").replace("/", "."))
        with patch.dict(os.environ, environment):
            result = CliRunner().invoke(module.main, list(arguments), catch_exceptions=False)
        return subprocess.CompletedProcess(
            [driver, *arguments], result.exit_code, result.stdout, result.stderr
        )

    def contents(self, *, hidden: bool = True) -> dict[str, str]:
        """Every file below the folder by relative path, with the hash of its content."""
        return {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
            and not {"__pycache__", ".venv"} & set(path.parts)
            and (hidden or ".understudy" not in path.parts)
        }

    def scratch_folders(self) -> list[Path]:
        """Scratch folders that lie about."""
        return [path for path in self.folder.rglob("scratch@*") if path.is_dir()]


def make_workplace(folder: Path) -> Workplace:
    """Lay out a new one."""
    make_standin(folder / "Wan2.2")
    make_checkpoints(folder / "Wan2.2-Animate-14B")
    write_clip(folder / Workplace.video)
    write_picture(folder / Workplace.picture, numbered_frame(0, 160, 90))
    return Workplace(folder)


def copy_workplace(source: Workplace, folder: Path) -> Workplace:
    """A copy that a test may spoil, records and times included."""
    shutil.copytree(source.folder, folder, symlinks=True)
    return Workplace(folder)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll until it is so; fail with ``what`` when patience ends."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for: {what}"
        time.sleep(0.02)


def is_alive(process_id: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    import psutil

    try:
        return psutil.Process(process_id).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
