"""Facts about upstream's Python, found without importing any of its packages."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SCRIPT: Final = Path(__file__).with_name("describe_python.py")
_PATIENCE: Final = 20.0
"""Seconds until an interpreter counts as one that does not answer. A cold network folder takes a few."""
_MODULES: Final = (
    *("accelerate", "cv2", "dashscope", "decord", "diffusers", "easydict", "einops", "flash_attn"),
    *("flash_attn_2_cuda", "ftfy"),
    *(
        "hydra",
        "imageio",
        "imageio_ffmpeg",
        "librosa",
        "loguru",
        "matplotlib",
        "moviepy",
        "numpy",
        "omegaconf",
    ),
    *(
        "onnxruntime",
        "peft",
        "PIL",
        "regex",
        "sam2",
        "safetensors",
        "sentencepiece",
        "torch",
        "torchvision",
        "tqdm",
        "transformers",
    ),
)
"""Modules whose place is asked for, so that one installed without metadata is not called missing."""


class InterpreterError(Exception):
    """It is no Python that can be asked. The message says why, as the end of a sentence about the file."""


@dataclass(frozen=True)
class Interpreter:
    """A Python interpreter and what is installed for it."""

    path: Path
    python: tuple[int, ...]
    """Version: major, minor, micro."""
    platform: str
    """As ``sys.platform`` has it."""
    prefix: Path
    suffix: str
    """End of the names of compiled modules, such as ``.cpython-311-x86_64-linux-gnu.so``."""
    packages: Mapping[str, str]
    """Version of each installed package, by normalised name (lower case, dashes)."""
    metadata: Mapping[str, Path]
    """Where each package's metadata lie, by the same name: a .dist-info or .egg-info beside its modules."""
    modules: Mapping[str, Path]
    """Folder or file of some modules that upstream imports, those that were found."""

    def version_of(self, *names: str) -> str | None:
        """Version of the first of these packages that is installed."""
        return next((self.packages[name] for name in names if name in self.packages), None)


def normalised(name: str) -> str:
    """A package's name as all its spellings have in common: ``SAM_2`` and ``sam.2`` are ``sam-2``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def probe_interpreter(path: Path) -> Interpreter:
    """Ask an interpreter; once in this process, until it or what is installed for it changes.

    Raises:
        InterpreterError: it cannot be started, does not answer, or is no Python 3.
    """
    return _probe(path, _stamp(path))


def _stamp(path: Path) -> tuple[int, ...]:
    """Changes when the interpreter does, or when a package is installed or removed."""
    prefix = path.parent.parent
    folders = (*prefix.glob("lib*/python3*/site-packages"), prefix / "Lib" / "site-packages")
    return tuple(_modified(place) for place in (path, *folders))


def _modified(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=16)
def _probe(path: Path, stamp: tuple[int, ...]) -> Interpreter:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"}
    try:
        done = subprocess.run(
            [str(path), str(_SCRIPT), *_MODULES],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InterpreterError(f"did not answer within {_PATIENCE:.0f} seconds") from error
    except OSError as error:
        raise InterpreterError(f"cannot be started ({error.strerror})") from error
    try:
        # The last line is ours: what .pth files and sitecustomize print comes before.
        facts = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        return _interpreter(path, facts)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = f"it said: {said[-1][:200]}" if said else f"exit code {done.returncode}"
        raise InterpreterError(f"does not answer as a Python 3 does ({reason})") from error


def _interpreter(path: Path, facts: Mapping[str, object]) -> Interpreter:
    """The interpreter by its own answer. Raises ValueError, KeyError or TypeError for any other answer."""
    distributions, modules, python = facts["distributions"], facts["modules"], facts["python"]
    if not (isinstance(distributions, dict) and isinstance(modules, dict) and isinstance(python, list)):
        raise TypeError("not our answer")
    return Interpreter(
        path=path,
        python=tuple(map(int, python)),
        platform=str(facts["platform"]),
        prefix=Path(str(facts["prefix"])),
        suffix=str(facts["suffix"]),
        packages={normalised(name): str(entry[0]) for name, entry in distributions.items()},
        metadata={normalised(name): Path(entry[1]) for name, entry in distributions.items()},
        modules={name: Path(place) for name, place in modules.items()},
    )
