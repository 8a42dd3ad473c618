"""Windows of the diffusion model: thin form."""

from __future__ import annotations

from dataclasses import dataclass

from config import Job
from engines.interface import Prediction


@dataclass(frozen=True)
class Windows:
    """Windows over a clip."""

    frame_count: int
    frame_num: int
    overlap: int
    windows: int
    surplus_frames: int


def windows_of(frame_count: int, frame_num: int, overlap: int) -> Windows:
    """Upstream's arithmetic."""
    stride = frame_num - overlap
    count = max(1, -(-(frame_count - overlap) // stride))
    return Windows(frame_count, frame_num, overlap, count, count * frame_num - frame_count)


def tokens(frame_num: int, width: int, height: int) -> int:
    """Tokens of one window."""
    return (frame_num // 4 + 2) * (width // 16) * (height // 16)


def sharing_remedies(job: Job, predicted: Prediction) -> str:
    """Words."""
    return "Use another --resolution."
