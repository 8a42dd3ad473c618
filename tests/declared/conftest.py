"""Places with a stand-in tool: made once a session and copied, since making its Python takes a moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from preprocess import write_picture
from tests.media import numbered_frame, write_clip, write_sound
from tests.standin_declared import make_tool
from tests.workplace import Workplace

MakePlace = Callable[[str], Workplace]


@pytest.fixture(scope="session")
def _tools(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp("tools") / name
            folder.mkdir()
            make_tool(name, folder)
            write_clip(folder / "drive.mp4", frame_count=6, rate=Fraction(30000, 1001), sound=True)
            write_sound(folder / "voice.m4a")
            write_picture(folder / "character.png", numbered_frame(0, 128, 160))
            made[name] = folder
        return made[name]

    return get


@pytest.fixture
def tool_place(_tools: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakePlace:
    """Makes a fresh place, which is the current folder, with the stand-in of the tool of that name."""

    def make(name: str) -> Workplace:
        shutil.copytree(_tools(name), tmp_path / "work", symlinks=True)
        monkeypatch.chdir(tmp_path / "work")
        bin_folder = tmp_path / "bin"
        bin_folder.mkdir()
        for program in ("ffmpeg", "ffprobe"):
            (bin_folder / program).write_text("#!/bin/sh\nexit 0\n")
            (bin_folder / program).chmod(0o755)
        monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
        return Workplace(tmp_path / "work")

    return make
