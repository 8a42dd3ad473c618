"""Tiny checkpoints with random weights, in the forms that people have: folders and single files.

They are small enough for the real pipelines to run on a CPU in a moment.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    MotionAdapter,
    SparseControlNetModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tests.animatediff.single_files import sd15_file, sdxl_file

VOCABULARY = 514
LIMIT = 16
"""Frames that the tiny adapters know."""
SD15_CHANNELS, SDXL_CHANNELS = (8, 8, 8, 16), (8, 16, 16)


def make_all(folder: Path) -> None:
    """Write ``sd15`` and ``sdxl`` folders and files, adapters, LoRAs and SparseCtrl models."""
    torch.manual_seed(7)
    _save_pipeline(_sd15(), folder / "sd15")
    _save_pipeline(_sdxl(), folder / "sdxl")
    save_file(sd15_file(folder / "sd15"), folder / "sd15.safetensors")
    save_file(sdxl_file(folder / "sdxl"), folder / "sdxl.safetensors")
    for name, channels, mid in (
        ("v2", SD15_CHANNELS, True),
        ("v3", SD15_CHANNELS, False),
        ("sdxl_adapter", SDXL_CHANNELS, False),
    ):
        adapter = make_adapter(channels, mid)
        adapter.save_pretrained(folder / name)
        state = adapter.state_dict()
        save_file(state, folder / f"{name}_lone.safetensors")
        torch.save(
            {"state_dict": original(state), "animatediff_config": {}}, folder / f"{name}_original.ckpt"
        )
        save_file(original(state), folder / f"{name}_original.safetensors")
    _save_loras(folder)
    _save_controls(folder)


def make_adapter(channels: tuple[int, ...], mid: bool) -> MotionAdapter:
    """An adapter whose output is not zero, as a fresh one's is."""
    adapter = MotionAdapter(
        block_out_channels=channels,
        motion_layers_per_block=2,
        motion_norm_num_groups=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=LIMIT,
        use_motion_mid_block=mid,
    )
    _fill(adapter, 0.3)
    return adapter


def original(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An adapter's tensors as the official files name them."""
    named = {}
    for name, tensor in state.items():
        place, _, rest = name.partition(".motion_modules.")
        number, _, inner = rest.partition(".")
        for new, old in (
            ("attn1.", "attention_blocks.0."),
            ("attn2.", "attention_blocks.1."),
            ("norm1.", "norms.0."),
            ("norm2.", "norms.1."),
            ("norm3.", "ff_norm."),
        ):
            inner = inner.replace(f"transformer_blocks.0.{new}", f"transformer_blocks.0.{old}")
        if inner.endswith("pos_embed.pe"):
            inner = "transformer_blocks.0.attention_blocks.0.pos_encoder.pe"
        named[f"{place}.motion_modules.{number}.temporal_transformer.{inner}"] = tensor.clone()
    return named


def _fill(model: torch.nn.Module, scale: float) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 or "norm" not in name:
                parameter.normal_(0, scale)


# ------------------------------------------------------------------------------------------------ pipelines


def _save_pipeline(pipe: Any, folder: Path) -> None:
    pipe.save_pretrained(folder)


def _tokenizer() -> CLIPTokenizer:
    """Every byte, alone and as a word's end: no merges."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    characters = [chr(code) for code in printable]
    characters += [chr(256 + number) for number in range(256 - len(printable))]
    words = [*characters, *(f"{each}</w>" for each in characters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _text_config(width: int, **more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=width,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        **more,
    )


def _vae(**more: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=2,
        latent_channels=4,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        **more,
    )


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")


def _sd15() -> StableDiffusionPipeline:
    unet = UNet2DConditionModel(
        block_out_channels=SD15_CHANNELS,
        layers_per_block=2,
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        cross_attention_dim=8,
        norm_num_groups=2,
        attention_head_dim=2,
    )
    return StableDiffusionPipeline(
        vae=_vae(scaling_factor=0.18215),
        text_encoder=CLIPTextModel(_text_config(8)).eval(),
        tokenizer=_tokenizer(),
        unet=unet,
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl() -> StableDiffusionXLPipeline:
    unet = UNet2DConditionModel(
        block_out_channels=SDXL_CHANNELS,
        layers_per_block=2,
        sample_size=16,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(1, 2, 2),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1, 1),
        cross_attention_dim=20,
        projection_class_embeddings_input_dim=6 * 8 + 12,
        norm_num_groups=2,
    )
    return StableDiffusionXLPipeline(
        vae=_vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=CLIPTextModel(_text_config(8, projection_dim=8)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(12, projection_dim=12)).eval(),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=unet,
        scheduler=_scheduler(),
    )


# --------------------------------------------------------------------------------------- LoRAs, SparseCtrl


def _save_loras(folder: Path) -> None:
    """One MotionLoRA in three notations, one more, and a domain adapter on the picture's own layers."""
    generator = torch.Generator().manual_seed(3)
    adapter = make_adapter(SD15_CHANNELS, True)
    places = [name for name, _ in adapter.named_modules() if name.endswith((".to_q", ".to_v"))]
    sizes = dict(adapter.named_modules())
    official, library, peft = {}, {}, {}
    for place in places:
        layer = sizes[place]
        down = torch.randn(2, layer.in_features, generator=generator)
        up = torch.randn(layer.out_features, 2, generator=generator)
        block, _, kind = place.rpartition(".")
        for end, tensor, letter in (("down", down, "A"), ("up", up, "B")):
            library[f"unet.{block}.processor.{kind}_lora.{end}.weight"] = tensor
            peft[f"unet.{place}.lora_{letter}.weight"] = tensor
            name = f"{block}.processor.{kind}_lora.{end}.weight"
            official[next(iter(original({name: tensor})))] = tensor
    torch.save({"state_dict": official}, folder / "v2_lora_ZoomIn.ckpt")
    save_file({name: tensor.clone() for name, tensor in library.items()}, folder / "lora_library.safetensors")
    save_file({name: tensor.clone() for name, tensor in peft.items()}, folder / "lora_peft.safetensors")
    domain = {
        f"down_blocks.0.attentions.{number}.transformer_blocks.0.attn1.processor.to_q_lora.{end}.weight": (
            torch.randn(*((2, 8) if end == "down" else (8, 2)), generator=generator)
        )
        for number in range(2)
        for end in ("down", "up")
    }
    torch.save({"state_dict": domain}, folder / "domain.ckpt")


def _save_controls(folder: Path) -> None:
    for kind, channels in (("rgb", 4), ("scribble", 3)):
        model = SparseControlNetModel(
            block_out_channels=SD15_CHANNELS,
            layers_per_block=2,
            down_block_types=("CrossAttnDownBlockMotion",) * 3 + ("DownBlockMotion",),
            cross_attention_dim=8,
            norm_num_groups=1,
            attention_head_dim=2,
            motion_num_attention_heads=2,
            conditioning_channels=channels,
            conditioning_embedding_out_channels=(8, 8, 8, 8),
            use_simplified_condition_embedding=kind == "rgb",
        )
        _fill(model, 0.1)
        model.save_pretrained(folder / kind)


def model_index(folder: Path) -> dict[str, Any]:
    index: dict[str, Any] = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    return index
