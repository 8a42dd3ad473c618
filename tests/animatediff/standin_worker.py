"""Stands in for the worker: the same protocol and the same answer, frames by numpy, no torch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from worker_harness import Tell, WorkerError, serve


def handle(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    tell.stage("loading")
    print("babble on standard output")
    if os.environ.get("STANDIN_FAULT") == "refused":
        raise WorkerError("request", "The LoRA loaded nothing.", "Give another.")
    if os.environ.get("STANDIN_FAULT") == "memory":
        raise WorkerError("gpu-memory", "The GPU's memory is full.")
    frames = job["frames"] - (os.environ.get("STANDIN_FAULT") == "short")
    shape = (frames, job["height"], job["width"], 3)
    bright = 1 if os.environ.get("STANDIN_FAULT") == "black" else 255
    np.save(job["frames_path"], np.random.default_rng(job["seed"]).integers(0, bright, shape, np.uint8))
    tell.progress("denoising", 1.0, "step 2 of 2")
    return {
        "seconds": {"loading": 1.0, "denoising": 3.0, "decoding": 1.0},
        "peak_gpu_bytes": None,
        "notes": ["Something to know."],
        "device": "cpu",
        "precision": "float32",
        "attention": "sdpa",
        "offload": False,
        "lora_layers": {},
        "versions": {},
    }


if __name__ == "__main__":
    serve(handle)
