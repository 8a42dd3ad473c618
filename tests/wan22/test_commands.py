"""The commands of the official repository, to the letter.

Each file in tests/data/wan22_commands/ is a case: a driver, its flags, and the commands that must come of
them. Adding a case is adding a file. In them, {here} is the current folder, {python} this interpreter,
{launcher} our launcher. What --video_path, --refer_path and --src_root_path name is laid out before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from engines.wan22.plan import LAUNCHER
from tests.standin import interpreter
from tests.workplace import Workplace

DATA = Path(__file__).parents[1] / "data"
CASES = sorted((DATA / "wan22_commands").glob("*.json"))
UPSTREAM = json.loads((DATA / "upstream_options.json").read_text(encoding="utf-8"))["scripts"]


class UpstreamParser(argparse.ArgumentParser):
    """A parser with the options that upstream's script declares (facts read from its source)."""

    def __init__(self, script: str) -> None:
        super().__init__(prog=script)
        for name, facts in UPSTREAM[script].items():
            if facts["action"] == "store_true":
                self.add_argument(name, action="store_true")
            else:
                kinds: dict[str, Callable[[str], Any]]
                kinds = {"int": int, "float": float, "str": str, "str2bool": str2bool}
                kind = kinds[facts["type"]]
                self.add_argument(name, type=kind, nargs=facts["nargs"], choices=facts["choices"])

    def error(self, message: str) -> NoReturn:
        raise AssertionError(f"{self.prog} would refuse the command: {message}")


def str2bool(text: str) -> bool:
    if text.lower() not in ("yes", "true", "t", "y", "1", "no", "false", "f", "n", "0"):
        raise argparse.ArgumentTypeError("no boolean word")
    return text.lower() in ("yes", "true", "t", "y", "1")


def lay_out(place: Workplace, flags: list[str]) -> None:
    """Put real files where the flags say that there are some."""
    for flag, value in itertools.pairwise(flags):
        if flag in ("--video_path", "--refer_path"):
            source = place.video if flag == "--video_path" else place.picture
            target = place / value
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(place / source, target)
        if flag == "--src_root_path":
            made = place.run_here("run_preprocessing.py", *place.inputs, "--save_path", value, *mode(flags))
            assert made.returncode == 0, made.stderr


def mode(flags: list[str]) -> list[str]:
    return ["--replace"] if "--replace" in flags else []


def planned(place: Workplace, case: dict[str, Any]) -> list[list[str]]:
    flags = filled(case["flags"], place)
    lay_out(place, flags)
    shown = place.invoke(case["driver"], "--dry_run", "--json", *flags)
    assert shown.exit_code == 0, shown.output
    return [step["argv"] for step in json.loads(shown.stdout)["steps"] if step["argv"]]


def filled(words: list[str], place: Workplace) -> list[str]:
    places = {
        "{here}": str(place.folder),
        "{python}": str(interpreter(place / "Wan2.2")),
        "{launcher}": str(LAUNCHER),
    }
    for placeholder, value in places.items():
        words = [word.replace(placeholder, value) for word in words]
    return words


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_commands_are_the_golden_ones_and_upstream_takes_them(path, workplace):
    case = json.loads(path.read_text(encoding="utf-8"))
    commands = planned(workplace, case)
    assert commands == [filled(words, workplace) for words in case["commands"]]
    for words in commands:
        assert_upstream_takes(words, workplace)


def assert_upstream_takes(words: list[str], place: Workplace) -> argparse.Namespace:
    """Upstream's parser must know every option by its full name and take every value."""
    script = next(name for name in UPSTREAM if str(place / "Wan2.2" / name) in words)
    tail = words[words.index(str(place / "Wan2.2" / script)) + 1 :]
    parsed = UpstreamParser(script).parse_args(tail)
    known = UPSTREAM[script]
    unknown = [word for word in tail if word.startswith("--") and word.split("=")[0] not in known]
    assert not unknown, "no abbreviations, nothing that upstream does not know"
    return parsed


def test_there_is_a_case_for_every_flag_that_upstream_gets():
    """A new flag that reaches upstream needs a golden file."""
    from config import SETTINGS

    flags = {word for path in CASES for word in json.loads(path.read_text(encoding="utf-8"))["flags"]}
    of_ours = {"engine"}
    used = {
        name
        for name, setting in SETTINGS.items()
        if "wan22" in setting.used_by and setting.shapes and set(setting.stages) & {1, 2}
    } - of_ours
    spelled = {name: {f"--{name}", f"--{SETTINGS[name].negative}"} for name in used}
    assert not [name for name in sorted(used) if not spelled[name] & flags]


@pytest.mark.parametrize("prompt", ["-5", "--seed", "plain words", 'quo\'te "$HOME" `ls`', "日本語", "a=b"])
def test_any_prompt_reaches_upstreams_parser_whole(workplace, prompt):
    case = {"driver": "pipeline.py", "flags": [*workplace.inputs, "--prompt", prompt]}
    parsed = assert_upstream_takes(planned(workplace, case)[1], workplace)
    assert parsed.prompt == prompt


def test_the_overlap_is_always_passed_and_no_default_of_upstreams_is(workplace):
    stage_1, stage_2 = planned(workplace, {"driver": "pipeline.py", "flags": [*workplace.inputs]})
    parsed = assert_upstream_takes(stage_2, workplace)
    assert (parsed.refert_num, parsed.base_seed, parsed.task) == (1, 42, "animate-14B")
    assert parsed.frame_num == 61, "the cheapest length for the clip"
    unset = (
        "prompt",
        "sample_steps",
        "sample_guide_scale",
        "sample_shift",
        "sample_solver",
        "size",
    )
    assert [getattr(parsed, name) for name in unset] == [None] * len(unset)
    assert "--replace_flag" not in stage_1 + stage_2


def test_a_dry_run_prints_one_shell_quoted_command_a_line(workplace):
    import shlex

    name = 'my $clip\'s "best" take.mp4'
    shutil.copy(workplace / workplace.video, workplace / name)
    flags = ["--video_path", name, "--refer_path", workplace.picture]
    shown = workplace.invoke("pipeline.py", "--dry_run", *flags)
    assert shown.exit_code == 0
    *lines, finish = shown.stdout.splitlines()
    assert finish.startswith("# finish: ")
    assert [shlex.split(line) for line in lines] == planned(
        workplace, {"driver": "pipeline.py", "flags": flags}
    )
    assert workplace.scratch_folders() == [] and not (workplace / "process_results").exists()


def test_the_environment_of_the_commands(workplace):
    shown = workplace.invoke("pipeline.py", "--dry_run", "--json", *workplace.inputs)
    for step in json.loads(shown.stdout)["steps"][:2]:
        assert step["cwd"] == str(workplace / "Wan2.2")
        assert step["env"] == {
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
            "PYTHONSAFEPATH": "",
            "TQDM_MININTERVAL": "1",
            "HF_HUB_OFFLINE": "1",
        }
