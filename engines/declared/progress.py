"""Read a tool's output: bars with their labels, and the words that begin a phase."""

from __future__ import annotations

import re
from collections.abc import Mapping

from execution.step import Progress

# Lengths are bounded: an expression that may run on is slow on a long line, and int() refuses long numbers.
_BAR = re.compile(
    r"(?:([^\r\n%|]{1,60}?)(?::\s{0,4}|\s{1,4}))?\d{1,3}%\|[^|]{0,200}\|\s{0,4}(\d{1,9})/(\d{1,9})\s{1,4}\["
)


class PhaseReader:
    """Progress by a table of labels and words."""

    def __init__(self, phases: Mapping[str, str], first: str = "working") -> None:
        self._phases = phases
        self._phase = first

    def read(self, line: str) -> Progress | None:
        """See :class:`execution.step.ProgressReader`."""
        begins = next((phase for word, phase in self._phases.items() if word in line), None)
        if begins is not None:
            self._phase = begins
        bars = _BAR.findall(line) if "%|" in line else []
        if bars and int(bars[-1][2]):
            done, total = int(bars[-1][1]), int(bars[-1][2])
            return Progress(self._phase, min(1.0, done / total), f"{done} of {total}")
        return Progress(self._phase) if begins is not None else None
