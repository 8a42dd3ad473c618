"""What a run was asked for, and what is known of it before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engines.findings import Finding
    from engines.interface import Prediction
    from execution.runner import Planned


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The flags that are about one run and no setting. See ``command_line._run_options`` for their help."""

    config: str | None = None
    check: bool = False
    look: bool = False
    dry_run: bool = False
    explain: bool = False
    as_json: bool = False
    ignore: tuple[str, ...] = ()
    rerun: str | None = None
    verify: str | None = None
    force: bool = False
    verbose: bool = False
    quiet: bool = False

    @property
    def only_shows(self) -> bool:
        """Whether nothing is to be run."""
        return self.check or self.dry_run or self.explain


@dataclass
class Report:
    """What is known before anything starts."""

    findings: Sequence[Finding]
    predicted: Prediction | None = None
    planned: Sequence[Planned] | None = None
    estimate: str = ""

    @property
    def refused(self) -> bool:
        """Whether a finding is in the way."""
        return any(finding.level == "error" for finding in self.findings)

    def as_data(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        data: dict[str, Any] = {
            "findings": [asdict(finding) for finding in self.findings],
            "predicted": None if self.predicted is None else self.predicted.as_data(),
        }
        if self.estimate:
            data["estimate"] = self.estimate
        if self.planned is not None:
            data["steps"] = [entry.as_data() for entry in self.planned]
        return data
