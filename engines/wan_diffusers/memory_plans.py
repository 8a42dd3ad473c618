"""How the model is held in memory, and which way fits this machine: estimated in bytes from the weights.

Nothing here was measured on a GPU. The GPU holds

* the weights: all of them (``none``), one part at a time (``model``: the largest is the diffusion model), or
  a layer at a time (``group``: the largest is the text encoder's embedding, about a fifth of it);
* the activations of one window, by its tokens: 557 kB each, as people report of the same model (see
  ``engines/wan22/needs.py``);
* the whole clip: diffusers keeps pose, face, background, mask and result as float32 on the GPU, whatever the
  plan: 12 bytes for each pixel of the padded pose, 24 for the result while its windows are joined, 16 for
  background and mask.

The host holds all weights while they are loaded, and with ``model`` and ``group`` for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from config import NO_PATH, Job
from engines import machine
from engines.interface import Prediction
from engines.wan_diffusers.model_folder import ModelFolder

_CUDA_ITSELF: Final = 500_000_000
_TOKEN: Final = 557_000
_POSE, _RESULT, _SCENE = 12, 24, 16
_FACE: Final = 512 * 512 * 12
_NUMBER: Final = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0}
"""Bytes of each of the transformer's numbers."""
_NAMED: Final = {"full": "none", "model_offload": "model", "group_offload": "group"}
_OFFLOADS: Final = ("none", "model", "group")
"""From the quickest to the most sparing."""


@dataclass(frozen=True)
class Held:
    """How the model is held."""

    weights: str
    """``bf16`` (float32 on a CPU), ``fp8``, ``int8`` or ``gguf``: those of the diffusion model."""
    offload: str
    """``none``, ``model`` or ``group``: what moves between host and GPU."""
    device: str
    gpu_bytes: int
    """What it is thought to need of the GPU; 0 on a CPU."""
    host_bytes: int
    free_gpu_bytes: int | None
    """What was free when it was chosen; None where nobody can tell."""

    def as_facts(self) -> dict[str, Any]:
        """For the record."""
        return {
            "weights": self.weights,
            "offload": self.offload,
            "device": self.device,
            "estimated_gpu_bytes": self.gpu_bytes,
            "free_gpu_bytes": self.free_gpu_bytes,
        }

    @property
    def fits(self) -> bool:
        """Whether the GPU's free memory is enough, as far as it is known."""
        return self.free_gpu_bytes is None or self.gpu_bytes <= self.free_gpu_bytes


def weights_of(job: Job) -> str:
    """Which numbers the diffusion model is held in. ``auto`` never takes less exact ones by itself."""
    if job.memory in _NUMBER or job.memory == "gguf":
        return job.memory
    return "gguf" if job.memory == "auto" and job.transformer_file != NO_PATH else "bf16"


def choose(job: Job, model: ModelFolder, predicted: Prediction | None) -> Held:
    """The plan that the job asks for, completed by what is free on the GPU now."""
    weights = weights_of(job)
    if job.diffusers_device == "cpu":
        offload = _NAMED.get(job.memory, "none")
        return Held(weights, offload, "cpu", 0, _host(job, model, predicted, weights), None)
    gpus = machine.gpus()
    free = gpus[0].memory_free if gpus else None
    ways = [
        Held(
            weights,
            offload,
            "cuda",
            _gpu(job, model, predicted, weights, offload),
            _host(job, model, predicted, weights),
            free,
        )
        for offload in ([_NAMED[job.memory]] if job.memory in _NAMED else _OFFLOADS)
    ]
    if free is None:
        return ways[-1]
    return next((held for held in ways if held.fits), ways[-1])


def _transformer(job: Job, model: ModelFolder, weights: str, number: float | None = None) -> int:
    if weights == "gguf":
        return job.transformer_file.stat().st_size if job.transformer_file.is_file() else 0
    return int(model.parameters.get("transformer", 0) * (number or _NUMBER[weights]))


def _gpu(job: Job, model: ModelFolder, predicted: Prediction | None, weights: str, offload: str) -> int:
    transformer = _transformer(job, model, weights)
    text, image = 2 * model.parameters["text_encoder"], 2 * model.parameters["image_encoder"]
    vae = 4 * model.parameters["vae"]
    activations = _TOKEN * ((predicted and predicted.tokens) or 0)
    held = {
        "none": transformer + text + image + vae + activations,
        "model": max(text, transformer + activations),
        "group": max(text // 5, activations),
    }
    return _CUDA_ITSELF + held[offload] + clip_bytes(job, predicted)


def clip_bytes(job: Job, predicted: Prediction | None) -> int:
    """What the clip takes on the GPU, filled up to whole windows."""
    if predicted is None or predicted.windows is None or predicted.frame_num is None:
        return 0
    frames = predicted.windows * (predicted.frame_num - job.refert_num) + job.refert_num
    each = _POSE + _RESULT + (_SCENE if job.replace else 0)
    return frames * (predicted.width * predicted.height * each + _FACE)


def _host(job: Job, model: ModelFolder, predicted: Prediction | None, weights: str) -> int:
    """All weights as they are loaded: fp8 and int8 come from the full ones, part by part."""
    wide = 2 if job.diffusers_device == "gpu" else 4
    others = sum(count for name, count in model.parameters.items() if name not in ("transformer", "vae"))
    number = None if weights == "int8" else float(wide)
    return _transformer(job, model, weights, number) + wide * others + 4 * model.parameters["vae"]
