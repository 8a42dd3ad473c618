"""Requests of the mask step that must fail: one for every error that it can end in."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.doomed_files import Request, cut
from tests.masks.sam2_files import write_safetensors, write_sam2
from tests.media import numbered_frame, write_clip, write_sound
from tests.workplace import Workplace

BUILD = "scripts/build_mask.py"
FOLDER = "process_results"
CLICKS = ("--mask_points", "points.json", "--segmenter", "classic")
CLICK = '[{"x": 80, "y": 40}]'
PNG = b"\x89PNG\r\n\x1a\n"


def mask_flags(*flags: str) -> Request:
    """A pipeline in replace mode."""
    return Request(("--replace", *flags))


def settings_file(text: str) -> Request:
    return Request(("--config", "run.yaml"), lambda place: (place / "run.yaml").write_text(text))


def clicks(content: str | bytes, *flags: str) -> Request:
    """A pipeline in replace mode with a points file of this content."""
    data = content.encode() if isinstance(content, str) else content
    return Request(("--replace", *CLICKS, *flags), lambda place: (place / "points.json").write_bytes(data))


def own(**content: Any) -> str:
    """A points file of our own format."""
    return json.dumps({"understudy_points": 1, **content})


def finished_mask(spoil: Callable[[Path], object]) -> Request:
    return Request(("--replace", "--mask_video", "mask.mp4"), lambda place: spoil(place / "mask.mp4"))


def checkpoint(spoil: Callable[[Path], object]) -> Request:
    def make(place: Workplace) -> None:
        (place / "points.json").write_text(CLICK)
        spoil(place / "sam2.safetensors")

    flags = ("--mask_points", "points.json", "--sam2_checkpoint", "sam2.safetensors")
    return Request(("--replace", *flags), make)


def rebuilt(spoil: Callable[[Workplace], object], *flags: str) -> Request:
    """The mask step alone, on a folder that stage 1 made well."""

    def make(place: Workplace) -> None:
        (place / "points.json").write_text(CLICK)
        made = place.run_here("run_preprocessing.py", *place.inputs, "--replace")
        assert made.returncode == 0, made.stderr
        spoil(place)

    return Request(("--src_root_path", FOLDER, "--mask_points", "points.json", *flags), make, driver=BUILD)


def write_cut_off_sam2(path: Path) -> None:
    cut(write_sam2(path))


def write_another_clip(place: Workplace) -> None:
    write_clip(place / "other.mp4", frame=lambda n, width, height: numbered_frame(n + 7, width, height))


def take_the_weights_away(place: Workplace) -> None:
    (place / "Wan2.2-Animate-14B/process_checkpoint/sam2/sam2_hiera_large.pt").unlink()


def editors(count: int) -> str:
    """A workflow in API format with clicks that lead nowhere."""
    node = {"class_type": "PointsEditor", "inputs": {"coordinates": CLICK, "width": 160, "height": 90}}
    return json.dumps({str(number): node for number in range(count)})


MASK_REQUESTS: dict[str, Request] = {
    # ------------------------------------------------------------------------------------- the request
    "settings.mask-in-animate": Request(("--mask_box", "1 2 30 40")),
    "settings.several-masks": mask_flags("--mask_box", "1 2 30 40", "--mask_video", "mask.mp4"),
    "settings.mask-missing": Request(("--src_root_path", FOLDER), driver=BUILD),
    "settings.exclude-without-points": mask_flags("--mask_box", "1 2 30 40", "--mask_exclude", "dog"),
    "settings.value.mask_points": mask_flags("--mask_points", ""),
    "settings.value.mask_box": mask_flags("--mask_box", "1 2 3"),
    "settings.value.mask_video": settings_file("mask_video: [1, 2]"),
    "settings.value.mask_exclude": mask_flags("--mask_exclude", ","),
    "settings.value.mask_grow": mask_flags("--mask_grow", "-1"),
    "settings.value.mask_square": settings_file("mask_square: round"),
    "settings.value.mask_blockify": mask_flags("--mask_blockify", "32.5"),
    "settings.value.mask_blockify_version": mask_flags("--mask_blockify_version", "2024"),
    "settings.value.segmenter": mask_flags("--segmenter", "sam3"),
    "settings.value.sam2_checkpoint": settings_file("sam2_checkpoint: 7"),
    # ---------------------------------------------------------------------------------- the folder, alone
    "mask.other-video": rebuilt(write_another_clip, "--video_path", "other.mp4"),
    "mask.video-unknown": rebuilt(lambda place: (place / place.video).rename(place / "moved.mp4")),
    # ------------------------------------------------------------------------------------ a finished mask
    "mask.video-unreadable": finished_mask(write_sound),
    "mask.video-length": finished_mask(lambda path: write_clip(path, frame_count=9)),
    "mask.video-shape": finished_mask(lambda path: write_clip(path, size=(96, 96))),
    # ---------------------------------------------------------------------------------------- SAM 2
    "mask.checkpoint-missing": checkpoint(lambda path: None),
    "mask.checkpoint-damaged": checkpoint(write_cut_off_sam2),
    "mask.checkpoint-not-sam2": checkpoint(
        lambda path: write_safetensors(path, {"image_encoder.blocks.0.norm1.weight": (2,)})
    ),
    "mask.sam2-missing": rebuilt(take_the_weights_away, "--segmenter", "sam2"),
    # ------------------------------------------------------------------------------------ the points file
    "mask.points-missing": mask_flags(*CLICKS),
    "mask.points-unreadable": Request(("--replace", *CLICKS), lambda place: (place / "points.json").mkdir()),
    "mask.points-empty": clicks(" \n"),
    "mask.points-too-large": clicks(PNG + struct.pack(">I4s", 2**27, b"tEXt")),
    "mask.points-not-json": clicks('[{"x": 80, "y": 40'),
    "mask.points-unknown-shape": clicks('{"clicks": [80, 40]}'),
    "mask.points-value": clicks('[{"x": "left", "y": 40}]'),
    "mask.points-box": clicks(own(box=[10, 20, 10, 40])),
    "mask.points-none": clicks("[]"),
    "mask.points-unknown-key": clicks(own(positiv=[[80, 40]])),
    "mask.points-duplicate": clicks(own(frames=[{"frame": 3, "positive": [[80, 40]]}] * 2)),
    "mask.points-version": clicks('{"understudy_points": 2, "positive": [[80, 40]]}'),
    "mask.points-no-workflow": clicks(PNG),
    "mask.points-no-editor": clicks('{"1": {"class_type": "LoadImage", "inputs": {}}}'),
    "mask.points-several-editors": clicks(editors(2)),
    # -------------------------------------------------------------------------- the clicks and the frames
    "mask.points-aspect": clicks(own(width=720, height=1280, positive=[[300, 400]])),
    "mask.points-outside": clicks('[{"x": 800, "y": 40}]'),
    "mask.points-no-positive": clicks(own(negative=[[80, 40]])),
    "mask.points-unknown-frame": clicks(own(frames=[{"frame": 12, "positive": [[80, 40]]}])),
    "mask.points-exclude": clicks(CLICK, "--mask_exclude", "dog"),
    "mask.points-all-excluded": clicks(own(objects=[{"exclude": True, "positive": [[80, 40]]}])),
}
"""The code that must be found, and the request."""
