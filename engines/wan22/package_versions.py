"""Versions of upstream's packages that cannot work, or that upstream does not declare."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config import PREPROCESSING, Job
from engines.findings import Finding, kind
from engines.wan22.interpreter import Interpreter
from engines.wan22.packages import OPENCV, install_command, release

DIFFUSERS = kind(
    "install.diffusers",
    "error",
    "diffusers is too old",
    "Stage 1 imports FluxKontextPipeline in every mode; diffusers has it from 0.35.0 on.",
)
NUMPY = kind(
    "install.numpy",
    "error",
    "NumPy 2 in upstream's environment",
    "With it moviepy, stage 1's only writer, repeats and drops frames in silence: up to 4 of 10 are wrong.",
)
VERSIONS = kind(
    "install.versions",
    "warning",
    "Versions that upstream does not declare",
    "Upstream was written for other versions; imports and arguments that it relies on may be gone.",
)

_DECLARED: Final = {
    # package: (from, up to and including)
    "torch": ("2.4", None),
    "torchvision": ("0.19", None),
    "opencv-python": ("4.9.0.80", None),
    "transformers": ("4.49", "4.51.3"),
    "tokenizers": ("0.20.3", None),
    "accelerate": ("1.1.1", None),
    "diffusers": ("0.31", None),
    "numpy": ("1.23.5", "1.26.4"),
}
"""What upstream's requirement files ask for."""
_DIFFUSERS_WITH_FLUX: Final = "0.35.0"
_NUMPY_1_LAST_PYTHON: Final = (3, 12)
"""NumPy 1.26 has no wheels for a newer Python."""


def version_findings(job: Job, python: Interpreter) -> Iterator[Finding]:
    """What is installed in a version that does not fit."""
    said = set()
    if PREPROCESSING in job.stages:
        yield from _of_stage_1(python)
        said = {"numpy", "diffusers"}
    wrong = [text for name in _DECLARED if name not in said and (text := _undeclared(python, name))]
    if wrong:
        what = f"{python.path} has {', '.join(wrong)}."
        yield VERSIONS.found(what, "Install the versions that upstream declares if it fails.")


def _of_stage_1(python: Interpreter) -> Iterator[Finding]:
    diffusers = python.version_of("diffusers")
    if diffusers is not None and release(diffusers) < release(_DIFFUSERS_WITH_FLUX):
        what = f"diffusers {diffusers} in {python.path} is older than {_DIFFUSERS_WITH_FLUX}."
        yield DIFFUSERS.found(what, f"Install: {install_command(python, 'diffusers>=0.35')}")
    numpy = python.version_of("numpy")
    if numpy is not None and release(numpy) >= (2,):
        what = f"NumPy {numpy} in {python.path}; upstream needs 1.26."
        too_new = python.python[:2] > _NUMPY_1_LAST_PYTHON
        remedy = f"Install: {install_command(python, 'numpy<2')}"
        if too_new:
            remedy = (
                "Make upstream's environment with Python 3.10 to 3.12: NumPy 1.26 has none for newer ones."
            )
        yield NUMPY.found(what, remedy)


def _undeclared(python: Interpreter, name: str) -> str | None:
    """What upstream says about the installed version of a package, if that is another one."""
    lowest, highest = _DECLARED[name]
    installed = python.version_of(*(OPENCV if name == "opencv-python" else (name,)))
    if installed is None:
        return None
    if release(installed) < release(lowest):
        return f"{name} {installed} (upstream: {lowest} or later)"
    if highest is not None and release(installed) > release(highest):
        return f"{name} {installed} (upstream: {highest} at most)"
    return None
