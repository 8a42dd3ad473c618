"""Wan-Animate-2, a modular pipeline: a picture and a driving video in, a video out. Runs in the worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import wan_model  # type: ignore[import-not-found, unused-ignore]


def load(folder: Path, held: Mapping[str, Any]) -> Any:
    """The pipeline of a folder, held as the job's ``held`` says.

    Raises:
        wan_model.CannotLoad: there is no GPU for it.
    """
    import torch  # type: ignore[import-not-found, unused-ignore]
    from diffusers import ModularPipeline  # type: ignore[import-not-found, unused-ignore]

    device = torch.device(held["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        what = f"torch {torch.__version__} finds no GPU in this Python."
        raise wan_model.CannotLoad(what, "Install a torch with CUDA, or say --diffusers_device cpu.")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    pipeline = ModularPipeline.from_pretrained(str(folder))
    # The folder's index names where it was saved or the hub, wherever the folder is now.
    pipeline.load_components(
        pretrained_model_name_or_path=str(folder), dtype={"vae": torch.float32, "default": dtype}
    )
    models = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    for part in models:
        part.eval()
    if held["weights"] == "fp8":
        pipeline.transformer.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)
    _place(pipeline, models, held["offload"], device)
    if device.type == "cuda":  # uncompiled, its attention holds the whole matrix of scores
        pipeline.transformer.compile_repeated_blocks(fullgraph=False)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    return wan_model.Model(pipeline, held["device"], name, [])


def _place(pipeline: Any, models: list[Any], offload: str, device: Any) -> None:
    if offload == "none":
        pipeline.to(device)
        return
    import torch  # type: ignore[import-not-found, unused-ignore]
    from diffusers.hooks import apply_group_offloading  # type: ignore[import-not-found, unused-ignore]

    streams = device.type == "cuda"
    for part in models:
        apply_group_offloading(
            part,
            onload_device=device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=streams,
            low_cpu_mem_usage=streams,
        )


@contextmanager
def counted(pipeline: Any, step_ended: Callable[[], None]) -> Iterator[None]:
    """Call ``step_ended`` after each diffusion step: the pipeline takes no callback, and swallows one unsaid.

    What it raises ends the run, and the pipeline can be used again.
    """
    scheduler = pipeline.scheduler
    step = scheduler.step

    def counting(*arguments: Any, **named: Any) -> Any:
        answer = step(*arguments, **named)
        step_ended()
        return answer

    scheduler.step = counting
    try:
        yield
    finally:
        scheduler.step = step
