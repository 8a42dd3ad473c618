"""Small stand-ins for the hubs' repositories: the same paths, a few kilobytes each, seeded bytes."""

from __future__ import annotations

import json
import random
from pathlib import Path

from engines.wan22 import checkout
from set_up.weights.needed import FLUX_REPOSITORY

BIG = "diffusion_pytorch_model-00001-of-00002.safetensors"
BIG_SIZE = 1_200_000
SECOND_SHARD = "diffusion_pytorch_model-00002-of-00002.safetensors"
SAM2 = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.SAM2}"
DETECTOR = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.DETECTOR}"
POSE = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.POSE_MODEL}"
ANIMATE = {
    "config.json": 200,
    "diffusion_pytorch_model.safetensors.index.json": 0,
    BIG: BIG_SIZE,
    SECOND_SHARD: 90_000,
    checkout.T5: 70_000,
    checkout.CLIP: 60_000,
    checkout.VAE: 50_000,
    f"{checkout.T5_TOKENIZER}/tokenizer.json": 5_000,
    f"{checkout.T5_TOKENIZER}/tokenizer_config.json": 300,
    f"{checkout.T5_TOKENIZER}/spiece.model": 4_000,
    f"{checkout.CLIP_TOKENIZER}/tokenizer.json": 5_000,
    f"{checkout.CLIP_TOKENIZER}/tokenizer_config.json": 300,
    f"{checkout.CLIP_TOKENIZER}/sentencepiece.bpe.model": 4_000,
    DETECTOR: 20_000,
    f"{POSE}/end2end.onnx": 3_000,
    f"{POSE}/onnx__MatMul_1": 7_000,
    f"{POSE}/backbone.layers.0 weight": 7_000,
}
"""Sizes of the files that animation mode needs, by path."""
UNWANTED = {"README.md": 900, "assets/logo.png": 900, checkout.RELIGHTING: 8_000, SAM2: 30_000}
"""Beside them: not needed, or by other features alone."""
FLUX_FILES = {
    "model_index.json": 300,
    **{
        f"{folder}/{name}": 2_000
        for folder in ("text_encoder", "text_encoder_2", "transformer", "vae")
        for name in ("config.json", "model.safetensors")
    },
    "scheduler/scheduler_config.json": 300,
    "tokenizer/vocab.json": 300,
    "tokenizer_2/tokenizer.json": 300,
}
FLUX_UNWANTED = {"README.md": 300, "flux1-kontext-dev.safetensors": 9_000, "teaser.png": 500}


def make_repositories(folder: Path, seed: int = 0) -> None:
    """Both repositories, as ``HubServer`` serves them."""
    rng = random.Random(seed)
    for repository, sizes in (
        (checkout.WEIGHTS_REPOSITORY, ANIMATE | UNWANTED),
        (FLUX_REPOSITORY, FLUX_FILES | FLUX_UNWANTED),
    ):
        for name, size in sizes.items():
            path = folder / repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(rng.randbytes(size))
    index = {"weight_map": {"blocks.0.weight": BIG, "blocks.1.weight": SECOND_SHARD}}
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / checkout.WEIGHTS_REPOSITORY / name).write_text(json.dumps(index), encoding="utf-8")
    (folder / checkout.WEIGHTS_REPOSITORY / "config.json").write_text(
        '{"_class_name": "Wan"}', encoding="utf-8"
    )
