"""A stand-in for the official Wan2.2 repository, for integration tests.

It runs as real subprocesses under the interpreter of the tests (PyAV, NumPy and OpenCV are what it needs), in
about a second, and writes small real videos in upstream's formats. It misbehaves on request; the environment
variables that steer it are listed in `checkout/standin_support.py`. What it is held against lies in
`tests/data/`.

    checkout = make_standin(tmp_path / "Wan2.2")
    checkpoints = make_checkpoints(tmp_path / "Wan2.2-Animate-14B")
    subprocess.run([sys.executable, checkout / "generate.py", ...])

A command `python -m torch.distributed.run ...` must find the stand-in's own torch: start it with
`standin_environment(checkout)`, which puts the checkout on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).parent / "checkout"
STAGE_1 = Path("wan/modules/animate/preprocess/preprocess_data.py")
STAGE_2 = Path("generate.py")
SHARD_COUNT = 3

CHECKPOINT_FILES = (
    "config.json",
    "models_t5_umt5-xxl-enc-bf16.pth",
    "google/umt5-xxl/tokenizer.json",
    "google/umt5-xxl/tokenizer_config.json",
    "google/umt5-xxl/special_tokens_map.json",
    "google/umt5-xxl/spiece.model",
    "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "xlm-roberta-large/sentencepiece.bpe.model",
    "xlm-roberta-large/tokenizer.json",
    "xlm-roberta-large/tokenizer_config.json",
    "xlm-roberta-large/config.json",
    "Wan2.1_VAE.pth",
    "relighting_lora.ckpt",
    "process_checkpoint/det/yolov10m.onnx",
    "process_checkpoint/pose2d/vitpose_h_wholebody.onnx/end2end.onnx",
    "process_checkpoint/sam2/sam2_hiera_large.pt",
    "process_checkpoint/FLUX.1-Kontext-dev/model_index.json",
)


def make_standin(folder: Path) -> Path:
    """Lay out the stand-in checkout in `folder` (created; files there of the same names are overwritten).

    The support module goes beside both scripts: each finds its code in its own directory, as upstream's do.
    """
    shutil.copytree(TEMPLATE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TEMPLATE / "standin_support.py", folder / STAGE_1.parent)
    return folder


def make_checkpoints(folder: Path) -> Path:
    """Tiny files under every name that upstream opens, the preprocessing weights included."""
    shards = [
        f"diffusion_pytorch_model-{number:05d}-of-{SHARD_COUNT:05d}.safetensors"
        for number in range(1, SHARD_COUNT + 1)
    ]
    for name in (*CHECKPOINT_FILES, *shards):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{}\n" if target.suffix == ".json" else f"stand-in for {name}\n")
    index = {
        "metadata": {"total_size": 0},
        "weight_map": {f"block.{i}": name for i, name in enumerate(shards)},
    }
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def standin_environment(checkout: Path, **extra: str) -> dict[str, str]:
    """This process's environment, the checkout first on PYTHONPATH, and `extra` (STANDIN_FAULT and so on)."""
    path = os.pathsep.join(filter(None, [str(checkout), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, **extra}


def read_record(path: Path) -> list[dict[str, Any]]:
    """What the processes of a run recorded under STANDIN_RECORD, oldest first. No file, no records."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
