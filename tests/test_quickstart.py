"""The quickstart, without its installing: what it would run, what it skips, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import preprocess
from scripts import contact_sheet, quickstart
from set_up import own_environment


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """The commands that quickstart runs; none is really run, all succeed."""
    commands: list[list[str]] = []

    def run(command, **_):
        commands.append([str(word) for word in command])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(own_environment, "ENVIRONMENT", tmp_path)
    return commands


PYTHON = Path("bin/python")


def test_it_needs_only_the_standard_library():
    source = "import sys; sys.path.insert(0, 'scripts'); import quickstart; print(*sys.modules)"
    isolated = subprocess.run(
        [sys.executable, "-S", "-c", source],
        cwd=own_environment.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in isolated.stdout.split()}
    assert loaded - set(sys.stdlib_module_names) <= {"quickstart", "set_up", "__main__"}


def test_the_demo_is_the_main_job_in_replace_mode_on_the_bundled_clip(calls, capsys):
    assert quickstart.run_demo(PYTHON) == 0
    job = next(command for command in calls if "pipeline.py" in command)
    assert job[1:4] == ["pipeline.py", "--engine", "preview"]
    assert "--replace" in job
    assert Path(job[job.index("--video_path") + 1]).is_file()
    assert Path(job[job.index("--refer_path") + 1]).is_file()
    assert "contact_sheet.png" in capsys.readouterr().out


def test_a_failed_job_ends_with_its_exit_code_and_claims_nothing(calls, monkeypatch, capsys):
    monkeypatch.setattr(quickstart, "run", lambda python, *words: 1 if "pipeline.py" in words else 0)
    assert quickstart.run_demo(PYTHON) == 1
    assert "result" not in capsys.readouterr().out


@pytest.mark.parametrize(("extras", "option"), [(False, []), (True, ["--skip-nothing"])])
def test_the_tests_run_with_or_without_the_extras(calls, extras, option):
    assert quickstart.run_tests(PYTHON, with_extras=extras) == 0
    assert calls[-1][1:] == ["-m", "pytest", *option]
    installed = [word for command in calls for word in command if word.endswith("requirements-extras.txt")]
    assert bool(installed) is extras


def test_sam2_is_installed_last_without_what_it_asks_for_and_without_a_compiler(calls, monkeypatch):
    environments = []
    record = subprocess.run

    def run(command, **options):
        environments.append(options.get("env", {}))
        return record(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    quickstart.run_tests(PYTHON, with_extras=True)
    order = [next(word for word in command if word.endswith(".txt")) for command in calls if "pip" in command]
    last = next(command for command in calls if command[-1].endswith("requirements-sam2.txt"))
    assert order[-1] == last[-1]
    assert {"--no-deps", "--no-build-isolation"} <= set(last)
    assert environments[calls.index(last)]["SAM2_BUILD_CUDA"] == "0"


def test_a_contact_sheet_has_a_row_for_each_video(tmp_path):
    driving = quickstart.DEMO / "driving_video.mp4"
    contact_sheet.make_sheet([("one", driving), ("two", driving)], tmp_path / "sheet.png", columns=3)
    sheet = preprocess.read_picture(tmp_path / "sheet.png")
    info = preprocess.probe_video(driving)
    width, height = preprocess.canvas_size(info.width, info.height, contact_sheet.TILE_AREA, divisor=2)
    assert sheet.shape[1] == 3 * width
    assert sheet.shape[0] > 2 * height
    # Both rows show the same clip, so the tiles below the labels are alike.
    half = sheet.shape[0] // 2
    assert (sheet[half - height : half] == sheet[-height:]).all()
