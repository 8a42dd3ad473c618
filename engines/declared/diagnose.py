"""What the log of a tool that failed says, in plain words: its own signs first, then those of all."""

from __future__ import annotations

import re
from typing import Final

from engines.declared.tool import Sign, Tool
from execution.step import GPU_MEMORY, HOST_MEMORY, Diagnosis

_OF_ALL: Final = (
    Sign(
        GPU_MEMORY,
        r"torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory|Failed to allocate memory for requested",
        "The GPU ran out of memory. End other programs that use it, or give a shorter clip (--draft takes "
        "the beginning).",
    ),
    Sign(
        HOST_MEMORY,
        r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|MemoryError\b|Cannot allocate memory",
        "The machine's memory ran out: the tool holds all frames. Give a shorter clip.",
    ),
    Sign("disk-full", r"No space left on device", "The disk is full. Free some space."),
    Sign(
        "module-missing",
        r"^ModuleNotFoundError: No module named '(?P<name>[\w.]{1,80})'",
        "The tool's Python (--tool_python) lacks the module {name}. Install the tool's requirements for it.",
    ),
    Sign(
        "gpu",
        r"Torch not compiled with CUDA enabled|No CUDA GPUs are available|Found no NVIDIA driver",
        "The tool's torch finds no GPU. Install its CUDA build, or choose another machine.",
    ),
    Sign(
        "no-result",
        r"^understudy: the command ended with exit code 0, but left no",
        "The tool reports success, but made no video. What it printed above that line says why, as a rule.",
    ),
)


def diagnose(tool: Tool, log: str) -> Diagnosis | None:
    """What the command died of, with the remedy; None when its log is not understood."""
    text = log.replace("\r", "\n")
    for sign in (*tool.signs, *_OF_ALL):
        if match := re.search(sign.pattern, text, re.MULTILINE):
            return Diagnosis(sign.cause, sign.text.format(**match.groupdict("")))
    return None
