"""The tables of docs/install.md that are calculated: what stage 2 needs, by ``engines/wan22/needs.py``.

``generate_docs.py`` writes them. The weights are stood for by empty files of the published sizes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from config import Job, job_without_media
from engines.interface import Prediction
from engines.wan22 import checkout, needs
from engines.wan22.windows import tokens, windows_of

_SIZES: Final = {
    checkout.T5: 11_361_920_418,
    checkout.CLIP: 4_772_359_047,
    checkout.VAE: 507_609_880,
    checkout.DIFFUSION_MODEL: 34_500_000_000,
}
"""In bytes; the diffusion model's is its parameters' in bfloat16."""
_PICTURES: Final = ((1280, 720, 77), (1280, 720, 33), (832, 480, 77), (832, 480, 45), (640, 368, 33))
"""Width, height, frames of a window."""
_GPUS: Final = (2, 4, 8)
_SECONDS: Final = (10, 30, 60)
_RATE: Final = 30


def gpu_table() -> str:
    """GB on each GPU, at least, by area and window."""
    with _job() as job:
        columns = [job, replace(job, t5_cpu=True), *(_shared(job, count) for count in _GPUS)]
        lines = [
            "| area, window | tokens | 1 GPU | 1 GPU, `--t5_cpu` | 2 GPUs | 4 GPUs | 8 GPUs |",
            "|---|---|---|---|---|---|---|",
            f"| weights alone | | {' | '.join(_gpu(job, None) for job in columns)} |",
        ]
        for width, height, frame_num in _PICTURES:
            predicted = _predicted(width, height, frame_num, frame_num, job)
            cells = " | ".join(_gpu(job, predicted) for job in columns)
            lines.append(f"| {width}x{height}, {frame_num} frames | {predicted.tokens:,} | {cells} |")
        return "\n".join(lines)


def host_table() -> str:
    """GB of host memory for 1280x720 and windows of 77 frames: at least, and likely."""
    with _job() as job:
        columns = [replace(job, replace=False), job, _shared(job, 8)]
        lines = [
            f"| clip at {_RATE} frames a second | 1 GPU, animate | 1 GPU, replace | 8 GPUs, replace |",
            "|---|---|---|---|",
        ]
        for length in _SECONDS:
            predicted = _predicted(1280, 720, length * _RATE, 77, job)
            wanted = [needs.stage_2(column, predicted) for column in columns]
            cells = " | ".join(f"{_gb(one.at_least.host, 0)} / {_gb(one.likely.host, 0)}" for one in wanted)
            lines.append(f"| {length} s | {cells} |")
        return "\n".join(lines)


@contextmanager
def _job() -> Iterator[Job]:
    with tempfile.TemporaryDirectory() as name:
        for file, size in _SIZES.items():
            with (Path(name) / file).open("wb") as stream:
                stream.truncate(size)
        yield job_without_media({"ckpt_dir": name})


def _shared(job: Job, count: int) -> Job:
    return replace(job, multi_gpu=True, nproc_per_node=count)


def _predicted(width: int, height: int, frames: int, frame_num: int, job: Job) -> Prediction:
    return Prediction(
        width=width,
        height=height,
        frames=frames,
        frame_num=frame_num,
        windows=windows_of(frames, frame_num, job.refert_num).windows,
        tokens=tokens(frame_num, width, height),
    )


def _gpu(job: Job, predicted: Prediction | None) -> str:
    return _gb(needs.stage_2(job, predicted).at_least.gpu, 1)


def _gb(count: int, digits: int) -> str:
    return f"{count / 1e9:.{digits}f}"
