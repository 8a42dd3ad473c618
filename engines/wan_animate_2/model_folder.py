"""Wan-Animate-2's folder, told by its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from engines.wan_diffusers.model_folder import BrokenModel, read_header

PIPELINES: Final = ("WanAnimate2ModularPipeline", "WanAnimate2DistilledModularPipeline")
_PARTS: Final = ("transformer", "text_encoder", "image_encoder", "vae")
_TINY: Final = 200_000_000


def weight_files(folder: Path) -> tuple[Path, ...]:
    """All weight files there are."""
    return tuple(path for part in _PARTS for path in sorted((folder / part).glob("*.safetensors")))


def is_tiny(folder: Path) -> bool:
    """Whether it is one of those made for tests."""
    return sum(path.stat().st_size for path in weight_files(folder)) < _TINY


def is_distilled(folder: Path) -> bool:
    """Whether it is the kind for few steps; False for a folder that ``check_model`` refuses."""
    try:
        return check_model(folder) == PIPELINES[1]
    except BrokenModel:
        return False


def check_model(folder: Path) -> str:
    """The name of its pipeline.

    Raises:
        BrokenModel: it is not there, is another model, or a part is missing or cut off.
    """
    index = folder / "modular_model_index.json"
    try:
        name = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    except OSError as error:
        raise BrokenModel(f"{index} cannot be read ({error.strerror}).") from error
    except (ValueError, AttributeError) as error:
        raise BrokenModel(f"{index} is not what diffusers writes.") from error
    if name not in PIPELINES:
        raise BrokenModel(f"{folder} holds a {name}; this engine runs a {PIPELINES[0]}.")
    for part in _PARTS:
        files = sorted((folder / part).glob("*.safetensors"))
        wanted = _shards(folder / part)
        missing = sorted(wanted - {path.name for path in files})
        if missing or not files:
            raise BrokenModel(f"{folder / part} lacks {missing[0] if missing else 'its weights'}.")
        for path in files:
            read_header(path)
    scheduler = folder / "scheduler" / "scheduler_config.json"
    if "UniPC" in (scheduler.read_text(encoding="utf-8") if scheduler.is_file() else ""):
        raise BrokenModel(f"{scheduler} names UniPC, which cannot draw with a seed in this pipeline.")
    return name


def _shards(folder: Path) -> set[str]:
    names: set[str] = set()
    for index in folder.glob("*.safetensors.index.json"):
        try:
            names |= set(json.loads(index.read_text(encoding="utf-8")).get("weight_map", {}).values())
        except (OSError, ValueError, AttributeError) as error:
            raise BrokenModel(f"{index} cannot be read.") from error
    return names
