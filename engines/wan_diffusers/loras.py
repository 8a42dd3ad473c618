"""The LoRAs of a job, and whether a file is one for this model: told by its header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config import NO_PATH, Job
from engines.wan_diffusers.model_folder import BrokenModel, read_header

RELIGHTING: Final = "relighting"
_RELIGHTING_NAMES: Final = ("relighting_lora.safetensors", "relighting_lora.ckpt")
_DOWN: Final = re.compile(r"\.?(lora_A|lora_down|lora\.down)(\.default)?\.weight$")
_BLOCK: Final = re.compile(r"(^|[._])blocks[._]\d+[._](self_attn|cross_attn|attn[12]|ffn)")
"""Names of Wan's layers: upstream's, and diffusers' own."""


@dataclass(frozen=True)
class LoraFile:
    """One LoRA, as it is to be used."""

    name: str
    file: Path
    weight: float

    def as_data(self) -> dict[str, Any]:
        """For the worker."""
        return {"name": self.name, "file": str(self.file), "weight": self.weight}


def loras_of(job: Job) -> tuple[LoraFile, ...]:
    """Those of ``--lora`` in their order, then the relighting LoRA."""
    given = [LoraFile(f"lora_{number}", *each) for number, each in enumerate(job.lora or ())]
    if job.use_relighting_lora:
        given.append(LoraFile(RELIGHTING, relighting_file(job), 1.0))
    return tuple(given)


def relighting_file(job: Job) -> Path:
    """Where the relighting LoRA lies: as given, else in one of the two model folders."""
    if job.relighting_lora != NO_PATH:
        return job.relighting_lora
    places = [folder / name for folder in (job.diffusers_model, job.ckpt_dir) for name in _RELIGHTING_NAMES]
    return next((path for path in places if path.is_file()), places[0])


def problem_of(lora: LoraFile, width: int) -> str | None:
    """What is wrong with a file, as the rest of a sentence that begins with its name; None if nothing is.

    Args:
        width: of the model's inner states: 5120 for 14B. A LoRA of another size of Wan has another.
    """
    if not lora.file.is_file():
        return "is not there."
    if lora.file.suffix != ".safetensors":
        return None  # a torch file; only the worker can read it
    try:
        header = read_header(lora.file)
    except BrokenModel as error:
        return f"cannot be read: {error}"
    layers = {name: entry for name, entry in header.items() if _DOWN.search(name)}
    if not layers:
        return "holds no LoRA: none of its tensors is the half of one."
    own = {name: entry for name, entry in layers.items() if _BLOCK.search(name)}
    if not own:
        return f"is for another kind of model: its layers are called '{next(iter(layers))}'."
    widths = {_width(entry) for name, entry in own.items() if re.search(r"(self_attn|attn1)[._]\w*q", name)}
    if widths and width not in widths:
        return f"is for a model of width {min(widths)}; this one has {width}."
    return None


def _width(entry: Mapping[str, Any]) -> int:
    """Inputs of a layer: the columns of its first matrix, (rank, inputs)."""
    shape = entry.get("shape") or [0]
    return int(shape[-1])
