"""What a person sees while steps run: one line that updates, or plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from execution.record import Reason, Why
from execution.step import Progress, Step
from execution.words import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

_PLAIN_SHARE = 0.25


class Display:
    """Watcher for people, on a rich console. ``get_time`` is for tests."""

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        verbose: bool = False,
        get_time: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console = console
        self.quiet = quiet
        self.verbose = verbose
        self._get_time = get_time
        self._bar: Bar | None = None
        self._phase = ""
        self._phase_began = 0.0
        self._phase_share = 0.0
        self._printed_share = 0.0

    def skipped(self, step: Step) -> None:
        """Say that nothing had to be done."""
        self._say(f"[dim]•[/] {_plain(step.title)}: up to date, skipped")

    def started(self, step: Step, why: Sequence[Why], log: Path) -> None:
        """Open the line of the step."""
        told = [reason.text for reason in why if self.verbose or reason.reason is not Reason.NEW]
        because = f" [dim](because {_plain('; '.join(told))})[/]" if told else ""
        self._say(f"[bold]▸[/] {_plain(step.title)}{because}")
        if self.verbose:
            self._say(f"  [dim]log: {_plain(str(log))}[/]")
        self._phase, self._printed_share, self._phase_share = "", 0.0, 0.0
        self._phase_began = self._get_time()
        if self.console.is_terminal and not self.quiet:
            self._bar = self._open_bar()

    def progressed(self, progress: Progress) -> None:
        """Move the line."""
        share = progress.fraction or 0.0
        if progress.phase != self._phase:
            self._phase, self._phase_began, self._phase_share = progress.phase, self._get_time(), share
            self._printed_share = -1.0
        left = self._seconds_left(share)
        detail = ", ".join(filter(None, [progress.detail, f"{duration(left)} left" if left else ""]))
        if self._bar is not None:
            total = None if progress.fraction is None else 1.0
            self._bar.update(
                self._bar.task_ids[0],
                total=total,
                completed=share,
                phase=_plain(progress.phase),
                detail=_plain(detail),
            )
        elif share - self._printed_share >= _PLAIN_SHARE or self._printed_share < 0:
            self._printed_share = share
            percent = "" if progress.fraction is None else f" {share:.0%}"
            self._say(_plain(f"  {progress.phase}{percent}" + (f" ({detail})" if detail else "")))

    def finished(self, step: Step, seconds: float) -> None:
        """Close the line."""
        self._close_bar()
        self._say(f"[green]✓[/] {_plain(step.title)}: done in {duration(seconds)}")

    def ending(self) -> None:
        """Say that the wait has a reason: torchrun alone gives its ranks half a minute."""
        self._close_bar()
        self._say("Ending its processes, gently. Ctrl-C once more kills them at once.")

    def stopped(self) -> None:
        """Close the line without a verdict: the error that follows gives it."""
        self._close_bar()

    def _seconds_left(self, share: float) -> float | None:
        """Time left by the pace since the phase began; None until there is something to go by."""
        elapsed = self._get_time() - self._phase_began
        gained = share - self._phase_share
        if gained <= 0.01 or elapsed < 1.0:
            return None
        return elapsed / gained * (1.0 - share)

    def _say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(text, highlight=False, soft_wrap=True)

    def _open_bar(self) -> Bar:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        columns = (
            TextColumn("  {task.fields[phase]}"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("[dim]{task.fields[detail]}[/]"),
        )
        bar = Bar(*columns, console=self.console, transient=True, refresh_per_second=5, redirect_stderr=False)
        bar.add_task("", total=None, phase="starting", detail="")
        bar.start()
        return bar

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _plain(text: str) -> str:
    """Text whose square brackets rich must not take for markup."""
    from rich.markup import escape

    return escape(text)
