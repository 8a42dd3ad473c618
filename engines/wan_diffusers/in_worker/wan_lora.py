"""LoRAs for Wan in the notations that go about, brought to those that diffusers reads. Runs in the worker.

diffusers knows its own names ("transformer.blocks.0.attn1..."), ComfyUI's ("diffusion_model.blocks.0...") and
kohya's ("lora_unet_blocks_0_..."). Files with upstream's bare names, as its own relighting LoRA has, would
load nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

_DOWN = (".lora_A.weight", ".lora_down.weight", ".lora.down.weight")


def read(path: Path) -> dict[str, Any]:
    """The tensors of a file; nothing is unpickled but tensors.

    Raises:
        ValueError: it holds none.
    """
    import torch  # type: ignore[import-not-found, unused-ignore]
    from safetensors.torch import load_file  # type: ignore[import-not-found, unused-ignore]

    content = (
        load_file(path)
        if path.suffix == ".safetensors"
        else torch.load(path, map_location="cpu", weights_only=True)
    )
    content = content.get("state_dict", content)
    tensors = {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ValueError("it holds no tensors")
    return tensors


def in_the_librarys_words(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The same tensors, by names that diffusers knows.

    PEFT puts the adapter's name into its keys (".lora_A.default.weight"), and a wrapper before them.
    """
    renamed = {}
    for name, tensor in tensors.items():
        plain = name
        for wrapper in ("base_model.model.", "model.diffusion_model.", "module."):
            plain = plain.removeprefix(wrapper)
        for part in ("lora_A", "lora_B"):
            plain = plain.replace(f".{part}.default.weight", f".{part}.weight")
        if plain.startswith(("blocks.", "patch_embedding", "text_embedding", "time_", "img_emb", "head.")):
            plain = (
                "transformer." if ".attn1." in plain or ".attn2." in plain else "diffusion_model."
            ) + plain
        renamed[plain] = tensor
    return renamed


def layer_count(tensors: Mapping[str, Any]) -> int:
    """How many layers a LoRA file changes."""
    return sum(name.endswith(_DOWN) for name in tensors)


def effective_layers(model: Any, adapter: str) -> int:
    """How many layers of the model this adapter really changes: its second matrix is not zero."""
    return sum(
        bool(weight.detach().float().abs().max() > 0)
        for name, weight in model.named_parameters()
        if name.endswith(f".lora_B.{adapter}.weight")
    )
