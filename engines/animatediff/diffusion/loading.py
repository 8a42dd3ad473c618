"""Load the pipeline of a clip: class, scheduler, FreeNoise, LoRAs, attention, place in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import diffusers
import torch

from engines.animatediff.clip import CONTEXT_STRIDE
from engines.animatediff.diffusion.motion_files import add_lora, load_adapter
from engines.animatediff.diffusion.size_embedding import restore_size_embedding
from engines.animatediff.weight_files import SDXL, WeightsError

DDIM: Final = {
    "beta_schedule": "linear",
    "steps_offset": 1,
    "clip_sample": False,
    "timestep_spacing": "linspace",
}
"""Beside the checkpoint's own betas. With clip_sample, the class's default, the latents are cut to -1...1
and the picture is ruined without an error; the rest is how the adapters were published."""
_ROOM: Final = 4 * 2**30
"""Bytes that the work needs beside the weights, at least."""
_BYTES_PER_PIXEL: Final = 400
"""And for each pixel of all frames, roughly: 16 frames of 1024x1024 take about 6 GB more than the weights."""


@dataclass
class Loaded:
    """A pipeline that is ready, and what is worth knowing of it."""

    pipe: Any
    device: str
    dtype: torch.dtype
    family: str
    attention: str
    offload: bool
    frame_limit: int
    context: int | None
    """FreeNoise's length; None where the adapter sees the clip whole."""
    lora_layers: dict[str, int] = field(default_factory=dict)


def key_of(job: Mapping[str, Any]) -> str:
    """Jobs of the same key can share a loaded pipeline."""
    control = job["sparse_control"]
    kept = {
        **{name: job[name] for name in ("checkpoint", "motion_adapter", "pipeline_config", "family")},
        **{name: job[name] for name in ("loras", "domain_adapter", "device", "attention")},
        "control": control and control["path"],
        "offload_area": job["width"] * job["height"] * job["frames"],
    }
    return json.dumps(kept, sort_keys=True)


def load(job: Mapping[str, Any]) -> Loaded:
    """Load everything that the job names.

    Raises:
        engines.animatediff.weight_files.WeightsError: a file is not what it should be.
    """
    device = _device(job["device"])
    dtype = torch.float16 if device == "cuda" else torch.float32
    adapter = load_adapter(Path(job["motion_adapter"]), dtype)
    parts: dict[str, Any] = {"motion_adapter": adapter, **_dtype(dtype)}
    if control := job["sparse_control"]:
        parts["controlnet"] = diffusers.SparseControlNetModel.from_pretrained(
            control["path"], local_files_only=True, **_dtype(dtype)
        )
    pipe = _pipeline(job, parts)
    if job["family"] == SDXL:
        restore_size_embedding(pipe, Path(job["checkpoint"]))
    pipe.scheduler = diffusers.DDIMScheduler.from_config(pipe.scheduler.config, **DDIM)
    pipe.set_progress_bar_config(disable=True)
    limit = int(adapter.config["motion_max_seq_length"])
    context = context_of(job, limit)
    if context is not None:  # before the LoRAs: it builds the motion modules anew and would not find theirs
        pipe.enable_free_noise(context_length=context, context_stride=CONTEXT_STRIDE)
    loaded = Loaded(pipe, device, dtype, job["family"], "sdpa", False, limit, context)
    _add_loras(loaded, job)
    _place(loaded, job)
    loaded.attention = _attention(pipe, job["attention"], device)
    return loaded


def context_of(job: Mapping[str, Any], limit: int) -> int | None:
    """FreeNoise's length for this clip, or None where the adapter sees it whole.

    Raises:
        engines.animatediff.weight_files.WeightsError: the clip is too long for its kind of pipeline.
    """
    if len(job["prompts"]) == 1 and job["frames"] <= limit:
        return None
    if job["family"] == SDXL or job["sparse_control"]:
        raise WeightsError(f"The motion adapter knows {limit} frames; {job['frames']} were asked for.")
    return min(int(job["context_length"]), limit)


def fits(loaded: Loaded, job: Mapping[str, Any]) -> bool:
    """Whether what was loaded for a job of the same key serves this one too: FreeNoise is not undone."""
    return loaded.context == context_of(job, loaded.frame_limit)


def _device(wanted: str) -> str:
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def _dtype(dtype: torch.dtype) -> dict[str, torch.dtype]:
    """The argument is called otherwise below diffusers 0.40."""
    major, minor = (int(part) for part in diffusers.__version__.split(".")[:2])
    return {"dtype" if (major, minor) >= (0, 40) else "torch_dtype": dtype}


def _pipeline(job: Mapping[str, Any], parts: Mapping[str, Any]) -> Any:
    if job["family"] == SDXL:
        kind: Any = diffusers.AnimateDiffSDXLPipeline
    elif job["sparse_control"]:
        kind = diffusers.AnimateDiffSparseControlNetPipeline
    else:
        kind = diffusers.AnimateDiffPipeline
    checkpoint = Path(job["checkpoint"])
    if checkpoint.is_dir():
        if not any((checkpoint / "unet").glob("*model.safetensors*")) and _has_half(checkpoint):
            parts = {**parts, "variant": "fp16"}
        return kind.from_pretrained(checkpoint, local_files_only=True, **parts)
    if job["pipeline_config"]:
        parts = {**parts, "config": job["pipeline_config"], "local_files_only": True}
    return kind.from_single_file(str(checkpoint), **parts)


def _has_half(folder: Path) -> bool:
    """Whether the folder holds its weights in half precision, under names of their own."""
    return any((folder / "unet").glob("*.fp16*.safetensors"))


def _add_loras(loaded: Loaded, job: Mapping[str, Any]) -> None:
    loras = [*job["loras"], *([job["domain_adapter"]] if job["domain_adapter"] else [])]
    for lora in loras:
        loaded.lora_layers[lora["name"]] = add_lora(loaded.pipe, Path(lora["path"]), lora["name"])
    if loras:
        loaded.pipe.set_adapters([lora["name"] for lora in loras], [float(lora["weight"]) for lora in loras])


def _place(loaded: Loaded, job: Mapping[str, Any]) -> None:
    """On the GPU, whole where it fits into what is free now, else part by part."""
    if loaded.device != "cuda":
        loaded.pipe.to(loaded.device)
        return
    work = max(_ROOM, _BYTES_PER_PIXEL * job["width"] * job["height"] * job["frames"])
    weights = sum(
        each.numel() * each.element_size()
        for part in loaded.pipe.components.values()
        if isinstance(part, torch.nn.Module)
        for each in part.parameters()
    )
    free, _ = torch.cuda.mem_get_info()
    loaded.offload = weights + work > free
    if loaded.offload:
        loaded.pipe.enable_model_cpu_offload()
    else:
        loaded.pipe.to("cuda")


def _attention(pipe: Any, wanted: str, device: str) -> str:
    """torch's own attention, or xformers where it was asked for, or (auto) where it is there and works."""
    if wanted == "sdpa" or (wanted == "auto" and device != "cuda"):
        return "sdpa"
    try:
        pipe.enable_xformers_memory_efficient_attention()
    except (ImportError, ValueError, RuntimeError) as error:
        if wanted == "xformers":
            raise WeightsError(f"xformers cannot be used here: {error}") from error
        return "sdpa"
    return "xformers"
