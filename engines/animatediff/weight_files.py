"""What a weights file is, by its safetensors header alone: no weight is read, nothing is unpickled."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SD15, SDXL = "sd15", "sdxl"
FAMILY_NAMES: Final = {SD15: "SD 1.5", SDXL: "SDXL"}
PICKLED: Final = (".ckpt", ".pt", ".pth", ".bin")
"""Files whose kind shows only when they are loaded, which the engine's own interpreter does, weights only."""

_LARGEST_HEADER: Final = 100 * 2**20
_LENGTH_BYTES: Final = 8
_SDXL_BLOCKS: Final = 3
_USUAL_LIMIT: Final = 32
"""Frames, for a file that does not keep its table of positions: what the library makes then."""
_NORM = re.compile(r"down_blocks\.(\d+)\.motion_modules\.0\.(?:temporal_transformer\.)?norm\.weight$")
_LAYER = re.compile(r"down_blocks\.0\.motion_modules\.(\d+)\.")
_POSITIONS = re.compile(r"(?:pos_encoder\.pe|pos_embed\.pe)$")

Shapes = Mapping[str, tuple[int, ...]]


class WeightsError(Exception):
    """A weights file is not what it should be; the message says what it is."""


@dataclass(frozen=True)
class AdapterShape:
    """What a motion adapter is made of, as its tensors' names and shapes tell.

    ``channels`` has one entry a block; ``original`` tells the notation of the official files.
    """

    channels: tuple[int, ...]
    layers: int
    mid_block: bool
    frame_limit: int
    original: bool

    @property
    def family(self) -> str:
        """Of the checkpoint that it fits: SDXL's UNet has three blocks, SD 1.5's four."""
        return SDXL if len(self.channels) == _SDXL_BLOCKS else SD15


def read_shapes(path: Path) -> Shapes:
    """Names and shapes of a safetensors file's tensors.

    Raises:
        WeightsError: it is no safetensors file, or it is cut off.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_LARGEST_HEADER, size):
                raise WeightsError(f"{path} is no safetensors file, or its download broke off at once.")
            header = json.loads(file.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        end = max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise WeightsError(f"{path} is no safetensors file: its header cannot be understood.") from error
    whole = _LENGTH_BYTES + length + end
    if size < whole:
        raise WeightsError(f"{path} is cut off: {size} of {whole} bytes are there.")
    return shapes


def weights_in(folder: Path) -> Path | None:
    """The weights file of a diffusers-form folder, whole precision first; None without one."""
    names = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def checkpoint_family(path: Path) -> str:
    """``SD15`` or ``SDXL``, of a single file or of a diffusers-form folder.

    Raises:
        WeightsError: it is no such checkpoint; says what it is where that is known.
    """
    if path.is_dir():
        return _family_of_folder(path)
    if path.suffix.lower() != ".safetensors":
        raise WeightsError(
            f"{path} is no .safetensors file, so its family cannot be told without loading it."
        )
    names = read_shapes(path)
    if any(name.startswith("conditioner.embedders.1.") for name in names):
        return SDXL
    if any("motion_modules" in name for name in names):
        raise WeightsError(f"{path} is a motion adapter, not a checkpoint.")
    if any(name.startswith("cond_stage_model.transformer.") for name in names):
        return SD15
    raise WeightsError(f"{path} is neither an SD 1.5 nor an SDXL checkpoint.")


def _family_of_folder(folder: Path) -> str:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder} is no diffusers model: it has no model_index.json.") from error
    if not isinstance(index, dict) or "unet" not in index or "text_encoder" not in index:
        raise WeightsError(f"{folder} is no Stable Diffusion model: its model_index.json names other parts.")
    return SDXL if _is_there(index.get("text_encoder_2")) else SD15


def _is_there(entry: object) -> bool:
    return isinstance(entry, list) and bool(entry) and entry[0] is not None


def adapter_shape(path: Path) -> AdapterShape | None:
    """What the motion adapter of a file or folder is; None where only loading tells (``PICKLED``).

    Raises:
        WeightsError: it is no motion adapter, or cut off.
    """
    file: Path | None = path
    if path.is_dir():
        file = weights_in(path)
        if file is None:
            raise WeightsError(f"{path} holds no diffusion_pytorch_model.safetensors.")
    assert file is not None  # noqa: S101  a path that is no folder is a file
    if file.suffix.lower() in PICKLED:
        return None
    return shape_of(read_shapes(file), file)


def shape_of(shapes: Shapes, path: Path) -> AdapterShape:
    """What the adapter with these tensors is; ``path`` is for the message.

    Raises:
        WeightsError: they are not an adapter's.
    """
    blocks = {int(found[1]): shape[0] for name, shape in shapes.items() if (found := _NORM.search(name))}
    layers = {int(found[1]) for name in shapes if (found := _LAYER.search(name))}
    limits = [shape[1] for name, shape in shapes.items() if _POSITIONS.search(name) and len(shape) == 3]
    if not blocks or not layers or sorted(blocks) != list(range(len(blocks))):
        raise WeightsError(f"{path} is no motion adapter: it has no motion modules in its down blocks.")
    return AdapterShape(
        channels=tuple(blocks[number] for number in sorted(blocks)),
        layers=len(layers),
        mid_block=any(name.startswith(("mid_block.", "module.mid_block.")) for name in shapes),
        frame_limit=min(limits, default=_USUAL_LIMIT),
        original=any(".temporal_transformer." in name for name in shapes),
    )
