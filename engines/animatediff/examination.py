"""What the engine needs, thing by thing: packages in its Python, weights, and a GPU for more than a trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from config import Job
from engines.animatediff import checking, interpreter, problems
from engines.animatediff.plan import clip_of
from engines.interface import Examined

_OF_WEIGHTS = (
    problems.CHECKPOINT.code,
    problems.ADAPTER.code,
    problems.FAMILY.code,
    problems.PIPELINE_CONFIG.code,
)


def examine(job: Job) -> Iterator[Examined]:
    """Packages, then configuration and weights."""
    python = job.animatediff_python
    versions = interpreter.packages_of(python).versions
    fine = ", ".join(f"{name} {versions[name]}" for name in ("diffusers", "torch") if name in versions)
    lacking = tuple(interpreter.package_findings(python, with_loras=True))
    yield Examined(
        area="packages",
        fine=f"{fine} in {python}",
        findings=lacking,
        mend=interpreter.install_command(python),
    )
    try:
        clip = clip_of(replace(job, animatediff_loras=None))
    except problems.Refused as refused:
        yield Examined(area="weights", fine="", findings=refused.findings)
        return
    found = tuple(each for each in checking.clip_findings(clip) if each.code in _OF_WEIGHTS)
    yield Examined(area="weights", fine=f"{clip.checkpoint}, {clip.motion_adapter}", findings=found)
