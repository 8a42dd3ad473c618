"""What a doomed request is, and files that look right and are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.media import write_clip
from tests.workplace import Workplace


@dataclass(frozen=True)
class Request:
    """A request and what spoils it; the flags are added to those of a good one."""

    flags: tuple[str, ...] = ()
    spoil: Callable[[Workplace], object] = lambda place: None
    environment: dict[str, str] = field(default_factory=dict)
    driver: str = "pipeline.py"


def cut(path: Path) -> None:
    """Half of the file is missing, as after a broken download."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def write_cut_off(path: Path) -> None:
    """A clip whose index is there and whose end is not."""
    write_clip(path, container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[:-300])


def write_damaged(path: Path) -> None:
    """A clip with its index, but rubbish in the place of its pictures."""
    write_clip(path, container_options={"movflags": "+faststart"})
    content = path.read_bytes()
    begin = content.index(b"mdat") + 4
    path.write_bytes(content[:begin] + b"\xff" * (len(content) - begin))


def write_heic(path: Path) -> None:
    """The beginning of a phone's picture."""
    path.write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + b"\x00" * 200)


def write_avif(path: Path) -> None:
    """The beginning of an AVIF picture."""
    path.write_bytes(b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf" + b"\x00" * 200)


def write_lfs_pointer(weights: Path) -> None:
    """What a clone without git-lfs leaves in the place of a large file."""
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 507609880\n"
    (weights / "Wan2.1_VAE.pth").write_text(text)


def forget_the_driving_video(folder: Path) -> None:
    """The folder's record names a driving video that is gone."""
    path = folder / ".understudy" / "preprocess.json"
    record = json.loads(path.read_text())
    record["facts"]["timing"] |= {"driving_video": "/gone.mp4", "sampled_video": "/gone.mp4"}
    path.write_text(json.dumps(record))
