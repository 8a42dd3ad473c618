"""A made-up person for tests: a standing figure, any number of frames, no model needed."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.track import MASK_SIDE, Track

# x, y of BlazePose joints in figure heights, from the middle of the hips; the rest lie in the face.
_STANDING = {
    0: (0, -0.43), 2: (0.015, -0.45), 5: (-0.015, -0.45), 7: (0.035, -0.44), 8: (-0.035, -0.44),
    9: (0.012, -0.41), 10: (-0.012, -0.41), 11: (0.1, -0.33), 12: (-0.1, -0.33), 13: (0.14, -0.18),
    14: (-0.14, -0.18), 15: (0.15, -0.04), 16: (-0.15, -0.04), 23: (0.06, 0), 24: (-0.06, 0),
    25: (0.06, 0.22), 26: (-0.06, 0.22), 27: (0.06, 0.44), 28: (-0.06, 0.44), 31: (0.08, 0.47),
    32: (-0.08, 0.47),
}  # fmt: skip
_MASKED = ((11, 12), (11, 23), (12, 24), (23, 24), (23, 27), (24, 28), (11, 15), (12, 16), (0, 11), (0, 12))


def made_up_track(
    frame_count: int,
    width: int,
    height: int,
    *,
    centre: tuple[float, float] = (0.5, 0.5),
    size: float = 0.9,
    step: tuple[float, float] = (0.0, 0.0),
) -> Track:
    """A figure `size` picture heights tall at `centre`, moving by `step` pixels a frame.

    Face and hands are seen in every frame.
    """
    figure = size * height
    offset = np.array(centre) * (width, height) + np.arange(frame_count)[:, np.newaxis] * np.array(step)
    joints = np.array([_STANDING.get(number, (0, -0.42)) for number in range(33)]) * figure
    body = np.zeros((frame_count, 33, 4), np.float32)
    body[..., :2] = joints + offset[:, np.newaxis]
    body[..., 3] = 0.9
    angles = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    oval = np.stack([0.04 * np.cos(angles), 0.05 * np.sin(angles) - 0.43], axis=1) * figure
    face = np.zeros((frame_count, 468, 3), np.float32)
    face[..., :2] = oval + offset[:, np.newaxis]
    fingers = [(0.005 * finger - 0.01, 0.02 + 0.01 * joint) for finger in range(5) for joint in range(4)]
    hand = np.array([(0, 0), *fingers]) * figure
    hands = np.zeros((frame_count, 2, 21, 3), np.float32)
    for side, wrist in enumerate((15, 16)):
        hands[:, side, :, :2] = body[:, wrist, np.newaxis, :2] + hand
    png, scale = _mask_png(joints, figure)
    transforms = np.tile(np.array([[scale, 0, 0], [0, scale, 0]], np.float32), (frame_count, 1, 1))
    transforms[:, :, 2] = offset - scale * MASK_SIDE / 2
    return Track(
        width=width,
        height=height,
        body=body,
        face=face,
        face_score=np.ones(frame_count, np.float32),
        hands=hands,
        hand_score=np.ones((frame_count, 2), np.float32),
        masks=(png,) * frame_count,
        mask_transforms=transforms,
        person_score=np.ones(frame_count, np.float32),
    )


def _mask_png(joints: NDArray[np.float64], figure: float) -> tuple[bytes, float]:
    scale = figure / 200
    crop = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    for start, end in _MASKED:
        first, second = (joints[[start, end]] / scale + MASK_SIDE / 2).astype(int).tolist()
        cv2.line(crop, first, second, 255, 18)
    return cv2.imencode(".png", crop)[1].tobytes(), scale
