"""Stage 1 of the preview engine: the files that Wan2.2-Animate's own stage 1 writes, and two of our own.

Two passes over the clip, both streamed: one finds the person in every frame, one writes. Sampling, sizes,
canvas and drawing follow upstream's rules; the face crops and the masks come from other models than its
own.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from config import SOURCE_FPS, Job
from engines import source_folder
from engines.preview.analysis import analyse_picture, analyse_video, read_ahead
from engines.preview.face_crop import FACE_SIDE, crop_face, face_boxes
from engines.preview.masks import Mask, replacement_mask
from engines.preview.plate import Background, PersonArea, find_background, paint_plate
from engines.preview.pose_drawing import draw_pose
from engines.preview.pose_points import PosePoints, pose_points
from engines.preview.retarget import retarget
from engines.preview.track import Image, Track
from preprocess import (
    MediaError,
    VideoInfo,
    VideoWriter,
    canvas_size,
    fit_to_canvas,
    probe_video,
    read_frames,
    read_frames_backwards,
    read_picture,
    sample_indices,
)

Report = Callable[[str, int, int], None]

METADATA = {
    "comment": "Understudy preview engine, stage 1: a quick look made without Wan2.2-Animate's models"
}

PERSON_FROM = 128
"""Soft mask value (of 255) from which a pixel counts as the person in ``src_mask.mp4``."""

# Quality of what is not lossless. The preset takes half the time and memory of the next slower one, for twice
# the size; no picture waits in the encoder to be looked at again.
_PRESET = "superfast"
_CRF = {
    source_folder.FACE: 14,
    source_folder.POSE: 14,
    source_folder.BACKGROUND: 12,
    source_folder.PLATE: 14,
}


def make_inputs(job: Job, folder: Path, report: Report) -> None:
    """Write stage 1's files into ``folder``, which exists.

    Both modes: ``src_ref.png`` (a byte copy), ``src_face.mp4``, ``src_pose.mp4``, ``preview_track.npz``.
    Replace mode besides: ``src_bg.mp4``, ``src_mask.mp4``, ``preview_plate.mp4``. All videos have as many
    frames as are sampled from the driving video, at ``--fps`` or the driving video's average rate.

    Raises:
        MediaError: an input cannot be read, or no frame is sampled.
        PersonNotFound: nobody is seen in the driving video, or (retargeting) in the reference image.
        ModelsMissing: the model files are not in the cache.
    """
    driving = _open_driving_video(job)
    reference = read_picture(job.refer_path)
    shutil.copyfile(job.refer_path, folder / source_folder.REFERENCE)
    track = analyse_video(driving.frames, driving.frames_backwards, driving.indices, driving.size, report)
    track.save(folder / source_folder.TRACK)
    if job.replace:
        painter: _Painter = _ReplacePainter(job, driving, track, report)
    else:
        painter = _AnimatePainter(job, reference, track)
    _write_videos(painter, driving, folder, report)


@dataclass(frozen=True)
class _DrivingVideo:
    """The sampled frames of the driving video, at the size at which they are analysed."""

    info: VideoInfo
    size: tuple[int, int]
    rate: Fraction
    indices: Sequence[int]

    def frames(self, indices: Sequence[int]) -> Iterator[Image]:
        return self._sized(read_frames(self.info.path, indices))

    def frames_backwards(self, indices: Sequence[int]) -> Iterator[Image]:
        return self._sized(read_frames_backwards(self.info.path, indices))

    def sampled(self, positions: Sequence[int]) -> Iterator[Image]:
        """The frames at non-decreasing positions of ``indices``."""
        return self.frames([self.indices[position] for position in positions])

    def _sized(self, frames: Iterator[Image]) -> Iterator[Image]:
        if self.size == (self.info.width, self.info.height):
            yield from frames
            return
        given: Image | None = None
        sized: Image | None = None
        for frame in frames:
            if sized is None or frame is not given:
                given, sized = frame, fit_to_canvas(frame, *self.size)
            yield sized


def _open_driving_video(job: Job) -> _DrivingVideo:
    info = probe_video(job.video_path)
    indices = sample_indices(info.frame_count, float(info.rate), job.fps)
    if not indices:
        raise MediaError(
            f"{job.video_path} is too short: {info.frame_count} frames at {float(info.rate):g} a second "
            f"give none at {job.fps}. Use a longer clip, or --fps source."
        )
    size = (info.width, info.height)
    if job.replace:
        size = canvas_size(*size, _area(job))
    rate = info.rate if job.fps == SOURCE_FPS else Fraction(job.fps)
    return _DrivingVideo(info, size, rate, indices)


def _area(job: Job) -> int:
    return job.resolution[0] * job.resolution[1]


class _Painter(ABC):
    """Makes the pictures of one frame: what both modes share."""

    canvas: tuple[int, int]

    def __init__(self, track: Track) -> None:
        self._boxes = face_boxes(track)

    def paint(self, index: int, frame: Image) -> Mapping[str, Image]:
        """Picture of frame ``index`` for each video, by file name."""
        return {
            source_folder.FACE: crop_face(frame, self._boxes[index]),
            source_folder.POSE: self.pose(index),
        }

    @abstractmethod
    def pose(self, index: int) -> Image:
        """The skeleton on the canvas."""


class _AnimatePainter(_Painter):
    """The canvas is the reference's. Without retargeting the skeleton is drawn at the driving video's
    size."""

    def __init__(self, job: Job, reference: Image, track: Track) -> None:
        super().__init__(track)
        self.canvas = canvas_size(reference.shape[1], reference.shape[0], _area(job))
        self._points = pose_points(track)
        if job.retarget:
            character = analyse_picture(fit_to_canvas(reference, *self.canvas))
            self._points = retarget(self._points, pose_points(character))

    def pose(self, index: int) -> Image:
        drawing = _drawing(self._points, index)
        if (self._points.width, self._points.height) == self.canvas:
            return drawing
        return fit_to_canvas(drawing, *self.canvas, allow_area=False)


class _ReplacePainter(_Painter):
    """The canvas is the driving video's; mask, background and plate besides."""

    def __init__(self, job: Job, driving: _DrivingVideo, track: Track, report: Report) -> None:
        super().__init__(track)
        self.canvas = driving.size
        self._job, self._track, self._points = job, track, pose_points(track)
        self._area = PersonArea(track)
        self._scene: Background = find_background(driving.sampled, self._area, driving.size, report)

    def paint(self, index: int, frame: Image) -> Mapping[str, Image]:
        mask = self._mask(index)
        background = frame.copy()
        background[mask > 0] = 0
        return {
            **super().paint(index, frame),
            source_folder.BACKGROUND: background,
            source_folder.MASK: mask * np.uint8(255),
            source_folder.PLATE: paint_plate(frame, index, self._area, self._scene),
        }

    def pose(self, index: int) -> Image:
        return _drawing(self._points, index)

    def _mask(self, index: int) -> Mask:
        job = self._job
        person = (self._track.mask(index) >= PERSON_FROM).astype(np.uint8)
        return replacement_mask(person, job.iterations, job.k, job.w_len, job.h_len)


def _drawing(points: PosePoints, index: int) -> Image:
    canvas = np.zeros((points.height, points.width, 3), np.uint8)
    return draw_pose(canvas, *points.frame(index))


def _write_videos(painter: _Painter, driving: _DrivingVideo, folder: Path, report: Report) -> None:
    """Paint and encode every sampled frame. While one frame is encoded the next is read and painted."""
    total = len(driving.indices)
    names = [source_folder.FACE, source_folder.POSE]
    if isinstance(painter, _ReplacePainter):
        names += [source_folder.BACKGROUND, source_folder.MASK, source_folder.PLATE]
    with ExitStack() as stack:
        writers = {name: stack.enter_context(_writer(name, painter, driving, folder)) for name in names}
        encoder = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="encode"))
        encoding: Future[None] | None = None
        for index, frame in enumerate(read_ahead(driving.sampled(range(total)))):
            pictures = painter.paint(index, frame)
            if encoding is not None:
                encoding.result()
            encoding = encoder.submit(_encode, writers, pictures)
            report("write the inputs", index + 1, total)
        if encoding is not None:
            encoding.result()


def _encode(writers: Mapping[str, VideoWriter], pictures: Mapping[str, Image]) -> None:
    for name, picture in pictures.items():
        writers[name].write(picture)


def _writer(name: str, painter: _Painter, driving: _DrivingVideo, folder: Path) -> VideoWriter:
    size = (FACE_SIDE, FACE_SIDE) if name == source_folder.FACE else painter.canvas
    crf = _CRF.get(name)
    return VideoWriter(
        folder / name,
        *size,
        driving.rate,
        crf=crf or 0,
        lossless=crf is None,
        preset=_PRESET,
        metadata=METADATA,
    )
