"""Models that run in a worker: those of users' packages, and all of them where ``--frame_python`` is given.

Our own process never imports what a package brings.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config import NO_PATH, Job
from engines.frame import registry
from engines.frame.configuration import FrameConfiguration
from engines.frame.model import ModelError
from engines.frame.tuning import remembered_batch
from engines.timing import Timing
from execution.step import StepRun
from execution.worker import HARNESS, run_in_worker

_HERE: Final = Path(__file__).parent
_PATIENCE: Final = 20.0
"""Seconds until an interpreter counts as one that does not answer."""
CODE: Final = (HARNESS,)


@dataclass(frozen=True)
class Interpreter:
    """What a Python has for frame models."""

    missing: tuple[str, ...]
    """Modules that the runner needs and it lacks."""
    models: Mapping[str, str]
    """The package, with its version, that brings each model."""


@functools.lru_cache(maxsize=8)
def look(python: Path) -> Interpreter:
    """Ask an interpreter, once in this process.

    Raises:
        ModelError: it cannot be started, or does not answer.
    """
    try:
        done = subprocess.run(
            [str(python), str(_HERE / "describe_models.py")],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONSAFEPATH": "1", "PYTHONWARNINGS": "ignore"},
            timeout=_PATIENCE,
            check=False,
        )
        facts = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        return Interpreter(tuple(facts["missing"]), dict(facts["models"]))
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{python} did not answer within {_PATIENCE:.0f} seconds.") from error
    except OSError as error:
        raise ModelError(f"{python} cannot be started ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"{python} does not answer as a Python 3 does.") from error


def known_models(job: Job) -> dict[str, str]:
    """Every model that the job's Python has, and what brings it.

    Raises:
        ModelError: two have one name, or the Python cannot be asked.
    """
    if job.frame_python == NO_PATH:
        return {name: entry.brought_by for name, entry in registry.entries().items()}
    own = {name: entry.brought_by for name, entry in registry.own_entries().items()}
    return {**look(job.frame_python).models, **own}


def is_wanted(job: Job, configuration: FrameConfiguration) -> bool:
    """Whether the job's model runs in a worker."""
    return job.frame_python != NO_PATH or configuration.model not in registry.own_entries()


def render(
    job: Job, configuration: FrameConfiguration, timing: Timing, output: Path, run: StepRun
) -> dict[str, Any]:
    """As ``runner.render``, in the worker. Returns the facts for the record.

    Raises:
        StepFailed: the model failed, or the worker died.
    """
    python = sys.executable if job.frame_python == NO_PATH else str(job.frame_python)
    path, video = configuration.model_path, timing.sampled_video
    work = {
        "configuration": {
            "model": configuration.model,
            "model_path": None if path is None else str(path),
            "gpu_id": configuration.gpu_id,
            "batch_size": configuration.batch_size or remembered_batch(configuration) or 1,
            "missing": configuration.missing,
            "options": dict(configuration.options),
        },
        "timing": {
            "rate": str(timing.rate),
            "sampled_video": None if video is None else str(video),
            "fps": timing.fps,
        },
        "folder": str(job.src_root_path),
        "output": str(output),
        "replace": job.replace,
    }
    return run_in_worker("frame", [python, str(_HERE / "worker.py")], work, run)
