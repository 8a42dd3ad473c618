"""Everything that a clip can be refused for, with its code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engines.findings import Finding, Kind, kind

_MINUTES: Final = "It would fail after minutes of loading."
_SILENT: Final = "The library loads it without a word, and fails later or draws noise."

CONFIG = kind("animatediff.config", "error", "A configuration that cannot be used", "Nothing can be loaded.")
PROMPT_FILE = kind(
    "animatediff.prompt-file", "error", "A prompt file that cannot be used", "Nothing is drawn."
)
CHECKPOINT = kind("animatediff.checkpoint", "error", "The checkpoint cannot be used", _MINUTES)
ADAPTER = kind("animatediff.adapter", "error", "The motion adapter cannot be used", _SILENT)
FAMILY = kind("animatediff.family", "error", "Checkpoint and motion adapter do not fit", _MINUTES)
PIPELINE_CONFIG = kind(
    "animatediff.pipeline-config", "error", "The folder of the base model's configuration", _MINUTES
)
LORA = kind("animatediff.lora", "error", "A LoRA that cannot be used", _SILENT)
CONTROL = kind("animatediff.control", "error", "SparseCtrl cannot be used", _MINUTES)
FRAMES = kind("animatediff.frames", "error", "More frames than the motion adapter knows", _MINUTES)
VALUE = kind("animatediff.value", "error", "A value out of its range", _MINUTES)
PACKAGES = kind(
    "animatediff.packages", "error", "The engine's Python lacks packages", "Nothing can be loaded."
)
DEVICE = kind("animatediff.device", "error", "No usable GPU where one was asked for", _MINUTES)
EXISTS = kind("animatediff.exists", "error", "The result is there already", "Nothing is overwritten unasked.")
NO_CACHE = kind(
    "animatediff.no-pipeline-config",
    "warning",
    "A single-file checkpoint without pipeline_config_path",
    "The library asks its cache, then the network, for the base model's configuration.",
)
NO_STAGE_1 = kind(
    "animatediff.no-stage-1", "note", "The engine has no stage 1", "The clip is drawn from the text alone."
)
LONG_PROMPT = kind(
    "animatediff.long-prompt", "warning", "A prompt that is too long", "What is beyond 77 tokens is cut off."
)


class Refused(Exception):
    """A clip cannot be drawn, for these reasons; nothing was started."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(finding.as_text() for finding in self.findings))


def refuse(of: Kind, what: str, remedy: str) -> Refused:
    """One reason, to be raised."""
    return Refused([of.found(what, remedy)])
