"""A drawn figure with a known track, for the puppet's tests: bright before a bright wall, nothing dark."""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.track import Track
from tests.preview.made_up_track import made_up_track

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Point = tuple[int, int]
Places = dict[int, tuple[float, float]]

WALL = (205, 225, 240)
_SHIRT, _TROUSERS, _SKIN = (240, 190, 60), (110, 130, 225), (235, 195, 175)
_LIMBS = (
    (_TROUSERS, 24, ((23, 25), (25, 27), (24, 26), (26, 28))),
    (_SHIRT, 22, ((11, 13), (13, 15), (12, 14), (14, 16))),
)


def drawn_figure(
    width: int = 240, height: int = 320, *, cut: bool = False, pose: Places | None = None
) -> tuple[Image, Track]:
    """A standing figure and its track (T = 1). `cut`: the picture ends at the hips. `pose`: joint: (x, y)."""
    size = 0.86 if not cut else 1.5
    centre = (0.5, 0.5) if not cut else (0.5, 1.05)
    track = made_up_track(1, width, height, centre=centre, size=size)
    body = track.body.copy()
    arms = {13: (0.19, -0.20), 14: (-0.19, -0.20), 15: (0.24, -0.08), 16: (-0.24, -0.08)}
    middle = body[0, (23, 24), :2].mean(0)
    for joint, place in (arms | (pose or {})).items():
        body[0, joint, :2] = middle + np.array(place) * size * height
    for side in (0, 1):
        elbow, wrist = body[0, 13 + side, :2], body[0, 15 + side, :2]
        finger = wrist + (wrist - elbow) * 0.25
        for joint in (17, 19, 21):
            body[0, joint + side, :2] = finger
    inside = (body[..., 0] >= 0) & (body[..., 0] < width) & (body[..., 1] >= 0) & (body[..., 1] < height)
    body[..., 3] *= inside
    picture, mask = draw(body[0], width, height)
    track = replace(
        track,
        body=body,
        face_score=np.zeros(1, np.float32),
        hand_score=np.zeros((1, 2), np.float32),
        masks=(cv2.imencode(".png", cv2.resize(mask, (256, 256)))[1].tobytes(),),
        mask_transforms=np.array([[[width / 256, 0, 0], [0, height / 256, 0]]], np.float32),
    )
    return picture, track


def draw(joints: Floats, width: int, height: int) -> tuple[Image, Image]:
    """The figure's picture and mask for BlazePose joints (33, >= 2)."""
    picture = np.full((height, width, 3), WALL, np.uint8)
    mask = np.zeros((height, width), np.uint8)
    points = joints[:, :2]
    shoulders = float(np.linalg.norm(points[11] - points[12]))

    def bar(colour: Sequence[int], start: Point, end: Point, thickness: float) -> None:
        for canvas, shade in ((picture, colour), (mask, (255,))):
            cv2.line(canvas, start, end, shade, max(2, int(thickness)))

    def joint(*indices: int) -> Point:
        x, y = points[list(indices)].mean(0)
        return int(x), int(y)

    for colour, share, pairs in _LIMBS:
        for start, end in pairs:
            bar(colour, joint(start), joint(end), shoulders * share / 100)
    for canvas, shade in ((picture, _SHIRT), (mask, (255,))):
        cv2.fillConvexPoly(canvas, points[[11, 12, 24, 23]].astype(np.int32), shade)
    for start, end in ((11, 12), (11, 23), (12, 24), (23, 24)):
        bar(_SHIRT, joint(start), joint(end), shoulders * 0.24)
    for wrist, finger in ((15, 19), (16, 20)):
        bar(_SKIN, joint(wrist), joint(finger), shoulders * 0.16)
    bar(_SKIN, joint(7, 8), joint(11, 12), shoulders * 0.25)
    for canvas, shade in ((picture, _SKIN), (mask, (255,))):
        cv2.circle(canvas, joint(7, 8), int(shoulders * 0.32), shade, -1)
    return picture, mask


def repeated(track: Track, frame_count: int) -> Track:
    """The one-frame track as a clip that stands still."""
    return replace(
        track,
        body=np.repeat(track.body, frame_count, 0),
        face=np.repeat(track.face, frame_count, 0),
        face_score=np.repeat(track.face_score, frame_count, 0),
        hands=np.repeat(track.hands, frame_count, 0),
        hand_score=np.repeat(track.hand_score, frame_count, 0),
        mask_transforms=np.repeat(track.mask_transforms, frame_count, 0),
        person_score=np.repeat(track.person_score, frame_count, 0),
        masks=track.masks * frame_count,
    )
