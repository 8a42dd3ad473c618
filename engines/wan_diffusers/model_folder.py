"""A model in diffusers' layout, told by its files alone: is every part there and whole, and how large is it?

Only the headers of weight files are read (JSON, at the beginning of a .safetensors file).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

WEIGHTS: Final = {
    "transformer": "diffusion_pytorch_model",
    "text_encoder": "model",
    "image_encoder": "model",
    "vae": "diffusion_pytorch_model",
}
"""Folders with weights, and what the file is called there."""
SMALL: Final = {
    "scheduler": ("scheduler_config.json",),
    "image_processor": ("preprocessor_config.json",),
    "tokenizer": ("tokenizer.json", "spiece.model"),
}
"""Folders without, and the file that one of must be there."""
PIPELINE: Final = "WanAnimatePipeline"
_LARGEST_HEADER: Final = 100_000_000


class BrokenModel(Exception):
    """The folder cannot be used; why, as a sentence."""


@dataclass(frozen=True)
class ModelFolder:
    """A model that is whole."""

    folder: Path
    parameters: Mapping[str, int]
    """Of each part with weights: how many numbers it holds."""
    files: tuple[Path, ...]
    """All weight files."""
    transformer: Mapping[str, Any]
    """The transformer's configuration."""

    @property
    def width(self) -> int:
        """Of the transformer's inner states."""
        config = self.transformer
        return int(config.get("num_attention_heads", 40)) * int(config.get("attention_head_dim", 128))


def read_model(folder: Path, *, own_transformer: bool = True) -> ModelFolder:
    """Look at a folder.

    Args:
        own_transformer: False where the diffusion model comes from a file of its own; its configuration must
            be here all the same.

    Raises:
        BrokenModel: it is not there, is another model, or a part is missing or cut off.
    """
    index = _index(folder)
    if index.get("_class_name") != PIPELINE:
        raise BrokenModel(f"{folder} holds a {index.get('_class_name')}; this engine runs a {PIPELINE}.")
    config = _json(folder / "transformer" / "config.json")
    for name, any_of in SMALL.items():
        if not any((folder / name / file).is_file() for file in any_of):
            raise BrokenModel(f"{folder} lacks {name}/{any_of[0]}.")
    parameters: dict[str, int] = {}
    files: list[Path] = []
    for name, stem in WEIGHTS.items():
        if name == "transformer" and not own_transformer:
            continue
        found = _weight_files(folder / name, stem)
        parameters[name] = sum(parameter_count(read_header(path)) for path in found)
        files += found
    return ModelFolder(folder, parameters, tuple(files), config)


def _index(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise BrokenModel(f"{folder} is not there.")
    if (folder / "model_index.json").is_file():
        return _json(folder / "model_index.json")
    if (folder / "Wan2.1_VAE.pth").is_file():
        raise BrokenModel(f"{folder} has the official script's layout, which diffusers does not read.")
    raise BrokenModel(f"{folder} has no model_index.json: it is no model in diffusers' layout.")


def _weight_files(folder: Path, stem: str) -> list[Path]:
    index = folder / f"{stem}.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_json(index).get("weight_map", {}).values()))
        files = [folder / Path(str(name)).name for name in names]
    else:
        files = [folder / f"{stem}.safetensors"]
    missing = [path for path in files if not path.is_file()]
    if missing or not files:
        where = missing[0] if missing else index
        raise BrokenModel(f"{where} is missing" + (f" ({len(missing)} such files)." if missing else "."))
    return files


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise BrokenModel(f"{path} is no JSON file.") from error
    if not isinstance(content, dict):
        raise BrokenModel(f"{path} is not what diffusers writes.")
    return content


def read_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors of a .safetensors file by name: type, shape, place.

    Raises:
        BrokenModel: it is none, or is cut off.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
                raise BrokenModel(f"{path} is no .safetensors file, or is cut off.")
            header = json.loads(file.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in tensors.values()), default=0)
    except OSError as error:
        raise BrokenModel(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise BrokenModel(f"{path} is no .safetensors file.") from error
    if 8 + length + end != size:
        raise BrokenModel(f"{path} is damaged: {size} bytes; {8 + length + end} were expected.")
    return tensors


def parameter_count(header: Mapping[str, Mapping[str, Any]]) -> int:
    """Numbers in all tensors of a header."""
    return sum(math.prod(map(int, entry.get("shape", ()))) for entry in header.values())
