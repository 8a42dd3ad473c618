"""What every engine offers: check a Job before anything starts, predict its result, and plan its Steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from config import Job
from engines.findings import Finding
from execution.history import Work
from execution.step import Step


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a Job will make, as far as it can be known before anything runs."""

    width: int
    height: int
    frames: int
    """Frames of the result: those that stage 1 will write."""
    frame_num: int | None = None
    """Length of a window in frames; None for an engine that knows no windows, as all of the next."""
    windows: int | None = None
    surplus_frames: int | None = None
    """Frames that are generated and thrown away."""
    tokens: int | None = None
    """Tokens of one window: what a diffusion step's time and memory grow with."""
    windows_at_77: int | None = None
    """What upstream's fixed window length would need."""
    surplus_frames_at_77: int | None = None

    def as_data(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """One thing that an engine needs of the installation or of the machine, and how it is."""

    area: str
    """What it is, in a word or three: "packages"."""
    fine: str
    """What is there, in a few words."""
    findings: tuple[Finding, ...] = ()
    """What is wrong with it; nothing means that it works."""
    mend: str = ""
    """The one command that mends it; empty where no command does."""
    needed: bool = True
    """Whether the engine cannot work at all without it; else some of its flags cannot."""

    @property
    def state(self) -> str:
        """``works``, ``warning``, ``missing``, or ``optional`` for what is missing and not needed."""
        levels = {finding.level for finding in self.findings}
        if "error" in levels:
            return "missing" if self.needed else "optional"
        return "warning" if "warning" in levels else "works"


class Engine(Protocol):
    """One upstream system."""

    name: str
    uses_gpu: bool

    def check(self, job: Job) -> Sequence[Finding]:
        """Look for what would make the job fail, in well under a second, importing nothing heavy."""

    def examine(self, job: Job) -> Iterable[Examined]:
        """The installation and the machine alone, whatever the job's media: for ``scripts/doctor.py``."""

    def predict(self, job: Job) -> Prediction | None:
        """What the job will make; None while its media cannot be read (``check`` says why)."""

    def plan(self, job: Job) -> Iterable[Step]:
        """The Steps of the job's stages, in order, each made when it is asked for.

        A Step may depend on what the Steps before it left, if they have run by then, else on the prediction.
        """

    def describe(self, job: Job) -> Mapping[str, Any]:
        """Facts of today that a step's record keeps too, by the same names: upstream's commit, versions."""

    def workload(self, job: Job, predicted: Prediction) -> Mapping[str, Work]:
        """The work of each step by its name."""

    def relief(self, job: Job, cause: str) -> tuple[Job, str] | None:
        """The job made to need less memory by one rung, and that rung in words; None at the end.

        ``cause`` is what failed: ``execution.step.GPU_MEMORY`` or ``HOST_MEMORY``.
        """
