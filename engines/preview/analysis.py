"""Analyse a driving video or a reference picture: who is where in every frame, as a Track.

A forward pass alone often starts wrong and stays wrong (a small figure, a half-hidden first frame). So some
frames are probed, and the person is followed from the best of them outwards, in both directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from engines.preview.body import BodyReading
from engines.preview.network import Region
from engines.preview.person import PersonReader, PersonReading
from engines.preview.smoothing import inside_frame, smooth_track
from engines.preview.track import FloatArray, Image, PersonNotFound, Track

FrameSource = Callable[[Sequence[int]], Iterator[Image]]
Report = Callable[[str, int, int], None]

PROBE_COUNT = 12

# BlazePose joints
_NOSE, _LEFT_EAR, _RIGHT_EAR, _SHOULDERS, _HIPS = 0, 7, 8, [11, 12], [23, 24]


def analyse_picture(image: Image) -> Track:
    """Track with T = 1 of the person in a uint8 RGB picture. Raises PersonNotFound, ModelsMissing."""
    height, width = image.shape[:2]
    collected = _Collected(1)
    with PersonReader() as reader:
        first = reader.find(image)
        reader.start_at(first.next_region if first else None)
        result = reader.read(image)
        if result is None:
            raise PersonNotFound(
                "No person was found in the reference image. Choose a picture that shows one person, "
                "head and shoulders at least, large and from the front."
            )
        collected.put(0, result.result())
    track = collected.track(np.zeros(1, np.intp), width, height)
    track.body[..., 3] *= inside_frame(track.body, width, height)
    return track


def analyse_video(
    frames_forward: FrameSource,
    frames_backward: FrameSource,
    indices: Sequence[int],
    size: tuple[int, int],
    report: Report = lambda phase, done, total: None,
) -> Track:
    """Smoothed Track of the person in the frames `indices` (not decreasing; repeats allowed) of a clip.

    `frames_forward` / `frames_backward` give the uint8 RGB frames at non-decreasing / non-increasing indices;
    `size` is their (width, height). `report(phase, done, total)` is called for each frame and may raise to
    cancel. Each frame is analysed once; only small results are kept, never frames. Raises PersonNotFound,
    ModelsMissing, and whatever the frame sources raise.
    """
    wanted = sorted(set(indices))
    collected = _Collected(len(wanted))
    with PersonReader() as reader:
        start, region = _best_start(reader, frames_forward, wanted, report)
        done = 0
        for frames, positions in (
            (frames_forward, range(start, len(wanted))),
            (frames_backward, range(start - 1, -1, -1)),
        ):
            reader.start_at(region)
            for _ in _follow(reader, frames, wanted, positions, collected):
                done += 1
                report("analyse", done, len(wanted))
    track = collected.track(np.searchsorted(wanted, indices), *size)
    return smooth_track(track)


def _follow(
    reader: PersonReader, frames: FrameSource, wanted: list[int], positions: range, collected: _Collected
) -> Iterator[int]:
    """Read the frames at `positions` of `wanted`, in that order, into `collected`; yields each position."""
    waiting: tuple[int, Future[PersonReading]] | None = None
    for position, frame in zip(positions, read_ahead(frames([wanted[at] for at in positions])), strict=True):
        result = reader.read(frame)
        if waiting:
            collected.put(waiting[0], waiting[1].result())
        waiting = (position, result) if result else None
        yield position
    if waiting:
        collected.put(waiting[0], waiting[1].result())


def read_ahead(frames: Iterator[Image]) -> Iterator[Image]:
    """The same frames; the next one is decoded in a thread while the caller works on this one."""
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        coming = pool.submit(next, frames, None)
        while (frame := coming.result()) is not None:
            coming = pool.submit(next, frames, None)
            yield frame


def _best_start(
    reader: PersonReader, frames_forward: FrameSource, wanted: list[int], report: Report
) -> tuple[int, Region]:
    """Position and region of the surest, most plausible body among some frames spread over the clip.

    Raises PersonNotFound if none of them, and none of twice as many others, shows one.
    """
    for count in (PROBE_COUNT, 3 * PROBE_COUNT):
        positions = probe_positions(len(wanted), count)
        best: tuple[float, int, Region] | None = None
        frames = frames_forward([wanted[position] for position in positions])
        for done, (position, frame) in enumerate(zip(positions, frames, strict=True), start=1):
            found = reader.find(frame)
            if found and (best is None or start_quality(found, frame.shape[:2]) > best[0]):
                best = (start_quality(found, frame.shape[:2]), position, found.next_region)
            report("look for the person", done, len(positions))
        if best:
            return best[1], best[2]
    raise PersonNotFound(
        f"No person was found in the driving video ({len(positions)} frames tried). Choose a clip that shows "
        "one person, head and shoulders at least, large enough to be made out."
    )


def probe_positions(frame_count: int, count: int) -> list[int]:
    """At most `count` positions, spread evenly over `frame_count` frames, each in the middle of its share."""
    count = min(count, frame_count)
    return [int((step + 0.5) * frame_count / count) for step in range(count)]


def start_quality(reading: BodyReading, frame_shape: tuple[int, int]) -> float:
    """How good a start this body is: score x mean confidence in the frame, halved for each oddity."""
    height, width = frame_shape
    joints = reading.joints
    seen = inside_frame(joints[np.newaxis], width, height)[0]
    quality = reading.score * float((joints[:, 3] * seen).mean())
    return quality * 0.5 ** oddity_count(joints)


def oddity_count(joints: FloatArray) -> int:
    """How many of these, which an upright body seen from the front does not show, joints [33, 4] have.

    Shoulders above the nose; hips above the shoulders; shoulders under one or over four face widths apart.
    """
    shoulders, hips = joints[_SHOULDERS, :2], joints[_HIPS, :2]
    face_width = float(np.linalg.norm(joints[_LEFT_EAR, :2] - joints[_RIGHT_EAR, :2]))
    shoulder_width = float(np.linalg.norm(shoulders[0] - shoulders[1]))
    return (
        int(shoulders[:, 1].mean() <= joints[_NOSE, 1])
        + int(hips[:, 1].mean() <= shoulders[:, 1].mean())
        + int(not face_width <= shoulder_width <= 4 * face_width)
    )


class _Collected:
    """Results of frame_count frames, put in any order."""

    def __init__(self, frame_count: int) -> None:
        self._body = np.zeros((frame_count, 33, 4), np.float32)
        self._face = np.full((frame_count, 468, 3), np.nan, np.float32)
        self._face_score = np.zeros(frame_count, np.float32)
        self._hands = np.full((frame_count, 2, 21, 3), np.nan, np.float32)
        self._hand_score = np.zeros((frame_count, 2), np.float32)
        self._masks = [b""] * frame_count
        self._mask_transforms = np.tile(np.eye(2, 3, dtype=np.float32), (frame_count, 1, 1))
        self._person_score = np.zeros(frame_count, np.float32)

    def put(self, at: int, reading: PersonReading) -> None:
        self._body[at] = reading.joints
        self._person_score[at] = reading.score
        self._masks[at] = reading.mask
        self._mask_transforms[at] = reading.mask_transform
        if reading.face:
            self._face[at], self._face_score[at] = reading.face.points, reading.face.score
        for side, hand in enumerate(reading.hands):
            if hand:
                self._hands[at, side], self._hand_score[at, side] = hand.points, hand.score

    def track(self, positions: np.ndarray[tuple[int], np.dtype[np.intp]], width: int, height: int) -> Track:
        return Track(
            width=width,
            height=height,
            body=self._body[positions],
            face=self._face[positions],
            face_score=self._face_score[positions],
            hands=self._hands[positions],
            hand_score=self._hand_score[positions],
            masks=tuple(self._masks[position] for position in positions),
            mask_transforms=self._mask_transforms[positions],
            person_score=self._person_score[positions],
        )
