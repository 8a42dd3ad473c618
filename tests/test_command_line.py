"""The three drivers: the flags they offer, how they may be spelled, and how little they import to say so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest

import config
from tests.standin import MACHINE
from tests.workplace import DRIVERS as MAIN_DRIVERS
from tests.workplace import ROOT, Workplace

DRIVERS = (*MAIN_DRIVERS, "scripts/build_mask.py")
PINNED = Path(__file__).parent / "data" / "flags.txt"

HELP_MODULES = {
    "click",
    "commands",
    "config",
    "settings",
    *(name.removesuffix(".py") for name in MAIN_DRIVERS),
}
"""All that a driver may import to print its help, beside the standard library."""


def command(driver: str) -> click.Command:
    made: click.Command = import_module(driver.removesuffix(".py").replace("/", ".")).main
    return made


def options(driver: str) -> list[click.Option]:
    made = command(driver)
    found = made.get_params(click.Context(made, **made.context_settings))
    assert all(isinstance(option, click.Option) for option in found)
    return [option for option in found if isinstance(option, click.Option)]


def flags_as_text() -> str:
    """Every driver's flags, one a line: spellings, then what it takes."""
    lines = []
    for driver in DRIVERS:
        lines.append(driver)
        for option in options(driver):
            spelled = ", ".join([*option.opts, *option.secondary_opts])
            lines.append(f"    {spelled}" + ("" if option.is_flag else f" {option.metavar}"))
    return "\n".join(lines) + "\n"


def test_the_set_of_flags_is_the_pinned_one():
    """Adding, renaming or removing a flag is a decision: write it into tests/data/flags.txt as well."""
    assert flags_as_text() == PINNED.read_text(encoding="utf-8")


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_flag_has_help_and_the_page_has_them_all(driver, workplace):
    shown = workplace.invoke(driver, "--help")
    assert shown.exit_code == 0
    for option in options(driver):
        assert option.help, option.name
        for spelling in (*option.opts, *option.secondary_opts):
            assert re.search(rf"{re.escape(spelling)}\b", shown.output), spelling


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_setting_of_the_drivers_stages_is_a_flag(driver):
    offered = {option.name for option in options(driver)}
    stages = {
        "pipeline.py": (1, 4, 2, 3),
        "run_preprocessing.py": (1, 4),
        "run_generation.py": (2, 3),
        "scripts/build_mask.py": (4,),
    }[driver]
    assert offered >= set(config.settings_for(stages))
    assert ("src_root_path" in offered) == (driver in ("run_generation.py", "scripts/build_mask.py"))
    assert ("video_path" in offered) == (driver != "run_generation.py")


def modules_after(*command_line: str, cwd: Path) -> set[str]:
    """Top-level modules that a fresh interpreter has imported when a script has ended."""
    watch = (
        "import runpy, sys; before = set(sys.modules); sys.argv = sys.argv[1:]\n"
        "sys.path[0] = sys.argv[0].rpartition('/')[0]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('\\n' + ' '.join({name.split('.')[0] for name in set(sys.modules) - before}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", watch, *command_line],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(MACHINE)},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_imports_click_and_the_standard_library_only(driver, flag, tmp_path):
    found = modules_after(str(ROOT / driver), flag, cwd=tmp_path)
    assert found - set(sys.stdlib_module_names) <= HELP_MODULES
    assert "click" in found, "the watch works"


def test_a_run_with_nothing_to_do_imports_nothing_heavy(finished):
    found = modules_after(str(ROOT / "pipeline.py"), *finished.inputs, cwd=finished.folder)
    assert not found & {"torch", "scipy", "ai_edge_litert", "pydantic", "huggingface_hub"}


def plan(place: Workplace, driver: str, *arguments: str) -> list[list[str]]:
    shown = place.invoke(driver, "--dry_run", "--json", *arguments)
    assert shown.exit_code == 0, shown.output
    return [step["argv"] for step in json.loads(shown.stdout)["steps"]]


def test_underscores_and_dashes_are_the_same(workplace):
    spelled = [*workplace.inputs, "--no_retarget", "--sample_steps", "4", "--t5_cpu", "--save_file", "o.mp4"]
    dashed = [word.replace("_", "-") if word.startswith("--") else word for word in spelled]
    assert dashed != spelled
    assert plan(workplace, "pipeline.py", *spelled) == plan(workplace, "pipeline.py", *dashed)


def test_save_file_is_another_spelling_of_output_path(workplace):
    one = plan(workplace, "pipeline.py", *workplace.inputs, "--save_file", "result.mp4")
    other = plan(workplace, "pipeline.py", *workplace.inputs, "--output_path", "result.mp4")
    assert one == other and str(workplace / ".understudy" / "result.generated.mp4") in one[1]


def test_flags_win_over_the_settings_file(workplace):
    (workplace / "run.yaml").write_text(
        "video_path: drive.mp4\nrefer_path: character.png\nfps: 24\nseed: 9\n"
    )
    stage_1, stage_2, _ = plan(workplace, "pipeline.py", "--config", "run.yaml", "--fps", "source")
    assert stage_1[stage_1.index("--fps") + 1] == "-1"
    assert stage_2[stage_2.index("--base_seed") + 1] == "9"


def test_a_value_may_begin_with_a_dash(workplace):
    _, stage_2, _ = plan(workplace, "pipeline.py", *workplace.inputs, "--prompt", "-x y")
    assert "--prompt=-x y" in stage_2


def test_the_version_is_told(workplace):
    assert config.VERSION in workplace.invoke("pipeline.py", "--version").output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vidoe_path", "a.mp4"], ("No such option", "--video")),
        (["--fps"], ("--fps", "requires an argument")),
        (["stray.mp4"], ("stray.mp4",)),
        (["--json"], ("--json needs something to print", "--dry_run")),
    ],
)
def test_a_wrong_command_line_exits_2_and_says_what_is_near(workplace, arguments, words):
    refused = workplace.invoke("pipeline.py", *workplace.inputs, *arguments)
    assert refused.exit_code == 2
    shown = refused.output.replace("-path", "_path")
    assert all(word in shown for word in words), refused.output


@pytest.mark.skipif(sys.platform == "win32", reason="closes standard streams as a POSIX shell does")
def test_closed_standard_streams_are_no_error(finished):
    """Started by cron or a service manager."""
    words = [sys.executable, str(ROOT / "run_generation.py"), "--src_root_path", "process_results"]
    closed = ["/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", *words]
    environment = {**os.environ, "PYTHONPATH": str(MACHINE)}
    assert subprocess.run(closed, cwd=finished.folder, env=environment, check=False).returncode == 0
