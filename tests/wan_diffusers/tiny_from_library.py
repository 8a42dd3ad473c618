"""A Wan-Animate model of a few kilobytes in diffusers' own layout: every part real, every weight random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FACE_SIDE = 16


def make_model_with_library(folder: Path) -> Path:
    """Save one with diffusers itself: what ``layout.json`` was written from."""
    import torch  # type: ignore[import-not-found, unused-ignore]
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanAnimatePipeline  # type: ignore[import-not-found, unused-ignore]
    from transformers import (  # type: ignore[import-not-found, unused-ignore]
        CLIPImageProcessor,
        CLIPVisionConfig,
        CLIPVisionModel,
        UMT5Config,
        UMT5EncoderModel,
    )

    torch.manual_seed(0)
    side = {"height": 4, "width": 4}
    vision = CLIPVisionConfig(
        hidden_size=4,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=4,
        patch_size=1,
        intermediate_size=16,
    )
    text = UMT5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    pipeline = WanAnimatePipeline(
        tokenizer=_tokenizer(),
        text_encoder=UMT5EncoderModel(text).eval(),
        vae=AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
        image_processor=CLIPImageProcessor(crop_size=side, size=side),
        image_encoder=CLIPVisionModel(vision).eval(),
        transformer=make_transformer(),
    )
    pipeline.save_pretrained(folder)
    return folder


def make_transformer(**changed: Any) -> Any:
    """The diffusion model alone, 2 layers of width 24 unless ``changed``."""
    from diffusers import WanAnimateTransformer3DModel  # type: ignore[import-not-found, unused-ignore]

    values = {
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "in_channels": 36,
        "latent_channels": 16,
        "out_channels": 16,
        "text_dim": 32,
        "freq_dim": 256,
        "ffn_dim": 32,
        "num_layers": 2,
        "cross_attn_norm": True,
        "qk_norm": "rms_norm_across_heads",
        "image_dim": 4,
        "rope_max_seq_len": 32,
        "motion_encoder_channel_sizes": {"4": 16, "8": 16, "16": 16},
        "motion_encoder_size": FACE_SIDE,
        "motion_style_dim": 8,
        "motion_dim": 4,
        "motion_encoder_dim": 16,
        "face_encoder_hidden_dim": 16,
        "face_encoder_num_heads": 2,
        "inject_face_latents_blocks": 2,
    }
    return WanAnimateTransformer3DModel(**{**values, **changed})


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors  # type: ignore[import-not-found, unused-ignore]
    from transformers import PreTrainedTokenizerFast  # type: ignore[import-not-found, unused-ignore]

    words = ["<pad>", "</s>", "<unk>", "▁", *map(chr, range(33, 127))]
    tokenizer = Tokenizer(
        models.Unigram([(word, -float(place)) for place, word in enumerate(words)], unk_id=2)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def layout_of(folder: Path) -> dict[str, Any]:
    """The small files of a saved model, and the tensors' shapes: all but the numbers."""
    files, tensors = {}, {}
    for path in sorted(folder.rglob("*.*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            files[name] = json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".safetensors":
            with path.open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            tensors[name] = {key: value["shape"] for key, value in header.items() if key != "__metadata__"}
    return {"files": files, "tensors": tensors}
