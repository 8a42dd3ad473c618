"""A made ComfyUI installation with tiny models, and what is needed of it."""

from __future__ import annotations

import hashlib
import io
import json
import math
import random
import struct
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from engines.wan22 import checkout
from set_up.comfyui.tensors import SAM2, Convertible
from set_up.session import Session
from set_up.weights.hub_files import HubFile

ITEM_BYTES = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}
ITEM_BYTES |= {"F8_E4M3": 1, "F8_E5M2": 1}

Layout = Mapping[str, tuple[str, tuple[int, ...]]]

VAE: Layout = {
    "encoder.conv1.weight": ("F32", (4, 3, 3)),
    "encoder.conv1.bias": ("F32", (4,)),
    "decoder.head.weight": ("F32", (5, 7)),
}
TRACKER: Layout = {"memory.scale": ("F32", ()), "trunk.weight": ("F32", (6, 6)), "trunk.bias": ("F32", (6,))}
TEXT: Layout = {"token_embedding.weight": ("BF16", (16, 4)), "blocks.0.norm1.weight": ("BF16", (4,))}
SMALL = {
    checkout.VAE: Convertible(VAE, None, "wan"),
    checkout.T5: Convertible(TEXT, None, "umt5"),
    SAM2: Convertible(TRACKER, "model", "sam2"),
}
"""What stands for upstream's lists."""
NEEDED = (checkout.VAE, checkout.T5, SAM2)


def retyped(layout: Layout, dtype: str) -> Layout:
    """The same names and shapes in another type."""
    return {name: (dtype, shape) for name, (_, shape) in layout.items()}


def contents(layout: Layout, seed: int = 1) -> dict[str, bytes]:
    """Bytes for each tensor, by chance but the same each time. Types of one byte get 0 and 1 alone."""
    chance = random.Random(seed)
    made = {}
    for name, (dtype, shape) in layout.items():
        size = ITEM_BYTES[dtype] * math.prod(shape)
        made[name] = bytes(chance.choices((0, 1), k=size)) if dtype == "BOOL" else chance.randbytes(size)
    return made


def write_safetensors(path: Path, layout: Layout, data: Mapping[str, bytes] | None = None) -> Path:
    """A whole file, by the format's own description."""
    data = contents(layout) if data is None else data
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in layout.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data[name])]}
        end += len(data[name])
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data[name] for name in layout))
    return path


def write(path: Path, content: bytes) -> Path:
    """A file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def hub_file(path: str, content: bytes = b"what the hub has", *, git: bool = False) -> HubFile:
    """A file as a hub lists it: large ones by SHA-256, small ones by git's name."""
    if git:
        sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return HubFile(path=path, size=len(content), git_sha1=sha1)
    return HubFile(path=path, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def needed_weights() -> list[HubFile]:
    """The three that can be converted; the hub's own bytes are nowhere."""
    return [hub_file(path, path.encode()) for path in NEEDED]


def session(*, dry_run: bool = False) -> tuple[Session, io.StringIO]:
    """One whose words can be read."""
    said = io.StringIO()
    return Session(console=Console(file=said, width=400), dry_run=dry_run), said


def snapshot(folder: Path) -> dict[str, tuple[bytes | str, int]]:
    """Every file below a folder: its bytes, or where its link leads, and when it was changed."""
    return {
        str(path.relative_to(folder)): (
            str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else "folder",
            path.lstat().st_mtime_ns,
        )
        for path in sorted(folder.rglob("*"))
    }
