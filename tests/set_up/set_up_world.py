"""All that a set-up needs of the world, on this machine: a git repository, packages, a hub."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engines.wan22.checkout import WEIGHTS_REPOSITORY
from tests.set_up.hub_server import HubServer
from tests.set_up.made_wheels import make_flash_attn, make_wheelhouse
from tests.standin import MACHINE, STAGE_1, TEMPLATE, make_checkpoints
from tests.workplace import ROOT

NO_SETTINGS = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PIP_CONFIG_FILE": os.devnull}
"""No settings of the machine's user."""
_WHO = {f"GIT_{who}_{what}": "x@y.z" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
_PLACES = ("Wan2.2", "Wan2.2-Animate-14B")


@dataclass(frozen=True)
class World:
    """Where everything is, and the folder in which the set-up is run."""

    folder: Path
    commit: str
    server: HubServer

    @property
    def place(self) -> Path:
        """The current folder of the set-up."""
        return self.folder / "place"

    def command(self, *words: str) -> list[str]:
        """The one command, and words behind it."""
        here = [str(self.folder / "upstream"), str(self.folder / "wheels")]
        sources = ["--from", here[0], "--commit", self.commit, "--mirror", self.server.url]
        packages = ["--torch_index", here[1], "--wheels_from", here[1], "--python", sys.executable]
        return [sys.executable, str(ROOT / "scripts" / "setup_wan22.py"), *sources, *packages, *words]

    def environment(self, **more: str) -> dict[str, str]:
        """This process's environment, with pip held to the made packages and no GPU on the machine."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "GIT_", "HF_"))
        }
        own = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder / "wheels"),
            "PYTHONPATH": str(MACHINE),
            "STANDIN_GPUS": "",
            "UNDERSTUDY_CACHE": os.environ.get("UNDERSTUDY_CACHE", str(self.folder / "cache")),
        }
        return {**kept, **NO_SETTINGS, **own, **more}

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=self.place,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def run_and_kill(self, seconds: float, *words: str) -> int | None:
        """Run the command and kill it with SIGKILL after so many seconds; its exit code if it was quicker."""
        process = subprocess.Popen(
            self.command(*words),
            cwd=self.place,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def forget(self) -> None:
        """Start afresh: nothing is set up."""
        shutil.rmtree(self.place)
        self.place.mkdir()


@contextmanager
def made_world(folder: Path) -> Iterator[World]:
    """Lay everything out in an empty folder, and serve the hub until the end."""
    commit = _make_repository(folder / "upstream")
    make_wheelhouse(folder / "wheels")
    make_flash_attn(folder / "wheels", f"cp{sys.version_info[0]}{sys.version_info[1]}")
    make_checkpoints(folder / "hub" / WEIGHTS_REPOSITORY)
    (folder / "place").mkdir()
    with HubServer(folder / "hub") as server:
        yield World(folder, commit, server)


def _make_repository(folder: Path) -> str:
    """The stand-in's code as a git repository; its commit."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    shutil.copy(TEMPLATE / "standin_support.py", folder / STAGE_1.parent)
    environment = {**os.environ, **NO_SETTINGS, **_WHO}

    def git(*words: str) -> str:
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.strip()

    git("init", "--quiet", "--initial-branch", "main")
    git("add", ".")
    git("commit", "--quiet", "-m", "the stand-in")
    return git("rev-parse", "HEAD")
