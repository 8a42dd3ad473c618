"""Load Wan-Animate with diffusers, held in memory as a plan says. Runs in the worker alone."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wan_lora  # type: ignore[import-not-found, unused-ignore]

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "peft", "gguf", "torchao")


class CannotLoad(Exception):
    """The model cannot be loaded as asked; what, and what to do, in sentences."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


@dataclass
class Model:
    """A pipeline that is ready, and what is to be told of it."""

    pipeline: Any
    device: str
    device_name: str
    loras: list[dict[str, Any]]


def load(folder: Path, held: Mapping[str, Any]) -> Model:
    """The pipeline of a folder, held as the job's ``held`` says.

    Raises:
        CannotLoad: a package, a device or a part of the model is not there, or a LoRA has no effect.
    """
    import torch  # type: ignore[import-not-found, unused-ignore]
    from diffusers import AutoencoderKLWan, WanAnimatePipeline  # type: ignore[import-not-found, unused-ignore]

    device = held["device"]
    if device == "cuda" and not torch.cuda.is_available():
        what = f"torch {torch.__version__} finds no GPU in this Python."
        raise CannotLoad(what, "Install a torch with CUDA there, or say --diffusers_device cpu.")
    # The library keeps what needs it in float32 by itself; the VAE is exact only in float32. On a CPU
    # bfloat16 is slow, and fp8 is stored so only.
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    vae = AutoencoderKLWan.from_pretrained(folder, subfolder="vae", **as_dtype(torch.float32))
    transformer = _transformer(folder, held, dtype)
    pipeline = WanAnimatePipeline.from_pretrained(folder, vae=vae, transformer=transformer, **as_dtype(dtype))
    for name in ("text_encoder", "image_encoder", "transformer", "vae"):
        getattr(pipeline, name).eval()  # a text encoder in training mode makes runs differ
    empty = [name for name, weight in pipeline.transformer.named_parameters() if weight.is_meta]
    if empty:
        what = f"The diffusion model lacks {len(empty)} tensors, such as {empty[0]}."
        raise CannotLoad(what, "Give the model of Wan2.2-Animate-14B: no other Wan has its face adapter.")
    pipeline.set_progress_bar_config(disable=True)
    loras = _add_loras(pipeline, held["loras"])
    if held["weights"] == "fp8":
        pipeline.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    if held["vae_tiling"]:
        pipeline.vae.enable_tiling()
    _place(pipeline, held["offload"], torch.device(device))
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return Model(pipeline, device, name, loras)


def as_dtype(dtype: Any) -> dict[str, Any]:
    """The argument for the type of the weights: ``dtype`` since diffusers 0.40, ``torch_dtype`` before."""
    import diffusers  # type: ignore[import-not-found, unused-ignore]

    numbers = [int(part) for part in diffusers.__version__.split(".")[:2]]
    return {"dtype" if numbers >= [0, 40] else "torch_dtype": dtype}


def _transformer(folder: Path, held: Mapping[str, Any], dtype: Any) -> Any:
    from diffusers import WanAnimateTransformer3DModel  # type: ignore[import-not-found, unused-ignore]

    if held["weights"] == "gguf":
        from diffusers import GGUFQuantizationConfig  # type: ignore[import-not-found, unused-ignore]

        # Without "config" the library would ask the network for it.
        return WanAnimateTransformer3DModel.from_single_file(
            held["transformer_file"],
            config=str(folder),
            subfolder="transformer",
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            **as_dtype(dtype),
        )
    if held["weights"] == "int8":
        from diffusers import TorchAoConfig  # type: ignore[import-not-found, unused-ignore]
        from torchao.quantization import Int8WeightOnlyConfig  # type: ignore[import-not-found, unused-ignore]

        return WanAnimateTransformer3DModel.from_pretrained(
            folder,
            subfolder="transformer",
            quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
            **as_dtype(dtype),
        )
    return WanAnimateTransformer3DModel.from_pretrained(folder, subfolder="transformer", **as_dtype(dtype))


def _add_loras(pipeline: Any, wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Load each, and make sure that it changes the model."""
    told = []
    for lora in wanted:
        try:
            state = wan_lora.in_the_librarys_words(wan_lora.read(Path(lora["file"])))
            with warnings.catch_warnings(record=True):
                pipeline.load_lora_weights(state, adapter_name=lora["name"])
        except (ValueError, KeyError, RuntimeError, TypeError) as error:
            reason = " ".join(str(error).split())[:300]
            what = f"{lora['file']} cannot be loaded as a LoRA of this model: {reason}"
            raise CannotLoad(what, "Give a LoRA for Wan 14B, or leave it out.") from error
        loaded = wan_lora.effective_layers(pipeline.transformer, lora["name"])
        if not loaded:
            what = f"{lora['file']} was loaded and changes nothing: none of its layers is this model's."
            raise CannotLoad(what, "Give a LoRA for Wan 14B, or leave it out.")
        told.append({**lora, "layers_in_file": wan_lora.layer_count(state), "layers_loaded": loaded})
    if told:
        pipeline.set_adapters([each["name"] for each in told], [each["weight"] for each in told])
    return told


def _place(pipeline: Any, offload: str, device: Any) -> None:
    if offload == "none":
        pipeline.to(device)
    elif offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        import torch  # type: ignore[import-not-found, unused-ignore]

        streams = device.type == "cuda"
        pipeline.enable_group_offload(
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=streams,
            low_cpu_mem_usage=streams,  # else a second copy of the weights is pinned in host memory
        )


def set_scheduler(pipeline: Any, solver: str, shift: float | None) -> None:
    """The sampler by upstream's name, with the shift asked for or the model's own."""
    from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler  # type: ignore[import-not-found, unused-ignore]

    kinds = {"unipc": UniPCMultistepScheduler, "dpm++": DPMSolverMultistepScheduler}
    changed = {} if shift is None else {"flow_shift": shift}
    config = {**_own_scheduler(pipeline), **changed}
    pipeline.scheduler = kinds[solver].from_config(config)


def _own_scheduler(pipeline: Any) -> dict[str, Any]:
    """The configuration that came with the model, whatever earlier jobs set."""
    if not hasattr(pipeline, "_understudy_scheduler"):
        pipeline._understudy_scheduler = json.loads(pipeline.scheduler.to_json_string())
    return dict(pipeline._understudy_scheduler)


def free_memory() -> None:
    """Give back what an earlier model held."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def highest_gpu_bytes(device: str) -> int | None:
    """The most GPU memory that tensors took so far."""
    import torch  # type: ignore[import-not-found, unused-ignore]

    return int(torch.cuda.max_memory_allocated()) if device == "cuda" else None


def versions() -> dict[str, str]:
    """Of the packages that shape the result, those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
