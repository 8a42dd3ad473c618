"""What a person, or a program, is shown of a request: findings, prediction, plan, result."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console

    from commands.report import Report, RunOptions
    from engines.findings import Finding
    from engines.interface import Prediction


def show(report: Report, console: Console, options: RunOptions) -> None:
    if options.as_json:
        print_result(json.dumps(report.as_data(), indent=2, ensure_ascii=False))
        return
    for finding in report.findings:
        if finding.level == "error" or not options.quiet:
            print_finding(console, finding, with_why=options.verbose or options.check)
    if report.predicted is not None and not options.quiet and not report.refused:
        console.print(prediction_in_words(report.predicted, report.estimate), soft_wrap=True, style="dim")
    if report.refused and not options.only_shows:
        console.print("Nothing was started.")
    if options.check and not report.refused and not options.quiet:
        console.print("Nothing stands in the way.")
    for entry in report.planned or ():
        print_result(entry.as_explanation() if options.explain else entry.as_line())


def prediction_in_words(predicted: Prediction, estimate: str) -> str:
    """One line on what will come out, and what it will cost."""
    parts = [f"Result: {predicted.width}x{predicted.height}, {predicted.frames} frames"]
    if predicted.windows is not None:
        windows = "1 window" if predicted.windows == 1 else f"{predicted.windows} windows"
        parts.append(f"{windows} of {predicted.frame_num} frames")
        surplus = f"{predicted.surplus_frames} surplus"
        if predicted.surplus_frames_at_77 is not None and predicted.frame_num != 77:
            surplus += f" (with 77: {predicted.surplus_frames_at_77})"
        parts.append(surplus)
    text = ", ".join(parts) + "."
    return f"{text} {estimate}".strip()


def print_result(text: str) -> None:
    """On standard output. What it cannot encode is escaped: a finished run must not end in an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"  # None: a closed standard output
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


def print_finding(console: Console, finding: Finding, *, with_why: bool) -> None:
    """What, in full why, what to do, and the code that --ignore takes."""
    from rich.text import Text

    why = f" {finding.why}" if with_why else ""
    text = Text.assemble(
        (f"{finding.level}: ", _COLOURS[finding.level]),
        f"{finding.what.strip()}{why} {finding.remedy}".strip(),
        (f" [{finding.code}]", "dim"),
    )
    console.print(text, soft_wrap=True)


def print_problem(console: Console, level: str, text: str) -> None:
    """A message that has no code."""
    from rich.text import Text

    console.print(Text.assemble((f"{level}: ", _COLOURS[level]), text.strip()), soft_wrap=True)


_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
