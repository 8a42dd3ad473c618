"""The Python that has torch and diffusers: which packages it has, and whether they will do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from engines.animatediff.problems import DEVICE, PACKAGES
from engines.findings import Finding

REQUIREMENTS: Final = "requirements-animatediff.txt"
_NEEDED: Final = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow")
_FOR_LORAS: Final = "peft"
_DIFFUSERS_FROM, _DIFFUSERS_BEFORE = (0, 36), (0, 43)
_SECONDS: Final = 30
_QUESTION: Final = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": ".".join(map(str, sys.version_info[:3]))}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Packages:
    """What a Python answered. ``wrong`` says why it did not."""

    versions: Mapping[str, str]
    wrong: str = ""


def packages_of(python: Path) -> Packages:
    """Versions of what the engine needs, by the Python's own word; nothing heavy is imported there."""
    return _packages_of(python, os.environ.get("PYTHONPATH"))


@cache
def _packages_of(python: Path, _path: str | None) -> Packages:
    command = [str(python), "-c", _QUESTION, *_NEEDED, _FOR_LORAS, "xformers"]
    try:
        # Safe path: nothing is found in the folder in which somebody happens to be.
        environment = {**os.environ, "PYTHONSAFEPATH": "1"}
        answered = subprocess.run(
            command, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
        versions = json.loads(answered.stdout)
    except OSError as error:
        return Packages({}, f"{python} cannot be started ({error.strerror}).")
    except (subprocess.TimeoutExpired, ValueError):
        return Packages({}, f"{python} is no Python 3.11 or newer: it does not say what it has.")
    return Packages({str(name): str(version) for name, version in versions.items()})


def package_findings(python: Path, *, with_loras: bool) -> Iterator[Finding]:
    """What the Python lacks."""
    found = packages_of(python)
    if found.wrong:
        yield PACKAGES.found(found.wrong, "Give --animatediff_python.")
        return
    needed = (*_NEEDED, _FOR_LORAS) if with_loras else _NEEDED
    missing = [name for name in needed if name not in found.versions]
    if missing:
        yield PACKAGES.found(f"{python} lacks {', '.join(missing)}.", f"Run: {install_command(python)}")
    version = found.versions.get("diffusers")
    if version and not _DIFFUSERS_FROM <= _numbers(version) < _DIFFUSERS_BEFORE:
        low, high = (".".join(map(str, each)) for each in (_DIFFUSERS_FROM, _DIFFUSERS_BEFORE))
        what = f"{python} has diffusers {version}; {low} or newer and older than {high} is needed."
        yield PACKAGES.found(what, f"Run: {install_command(python)}")


def device_findings(device: str) -> Iterator[Finding]:
    """Whether the GPU that was asked for is there."""
    if device != "cuda":
        return
    from engines.machine import gpus

    if not gpus():
        what = "A GPU was asked for, and no NVIDIA driver answers."
        yield DEVICE.found(what, "Leave the device to auto, or look at nvidia-smi.")


def install_command(python: Path) -> str:
    """What installs the packages into that Python."""
    name = "python" if python == Path(sys.executable) else str(python)
    return f"{name} -m pip install -r {REQUIREMENTS}"


def _numbers(version: str) -> tuple[int, ...]:
    parts: Sequence[str] = version.split(".")[:2]
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
