"""Motion adapters and LoRAs from files in any notation, into the names that diffusers knows.

The official files use names of their own. The library takes an official LoRA without a word and loads none of
it, so everything is renamed here, and what was really loaded is counted.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import MotionAdapter

from engines.animatediff.weight_files import PICKLED, WeightsError, shape_of, weights_in

State = dict[str, torch.Tensor]

_RENAMED: Final = (
    (".temporal_transformer.", "."),
    (".attention_blocks.0", ".attn1"),
    (".attention_blocks.1", ".attn2"),
    (".norms.0", ".norm1"),
    (".norms.1", ".norm2"),
    (".ff_norm", ".norm3"),
)
_POSITIONS: Final = ("pos_encoder.pe", "pos_embed.pe")
_DOWN = re.compile(r"(?:lora\.down|lora_A(?:\.[^.]+)?|_lora\.down)\.weight$")
_HEADS: Final = 8
"""Of every published motion module; no tensor's shape tells it."""


def read_state(path: Path) -> State:
    """The tensors of a file. A pickled file is read as weights only: no code in it runs.

    Raises:
        WeightsError: it cannot be read, or holds other things than tensors.
    """
    try:
        if path.suffix.lower() not in PICKLED:
            from safetensors.torch import load_file

            return dict(load_file(path))
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # each reader has errors of its own
        if path.suffix.lower() in PICKLED:
            raise WeightsError(
                f"{path} cannot be read as weights only: it is damaged, or holds Python objects besides, "
                "which are not run here. Convert it to .safetensors where you trust it."
            ) from error
        raise WeightsError(f"{path} cannot be read: {error}") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no weights by name.")
    return {
        str(name): tensor
        for name, tensor in content.items()
        if isinstance(tensor, torch.Tensor) and name != "animatediff_config"
    }


def renamed(name: str) -> str:
    """A tensor's name in diffusers' notation; one that is in it already stays."""
    name = name.removeprefix("module.")
    for old, new in _RENAMED:
        name = name.replace(old, new)
    return name


# ------------------------------------------------------------------------------------------ motion adapter


def load_adapter(path: Path, dtype: torch.dtype, **heads: int) -> MotionAdapter:
    """The motion adapter of a file or folder; its configuration comes from its tensors where there is none.

    Raises:
        WeightsError: it is none, or not whole.
    """
    if path.is_dir() and (path / "config.json").is_file():
        adapter = MotionAdapter.from_config(MotionAdapter.load_config(path, local_files_only=True))
        file = weights_in(path)
    elif path.is_dir():
        adapter, file = None, weights_in(path)
    else:
        adapter, file = None, path
    if file is None:
        raise WeightsError(f"{path} holds no diffusion_pytorch_model.safetensors.")
    state = read_state(file)
    if adapter is None:
        adapter = _empty_adapter(state, file, **heads)
    _fill(adapter, state, file)
    return (adapter if adapter.dtype == dtype else adapter.to(dtype)).eval()


def _empty_adapter(state: State, file: Path, heads: int = _HEADS, norm_groups: int = 32) -> MotionAdapter:
    shape = shape_of({name: tuple(tensor.shape) for name, tensor in state.items()}, file)
    if any(channels % heads or channels % norm_groups for channels in shape.channels):
        heads, norm_groups = min(heads, 2), 2  # no published model: one that a test made
    return MotionAdapter(
        block_out_channels=shape.channels,
        motion_layers_per_block=shape.layers,
        motion_num_attention_heads=heads,
        motion_norm_num_groups=norm_groups,
        motion_max_seq_length=shape.frame_limit,
        use_motion_mid_block=shape.mid_block,
    )


def _fill(adapter: MotionAdapter, state: State, file: Path) -> None:
    named = {renamed(name): tensor for name, tensor in state.items() if not name.endswith(_POSITIONS)}
    wanted = adapter.state_dict()
    missing = [name for name in wanted if name not in named and not name.endswith(_POSITIONS)]
    surplus = [name for name in named if name not in wanted]
    wrong = [name for name in named if name in wanted and named[name].shape != wanted[name].shape]
    if missing or surplus or wrong:
        first = (missing or surplus or wrong)[0]
        raise WeightsError(
            f"{file} is no whole motion adapter: {len(missing)} tensors are missing, {len(surplus)} are not "
            f"its own, {len(wrong)} have another size (first: {first})."
        )
    adapter.load_state_dict(named, strict=False)


# ---------------------------------------------------------------------------------------------------- LoRA


def lora_state(path: Path) -> State:
    """A LoRA's tensors in the names that ``load_lora_weights`` really loads, whatever their notation was."""
    state = {renamed(name): tensor for name, tensor in read_state(path).items()}
    prefixes = ("unet.", "text_encoder.", "text_encoder_2.", "lora_unet_", "lora_te", "base_model.")
    return {name if name.startswith(prefixes) else f"unet.{name}": tensor for name, tensor in state.items()}


def add_lora(pipe: Any, path: Path, name: str) -> int:
    """Load a LoRA under a name; returns how many layers of the UNet it changes.

    Raises:
        WeightsError: it loaded nothing, or not all of it.
    """
    state = lora_state(path)
    expected = sum(1 for key in state if key.startswith("unet.") and _DOWN.search(key))
    try:
        pipe.load_lora_weights(state, adapter_name=name)
    except (ValueError, KeyError, RuntimeError, IndexError) as error:
        raise WeightsError(f"{path} does not fit this model: {' '.join(str(error).split())[:300]}") from error
    if name not in pipe.get_list_adapters().get("unet", []):
        raise WeightsError(f"{path} loaded nothing: it is no LoRA for this model.")
    loaded = sum(1 for module in pipe.unet.modules() if hasattr(module, "lora_A") and name in module.lora_A)
    if not loaded or (expected and loaded != expected):
        raise WeightsError(f"{path}: {loaded} of its {expected} layers were loaded; it is for another model.")
    return loaded
