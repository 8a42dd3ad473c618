"""One run of a set-up command: what a person sees of it, and how it starts other programs.

Addresses may hold passwords, and programs may repeat them: nothing is shown before secrets are taken out.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from execution.cache_folder import cache_folder
from execution.secrecy import without_secrets
from set_up.errors import SetUpError

if TYPE_CHECKING:
    from rich.console import Console

_LAST_LINES: Final = 12
_GRACE_SECONDS: Final = 5.0
"""git and pip end soon after they are asked to."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where words go, and whether anything is done at all."""

    console: Console
    """Standard error: what happens now. Results go to standard output."""
    dry_run: bool = False
    """Commands are printed and nothing is changed."""
    verbose: bool = False
    """What other programs say is shown while they say it."""

    def part(self, title: str) -> None:
        """The headline of a part."""
        self._print(title, "bold")

    def say(self, text: str) -> None:
        """One line on what happens, or on what is there."""
        self._print(f"  {text}")

    def note(self, text: str) -> None:
        """Something to know."""
        self._print(f"  note: {text}", "cyan")

    def warn(self, text: str) -> None:
        """Something that may not be meant."""
        self._print(f"  warning: {text}", "yellow")

    def error(self, error: SetUpError) -> None:
        """What failed, and what to do."""
        self._print(f"  error: {error}", "bold red")

    def run(
        self,
        argv: Sequence[str],
        *,
        doing: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        remedy: str = "",
    ) -> str:
        """Print a command, and run it to its end unless this is a dry run; its whole output as text.

        It runs under the supervisor: when this process dies, however it dies, the command's tree ends too, so
        that a second set-up never works beside what is left of the first.

        Args:
            doing: what it does, for the message if it fails: "cloning the repository".
            environment: variables beside those of this process.
            remedy: what to do if it fails, full sentences.

        Raises:
            SetUpError: it cannot be started, or its exit code is not 0; with its last lines.
        """
        self._print(f"  $ {as_typed(argv, environment)}", "dim")
        if self.dry_run:
            return ""
        from execution.process import SupervisedProcess

        log = cache_folder() / "set_up" / f"{os.getpid()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        lines: list[str] = []

        def keep(line: str) -> None:
            lines.append(line)
            if self.verbose:
                self._print(f"    {line}", "dim")

        process = SupervisedProcess(
            argv, cwd=folder, env=environment or {}, log=log, grace_seconds=_GRACE_SECONDS
        )
        with process:
            code = process.follow(keep)
        log.unlink(missing_ok=True)
        if code:
            last = "\n".join(f"    {line}" for line in lines[-_LAST_LINES:] if line.strip())
            raise SetUpError(without_secrets(f"{doing} failed (exit code {code}):\n{last}\n"), remedy)
        return "\n".join(lines)

    def _print(self, text: str, style: str | None = None) -> None:
        self.console.print(without_secrets(text), style=style, soft_wrap=True, markup=False, highlight=False)


def as_typed(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    """A command as one types it in this system's shell."""
    words = subprocess.list2cmdline(argv) if os.name == "nt" else shlex.join(argv)
    variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in (environment or {}).items())
    return f"{variables} {words}".strip()
