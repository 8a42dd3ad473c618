"""onnxruntime: a session on the provider that is wanted, and what was really taken."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.frame.model import ModelError

CPU: Final = "CPUExecutionProvider"
_PREFERRED: Final = (
    *("CUDAExecutionProvider", "ROCMExecutionProvider", "MIGraphXExecutionProvider"),
    *("CoreMLExecutionProvider", "DmlExecutionProvider", "OpenVINOExecutionProvider", CPU),
)
"""What ``auto`` takes, the first that is there. TensorRT is not among them: it compiles for minutes."""
_NUMBERED: Final = frozenset({"CUDAExecutionProvider", "ROCMExecutionProvider", "TensorrtExecutionProvider"})
INSTALL: Final = "python -m pip install onnxruntime"


@dataclass(frozen=True)
class Opened:
    """A session, and the provider that it really runs on."""

    session: Any
    provider: str
    asked: tuple[str, ...]


_sessions: weakref.WeakValueDictionary[tuple[Any, ...], Any] = weakref.WeakValueDictionary()
"""Sessions that somebody still holds: two models of one file share one."""


def open_session(path: Path, providers: Sequence[str] | None, gpu_id: int, threads: int | None) -> Opened:
    """A session of a model file.

    Args:
        providers: in order of preference; None for the best that is there. Where the processor is among them,
            it may be taken in place of the others; else it may not.
        threads: of the processor; None for as many as it has cores.

    Raises:
        ModelError: onnxruntime is missing, refuses the file, or does not run on what was asked for.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"onnxruntime cannot be imported: {error}. Install: {INSTALL}") from error
    there = tuple(onnxruntime.get_available_providers())
    asked = tuple(providers or (name for name in _PREFERRED if name in there))
    usable = [name for name in asked if name in there]
    if not usable:
        raise ModelError(_not_there(asked, there))
    stamp = path.stat()
    key = (str(path), stamp.st_mtime_ns, stamp.st_size, tuple(usable), gpu_id, threads)
    session = _sessions.get(key)
    if session is None:
        session = _sessions[key] = _new_session(path, usable, gpu_id, threads)
    taken = str(session.get_providers()[0])
    if taken not in asked:
        raise ModelError(
            f"{', '.join(asked)} could not be used for {path.name}; onnxruntime would run it on {taken} "
            "without a word. Check the driver and the libraries of the provider, or allow the processor: add "
            f"{CPU} to providers."
        )
    return Opened(session, taken, asked)


def _new_session(path: Path, providers: Sequence[str], gpu_id: int, threads: int | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    wanted = [(name, {"device_id": str(gpu_id)} if name in _NUMBERED else {}) for name in providers]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # onnxruntime's errors share no class of their own
        raise ModelError(f"onnxruntime refuses {path}: {first_line(error)}. {_remedy(str(error))}") from error


def first_line(error: BaseException) -> str:
    """An error of onnxruntime in one line, without its number."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rpartition(" : ")[2].rstrip(".")


def _remedy(text: str) -> str:
    if "opset" in text or "IR version" in text:
        return "It was made for a newer onnxruntime: update it, or export the model with an older opset."
    if "external data" in text.lower() or "model_path" in text:
        return "Put the files with its weights beside it, under the names that they had."
    return "Export or download it again."


def _not_there(asked: Sequence[str], there: Sequence[str]) -> str:
    what = f"None of the providers {', '.join(asked)} is in this onnxruntime; it has {', '.join(there)}."
    return f"{what} Install the package that brings it (onnxruntime-gpu for CUDA, in place of onnxruntime)."
