"""Backgrounds, and the order in which a frame's layers are laid over them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.face import FaceWarp
from engines.preview.puppet.layers import Layer, Puppet
from engines.preview.puppet.mesh import Pose, deform
from engines.preview.puppet.motion import Motion
from engines.preview.puppet.pixels import half_size
from engines.preview.puppet.raster import bounding_box, draw_over, source_maps
from engines.preview.puppet.skeleton import SIDES

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

_HALF_BELOW = 0.6


class Stage:
    """Draws frames of one puppet.

    Args:
        rest_origins: (14, 2), see ``motion.rest_origins``.
        face_points: the reference's face points (468, 2), or None.
        face_moves: (T, 468, 2), or None where lips and eyes stay still.
    """

    def __init__(
        self,
        puppet: Puppet,
        motion: Motion,
        rest_origins: Floats,
        face_points: Floats | None,
        face_moves: Floats | None,
    ) -> None:
        self._puppet = puppet
        self._motion = motion
        self._rest_origins = rest_origins
        self._moves = face_moves
        self._warp: FaceWarp | None = None
        if face_points is not None and face_moves is not None:
            corner = np.array([puppet.body.left, puppet.body.top], np.float32)
            self._warp = FaceWarp(puppet.body.texture, face_points - corner)

    def draw(self, index: int, canvas: Image) -> None:
        """Draw frame ``index`` of the figure over the RGB canvas, in place."""
        if self._warp is not None and self._moves is not None:
            self._move_face(self._moves[index])
        pose = self._motion.pose(index)
        small = bool(self._motion.scale[index] < _HALF_BELOW)
        for layer in self._order(index):
            self._draw_layer(layer, pose, small, canvas)

    def _order(self, index: int) -> list[Layer]:
        """Back to front: arms behind, legs, body, arms in front; the nearer of two later."""
        motion, puppet = self._motion, self._puppet
        behind: list[Layer] = []
        before: list[Layer] = []
        for side in sorted(SIDES, key=lambda side: float(motion.nearness[index, side, 0])):
            (behind if motion.arm_behind[index, side] else before).extend(puppet.arms[side])
        legs = [
            layer
            for side in sorted(SIDES, key=lambda side: float(motion.nearness[index, side, 1]))
            for layer in puppet.legs[side]
        ]
        return [*behind, *legs, puppet.body, *before]

    def _draw_layer(self, layer: Layer, pose: Pose, small: bool, canvas: Image) -> None:
        height, width = canvas.shape[:2]
        corner = np.array([layer.left, layer.top], np.float32)
        target = deform(layer.mesh, self._rest_origins - corner, pose)
        box = bounding_box(target, width, height)
        if box is None:
            return
        map_x, map_y = source_maps(layer.mesh.vertices, target, layer.mesh.triangles, box)
        texture = layer.texture
        if small:
            texture = layer.half
            map_x = map_x * 0.5 - 0.25
            map_y = map_y * 0.5 - 0.25
        patch = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        draw_over(canvas, np.asarray(patch, np.uint8), box[0], box[1])

    def _move_face(self, moves: Floats) -> None:
        assert self._warp is not None  # noqa: S101 - for the type checker
        left, top, right, bottom = self._warp.area
        body = self._puppet.body
        body.texture[top:bottom, left:right] = self._warp.draw(moves)
        even = body.texture[top : bottom // 2 * 2, left : right // 2 * 2]
        body.half[top // 2 : bottom // 2, left // 2 : right // 2] = half_size(even)


def background_without(image: Image, alpha: Image, marks: Floats) -> Image:
    """The picture with the figure painted out, uint8 RGB.

    Args:
        marks: points (N, 2) that surely belong to the figure even where the opacity lost them (fingers).

    The hole is filled at a quarter of the size and made softer towards its middle; a little of the
    picture's own grain is laid over it so that it does not look wiped.
    """
    height, width = alpha.shape
    reach = max(3, round(0.016 * max(height, width)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    figure = (alpha > 8).astype(np.uint8)
    for x, y in np.rint(marks).astype(int):
        cv2.circle(figure, (int(x), int(y)), 2 * reach, 1, -1)
    hole = cv2.dilate(figure, kernel)
    if hole.all():
        return image.copy()
    size = (max(1, width // 4), max(1, height // 4))
    small_hole = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    painted = cv2.inpaint(small, small_hole, 7, cv2.INPAINT_TELEA)
    soft = cv2.GaussianBlur(painted, (0, 0), max(1.0, size[0] / 60))
    depth = cv2.distanceTransform(small_hole, cv2.DIST_L2, 3)
    share = np.clip(depth / max(2.0, size[0] / 40), 0, 1)[..., None]
    filled = cv2.resize((painted * (1 - share) + soft * share).astype(np.float32), (width, height),
                        interpolation=cv2.INTER_CUBIC)  # fmt: skip
    filled += _grain(image, np.asarray(hole, np.uint8))[..., None]
    blend = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), reach / 3)[..., None]
    blended = np.clip(np.rint(image * (1 - blend) + filled * blend), 0, 255)
    return np.asarray(blended, np.uint8)


def _grain(image: Image, hole: Image) -> Floats:
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 1.5)
    strength = min(float(np.median(np.abs(detail[hole == 0]))) * 1.48, 4.0)
    noise = np.random.default_rng(1).standard_normal(grey.shape, np.float32)
    return noise * np.float32(strength)


def scene(background: Image, mask: Image, plate: Image) -> Image:
    """Driving scene without the actor: the plate inside the mask, the background outside, softly joined.

    Args:
        background: RGB frame, black where the mask is set; mask: grey or RGB, 255 = to be replaced;
        plate: RGB frame of the scene without the person.
    """
    grey = mask if mask.ndim == 2 else mask[..., 0]
    inside = cv2.threshold(grey, 127, 255, cv2.THRESH_BINARY)[1]
    left, top, width, height = cv2.boundingRect(inside)
    result = background.copy()
    if width == 0:
        return result
    # The encoder smears the black a little past the mask's edge: the plate covers that rim too.
    margin = 12
    area = np.s_[max(0, top - margin) : top + height + margin, max(0, left - margin) : left + width + margin]
    share = cv2.dilate(inside[area], np.ones((9, 9), np.uint8))
    share = cv2.merge([cv2.blur(share, (5, 5))] * 3)
    rest = cv2.bitwise_not(share)
    result[area] = cv2.add(
        cv2.multiply(background[area], rest, scale=1 / 255), cv2.multiply(plate[area], share, scale=1 / 255)
    )
    return result
