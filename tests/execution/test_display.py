"""What a person sees, with a clock that the test turns."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from execution.display import Display
from execution.record import Reason, Why
from execution.step import Progress
from tests.execution.made_up_steps import command_step


class Screen:
    """A display, the clock that it reads, and what it wrote."""

    def __init__(self, *, terminal: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.file = io.StringIO()
        self.now = 100.0
        console = Console(file=self.file, force_terminal=terminal, width=120, color_system=None, emoji=False)
        self.display = Display(console, quiet=quiet, verbose=verbose, get_time=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.fixture
def step(tmp_path):
    return command_step(tmp_path / "made", title="Stage 2 [animate]")


LOG = Path("/log/[of] it.log")
NEW = (Why(Reason.NEW, "it has not run before"),)


def test_a_step_is_told_from_start_to_end(step):
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    screen.display.finished(step, 75.0)
    screen.display.skipped(step)
    assert screen.lines == [
        "▸ Stage 2 [animate]",
        "✓ Stage 2 [animate]: done in 1 min 15 s",
        "• Stage 2 [animate]: up to date, skipped",
    ]


def test_why_it_runs_again_is_told_and_why_it_is_new_only_when_asked(step):
    screen = Screen()
    screen.display.started(step, (Why(Reason.SETTING, "fps changed from 30 to [24]"),), LOG)
    assert "(because fps changed from 30 to [24])" in screen.lines[0]
    verbose = Screen(verbose=True)
    verbose.display.started(step, NEW, LOG)
    assert "because it has not run before" in verbose.lines[0] and str(LOG) in verbose.lines[1]


def test_quiet_says_nothing(step):
    screen = Screen(quiet=True, terminal=True)
    screen.display.started(step, NEW, LOG)
    screen.display.progressed(Progress("generating", 0.5))
    screen.display.ending()
    screen.display.finished(step, 1.0)
    assert screen.lines == []


def test_without_a_terminal_the_progress_is_a_few_plain_lines(step):
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    for number in range(101):
        screen.now += 1
        screen.display.progressed(Progress("generating", number / 100, f"step {number} of 100"))
    told = screen.lines[1:]
    assert [line.split(" (")[0].strip() for line in told] == [
        *("generating 0%", "generating 25%", "generating 50%", "generating 75%", "generating 100%"),
    ]
    assert told[1] == "  generating 25% (step 25 of 100, 1 min 15 s left)"


def test_a_new_phase_is_told_at_once_and_one_without_a_count_once(step):
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    for progress in (
        Progress("loading models"),
        Progress("loading models", None, "VAE"),
        Progress("generating", 0.0),
    ):
        screen.display.progressed(progress)
    assert screen.lines[1:] == ["  loading models", "  generating 0%"]


def test_time_left_goes_by_the_pace_of_the_phase(step):
    """Minutes of loading must not count as slow generating."""
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    screen.display.progressed(Progress("loading models"))
    screen.now += 600
    screen.display.progressed(Progress("generating", 0.0))
    screen.now += 30
    screen.display.progressed(Progress("generating", 0.5))
    assert screen.lines[-1] == "  generating 50% (30 s left)"


def test_no_time_left_is_guessed_from_nothing(step):
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    screen.display.progressed(Progress("generating", 0.5))
    screen.now += 0.5
    screen.display.progressed(Progress("generating", 0.9))
    assert not any("left" in line for line in screen.lines)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("text", ["[/]", "[/x]", "[red]", "a :bug: b", "[link=x", "{0}", "%s"])
def test_any_text_of_upstreams_is_shown_as_it_is(tmp_path, terminal, text):
    """Brackets are markup to rich: a stray [/x] in a log line must not end an hour's run."""
    step = command_step(tmp_path / "made", title=text)
    screen = Screen(terminal=terminal)
    screen.display.started(step, (Why(Reason.SETTING, text),), Path(text))
    screen.display.progressed(Progress(text, 0.5, text))
    screen.display.progressed(Progress(text, None, text))
    screen.display.finished(step, 1.0)
    shown = screen.file.getvalue()
    assert shown.count(text) >= 3 + (not terminal)


def test_on_a_terminal_one_line_moves_and_is_gone_at_the_end(step):
    screen = Screen(terminal=True)
    screen.display.started(step, NEW, LOG)
    screen.display.progressed(Progress("generating", 0.5, "window 1 of 2"))
    assert screen.display._bar is not None
    screen.display._bar.refresh()
    assert "generating" in screen.file.getvalue() and "window 1 of 2" in screen.file.getvalue()
    screen.display.stopped()
    assert screen.display._bar is None
    screen.display.stopped()


def test_the_wait_at_the_end_is_explained(step):
    screen = Screen()
    screen.display.started(step, NEW, LOG)
    screen.display.ending()
    assert "Ctrl-C once more" in screen.lines[-1]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7260, "2 h 01"),
    ],
)
def test_times_are_told_for_people(step, seconds, told):
    screen = Screen()
    screen.display.finished(step, seconds)
    assert told in screen.lines[0]
