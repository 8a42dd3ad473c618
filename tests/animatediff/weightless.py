"""Files with the header of real weights and next to no weights: for checks, which read no more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

SD15_NAMES = (
    "model.diffusion_model.out.2.bias",
    "cond_stage_model.transformer.text_model.final_layer_norm.bias",
)
SDXL_NAMES = ("model.diffusion_model.out.2.bias", "conditioner.embedders.1.model.ln_final.bias")


def write_named(path: Path, names: Sequence[str], shapes: Sequence[Sequence[int]] | None = None) -> Path:
    """A safetensors file of one-byte tensors (of these shapes by name, with one byte each all the same)."""
    header = {
        name: {
            "dtype": "U8",
            "shape": list(shapes[number]) if shapes else [1],
            "data_offsets": [number, number + 1],
        }
        for number, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(len(names)))
    return path


def write_adapter(path: Path, blocks: int, *, limit: int = 32, mid: bool = False) -> Path:
    """A motion adapter's header: three blocks are SDXL's, four SD 1.5's."""
    names, shapes = [], []
    for block in range(blocks):
        place = f"down_blocks.{block}.motion_modules.0"
        names += [f"{place}.norm.weight", f"{place}.transformer_blocks.0.pos_embed.pe"]
        shapes += [[8], [1, limit, 8]]
    if mid:
        names.append("mid_block.motion_modules.0.norm.weight")
        shapes.append([8])
    return write_named(path, names, shapes)


def write_base_folder(folder: Path, *, sdxl: bool) -> Path:
    """The base model's configuration, as far as a check reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    second = {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]} if sdxl else {}
    index = {"unet": ["diffusers", "UNet2DConditionModel"], "text_encoder": ["transformers", "CLIPTextModel"]}
    (folder / "model_index.json").write_text(json.dumps({**index, **second}), encoding="utf-8")
    return folder
