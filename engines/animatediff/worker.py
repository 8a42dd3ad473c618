"""AnimateDiff in a process of its own, in the interpreter that has torch and diffusers.

The harness beside the supervisor reads jobs and sends answers. A job is a ``Clip`` as plain data with
``frames_path``, where its frames go. The pipeline stays loaded for the next job of the same weights.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the same numbers from one run to the next
_ROOT = str(Path(__file__).resolve().parents[2])
sys.path.insert(0, _ROOT)
from worker_harness import Cancelled, Tell, WorkerError, serve  # noqa: E402

from engines.animatediff.weight_files import WeightsError  # noqa: E402

# Nothing of ours stays on the import path: some names there are others' too. What engines holds is found.
sys.path.remove(_ROOT)

_LOADED: dict[str, Any] = {}


def handle(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Draw one clip; returns the report's part that this side knows."""
    if job["pipeline_config"] or Path(job["checkpoint"]).is_dir():
        os.environ["HF_HUB_OFFLINE"] = "1"
    tell.stage("loading")
    start = time.perf_counter()
    import torch

    from engines.animatediff.diffusion import drawing

    _quiet()
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    try:
        loaded = _load(job)
        seconds = {"loading": time.perf_counter() - start}
        made = drawing.draw(job, loaded, tell)
    except WeightsError as error:
        raise WorkerError("request", str(error), "See docs/animatediff.md.") from error
    except drawing.NotFinite as error:
        raise WorkerError("other", str(error), "Check the weights, or try another size.") from error
    except drawing.Cancelled as cancelled:
        raise Cancelled from cancelled
    except Exception:
        _LOADED.clear()  # whatever it was, the next job shall not inherit it
        raise
    return {
        **made,
        "seconds": {**seconds, **made["seconds"]},
        "device": loaded.device,
        "precision": str(loaded.dtype).removeprefix("torch."),
        "attention": loaded.attention,
        "offload": loaded.offload,
        "lora_layers": loaded.lora_layers,
        "versions": _versions(),
    }


def _quiet() -> None:
    """Bars and remarks of the libraries: what matters of them is in the answer."""
    import diffusers
    import transformers

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def _load(job: Mapping[str, Any]) -> Any:
    from engines.animatediff.diffusion import loading

    key = loading.key_of(job)
    if key not in _LOADED or not loading.fits(_LOADED[key], job):
        _LOADED.clear()
        _LOADED[key] = loading.load(job)
    return _LOADED[key]


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in ("torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "xformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    serve(handle)
