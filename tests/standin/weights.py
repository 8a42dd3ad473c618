"""Tiny weights under every name that upstream opens, each valid in its format."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

SHARD_COUNT = 3
TORCH_FILES = (
    "models_t5_umt5-xxl-enc-bf16.pth",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "Wan2.1_VAE.pth",
    "relighting_lora.ckpt",
    "process_checkpoint/sam2/sam2_hiera_large.pt",
)
JSON_FILES = (
    "config.json",
    "google/umt5-xxl/tokenizer.json",
    "google/umt5-xxl/tokenizer_config.json",
    "google/umt5-xxl/special_tokens_map.json",
    "xlm-roberta-large/tokenizer.json",
    "xlm-roberta-large/tokenizer_config.json",
    "xlm-roberta-large/config.json",
    "process_checkpoint/FLUX.1-Kontext-dev/model_index.json",
)
OTHER_FILES = ("google/umt5-xxl/spiece.model", "xlm-roberta-large/sentencepiece.bpe.model")
DETECTOR = "process_checkpoint/det/yolov10m.onnx"
POSE_MODEL = "process_checkpoint/pose2d/vitpose_h_wholebody.onnx/end2end.onnx"
POSE_TENSORS = ("backbone.weight", "head.weight")


def make_checkpoints(folder: Path) -> Path:
    """Lay out all weights in `folder`, those of preprocessing included."""
    for name in (*TORCH_FILES, *JSON_FILES, *OTHER_FILES, DETECTOR, POSE_MODEL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name in TORCH_FILES:
        write_torch_file(folder / name)
    for name in JSON_FILES:
        (folder / name).write_text("{}\n")
    for name in OTHER_FILES:
        (folder / name).write_text(f"stand-in for {name}\n")
    write_onnx(folder / DETECTOR)
    write_onnx(folder / POSE_MODEL, external=POSE_TENSORS)
    shards = [
        f"diffusion_pytorch_model-{n + 1:05d}-of-{SHARD_COUNT:05d}.safetensors" for n in range(SHARD_COUNT)
    ]
    for number, name in enumerate(shards):
        write_safetensors(folder / name, [f"block.{number}"])
    index = {
        "metadata": {"total_size": 4 * SHARD_COUNT},
        "weight_map": {f"block.{number}": name for number, name in enumerate(shards)},
    }
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def write_safetensors(path: Path, names: Iterable[str]) -> Path:
    """A safetensors file with one float32 number under each name."""
    names = list(names)
    header = {
        name: {"dtype": "F32", "shape": [1], "data_offsets": [4 * number, 4 * number + 4]}
        for number, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * (4 * len(names)))
    return path


def write_torch_file(path: Path, content: bytes = b"\x80\x02}q\x00.") -> Path:
    """A file like those of torch.save, by its outside: a zip archive that holds a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("archive/data.pkl"), content)
        archive.writestr(zipfile.ZipInfo("archive/version"), b"3\n")
    return path


def write_onnx(path: Path, external: Sequence[str] = ()) -> Path:
    """An ONNX file with one node, and one tensor for each file of `external`, which is written beside it."""
    tensors = b"".join(_field(5, _tensor(name)) for name in external)
    graph = _field(1, _field(4, b"Identity")) + _field(2, b"graph") + tensors
    path.write_bytes(b"\x08\x08" + _field(7, graph) + _field(8, b"\x10\x0d"))
    for name in external:
        (path.parent / name).write_bytes(b"\0" * 16)
    return path


def _tensor(location: str) -> bytes:
    entries = {"location": location, "offset": "0", "length": "16"}
    external = (_field(1, key.encode()) + _field(2, value.encode()) for key, value in entries.items())
    return (
        b"\x08\x04\x10\x01"
        + _field(8, location.encode())
        + b"".join(_field(13, e) for e in external)
        + b"\x70\x01"
    )


def _field(number: int, content: bytes) -> bytes:
    """A protocol-buffer field that holds bytes."""
    length, tag = len(content), number << 3 | 2
    return _varint(tag) + _varint(length) + content


def _varint(value: int) -> bytes:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*written, value])
