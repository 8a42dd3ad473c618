"""Wan-Animate on diffusers, in a process of its own: run by an interpreter that has torch and diffusers.

It imports nothing of ours but the harness and the modules of ``in_worker``. A job is plain data:

    {"model": folder, "mode": "animate"|"replace", "frames": n, "width": w, "height": h,
     "reference": picture, "clips": {"pose"|"face"|"background"|"mask": .npy of uint8 [n, h, w, 3]},
     "result": .npy to write, the same layout,
     "held": {"weights": "bf16"|"fp8"|"int8"|"gguf", "offload": "none"|"model"|"group",
              "device": "cuda"|"cpu", "vae_tiling": bool, "transformer_file": path or null,
              "loras": [{"file": path, "weight": number, "name": word}]},
     "prompt": text, "steps": n, "guidance": number, "shift": number or null, "solver": name,
     "window": n, "overlap": 1|5, "windows": n, "seed": n}

or, with ``"kind": "second"``, one for Wan-Animate-2: the clip is "driving", width and height are an area
whose shape follows the reference, and mode, guidance, shift and solver are missing.

The answer says what was loaded and with what. The model stays loaded for the next job that holds it alike.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # a missing file must fail at once instead of becoming a download
sys.path.insert(0, str(Path(__file__).resolve().parent / "in_worker"))

import wan_model  # type: ignore[import-not-found, unused-ignore]
import wan_second  # type: ignore[import-not-found, unused-ignore]
from worker_harness import Cancelled, Tell, WorkerError, serve

_loaded: dict[str, Any] = {"key": None, "model": None}


def handle(job: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Do one job; see the module's own words."""
    model = _model(job, tell)
    tell.stage("reading")
    arguments = _arguments(job, model)
    tell.stage("generating")
    frames = _generate(model, arguments, job, tell)
    _save(frames, job)
    tell.saved(str(job["result"]))
    return {
        "versions": wan_model.versions(),
        "loras": model.loras,
        "device": model.device_name,
        "gpu_bytes": wan_model.highest_gpu_bytes(model.device),
        "windows": job["windows"],
    }


def _model(job: Mapping[str, Any], tell: Tell) -> Any:
    load = wan_second.load if job.get("kind") == "second" else wan_model.load
    key = repr((job.get("kind"), job["model"], sorted(job["held"].items())))
    if _loaded["key"] != key:
        _loaded.update(key=None, model=None)
        wan_model.free_memory()
        tell.stage("loading")
        try:
            model = load(Path(job["model"]), job["held"])
        except wan_model.CannotLoad as error:
            raise WorkerError("request", error.what, error.remedy) from error
        _loaded.update(key=key, model=model)
    return _loaded["model"]


def _arguments(job: Mapping[str, Any], model: Any) -> dict[str, Any]:
    import numpy
    import torch  # type: ignore[import-not-found, unused-ignore]
    from PIL import Image

    clips = {
        name: [Image.fromarray(frame) for frame in numpy.load(path, mmap_mode="r", allow_pickle=False)]
        for name, path in job["clips"].items()
    }
    wrong = {name: len(frames) for name, frames in clips.items() if len(frames) != job["frames"]}
    if wrong:  # the library would pad them in silence
        raise WorkerError("request", f"The clips differ in length: {wrong}.", "Run stage 1 again.")
    arguments: dict[str, Any] = {f"{name}_video": frames for name, frames in clips.items()}
    with Image.open(job["reference"]) as picture:
        arguments["image"] = picture.convert("RGB")
    if job.get("kind") != "second":
        wan_model.set_scheduler(model.pipeline, job["solver"], job["shift"])
        arguments |= {"mode": job["mode"], "guidance_scale": job["guidance"]}
    return arguments | {
        "prompt": job["prompt"],
        "width": job["width"],
        "height": job["height"],
        "segment_frame_length": job["window"],
        "prev_segment_conditioning_frames": job["overlap"],
        "num_inference_steps": job["steps"],
        # Drawn on the CPU: the same seed gives the same noise on every device.
        "generator": torch.Generator("cpu").manual_seed(job["seed"]),
        "output_type": "np",
    }


def _generate(model: Any, arguments: Mapping[str, Any], job: Mapping[str, Any], tell: Tell) -> Any:
    """The frames, float32 [n, h, w, 3], 0 to 1."""
    step_ended = _counting(job, tell)
    if job.get("kind") == "second":
        with wan_second.counted(model.pipeline, step_ended):
            return model.pipeline(**arguments, output="videos")[0]

    def callback(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        step_ended()
        return tensors

    try:
        return model.pipeline(**arguments, callback_on_step_end=callback).frames[0]
    finally:
        model.pipeline.maybe_free_model_hooks()  # which the library leaves undone after an exception


def _counting(job: Mapping[str, Any], tell: Tell) -> Callable[[], None]:
    """To be called after each step. The library starts to count again in every window."""
    done, a_window, windows = 0, job["steps"], job["windows"]

    def step_ended() -> None:
        nonlocal done
        if tell.cancelled:
            raise Cancelled  # the library's own switch would decode what there is and call it the result
        done += 1
        window, step = (done - 1) // a_window + 1, (done - 1) % a_window + 1
        detail = f"window {window} of {windows}, step {step} of {a_window}"
        tell.progress("generating", done / (a_window * windows), detail)

    return step_ended


def _save(frames: Any, job: Mapping[str, Any]) -> None:
    import numpy

    shape = (job["frames"], *job.get("shape", (job["height"], job["width"])), 3)
    if frames.shape != shape:
        raise WorkerError("other", f"The pipeline gave {frames.shape}; {shape} was expected.", "")
    if not numpy.isfinite(frames).all():
        what = "The model computed values that are no numbers."
        raise WorkerError("other", what, "See that the weights are whole; try --memory without fp8 or int8.")
    result = numpy.lib.format.open_memmap(job["result"], "w+", numpy.uint8, shape)
    for number, frame in enumerate(frames):
        result[number] = numpy.clip(numpy.rint(frame * 255), 0, 255)
    result.flush()


if __name__ == "__main__":
    serve(handle)
