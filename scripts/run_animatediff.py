#!/usr/bin/env python3
"""Draw a clip from text with AnimateDiff: SDXL or SD 1.5, as configs/animatediff.yaml says."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import click

from commands.interruption import exit_code_of
from engines.animatediff.clip import CONTEXT_LENGTH, FPS, NEGATIVE_PROMPT, PRESETS, PROMPT

if TYPE_CHECKING:
    from engines.animatediff.clip import Clip
    from engines.animatediff.prompt_file import NamedClip
    from engines.findings import Finding

EXIT_FAILED, EXIT_WRONG_REQUEST = 1, 2
SEED = 42


@click.command(
    context_settings={
        "help_option_names": ["--help", "-h"],
        "max_content_width": 100,
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
    help=__doc__,
)
@click.option(
    "--config", metavar="FILE", help="Weights and output folder.  [default: configs/animatediff.yaml]"
)
@click.option(
    "--preset",
    type=click.Choice(sorted(PRESETS)),
    default="a",
    show_default=True,
    help="a: 8 frames, 8 steps, 768x768, guidance 7; b: 16, 12, 1024x1024, 7.5; c: 24, 20, 1024x1024, 8.",
)
@click.option("--frames", type=int, help="Frames of the clip.  [default: the preset's, as the next four]")
@click.option("--steps", type=int, help="Denoising steps.")
@click.option("--height", type=int, help="Pixels, a multiple of 8.")
@click.option("--width", type=int, help="Pixels, a multiple of 8.")
@click.option("--guidance", type=float, help="How closely to follow the text; 1 halves the work.")
@click.option("--seed", type=int, default=SEED, show_default=True, help="The same seed gives the same clip.")
@click.option(
    "--fps", type=int, default=FPS, show_default=True, help="Frames a second; it learnt motion at 8."
)
@click.option("--prompt", help=f"What to draw.  [default: {PROMPT}]")
@click.option("--negative-prompt", help=f"What not to.  [default: {NEGATIVE_PROMPT}]")
@click.option(
    "--travel", multiple=True, metavar="FRAME:TEXT", help="Another text from this frame on (SD 1.5)."
)
@click.option("--prompt-file", metavar="FILE", help="Many clips from a YAML file; see docs/animatediff.md.")
@click.option("--lora", multiple=True, metavar="NAME:WEIGHT", help="A camera move or a LoRA file (SD 1.5).")
@click.option("--domain-adapter", metavar="FILE:WEIGHT", help="The v3 domain adapter (SD 1.5).")
@click.option("--sparse-control", metavar="FOLDER", help="SparseCtrl model, rgb or scribble (SD 1.5).")
@click.option(
    "--control-image", multiple=True, metavar="FRAME:FILE", help="Its pictures; frame -1 is the last."
)
@click.option(
    "--control-scale", type=float, default=1.0, show_default=True, help="How much SparseCtrl counts."
)
@click.option(
    "--context-length", type=int, default=CONTEXT_LENGTH, show_default=True, help="Of long clips (SD 1.5)."
)
@click.option("--warmup", is_flag=True, help="Run a few steps of the same size before the clock starts.")
@click.option(
    "--attention", type=click.Choice(["auto", "sdpa", "xformers"]), default="auto", show_default=True
)
@click.option("--device", type=click.Choice(["auto", "cuda", "cpu"]), default="auto", show_default=True)
@click.option(
    "--output-basename", default="animatediff", show_default=True, help="How the result's name begins."
)
@click.option("--overwrite", is_flag=True, help="Replace a result of the same name.")
@click.option(
    "--animatediff-python", metavar="FILE", help="Python with torch and diffusers.  [default: this one]"
)
@click.option("--check", is_flag=True, help="Only check.")
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON, one line a clip.")
def main(**options: Any) -> None:
    """Answer the command line."""
    sys.exit(exit_code_of(lambda: run(options)))


def run(options: Mapping[str, Any]) -> int:
    """From the flags to the exit code: 0 done, 1 failed, 2 refused before anything started."""
    from engines.animatediff.configuration import DEFAULT, read_configuration
    from engines.animatediff.problems import Refused
    from engines.animatediff.publishing import all_findings, result_path

    python = Path(options["animatediff_python"] or sys.executable).expanduser()
    try:
        given = options["config"]
        configuration = read_configuration(Path(given) if given else DEFAULT)
        wanted = clips_of(options, configuration)
    except Refused as refused:
        return _refused(refused.findings)
    clips = [(each, result_path(each.clip, configuration.output_dir, each.name)) for each in wanted]
    findings: dict[str, Finding] = {}
    for each, target in clips:
        for finding in all_findings(each.clip, python, target, each.name, overwrite=options["overwrite"]):
            findings.setdefault(finding.as_text(), finding)
    if _refused(findings.values()):
        return EXIT_WRONG_REQUEST
    if options["check"]:
        click.echo("Nothing stands in the way.")
        return 0
    return _make_all(clips, python, options)


def clips_of(options: Mapping[str, Any], configuration: Any) -> list[NamedClip]:
    """What the flags ask for.

    Raises:
        Refused: a flag or the prompt file is wrong.
    """
    from engines.animatediff.clip import Clip
    from engines.animatediff.prompt_file import NamedClip, read_prompt_file

    preset = PRESETS[options["preset"]]
    values = {
        name: getattr(preset, name) if options[name] is None else options[name]
        for name in ("frames", "steps", "height", "width", "guidance")
    }
    clip = Clip(
        checkpoint=configuration.checkpoint,
        motion_adapter=configuration.motion_adapter,
        pipeline_config=configuration.pipeline_config,
        prompts=((0, PROMPT if options["prompt"] is None else options["prompt"]),),
        negative_prompt=NEGATIVE_PROMPT if options["negative_prompt"] is None else options["negative_prompt"],
        **values,
        **{
            name: options[name] for name in ("seed", "fps", "warmup", "context_length", "attention", "device")
        },
    )
    clip = _with_extras(clip, options)
    name = options["output_basename"]
    if not options["prompt_file"]:
        return [NamedClip(name, clip)]
    entries = read_prompt_file(Path(options["prompt_file"]), clip)
    return [NamedClip(f"{name}_{entry.name}", entry.clip) for entry in entries]


def _with_extras(clip: Clip, options: Mapping[str, Any]) -> Clip:
    from engines.animatediff.clip import SparseControl
    from engines.animatediff.loras import parse_lora
    from engines.animatediff.problems import CONTROL, VALUE, refuse

    here = Path.cwd()
    values: dict[str, Any] = {
        "loras": tuple(parse_lora(text, here, number) for number, text in enumerate(options["lora"]))
    }
    if options["domain_adapter"]:
        values["domain_adapter"] = replace(parse_lora(options["domain_adapter"], here), name="domain")
    if options["travel"]:
        later = [_at_frame(text, VALUE, "--travel") for text in options["travel"]]
        values["prompts"] = (*clip.prompts, *later)
    if options["control_image"] and not options["sparse_control"]:
        raise refuse(CONTROL, "--control-image needs a SparseCtrl model.", "Give --sparse-control FOLDER.")
    if options["sparse_control"]:
        images = [_at_frame(text, CONTROL, "--control-image") for text in options["control_image"]]
        values["sparse_control"] = SparseControl(
            here / Path(options["sparse_control"]).expanduser(),
            tuple(here / Path(file).expanduser() for _, file in images),
            tuple(frame for frame, _ in images),
            options["control_scale"],
        )
    return replace(clip, **values)


def _at_frame(text: str, kind: Any, flag: str) -> tuple[int, str]:
    from engines.animatediff.problems import refuse

    frame, colon, rest = text.partition(":")
    try:
        if colon and rest:
            return int(frame), rest
    except ValueError:
        pass
    raise refuse(
        kind, f"{flag} {text}: a frame's number, a colon and the rest are needed.", "Such as 8:a cat."
    )


def _make_all(clips: list[tuple[NamedClip, Path]], python: Path, options: Mapping[str, Any]) -> int:
    from engines.animatediff.problems import Refused
    from engines.animatediff.publishing import make
    from execution.step import StepFailed
    from execution.worker import close_workers

    progress = Progress()
    try:
        for each, target in clips:
            drawn = make(each.clip, python, target, progress.report, overwrite=options["overwrite"])
            click.echo(json.dumps(drawn.as_data()) if options["as_json"] else drawn.as_text())
    except StepFailed as failure:
        click.echo(f"[X] {progress.phase or 'start'}: {failure}", err=True)
        return EXIT_FAILED
    except Refused as refused:
        return _refused(refused.findings)
    finally:
        close_workers()
    return 0


class Progress:
    """Tells on standard error what is being done: a line for each phase, and on a terminal each step."""

    def __init__(self) -> None:
        self.phase = ""

    def report(self, phase: str, done: int, total: int) -> None:
        """See ``execution.step.StepRun``."""
        if phase != self.phase:
            self.phase = phase
            click.echo(f"{phase} ...", err=True)
        if total and sys.stderr.isatty():
            click.echo(f"\r{100 * done // total:3d} %\r", nl=False, err=True)


def _refused(findings: Any) -> int:
    """Print them; EXIT_WRONG_REQUEST when one is in the way, else 0."""
    marks = {"error": "[X]", "warning": "[!]", "note": "[i]"}
    errors = False
    for finding in findings:
        click.echo(f"{marks[finding.level]} {finding.as_text()}", err=True)
        errors = errors or finding.level == "error"
    return EXIT_WRONG_REQUEST if errors else 0


def command_line() -> None:
    """The command, with its own mistakes told as all others are."""
    try:
        main(standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"[X] {error.format_message()}", err=True)
        sys.exit(EXIT_WRONG_REQUEST)
    except click.Abort:
        sys.exit(130)


if __name__ == "__main__":
    command_line()
