"""flash-attn 2: whether it is there, and compiled for the Python and the torch that are to use it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engines.findings import Finding, kind
from engines.wan22.interpreter import Interpreter
from engines.wan22.packages import release, torch_cuda

MISSING = kind(
    "install.flash-attn",
    "error",
    "flash-attn is missing",
    "Upstream loads all models and reads all inputs, then ends with an AssertionError that has no text.",
)
OTHER_MAJOR = kind(
    "install.flash-attn-version",
    "error",
    "flash-attn, but not version 2",
    "Upstream's image encoder asks for version 2 by name, and its face adapter calls version 2 directly.",
)
OTHER_PYTHON = kind(
    "install.flash-attn-compiled",
    "error",
    "flash-attn without a compiled part for this Python",
    "It is imported at the start, and ends there with an ImportError.",
)
OTHER_TORCH = kind(
    "install.flash-attn-torch",
    "error",
    "flash-attn built for another torch",
    "Compiled parts of another torch do not load: an ImportError about an undefined symbol.",
)

_LATER: Final = ("flash-attn-3", "flash-attn-4")
_COMPILED: Final = "flash_attn_2_cuda"
_WHEEL_TAG: Final = re.compile(r"\bcu(\d+)torch(\d+\.\d+)(?:\.\d+)*(?:cxx11abi(TRUE|FALSE))?", re.IGNORECASE)
"""CUDA, torch and C++ interface in a wheel's name; not all who build wheels name the last."""
_NEW_ABI: Final = (2, 7)
"""From this torch on its wheels have the newer C++ interface."""
INSTALL: Final = "python scripts/install_flash_attn.py"


def flash_attention_findings(python: Interpreter) -> Iterator[Finding]:
    """Stage 2 cannot do without it."""
    version = python.version_of("flash-attn")
    remedy = f"Install the one that fits: {INSTALL} --python {python.path}"
    if version is None:
        later = next((name for name in _LATER if name in python.packages), None)
        if later is not None:
            what = f"{python.path} has {later} {python.packages[later]}, but not version 2."
            yield OTHER_MAJOR.found(what, remedy)
        elif "flash_attn" not in python.modules:
            yield MISSING.found(f"Upstream's Python, {python.path}, lacks flash-attn 2.", remedy)
        return
    if release(version)[:1] != (2,):
        yield OTHER_MAJOR.found(f"flash-attn {version} in {python.path} is not version 2.", remedy)
        return
    metadata = python.metadata["flash-attn"]
    if _COMPILED not in python.modules:
        others = sorted(path.name for path in metadata.parent.glob(f"{_COMPILED}*"))
        found = f"only {', '.join(others)}" if others else "none"
        what = f"flash-attn {version} in {metadata.parent} has no compiled part for this Python ({found})."
        yield OTHER_PYTHON.found(what, remedy)
        return
    yield from _torch(python, version, metadata, remedy)


def _torch(python: Interpreter, version: str, metadata: Path, remedy: str) -> Iterator[Finding]:
    """Ready-made wheels say for which torch they are in their name, which pip keeps where it knew it."""
    tag = _WHEEL_TAG.search(version) or _WHEEL_TAG.search(_origin(metadata))
    torch = python.version_of("torch")
    if tag is None or torch is None:
        return
    built_for = [] if release(tag[2]) == release(torch)[:2] else [f"torch {tag[2]}"]
    cuda = torch_cuda(python)
    if cuda and tag[1][:2] != cuda.partition(".")[0]:  # the major number counts; old names have more
        built_for.append(f"CUDA {tag[1][:2]}")
    # On Linux alone: on Windows the name says nothing that would matter.
    if (tag[3] or "").upper() == "FALSE" and release(torch) >= _NEW_ABI and python.platform == "linux":
        built_for.append("the older C++ interface (cxx11abiFALSE)")
    if built_for:
        installed = f"torch {torch}" + (f" for CUDA {cuda}" if cuda else "")
        what = f"flash-attn {version} in {metadata.parent} was built for {' and '.join(built_for)}"
        yield OTHER_TORCH.found(f"{what}; installed is {installed}.", remedy)


def _origin(metadata: Path) -> str:
    """The address or file that pip installed it from, if it kept that."""
    try:
        kept = json.loads((metadata / "direct_url.json").read_text(encoding="utf-8"))
        return str(kept["url"]).replace("%2B", "+").replace("%2b", "+")
    except (OSError, ValueError, KeyError, TypeError):
        return ""
