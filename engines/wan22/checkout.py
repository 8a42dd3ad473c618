"""Where things lie in a checkout of Wan2.2 and in its checkpoint folder."""

from __future__ import annotations

import json
from pathlib import Path

UPSTREAM_COMMIT = "42bf4cfaa384bc21833865abc2f9e6c0e67233dc"
"""The commit against which this engine was written and measured."""
UPSTREAM_URL = "https://github.com/Wan-Video/Wan2.2"
WEIGHTS_REPOSITORY = "Wan-AI/Wan2.2-Animate-14B"

PREPROCESS_SCRIPT = Path("wan/modules/animate/preprocess/preprocess_data.py")
GENERATE_SCRIPT = Path("generate.py")
PREPROCESS_CHECKPOINTS = "process_checkpoint"


def source_files(wan22_dir: Path) -> tuple[Path, ...]:
    """Upstream's code, whose change makes earlier results stale."""
    return (wan22_dir / GENERATE_SCRIPT, *sorted((wan22_dir / "wan").rglob("*.py")))


def preprocess_weights(ckpt_dir: Path, *, replace: bool, use_flux: bool) -> tuple[Path, ...]:
    """What stage 1 loads. The pose model is a folder of many files in the official distribution."""
    folder = ckpt_dir / PREPROCESS_CHECKPOINTS
    needed = [folder / "det/yolov10m.onnx", folder / "pose2d/vitpose_h_wholebody.onnx"]
    if replace:
        needed.append(folder / "sam2/sam2_hiera_large.pt")
    if use_flux:
        needed.append(folder / "FLUX.1-Kontext-dev")
    return tuple(needed)


def generate_weights(ckpt_dir: Path, *, relighting: bool) -> tuple[Path, ...]:
    """What stage 2 loads, the diffusion model's shards aside (see ``diffusion_shards``)."""
    needed = [
        ckpt_dir / "config.json",
        ckpt_dir / "models_t5_umt5-xxl-enc-bf16.pth",
        ckpt_dir / "google/umt5-xxl",
        ckpt_dir / "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
        ckpt_dir / "xlm-roberta-large",
        ckpt_dir / "Wan2.1_VAE.pth",
    ]
    if relighting:
        needed.append(ckpt_dir / "relighting_lora.ckpt")
    return tuple(needed)


def diffusion_shards(ckpt_dir: Path) -> tuple[Path, ...]:
    """The diffusion model's files that are there."""
    return tuple(sorted(ckpt_dir.glob("diffusion_pytorch_model*")))


def missing_diffusion_files(ckpt_dir: Path) -> list[str]:
    """Names of the diffusion model's files that are not there: by its index, or one file without an index."""
    model = "diffusion_pytorch_model.safetensors"
    index = ckpt_dir / f"{model}.index.json"
    if not index.is_file():
        return [] if (ckpt_dir / model).is_file() else [index.name]
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"{index.name} (unreadable)"]
    return sorted(name for name in shards if not (ckpt_dir / name).is_file())
