"""Stage 2 of the preview engine: the reference image moves as a puppet, at home or in the driver's scene."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import preprocess
from config import Job
from engines.preview.analysis import analyse_picture, read_ahead
from engines.preview.puppet import composite, motion
from engines.preview.puppet.face import face_moves
from engines.preview.puppet.layers import build_puppet
from engines.preview.puppet.matte import cut_out
from engines.preview.puppet.mesh import smoothstep
from engines.preview.puppet.parts import find_parts, unit_of
from engines.preview.puppet.pixels import Extension
from engines.preview.puppet.skeleton import (
    KNEE,
    LEFT,
    NECK,
    PELVIS,
    RIGHT,
    TORSO_BONE,
    Skeleton,
    joint,
    skeleton_of,
)
from engines.preview.stage2_media import on_canvas, read_driver, scenes, write_in_background
from engines.preview.track import PersonNotFound, Track
from engines.source_folder import POSE, REFERENCE, TRACK

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Report = Callable[[str, int, int], None]

COMMENT = "Understudy preview engine: a moving cut-out of the reference image, not the result of a model"


def render(job: Job, src_folder: Path, output: Path, report: Report) -> None:
    """Write the preview of stage 2 to ``output``: as many frames as ``src_pose.mp4``, of its size and rate.

    Args:
        src_folder: stage 1's folder, with ``preview_track.npz`` and in replace mode the plate.
        report: called as (phase, done, total) for every frame; may raise to cancel.

    Raises:
        MediaError: a file of the folder cannot be read, or they do not belong together.
        PersonNotFound: the reference image shows nobody.
    """
    info = preprocess.probe_video(src_folder / POSE)
    driver = read_driver(src_folder / TRACK, info.frame_count)
    size = (info.width, info.height)
    report("prepare the puppet", 0, 1)
    reference = Reference.read(src_folder / REFERENCE, size)
    stage = prepare(reference, driver, size, replace_mode=job.replace)
    report("prepare the puppet", 1, 1)
    behind = scenes(src_folder) if job.replace else _same(reference.background(), info.frame_count)
    writer = preprocess.VideoWriter(output, *size, info.rate, metadata={"comment": COMMENT})
    with writer, write_in_background(writer) as write:
        for index, canvas in zip(range(info.frame_count), read_ahead(behind), strict=True):
            stage.draw(index, canvas)
            write(canvas)
            report("render", index + 1, info.frame_count)


@dataclass(frozen=True)
class Reference:
    """The reference on the canvas, with its black bars; where the content lies in it; and the figure."""

    canvas: Image
    left: int
    top: int
    content: Image
    track: Track
    skeleton: Skeleton
    alpha: Image

    @classmethod
    def read(cls, path: Path, size: tuple[int, int]) -> Reference:
        """The picture of a file on a canvas of (width, height). Raises MediaError, PersonNotFound."""
        return cls.of(*on_canvas(preprocess.read_picture(path), size), name=str(path))

    @classmethod
    def of(
        cls, canvas: Image, content: Image, corner: tuple[int, int], name: str = "The reference image"
    ) -> Reference:
        """What ``on_canvas`` gave, looked at. Raises PersonNotFound."""
        track = analyse_picture(content)
        if track.person_score[0] <= 0:
            raise PersonNotFound(
                f"{name} shows no person that could be found. Choose a reference image with one figure, "
                "seen from the front, head and shoulders at least."
            )
        skeleton = skeleton_of(track)
        return cls(canvas, *corner, content, track, skeleton, cut_out(content, track, skeleton))

    def background(self) -> Image:
        """The canvas without the figure, RGB."""
        alpha = np.zeros(self.canvas.shape[:2], np.uint8)
        height, width = self.alpha.shape
        alpha[self.top : self.top + height, self.left : self.left + width] = self.alpha
        hands = self.track.hands[0][self.track.hand_score[0] >= 0.5, :, :2].reshape(-1, 2)
        return composite.background_without(
            self.canvas, alpha, hands + np.array([self.left, self.top], np.float32)
        )


def prepare(
    reference: Reference, driver: Track, size: tuple[int, int], *, replace_mode: bool
) -> composite.Stage:
    """Cut the figure into a puppet and retarget the driver's whole motion to it."""
    driving = skeleton_of(driver)
    if replace_mode:
        driving = _on_canvas(driving, driver, size)
    moved = motion.retarget(
        reference.skeleton, driving, replace=replace_mode, offset=(reference.left, reference.top)
    )
    rest = motion.rest_origins(reference.skeleton)
    extension = lower_extension(reference.skeleton, reference.alpha, moved, rest, driving, size, replace_mode)
    parts = find_parts(reference.content, reference.alpha, reference.track, reference.skeleton)
    puppet = build_puppet(reference.content, reference.alpha, parts, reference.skeleton, extension)
    points = moves = None
    if reference.track.face_score[0] >= 0.5:
        points = np.asarray(reference.track.face[0, :, :2], np.float32)
        moves = face_moves(driver, points)
    return composite.Stage(puppet, moved, rest, points, moves)


def lower_extension(
    skeleton: Skeleton,
    alpha: Image,
    moved: motion.Motion,
    rest: Floats,
    driving: Skeleton,
    size: tuple[int, int],
    replace_mode: bool,
) -> Extension:
    """Rows to add below a figure that the picture's lower edge cuts off.

    Enough to reach the canvas's lower edge in every frame. Where the driver's knees are in view (replace
    mode) the garment ends softly there instead: nobody should walk in a gown that his picture does not show.
    """
    height = len(alpha)
    cut = np.nonzero(alpha[-1] > 127)[0]
    if cut.size == 0:
        return Extension(0, 0)
    turn, stretch = moved.angles[:, TORSO_BONE], moved.stretches[:, TORSO_BONE]
    down = np.stack([-np.sin(turn), np.cos(turn)], 1)
    corners = np.array([[cut[0], height - 1], [cut[-1], height - 1]], np.float32)
    arms = np.einsum("tij,cj->tci", stretch, corners - rest[TORSO_BONE])
    lower = moved.origins[:, TORSO_BONE, 1, None]
    edges = lower + np.sin(turn)[:, None] * arms[..., 0] + np.cos(turn)[:, None] * arms[..., 1]
    growth = np.maximum(stretch[:, 1, 1] * np.maximum(down[:, 1], 0.3), 0.05)
    needed = float(((size[1] - edges.min(1)) / growth).max())
    unit = unit_of(skeleton)
    rows = int(np.clip(np.ceil(needed) + 8, round(0.3 * unit), 3 * height))
    fade = 0
    if replace_mode:
        knees = driving.confidence[:, [joint(LEFT, KNEE), joint(RIGHT, KNEE)]].min(1)
        if float((smoothstep(0.3, 0.6, knees) > 0.5).mean()) > 0.3:
            torso = float(np.linalg.norm(skeleton.points[0, PELVIS] - skeleton.points[0, NECK]))
            lowest = skeleton.points[0, PELVIS, 1] + 0.9 * max(torso, 1.1 * unit)
            limit = max(round(0.3 * unit), int(lowest) - height)
            if limit < rows:
                rows, fade = limit, max(8, min(limit, round(0.35 * unit)))
    return Extension(rows, fade)


def _on_canvas(skeleton: Skeleton, driver: Track, size: tuple[int, int]) -> Skeleton:
    """Driving-video pixels to canvas pixels, by the rule of ``fit_to_canvas``."""
    width, height = size
    if driver.height / driver.width > height / width:
        new_width, new_height = int(height / driver.height * driver.width), height
    else:
        new_width, new_height = width, int(width / driver.width * driver.height)
    factor = np.array([new_width / driver.width, new_height / driver.height], np.float32)
    shift = np.array([int((width - new_width) / 2), int((height - new_height) / 2)], np.float32)
    return replace(skeleton, points=skeleton.points * factor + shift, depth=skeleton.depth * factor[0])


def _same(background: Image, count: int) -> Iterator[Image]:
    for _ in range(count):
        yield background.copy()
