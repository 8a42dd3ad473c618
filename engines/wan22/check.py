"""What would make a Job fail on the official repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from config import GENERATION, PREPROCESSING, Job
from engines.checks import common_findings
from engines.interface import Finding
from engines.wan22 import checkout

_TWO_WAYS_OUT = (
    "Either install it: "
    f"git clone {checkout.UPSTREAM_URL} (commit {checkout.UPSTREAM_COMMIT[:7]}), its requirements, and the "
    f"weights with: hf download {checkout.WEIGHTS_REPOSITORY} --local-dir Wan2.2-Animate-14B "
    "(docs/wan22.md says how). "
    "Or use --engine preview, which needs no GPU and no weights."
)


def findings(job: Job) -> Iterator[Finding]:
    """Everything found, worst first within each part."""
    yield from _installation(job)
    yield from common_findings(job, "wan22")
    if job.prompt is not None:
        yield Finding(
            "settings.prompt",
            "warning",
            "Upstream's command line accepts --prompt but drops it for this model.",
            "The result is the same without it.",
        )


def _installation(job: Job) -> Iterator[Finding]:
    scripts = []
    if PREPROCESSING in job.stages:
        scripts.append(checkout.PREPROCESS_SCRIPT)
    if GENERATION in job.stages:
        scripts.append(checkout.GENERATE_SCRIPT)
    missing = [script for script in scripts if not (job.wan22_dir / script).is_file()]
    if missing:
        what = f"The wan22 engine is not installed: {job.wan22_dir / missing[0]} does not exist."
        yield Finding("install.checkout", "error", what, _TWO_WAYS_OUT)
        return
    if not os.access(job.wan22_python, os.X_OK) or job.wan22_python.is_dir():
        what = f"--wan22_python: {job.wan22_python} is not a program that can be started."
        yield Finding("install.python", "error", what, "Give the interpreter of upstream's environment.")
    yield from _weights(job)


def _weights(job: Job) -> Iterator[Finding]:
    needed: list[Path] = []
    if PREPROCESSING in job.stages:
        needed += checkout.preprocess_weights(job.ckpt_dir, replace=job.replace, use_flux=job.use_flux)
    if GENERATION in job.stages:
        needed += checkout.generate_weights(job.ckpt_dir, relighting=job.use_relighting_lora)
    missing = [str(path.relative_to(job.ckpt_dir)) for path in needed if not path.exists()]
    if GENERATION in job.stages and not checkout.diffusion_shards(job.ckpt_dir):
        missing.append("diffusion_pytorch_model-*.safetensors")
    if missing:
        what = f"The wan22 engine's weights are not complete in {job.ckpt_dir}: {', '.join(missing)} missing."
        yield Finding("install.weights", "error", what, _TWO_WAYS_OUT)
