"""A small Wan-Animate-2 model in diffusers' own layout, made by the library: 90 MB, since the width of its
picture encoder is fixed. Run as a program: ``python tiny.py FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path


def make_model(folder: Path) -> Path:
    """Save it; the same numbers every time."""
    import torch  # type: ignore[import-not-found, unused-ignore]
    from diffusers import (  # type: ignore[import-not-found, unused-ignore]
        AutoencoderKLWan,
        FlowMatchEulerDiscreteScheduler,
        WanAnimate2Blocks,
        WanAnimate2Transformer3DModel,
    )
    from transformers import (  # type: ignore[import-not-found, unused-ignore]
        CLIPVisionConfig,
        CLIPVisionModel,
        UMT5Config,
        UMT5EncoderModel,
    )

    from tests.wan_diffusers.tiny_from_library import _tokenizer

    torch.manual_seed(0)
    vision = CLIPVisionConfig(
        hidden_size=1280,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=224,
        patch_size=56,
        intermediate_size=16,
    )
    text = UMT5Config(vocab_size=128, d_model=32, d_kv=8, d_ff=37, num_layers=2, num_heads=4)
    pipeline = WanAnimate2Blocks().init_pipeline()
    pipeline.update_components(
        tokenizer=_tokenizer(),
        text_encoder=UMT5EncoderModel(text).eval(),
        image_encoder=CLIPVisionModel(vision).eval(),
        vae=AutoencoderKLWan(
            base_dim=3,
            z_dim=16,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
        ),
        transformer=WanAnimate2Transformer3DModel(
            dim=24, ffn_dim=32, freq_dim=16, text_dim=32, num_heads=2, num_layers=2
        ),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=5.0),
    )
    pipeline.save_pretrained(str(folder), overwrite_modular_index=True)
    return folder


if __name__ == "__main__":
    make_model(Path(sys.argv[1]))
