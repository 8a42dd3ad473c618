"""A diffusers-form folder as the single file that people download: the same tensors by the classic names."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors.torch import load_file

State = dict[str, torch.Tensor]
_LAYERS = 2

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def sd15_file(folder: Path) -> State:
    text = {
        f"cond_stage_model.transformer.text_model.{name}": tensor
        for name, tensor in _text(folder / "text_encoder").items()
    }
    return _contiguous({**_unet(folder), **_vae(folder), **text})


def sdxl_file(folder: Path) -> State:
    first = {
        f"conditioner.embedders.0.transformer.text_model.{name}": tensor
        for name, tensor in _text(folder / "text_encoder").items()
    }
    second = {
        f"conditioner.embedders.1.model.{name}": tensor
        for name, tensor in _open_clip(_text(folder / "text_encoder_2")).items()
    }
    return _contiguous({**_unet(folder), **_vae(folder), **first, **second})


def _contiguous(state: State) -> State:
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def _text(folder: Path) -> State:
    state = load_file(folder / "model.safetensors")
    return {name.removeprefix("text_model."): tensor for name, tensor in state.items()}


def _unet(folder: Path) -> State:
    state = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    with_attention = {int(m[1]) for name in state if (m := re.match(r"up_blocks\.(\d+)\.attentions", name))}
    return {
        f"model.diffusion_model.{_unet_name(name, with_attention)}": tensor for name, tensor in state.items()
    }


def _unet_name(name: str, with_attention: set[int]) -> str:
    for new, old in _ENDS.items():
        if name.startswith(f"{new}."):
            return name.replace(new, old, 1)
    side, *rest = name.split(".")
    if side == "mid_block":
        kind, number, *inner = rest
        place = "middle_block.1" if kind == "attentions" else f"middle_block.{2 * int(number)}"
        return f"{place}.{_inner(kind, inner)}"
    block, kind, number, *inner = rest
    first = int(block) * (_LAYERS + 1)
    if kind == "downsamplers":
        return f"input_blocks.{first + _LAYERS + 1}.0.op.{inner[-1]}"
    if kind == "upsamplers":
        return f"output_blocks.{first + _LAYERS}.{2 if int(block) in with_attention else 1}.conv.{inner[-1]}"
    at = first + int(number)
    group = f"input_blocks.{at + 1}" if side == "down_blocks" else f"output_blocks.{at}"
    return f"{group}.{1 if kind == 'attentions' else 0}.{_inner(kind, inner)}"


def _inner(kind: str, inner: list[str]) -> str:
    if kind == "attentions":
        return ".".join(inner)
    return ".".join([_RESNET[inner[0]], *inner[1:]])


def _vae(folder: Path) -> State:
    state = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    named = {}
    for name, tensor in state.items():
        old = _vae_name(name)
        if ".attn_1." in old and tensor.ndim == 2:
            tensor = tensor[:, :, None, None]
        named[f"first_stage_model.{old}"] = tensor
    return named


def _vae_name(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{3 - int(m[1])}.block.{m[2]}", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1").replace("conv_shortcut", "nin_shortcut")
    name = name.replace("conv_norm_out", "norm_out")
    if "attn_1" in name:
        for new, old in (
            ("group_norm", "norm"),
            ("to_q", "q"),
            ("to_k", "k"),
            ("to_v", "v"),
            ("to_out.0", "proj_out"),
        ):
            name = name.replace(new, old)
    return name


def _open_clip(state: State) -> State:
    """The second text encoder of SDXL: queries, keys and values in one tensor, the projection transposed."""
    named: State = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
    }
    layers = {int(m[1]) for name in state if (m := re.match(r"encoder\.layers\.(\d+)", name))}
    for number in layers:
        old, new = f"encoder.layers.{number}", f"transformer.resblocks.{number}"
        for end in ("weight", "bias"):
            parts = [state[f"{old}.self_attn.{kind}_proj.{end}"] for kind in "qkv"]
            named[f"{new}.attn.in_proj_{end}"] = torch.cat(parts)
            for theirs, ours in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                named[f"{new}.{ours}.{end}"] = state[f"{old}.{theirs}.{end}"]
    return named
