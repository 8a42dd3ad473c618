"""Whether upstream is there: its code, its Python, and that Python's packages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Final

from config import GENERATION, Job
from engines.findings import Finding, kind
from engines.wan22 import checkout
from engines.wan22.flash_attention import flash_attention_findings
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan22.package_versions import version_findings
from engines.wan22.packages import is_upstreams, package_findings

SET_UP: Final = "python scripts/setup_wan22.py"
TWO_WAYS_OUT: Final = (
    f"Either install it: {SET_UP} (docs/install.md says what it does). "
    "Or use --engine preview, which needs no GPU and no weights."
)
_OLDEST: Final = (3, 10)
_SHOWN: Final = 3
"""Names of a long list that are shown."""
_NOT_TRIED = "Its options, files and messages may differ from those that Understudy knows."

NOT_INSTALLED = kind(
    "install.checkout", "error", "The official repository is not there", "There is nothing to run."
)
OTHER_COMMIT = kind("install.commit", "warning", "Another version of the official repository", _NOT_TRIED)
EDITED = kind("install.edited", "warning", "The official repository's code was changed", _NOT_TRIED)
INCOMPLETE = kind(
    "install.incomplete",
    "warning",
    "Files of the official repository are missing",
    "Upstream imports them at its start, even those that this model does not use.",
)
NO_PYTHON = kind(
    "install.python", "error", "Upstream's interpreter cannot be used", "Both stages are run by it."
)
OLD_PYTHON = kind(
    "install.python-old", "error", "Upstream's interpreter is too old", "Upstream's code needs Python 3.10."
)
NO_ENVIRONMENT = kind(
    "install.environment",
    "error",
    "An interpreter without upstream's packages",
    "Upstream's scripts run in a Python of their own, with other versions than Understudy's.",
)


def installation_findings(job: Job) -> Iterator[Finding]:
    """What is missing of the checkout, its Python and the packages of the job's stages."""
    code = list(code_findings(job))
    yield from code
    if any(finding.level == "error" for finding in code):
        return
    python = list(python_findings(job))
    yield from python
    if not python:
        yield from packages_findings(job)
        if GENERATION in job.stages:
            yield from flash_attention_findings(probe_interpreter(job.wan22_python))


def code_findings(job: Job) -> Iterator[Finding]:
    """Whether the checkout is there, and whether it is upstream's."""
    if missing := checkout.missing_scripts(job):
        what = f"The wan22 engine is not installed: {missing[0]} does not exist."
        yield NOT_INSTALLED.found(what, TWO_WAYS_OUT)
        return
    found = checkout.differences(job.wan22_dir)
    if not (found.edited or found.missing):
        return
    pinned = checkout.UPSTREAM_COMMIT
    remedy = f"If it fails: git -C {job.wan22_dir} checkout {pinned[:7]}"
    commit = checkout.commit_of(job.wan22_dir)
    if commit is not None and commit != pinned:
        what = f"{job.wan22_dir} is at commit {commit[:7]}; this was written for {pinned[:7]}."
        yield OTHER_COMMIT.found(what, remedy)
        return
    if found.edited:
        what = f"{_some(found.edited)} in {job.wan22_dir} differ(s) from commit {pinned[:7]}."
        yield EDITED.found(what, remedy)
    if found.missing:
        what = f"{_some(found.missing)} is/are missing in {job.wan22_dir}."
        yield INCOMPLETE.found(what, remedy)


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def python_findings(job: Job) -> Iterator[Finding]:
    """Whether upstream's interpreter can be used; nothing means that it can be asked for its packages."""
    path = job.wan22_python
    remedy = "Give the interpreter of upstream's environment."
    if not os.access(path, os.X_OK) or path.is_dir():
        yield NO_PYTHON.found(f"--wan22_python: {path} is not a program that can be started.", remedy)
        return
    try:
        python = probe_interpreter(path)
    except InterpreterError as error:
        yield NO_PYTHON.found(f"--wan22_python: {path} {error}.", remedy)
        return
    if python.python[:2] < _OLDEST:
        version = ".".join(map(str, python.python))
        what = f"--wan22_python: {path} is Python {version}; upstream needs 3.10, 3.11 or 3.12."
        yield OLD_PYTHON.found(what, "Make upstream's environment with one of these.")
        return
    if not is_upstreams(python):
        what = f"--wan22_python: {path} has none of upstream's packages."
        remedy = f"Make an environment with them: {SET_UP} --only env. Or name the interpreter that has them."
        yield NO_ENVIRONMENT.found(what, remedy)


def packages_findings(job: Job) -> Iterator[Finding]:
    """What is installed for an interpreter in which ``python_findings`` finds nothing; flash-attn aside.

    Raises:
        InterpreterError: it does not answer.
    """
    python = probe_interpreter(job.wan22_python)
    yield from package_findings(job, python)
    yield from version_findings(job, python)
