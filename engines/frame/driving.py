"""Frames of the driving video as a model is given them, of what the preview engine's stage 1 found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Final

import numpy as np

import preprocess
from engines.frame.model import Driving, Floats, Image
from engines.preview.track import Track
from engines.timing import Timing

# Points of the face mesh; left and right are the person's.
_RIGHT_EYE: Final = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
_LEFT_EYE: Final = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
_MOUTH: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
_NOSE: Final = (1, 2, 4, 5, 6, 19, 94, 98, 168, 195, 197, 327)
_OVAL: Final = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
_PARTS: Final[Mapping[str, tuple[int, ...]]] = {
    "left_eye": _LEFT_EYE,
    "right_eye": _RIGHT_EYE,
    "mouth": _MOUTH,
    "nose": _NOSE,
    "face_oval": _OVAL,
}
_CHEEKS, _TOP, _CHIN = (234, 454), 10, 152


def driving_frames(
    track: Track, rate: float, frames: Iterable[Image | None], canvases: Iterable[Image | None]
) -> Iterator[Driving]:
    """Every frame of a track, with its picture and, in replace mode, the scene to draw on."""
    for index, (frame, canvas) in enumerate(zip(islice(frames, len(track)), canvases, strict=False)):
        found = float(track.face_score[index]) > 0
        face = track.face[index] if found else None
        yield driving_of(
            face,
            body=track.body[index],
            size=(track.height, track.width),
            index=index,
            time=index / rate,
            confidence=float(track.face_score[index]),
            frame=frame,
            canvas=canvas,
        )


def driving_of(
    face: Floats | None,
    *,
    body: Floats,
    size: tuple[int, int],
    index: int,
    time: float,
    confidence: float = 1.0,
    frame: Image | None = None,
    canvas: Image | None = None,
) -> Driving:
    """One frame. ``face`` are mesh points [468, 3] in pixels of the driving frame, or None."""
    points = None if face is None else np.ascontiguousarray(face[:, :2], np.float32)
    return Driving(
        landmarks=points,
        depth=None if face is None else np.ascontiguousarray(face[:, 2], np.float32),
        key_points={} if points is None else {name: points[list(part)] for name, part in _PARTS.items()},
        bbox=None if points is None else _box(points),
        angles={} if face is None else _angles(face),
        confidence=0.0 if face is None else confidence,
        body=body,
        frame=frame,
        size=size,
        index=index,
        time=time,
        canvas=canvas,
    )


def pictures(timing: Timing, track: Track) -> Iterator[Image | None]:
    """The driving pictures that stage 1 sampled, of the size in which it found the landmarks.

    None for each where the driving video is not there any more.

    Raises:
        MediaError: the driving video cannot be read.
    """
    video = timing.sampled_video
    if video is None or not video.is_file():
        yield from repeat(None, len(track))
        return
    yield from _sampled(video, timing.fps, track)


def _sampled(video: Path, fps: int, track: Track) -> Iterator[Image]:
    info = preprocess.probe_video(video)
    indices = preprocess.sample_indices(info.frame_count, float(info.rate), fps)
    if len(indices) != len(track):
        what = f"{video} gives {len(indices)} frames and stage 1 found {len(track)}"
        raise preprocess.MediaError(f"{what}: it has changed since. Run stage 1 again.")
    for frame in preprocess.read_frames(video, indices):
        if frame.shape[:2] == (track.height, track.width):
            yield frame
        else:
            yield preprocess.fit_to_canvas(frame, track.width, track.height)


def _box(points: Floats) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return left, top, right - left, bottom - top


def _angles(face: Floats) -> dict[str, float]:
    """Turn of the plane through cheeks, forehead and chin. 0 = towards the camera, upright."""
    across = face[_CHEEKS[1]] - face[_CHEEKS[0]]
    down = face[_CHIN] - face[_TOP]
    return {
        "yaw": math.degrees(math.atan2(float(across[2]), float(across[0]))),
        "pitch": math.degrees(math.atan2(float(down[2]), float(down[1]))),
        "roll": math.degrees(math.atan2(float(across[1]), float(across[0]))),
    }


def made_up(count: int, size: tuple[int, int] = (480, 640)) -> list[Driving]:
    """A face that sways, turns and blinks over a plain picture: for measuring a model without a clip.

    ``size`` is height and width.
    """
    height, width = size
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    body = np.zeros((33, 4), np.float32)
    picture = np.full((height, width, 3), 128, np.uint8)
    made = []
    for index in range(count):
        sway, blink = math.sin(index / 9), 0.5 + 0.5 * math.cos(index / 5)
        x = width * (0.5 + 0.05 * sway) + 0.12 * height * np.cos(angles)
        y = height * 0.4 + 0.16 * height * np.sin(angles)
        y[list(chain(_LEFT_EYE, _RIGHT_EYE))] = height * (0.36 + 0.01 * blink)
        face = np.stack([x, y, 0.05 * height * np.cos(angles + sway)], axis=1).astype(np.float32)
        made.append(driving_of(face, body=body, size=size, index=index, time=index / 30, frame=picture))
    return made
