"""A stand-in for the official Wan2.2 repository, for integration tests.

It runs as real subprocesses (PyAV, NumPy and OpenCV are what it needs), in about a second, and writes small
real videos in upstream's formats. It misbehaves on request; the environment variables that steer it are
listed in `checkout/standin_support.py`. What it is held against lies in `tests/data/`.

    checkout = make_standin(tmp_path / "Wan2.2")
    checkpoints = make_checkpoints(tmp_path / "Wan2.2-Animate-14B")
    subprocess.run([interpreter(checkout), checkout / "generate.py", ...])

The checkout has an environment of its own, `.venv` (`python.py`), and the weights are valid in their formats
(`weights.py`), so that a check finds nothing wrong. `machine/` holds a stand-in for the library that tells
which GPUs there are: it has to be first on the import path of what is to see them.

A command `python -m torch.distributed.run ...` must find the stand-in's own torch: start it with
`standin_environment(checkout)`, which puts the checkout on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.standin.python import PACKAGES, interpreter, make_environment, remove_package, set_version
from tests.standin.weights import SHARD_COUNT, make_checkpoints

__all__ = [
    "MACHINE", "PACKAGES", "SHARD_COUNT", "STAGE_1", "STAGE_2", "interpreter", "make_checkpoints",
    "make_standin", "read_record", "remove_package", "set_version", "standin_environment",
]  # fmt: skip

TEMPLATE = Path(__file__).parent / "checkout"
MACHINE = Path(__file__).parent / "machine"
STAGE_1 = Path("wan/modules/animate/preprocess/preprocess_data.py")
STAGE_2 = Path("generate.py")


def make_standin(folder: Path) -> Path:
    """Lay out the stand-in checkout in `folder` (created; files there of the same names are overwritten).

    The support module goes beside both scripts: each finds its code in its own directory, as upstream's do.
    """
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TEMPLATE / "standin_support.py", folder / STAGE_1.parent)
    make_environment(folder)
    return folder


def standin_environment(checkout: Path, **extra: str) -> dict[str, str]:
    """This process's environment, the checkout first on PYTHONPATH, and `extra` (STANDIN_FAULT and so on)."""
    path = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **extra}


def read_record(path: Path) -> list[dict[str, Any]]:
    """What the processes of a run recorded under STANDIN_RECORD, oldest first. No file, no records."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
