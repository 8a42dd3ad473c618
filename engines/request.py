"""Findings about the request itself: what ``config`` refuses before any file is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from config import MASKING, SETTINGS, Problem
from engines.findings import Finding, kind, registry

_NOTHING_STARTS: Final = "The job cannot be made of these settings."
_MINUTES_LATE: Final = "Upstream checks this only after all models are loaded, or never."

_KINDS: Final = (
    ("settings.file-unreadable", "The settings file cannot be read", _NOTHING_STARTS),
    ("settings.file-broken", "The settings file is not one", _NOTHING_STARTS),
    ("settings.unknown", "A name that is no setting", "A misspelt setting would be ignored in silence."),
    (
        "settings.no-stage-1",
        "One stage of an engine that has only the whole",
        "It reads the driving video itself, or draws from a text: no folder lies between the stages.",
    ),
    ("settings.engine", "An engine that does not exist", _NOTHING_STARTS),
    (
        "settings.no-replace",
        "--replace with an engine that animates only",
        "The picture would be animated, and the scene would be missing.",
    ),
    (
        "settings.retarget-with-replace",
        "--retarget in replace mode",
        "Upstream ignores retargeting in replace mode without a word.",
    ),
    (
        "settings.flux-with-replace",
        "--use_flux in replace mode",
        "Upstream would load FLUX onto the GPU, about 33 GB, and never use it.",
    ),
    (
        "settings.flux-without-retarget",
        "--use_flux without retargeting",
        "Upstream stops with an AssertionError.",
    ),
    (
        "settings.relighting-in-animate",
        "--use_relighting_lora in animate mode",
        "There is no scene to take the light from; upstream does not check it.",
    ),
    (
        "settings.window-too-short",
        "--frame_num too short for the overlap",
        "With few frames beside the overlap upstream divides by zero or fails in the third window.",
    ),
    ("settings.window-bounds", "Bounds of the window that cannot be met", _MINUTES_LATE),
    (
        "settings.gpus-without-multi-gpu",
        "--nproc_per_node without --multi_gpu",
        "One GPU would do all the work while the others are paid for.",
    ),
    ("settings.multi-gpu-without-gpus", "--multi_gpu without a number", _NOTHING_STARTS),
    (
        "settings.gpus-and-heads",
        "A number of GPUs that does not divide the heads",
        "Upstream gives every GPU the same number of attention heads, and stops when it cannot.",
    ),
    (
        "settings.output-suffix",
        "A result that is no .mp4",
        "Upstream would work to the end, fail to write the file, and report success.",
    ),
    ("settings.audio-and-no-audio", "--audio beside --no_audio", _NOTHING_STARTS),
    (
        "settings.mask-in-animate",
        "A mask in animate mode",
        "In animate mode nobody is replaced: there is no mask.",
    ),
    (
        "settings.several-masks",
        "More than one source of the mask",
        "One of them would be ignored.",
    ),
    ("settings.mask-missing", "Nothing of which a mask could be made", _NOTHING_STARTS),
    (
        "settings.exclude-without-points",
        "--mask_exclude without --mask_points",
        "It names objects of that file.",
    ),
    ("settings.json-alone", "--json with nothing to print", _NOTHING_STARTS),
    (
        "settings.ignore-unknown",
        "--ignore with a code that does not exist",
        "A misspelt code ignores nothing.",
    ),
    ("record.unreadable", "A record that cannot be used", "There is nothing to make again or to verify."),
)

for _code, _summary, _why in _KINDS:
    kind(_code, "error", _summary, _why)
for _name, _setting in SETTINGS.items():
    _why = _NOTHING_STARTS if _setting.stages == (MASKING,) else _MINUTES_LATE
    kind(f"settings.value.{_name}", "error", f"A value that --{_name} does not take", _why)
    if _setting.required_in:
        kind(f"settings.missing.{_name}", "error", f"--{_name} is missing", _NOTHING_STARTS)


def request_findings(problems: Sequence[Problem]) -> list[Finding]:
    """The problems as findings."""
    return [registry()[problem.code].found(problem.what, problem.remedy) for problem in problems]
