"""A Wan-Animate model of a few kilobytes in diffusers' own layout: every part real, every number random.

``layout.json`` holds its configurations and the shapes of its tensors, as diffusers 0.42.1 saved them
(``tiny_from_library.py``; a test compares). The numbers are drawn here, so that neither torch nor diffusers
is needed to make one.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

LAYOUT = Path(__file__).with_name("layout.json")


def make_model(folder: Path) -> Path:
    """Write it; the same numbers every time."""
    layout = json.loads(LAYOUT.read_text(encoding="utf-8"))
    random = np.random.default_rng(0)
    for name, content in layout["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    for name, shapes in layout["tensors"].items():
        numbers = {key: _drawn(random, key, tuple(shape)) for key, shape in shapes.items()}
        save(folder / name, numbers)
    return folder


def _drawn(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Any:
    """As fresh layers have them: biases 0, scales 1, matrices by their inputs."""
    if name.endswith("bias"):
        return np.zeros(shape, np.float32)
    if len(shape) < 2 or name.endswith("gamma") or max(shape) == math.prod(shape):
        return np.ones(shape, np.float32)
    return (random.standard_normal(shape) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


def save(path: Path, tensors: dict[str, Any]) -> Path:
    """Write a .safetensors file of float32 numbers."""
    header: dict[str, Any] = {}
    place = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [place, place + tensor.nbytes]}
        place += tensor.nbytes
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)
    data = b"".join(np.ascontiguousarray(tensor).tobytes() for tensor in tensors.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def load(path: Path) -> dict[str, Any]:
    """Read what ``save`` wrote."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    return {
        name: np.frombuffer(content[8 + length :][slice(*entry["data_offsets"])], np.float32).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def write_gguf(model: Path, target: Path, *, quantised: bool = True) -> Path:
    """The folder's diffusion model as one file under upstream's names, as ComfyUI's users have it."""
    import gguf  # type: ignore[import-not-found, unused-ignore]

    writer = gguf.GGUFWriter(str(target), "wan")
    for name, tensor in load(model / "transformer/diffusion_pytorch_model.safetensors").items():
        upstreams = name.replace("norm2", "norm3")  # the one norm whose name means another layer there
        if quantised and name.endswith(".ffn.net.2.weight"):  # rows of 32: a block of Q8_0
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(upstreams, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
        else:
            writer.add_tensor(upstreams, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


NAMES = {
    "diffusers": "transformer.blocks.{block}.attn1.to_{part}.lora_{half}.weight",
    "comfyui": "diffusion_model.blocks.{block}.self_attn.{part}.lora_{half}.weight",
    "peft": "blocks.{block}.self_attn.{part}.lora_{half}.default.weight",
    "wrapped": "base_model.model.blocks.{block}.self_attn.{part}.lora_{half}.weight",
    "sdxl": "lora_unet_down_blocks_{block}_attentions_0_proj_{part}.lora_{half}.weight",
}
"""How the layers of a LoRA are called in files that go about; the last is for another kind of model."""


def write_lora(target: Path, names: str = "comfyui", *, width: int = 24, strength: float = 0.5) -> Path:
    """A LoRA for the queries, keys and values of both blocks."""
    random = np.random.default_rng(7)
    tensors = {}
    for block in range(2):
        for part in "qkv":
            for half, shape in (("A", (4, width)), ("B", (width, 4))):
                name = NAMES[names].format(block=block, part=part, half=half)
                tensors[name] = (strength * random.standard_normal(shape)).astype(np.float32)
    return save(target, tensors)
