"""Weights files that are SAM 2 by the names and shapes in them, and nothing else."""

from __future__ import annotations

import json
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

SIZES = {"tiny": (96, 12), "small": (96, 16), "base_plus": (112, 24), "large": (144, 48)}


Shapes = dict[str, tuple[int, ...]]


def sam2_shapes(size: str = "tiny", version: str = "2.0", extra: Iterable[str] = ()) -> Shapes:
    """A few of its tensors, those that tell size and version among them."""
    channels, blocks = SIZES[size]
    trunk = "image_encoder.trunk"
    shapes: dict[str, tuple[int, ...]] = {f"{trunk}.patch_embed.proj.weight": (channels, 3, 7, 7)}
    shapes |= {f"{trunk}.blocks.{n}.norm1.{part}": (2,) for n in range(blocks) for part in ("weight", "bias")}
    if version == "2.1":
        shapes |= dict.fromkeys(("no_obj_embed_spatial", "obj_ptr_tpos_proj.weight"), (1,))
    return shapes | dict.fromkeys(extra, (1,))


def write_sam2(path: Path, size: str = "tiny", version: str = "2.0", extra: Iterable[str] = ()) -> Path:
    """As ``.safetensors`` in half precision, as ComfyUI's users have it."""
    return write_safetensors(path, sam2_shapes(size, version, extra))


def write_safetensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """Zeros, float16."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        count = 1
        for length in shape:
            count *= length
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + 2 * count]}
        end += 2 * count
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    return path


def write_pt(path: Path, value: object, *, protocol: int = 2) -> Path:
    """A zip as torch.save writes it, without the tensors' data. Every ``Stored`` in it becomes a tensor."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    vars(modules["torch._utils"])["_rebuild_tensor_v2"] = _rebuild_tensor_v2
    _rebuild_tensor_v2.__module__ = "torch._utils"
    with mock.patch.dict(sys.modules, modules):
        written = pickle.dumps(value, protocol=protocol)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", written)
        archive.writestr("archive/version", b"3\n")
    return path


def _rebuild_tensor_v2(*_: object) -> None:
    raise AssertionError("unpickled")


class Stored:
    """A tensor of a shape, for ``write_pt``."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _rebuild_tensor_v2, ("storage", 0, self.shape, (1,) * len(self.shape), False, {})
