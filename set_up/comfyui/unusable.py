"""Why a file of ComfyUI's that looks like one that is needed cannot be used by upstream's loader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from engines.wan22 import checkout
from set_up.comfyui.folders import FoundFile
from set_up.comfyui.safetensors import Tensor
from set_up.comfyui.tensors import SAM2, bits_of

Tensors = Sequence[Tensor] | None
"""None for a file of another kind, or one that cannot be read."""
_Rule = Callable[[FoundFile, Tensors], str | None]

_PREPROCESSING: Final = checkout.PREPROCESS_CHECKPOINTS
DIFFUSION: Final = "diffusion_pytorch_model"
FOLDERS: Final = (
    checkout.T5_TOKENIZER,
    checkout.CLIP_TOKENIZER,
    f"{_PREPROCESSING}/{checkout.POSE_MODEL}",
    f"{_PREPROCESSING}/{checkout.FLUX}",
)
"""Folders that are needed as a whole."""


def unit_of(path: str) -> str:
    """What one thinks of as one thing: a needed file's folder, or all of the diffusion model, or the file."""
    if path.startswith(DIFFUSION):
        return DIFFUSION
    return next((folder for folder in FOLDERS if path.startswith(f"{folder}/")), path)


def why_not(unit: str, file: FoundFile, tensors: Tensors) -> str | None:
    """Why a file cannot be used as ``unit``; None if it has nothing to do with that.

    By what it holds, else by its name.
    """
    rule = _RULES.get(unit)
    return rule(file, tensors) if rule else None


def _is_named(file: FoundFile, *words: str) -> bool:
    name = file.path.name.lower()
    return all(word in name for word in words)


def _is_gguf(file: FoundFile) -> bool:
    return file.path.suffix.lower() == ".gguf"


def _has(tensors: Tensors, end: str, shape: tuple[int | None, ...] | None = None) -> bool:
    """Whether a tensor's name ends so, of that shape (None: of any length)."""
    return any(
        tensor.name.endswith(end) and (shape is None or _fits(tensor.shape, shape))
        for tensor in tensors or ()
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(b is None or a == b for a, b in zip(shape, wanted, strict=True))


def _bits(tensors: Tensors) -> str:
    bits = bits_of(tensors or ())
    return f", rounded to {bits} bits" if 0 < bits < 16 else ""


def _diffusion(file: FoundFile, tensors: Tensors) -> str | None:
    loader = "upstream's loader reads the official shards, by their index"
    if _is_gguf(file) and _is_named(file, "animate"):
        return f"GGUF: rounded to few bits, and {loader}"
    if not _has(tensors, "pose_patch_embedding.weight"):
        return None
    if rounded := _bits(tensors):
        return f"a single file{rounded} (fp8 or int8), and {loader}"
    return f"a single file; {loader}"


def _t5(file: FoundFile, tensors: Tensors) -> str | None:
    if _is_gguf(file) and _is_named(file, "umt5"):
        return "GGUF: rounded to few bits, with other names"
    if _has(tensors, "shared.weight", (256384, None)):
        return f"in Hugging Face's layout{_bits(tensors)}: its names (shared.weight ...) are not upstream's"
    return None


def _clip(file: FoundFile, tensors: Tensors) -> str | None:
    if _has(tensors, "vision_model.embeddings.patch_embedding.weight", (1280, 3, 14, 14)):
        return "only the half that sees pictures, with other names; upstream loads both halves"
    return None


def _vae(file: FoundFile, tensors: Tensors) -> str | None:
    if _has(tensors, "encoder.conv_in.weight", (96, 3, 3, 3, 3)):
        return "in the layout of diffusers, whose names are not upstream's"
    if _is_gguf(file) and _is_named(file, "wan", "vae"):
        return "GGUF: rounded to few bits, with other names"
    return None


def _sam2(file: FoundFile, tensors: Tensors) -> str | None:
    if _has(tensors, "vision_encoder.backbone.patch_embed.projection.weight"):
        return "SAM 2 in the layout of transformers, whose names are not upstream's"
    return None


def _relighting(file: FoundFile, tensors: Tensors) -> str | None:
    if not _is_named(file, "relight"):
        return None
    rounded = "rounded to 16 bits, " if bits_of(tensors or ()) == 16 else ""
    return f"a repacking for ComfyUI: {rounded}without the dictionary that upstream reads"


def _pose_model(file: FoundFile, tensors: Tensors) -> str | None:
    if not _is_named(file, "vitpose"):
        return None
    name = file.path.name.lower().replace("_", "-")
    size = next((letter for letter in "lbs" if f"vitpose-{letter}" in name), None)
    if size:
        return f"ViTPose {size.upper()}, a smaller model; upstream's is H"
    return "ViTPose packed in another way; upstream's is a folder of end2end.onnx and its tensor files"


def _flux(file: FoundFile, tensors: Tensors) -> str | None:
    if _is_named(file, "flux", "kontext"):
        return "a single file; upstream loads the whole folder of diffusers"
    return None


_RULES: Final[dict[str, _Rule]] = {
    DIFFUSION: _diffusion,
    checkout.T5: _t5,
    checkout.CLIP: _clip,
    checkout.VAE: _vae,
    SAM2: _sam2,
    checkout.RELIGHTING: _relighting,
    f"{_PREPROCESSING}/{checkout.POSE_MODEL}": _pose_model,
    f"{_PREPROCESSING}/{checkout.FLUX}": _flux,
}
