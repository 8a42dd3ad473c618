"""Draw a clip: warm up, denoise, decode in chunks, and leave the frames as one array on the disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch

from engines.animatediff.diffusion.loading import Loaded

_WARM_UP_FRAMES, _WARM_UP_STEPS = 8, 5
_CHUNK_PIXELS: Final = 2 * 1024 * 1024
"""Pixels that the VAE decodes at once."""
_TOKENS: Final = 77


class Tell(Protocol):
    """How a job's progress is told; see the worker's harness."""

    @property
    def cancelled(self) -> bool: ...

    def stage(self, name: str) -> None: ...

    def progress(self, phase: str, fraction: float | None, detail: str) -> None: ...


class Cancelled(Exception):
    """The one who asked does not want the clip any more."""


class NotFinite(Exception):
    """The model computed no valid numbers."""


def draw(job: Mapping[str, Any], loaded: Loaded, tell: Tell) -> dict[str, Any]:
    """Draw the clip, and write its frames, uint8 RGB (F, H, W, 3), to ``job["frames_path"]``.

    Returns the seconds of each phase, and what the report says besides.
    """
    seconds: dict[str, float] = {}
    if loaded.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    if job["warmup"]:
        tell.stage("warm-up")
        with _timed(seconds, "warm_up", loaded):
            _warm_up(job, loaded)
    tell.stage("denoising")
    with _timed(seconds, "denoising", loaded):
        latents = _denoise(job, loaded, job["frames"], job["steps"], _steps_told(job["steps"], tell))
    tell.stage("decoding")
    with _timed(seconds, "decoding", loaded):
        _write_frames(latents, loaded, Path(job["frames_path"]), tell)
    peak = torch.cuda.max_memory_allocated() if loaded.device == "cuda" else None
    return {"seconds": seconds, "peak_gpu_bytes": peak, "notes": _notes(job, loaded)}


class _timed(AbstractContextManager[None]):  # noqa: N801  it reads as a statement
    def __init__(self, seconds: dict[str, float], name: str, loaded: Loaded) -> None:
        self._seconds, self._name, self._on_gpu = seconds, name, loaded.device == "cuda"

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._on_gpu:
            torch.cuda.synchronize()
        self._seconds[self._name] = time.perf_counter() - self._start


def _denoise(
    job: Mapping[str, Any], loaded: Loaded, frames: int, steps: int, told: Callable[..., dict[str, Any]]
) -> torch.Tensor:
    """Latents (1, C, F, h, w). The noise comes from the processor: the same on every machine."""
    prompts = {int(frame): text for frame, text in job["prompts"]}
    extras: dict[str, Any] = {}
    if control := job["sparse_control"]:
        extras = {
            "conditioning_frames": [_picture(path) for path in control["images"]],
            "controlnet_frame_indices": [index % frames for index in control["indices"]],
            "controlnet_conditioning_scale": float(control["scale"]),
        }
    torch.manual_seed(job["seed"])  # SparseCtrl draws its pictures' latents without a generator of its own
    output = loaded.pipe(
        prompt=prompts if len(prompts) > 1 else prompts[0],
        negative_prompt=job["negative_prompt"],
        num_frames=frames,
        num_inference_steps=steps,
        height=job["height"],
        width=job["width"],
        guidance_scale=float(job["guidance"]),
        generator=torch.Generator("cpu").manual_seed(job["seed"]),
        output_type="latent",
        callback_on_step_end=told,
        **extras,
    )
    latents: torch.Tensor = output.frames
    if not torch.isfinite(latents).all():
        raise NotFinite(
            "The model computed no valid numbers (not a number, or infinite). The weights may be damaged, or "
            "not belong together."
        )
    return latents


def _warm_up(job: Mapping[str, Any], loaded: Loaded) -> None:
    """A few steps at the run's own size: kernels are chosen for it before the clock starts."""
    whole = bool(job["sparse_control"]) or loaded.context is not None
    frames = job["frames"] if whole else min(_WARM_UP_FRAMES, job["frames"])
    latents = _denoise(job, loaded, frames, min(_WARM_UP_STEPS, job["steps"]), _silent)
    for _ in decoded(loaded, latents[:, :, :1]):
        pass


def _silent(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
    return values


def _steps_told(steps: int, tell: Tell) -> Callable[..., dict[str, Any]]:
    def told(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
        if tell.cancelled:
            raise Cancelled
        tell.progress("denoising", (step + 1) / steps, f"step {step + 1} of {steps}")
        return values

    return told


def _picture(path: str) -> Any:
    from PIL import Image, ImageOps

    with Image.open(path) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


# -------------------------------------------------------------------------------------------------- decoding


def decoded(loaded: Loaded, latents: torch.Tensor) -> Any:
    """Chunks of frames, uint8 RGB (n, H, W, 3).

    With the VAE in full precision: the library's own decoding of SDXL fails in half precision (0.36 to
    0.42), and it decodes all frames at once.
    """
    vae = loaded.pipe.vae
    half = vae.dtype
    if half != torch.float32:
        vae.to(dtype=torch.float32)
    try:
        frames = latents[0].permute(1, 0, 2, 3).to(torch.float32) / vae.config.scaling_factor
        area = frames.shape[2] * frames.shape[3] * 64
        size = max(1, _CHUNK_PIXELS // area)
        with torch.no_grad():
            for start in range(0, len(frames), size):
                chunk = frames[start : start + size].to(vae.device if not loaded.offload else "cuda")
                picture = vae.decode(chunk, return_dict=False)[0]
                picture = (picture / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
                yield picture.permute(0, 2, 3, 1).cpu().numpy()
    finally:
        if half != torch.float32:
            vae.to(dtype=half)


def _write_frames(latents: torch.Tensor, loaded: Loaded, path: Path, tell: Tell) -> None:
    target: np.memmap[Any, np.dtype[np.uint8]] | None = None
    done, count = 0, latents.shape[2]
    for chunk in decoded(loaded, latents):
        if tell.cancelled:
            raise Cancelled
        if target is None:
            target = np.lib.format.open_memmap(path, "w+", np.uint8, (count, *chunk.shape[1:]))
        target[done : done + len(chunk)] = chunk
        done += len(chunk)
        tell.progress("decoding", done / count, f"frame {done} of {count}")
    if target is not None:
        target.flush()


def _notes(job: Mapping[str, Any], loaded: Loaded) -> list[str]:
    notes = []
    for text in (*(text for _, text in job["prompts"]), job["negative_prompt"]):
        count = len(loaded.pipe.tokenizer(text, truncation=False).input_ids)
        if count > _TOKENS:
            notes.append(f"Of '{text[:40]}...' only the first {_TOKENS} of {count} tokens were read.")
    return notes
