"""Where things lie in a checkout of Wan2.2 and in its checkpoint folder, and whether they are upstream's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from config import GENERATION, PREPROCESSING, Job

UPSTREAM_COMMIT = "42bf4cfaa384bc21833865abc2f9e6c0e67233dc"
"""The commit against which this engine was written and measured."""
UPSTREAM_URL = "https://github.com/Wan-Video/Wan2.2"
WEIGHTS_REPOSITORY = "Wan-AI/Wan2.2-Animate-14B"

PREPROCESS_SCRIPT = Path("wan/modules/animate/preprocess/preprocess_data.py")
GENERATE_SCRIPT = Path("generate.py")
PREPROCESS_CHECKPOINTS = "process_checkpoint"
T5, CLIP = "models_t5_umt5-xxl-enc-bf16.pth", "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
VAE, RELIGHTING = "Wan2.1_VAE.pth", "relighting_lora.ckpt"
T5_TOKENIZER, CLIP_TOKENIZER = "google/umt5-xxl", "xlm-roberta-large"
DETECTOR, POSE_MODEL = "det/yolov10m.onnx", "pose2d/vitpose_h_wholebody.onnx"
SAM2, FLUX = "sam2/sam2_hiera_large.pt", "FLUX.1-Kontext-dev"
POSE_MODEL_INSIDE = "end2end.onnx"
"""The pose model's own file, where that model is a folder."""
DIFFUSION_MODEL = "diffusion_pytorch_model.safetensors"

_TABLE: Final = Path(__file__).with_name("upstream_files.json")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


# ------------------------------------------------------------------------------------------------- code


def source_files(wan22_dir: Path) -> tuple[Path, ...]:
    """Upstream's code, whose change makes earlier results stale."""
    return (wan22_dir / GENERATE_SCRIPT, *sorted((wan22_dir / "wan").rglob("*.py")))


def missing_scripts(job: Job) -> list[Path]:
    """Those of the two scripts that the job runs and the checkout lacks."""
    scripts = []
    if PREPROCESSING in job.stages:
        scripts.append(job.wan22_dir / PREPROCESS_SCRIPT)
    if GENERATION in job.stages:
        scripts.append(job.wan22_dir / GENERATE_SCRIPT)
    return [script for script in scripts if not script.is_file()]


def commit_of(wan22_dir: Path) -> str | None:
    """The commit that is checked out, read from git's own files; None where they do not tell."""
    git = wan22_dir / ".git"
    try:
        if git.is_file():  # a worktree or a submodule: the file names the real folder
            git = wan22_dir / git.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if head.startswith("ref:"):
            head = _branch_tip(git, head.removeprefix("ref:").strip())
    except (OSError, UnicodeDecodeError):
        return None
    return head if _COMMIT.fullmatch(head) else None


def _branch_tip(git: Path, branch: str) -> str:
    """Raises OSError when it is not there."""
    shared = git / "commondir"  # a worktree keeps its branches in the main folder
    folder = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
    if (folder / branch).is_file():
        return (folder / branch).read_text(encoding="utf-8").strip()
    for line in (folder / "packed-refs").read_text(encoding="utf-8").splitlines():
        if line.endswith(f" {branch}"):
            return line.split()[0]
    return ""


@dataclass(frozen=True)
class Differences:
    """How a checkout's code differs from upstream's at the pinned commit: paths inside it."""

    edited: tuple[str, ...]
    missing: tuple[str, ...]


def differences(wan22_dir: Path) -> Differences:
    """Compare the code that this model uses, line ends aside.

    Where no file at all is upstream's, this is no checkout of that repository, and there is nothing to
    compare: whoever put something else in its place knows it.
    """
    table: Mapping[str, str] = json.loads(_TABLE.read_text(encoding="utf-8"))["files"]
    edited, missing = [], []
    for name, expected in table.items():
        try:
            content = (wan22_dir / name).read_bytes()
        except OSError:
            missing.append(name)
            continue
        if hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest() != expected:
            edited.append(name)
    if len(edited) + len(missing) == len(table):
        return Differences((), ())
    return Differences(tuple(edited), tuple(missing))


# ---------------------------------------------------------------------------------------------- weights


def preprocess_weights(ckpt_dir: Path, *, replace: bool, use_flux: bool) -> tuple[Path, ...]:
    """What stage 1 loads. The pose model is a folder of many files in the official distribution."""
    folder = ckpt_dir / PREPROCESS_CHECKPOINTS
    needed = [folder / DETECTOR, folder / POSE_MODEL]
    if replace:
        needed.append(folder / SAM2)
    if use_flux:
        needed.append(folder / FLUX)
    return tuple(needed)


def generate_weights(ckpt_dir: Path, *, relighting: bool) -> tuple[Path, ...]:
    """What stage 2 loads, the diffusion model's shards aside (see ``diffusion_shards``)."""
    names = ["config.json", T5, T5_TOKENIZER, CLIP, CLIP_TOKENIZER, VAE]
    return tuple(ckpt_dir / name for name in (*names, *([RELIGHTING] if relighting else [])))


def diffusion_shards(ckpt_dir: Path) -> tuple[Path, ...]:
    """The diffusion model's files that are there."""
    return tuple(sorted(ckpt_dir.glob("diffusion_pytorch_model*")))


def diffusion_index(ckpt_dir: Path) -> Mapping[str, str] | None:
    """The shard of each of the diffusion model's tensors, by the index; None where there is no index.

    Raises:
        ValueError: the index cannot be read as one.
    """
    index = ckpt_dir / f"{DIFFUSION_MODEL}.index.json"
    if not index.is_file():
        return None
    try:
        shard_of = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(tensor): str(name) for tensor, name in shard_of.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it has no table of the shards") from error


def missing_diffusion_files(ckpt_dir: Path) -> list[str]:
    """Names of the diffusion model's files that are not there: by its index, or one file without an index."""
    try:
        shard_of = diffusion_index(ckpt_dir)
    except ValueError:
        return [f"{DIFFUSION_MODEL}.index.json (unreadable)"]
    if shard_of is None:
        return [] if (ckpt_dir / DIFFUSION_MODEL).is_file() else [f"{DIFFUSION_MODEL}.index.json"]
    return sorted(name for name in set(shard_of.values()) if not (ckpt_dir / name).is_file())
