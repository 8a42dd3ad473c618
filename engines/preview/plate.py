"""The plate: the driving scene without the person, frame by frame.

Outside the person's area (the mask, well grown) a plate frame is the driving frame, untouched. Inside it
shows the background as other frames show it: for a still camera the temporal median of sampled frames,
for a moving one a mosaic of them, laid over each other by the camera's own movement. What no frame shows
is filled in smoothly from the rim. The background is adapted to the frame's brightness round the person,
and blended at the area's edge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.preview.camera import CameraPath, camera_path, camera_stands_still
from engines.preview.track import Track

Image = NDArray[np.uint8]
Mask = NDArray[np.uint8]
Frames = Callable[[Sequence[int]], Iterator[Image]]
Report = Callable[[str, int, int], None]
Region = tuple[slice, slice]
Transform = NDArray[np.float64]

MOST_SAMPLES, LEAST_SAMPLES = 40, 9
_SAMPLE_BYTES = 120 * 2**20

_SMALL = 4
"""The person's area is worked out, and unknown background filled, at a quarter of the size."""
_SMALL_SHIFT = 0.5 / _SMALL - 0.5
"""A small pixel's centre lies in the middle of the pixels that it stands for."""
_TINY = 16
"""Brightness is compared at a sixteenth of the size."""
_PERSON_FROM = 40
"""Soft mask value (of 255) from which a pixel may belong to the person: low, a rim of the actor is worse."""
_MARGIN = 0.022
"""Growth of the person's area, in canvas heights."""
_LARGEST_MOSAIC = 2.2
"""In frame areas; a wider sweep of the camera is kept at a smaller scale."""


class Background(Protocol):
    """What is behind the person."""

    def at(self, index: int, region: Region) -> Image | None:
        """The background of that part of frame ``index``, RGB; None where no frame tells."""


class PersonArea:
    """Where the person is in each frame of a Track: hands and neighbouring frames included, and grown."""

    def __init__(self, track: Track) -> None:
        self._track = track
        self._size = (track.width + _SMALL - 1) // _SMALL, (track.height + _SMALL - 1) // _SMALL
        side = 2 * max(2, round(track.height * _MARGIN / _SMALL)) + 1
        self._kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        # Each frame's outline serves its neighbours too, and driving frames can be sampled twice.
        self._outline = lru_cache(maxsize=8)(self._draw_outline)
        self._grown = lru_cache(maxsize=2)(self._draw_grown)

    def __len__(self) -> int:
        return len(self._track)

    def small(self, index: int) -> Mask:
        """Area of frame ``index`` at a quarter of the size, 0/255."""
        return self._grown(index)

    def full(self, index: int) -> Mask:
        """Area of frame ``index``, 0/255, of the frame's size."""
        size = (self._size[0] * _SMALL, self._size[1] * _SMALL)
        grown = cv2.resize(self.small(index), size, interpolation=cv2.INTER_LINEAR)
        sharp = cv2.threshold(grown, 63, 255, cv2.THRESH_BINARY)[1]
        return np.asarray(sharp[: self._track.height, : self._track.width], np.uint8)

    def _draw_grown(self, index: int) -> Mask:
        around = [self._outline(near) for near in (index - 1, index, index + 1) if 0 <= near < len(self)]
        return np.asarray(cv2.dilate(np.maximum.reduce(around), self._kernel), np.uint8)

    def _draw_outline(self, index: int) -> Mask:
        track = self._track
        area = np.zeros(self._size[::-1], np.uint8)
        if png := track.masks[index]:
            crop = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
            transform = track.mask_transforms[index] / _SMALL
            transform[:, 2] += _SMALL_SHIFT
            warped = cv2.warpAffine(crop, transform, self._size, flags=cv2.INTER_LINEAR)
            area = np.asarray(cv2.threshold(warped, _PERSON_FROM, 255, cv2.THRESH_BINARY)[1], np.uint8)
        for side in np.flatnonzero(track.hand_score[index] > 0):
            points = np.round(track.hands[index, side, :, :2] / _SMALL + _SMALL_SHIFT).astype(np.int32)
            hull = np.asarray(cv2.convexHull(points), np.int32)
            cv2.fillConvexPoly(area, hull, 255)
        return area


def find_background(frames: Frames, area: PersonArea, size: tuple[int, int], report: Report) -> Background:
    """Look through the clip for what is behind the person.

    Args:
        frames: the frames at the given non-decreasing positions, RGB, of ``size``.
        size: (width, height) of the frames and of the person's area.
    """
    positions = _sample_positions(len(area), size)
    samples, hidden = [], []
    for done, frame in enumerate(frames(positions), start=1):
        samples.append(frame)
        hidden.append(area.full(positions[done - 1]))
        report("look at the background", done, len(positions))
    if camera_stands_still(samples, hidden):
        return StillBackground(median_background(samples, hidden))
    path = camera_path(frames, area.full, len(area), report)
    # Laid over each other the samples take more room, so every other one must do.
    kept = slice(None, None, 2)
    return MovingBackground(positions[kept], samples[kept], hidden[kept], path)


class StillBackground:
    """Seen by a camera that does not move: one picture."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def at(self, index: int, region: Region) -> Image:
        """See :class:`Background`."""
        return self._image[region]


class MovingBackground:
    """Seen by a moving camera: for each scene a mosaic of its samples, looked at as the camera looks now."""

    def __init__(
        self, positions: Sequence[int], samples: Sequence[Image], hidden: Sequence[Mask], path: CameraPath
    ) -> None:
        self._path = path
        self._mosaics: dict[int, tuple[Image, Transform]] = {}
        for scene in {path.scene(position) for position in positions}:
            members = [at for at, position in enumerate(positions) if path.scene(position) == scene]
            moves = [path.to_scene(positions[at]) for at in members]
            placing, size = _mosaic_canvas(moves, samples[0].shape[1], samples[0].shape[0])
            laid, unseen = [], []
            for at, move in zip(members, moves, strict=True):
                affine = (placing @ move)[:2]
                moved = cv2.warpAffine(samples[at], affine, size, borderMode=cv2.BORDER_REPLICATE)
                laid.append(np.asarray(moved, np.uint8))
                covered = cv2.warpAffine(
                    hidden[at], affine, size, flags=cv2.INTER_NEAREST, borderValue=(255,)
                )
                unseen.append(np.asarray(covered, np.uint8))
            self._mosaics[scene] = median_background(laid, unseen), placing

    def at(self, index: int, region: Region) -> Image | None:
        """See :class:`Background`."""
        found = self._mosaics.get(self._path.scene(index))
        if found is None:
            return None
        mosaic, placing = found
        rows, columns = region
        to_region = np.array([[1.0, 0, -columns.start], [0, 1, -rows.start], [0, 0, 1]])
        affine = (to_region @ np.linalg.inv(placing @ self._path.to_scene(index)))[:2]
        size = columns.stop - columns.start, rows.stop - rows.start
        return np.asarray(cv2.warpAffine(mosaic, affine, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def median_background(samples: Sequence[Image], hidden: Sequence[Mask]) -> Image:
    """Temporal median, pixel by pixel, of RGB samples that lie over each other, where not hidden (> 0).

    What is hidden in all of them is filled in from the rim.
    """
    seen = np.zeros(hidden[0].shape, np.int16)
    for mask in hidden:
        seen += mask == 0
    image = samples[len(samples) // 2].copy()
    ever_hidden = seen < len(samples)
    for row in np.flatnonzero(ever_hidden.any(axis=1)):
        columns = np.flatnonzero(ever_hidden[row])
        values = np.stack([sample[row, columns] for sample in samples], axis=-1)
        out_of_sight = np.stack([mask[row, columns] for mask in hidden], axis=-1) > 0
        # Hidden values sort behind all others; a tie with a true 255 does no harm.
        values[np.broadcast_to(out_of_sight[:, np.newaxis], values.shape)] = 255
        values.sort(axis=-1)
        middle = np.maximum(seen[row, columns] - 1, 0) // 2
        image[row, columns] = np.take_along_axis(values, middle[:, np.newaxis, np.newaxis], axis=-1)[..., 0]
    return fill_unknown(image, seen > 0)


def paint_plate(frame: Image, index: int, area: PersonArea, background: Background) -> Image:
    """Frame ``index`` of the plate: the driving frame (RGB) with the background in the person's area."""
    small_area = area.small(index)
    rows, columns = np.flatnonzero(small_area.any(axis=1)), np.flatnonzero(small_area.any(axis=0))
    if rows.size == 0:
        return frame
    region = _tiny_aligned(rows, columns, frame.shape[0], frame.shape[1])
    part, hidden = frame[region], area.full(index)[region]
    found = background.at(index, region)
    behind = fill_unknown(part, hidden == 0) if found is None else found
    behind = _adapted(behind, part, hidden)
    # The blend lies inside the area: its margin shows background already, and outside nothing may change.
    inner = cv2.erode(hidden, np.ones((3, 3), np.uint8), iterations=3, borderValue=(255,))
    weight = np.minimum(cv2.blur(inner, (7, 7)), hidden).astype(np.float32)
    plate = frame.copy()
    plate[region] = cv2.blendLinear(behind, np.ascontiguousarray(part), weight, 255 - weight)
    return plate


def fill_unknown(image: Image, known: NDArray[np.bool_]) -> Image:
    """The picture with what is not ``known`` [H, W] filled in from the rim, the deeper the smoother."""
    if known.all():
        return image
    if not known.any():
        return np.full_like(image, 127)
    height, width = known.shape
    size = max(1, width // _SMALL), max(1, height // _SMALL)
    share = cv2.resize(known.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colour = cv2.resize(
        np.where(known[..., np.newaxis], image, 0).astype(np.float32), size, interpolation=cv2.INTER_AREA
    )
    small = (colour / np.maximum(share, 1e-3)[..., np.newaxis]).clip(0, 255).astype(np.uint8)
    hole = (share < 0.25).astype(np.uint8)
    telea = np.asarray(cv2.inpaint(small, hole, 4, cv2.INPAINT_TELEA), np.uint8)
    depth = np.minimum(cv2.distanceTransform(hole, cv2.DIST_L2, 3) / 16, 1)
    smooth = cv2.GaussianBlur(telea, (0, 0), 8)
    painted = cv2.blendLinear(smooth, telea, depth, 1 - depth)
    large = cv2.resize(painted, (width, height), interpolation=cv2.INTER_CUBIC)
    weight = cv2.blur(cv2.erode(known.astype(np.uint8) * 255, np.ones((7, 7), np.uint8)), (7, 7))
    mixed = cv2.blendLinear(image, large, weight.astype(np.float32), 255 - weight.astype(np.float32))
    result = image.copy()
    near = weight < 255
    result[near] = np.asarray(mixed, np.uint8)[near]
    return result


def _adapted(behind: Image, part: Image, hidden: Mask) -> Image:
    """The background shifted, smoothly, to the brightness of the frame round the person (RGB, one size)."""
    height, width = hidden.shape
    size = max(1, width // _TINY), max(1, height // _TINY)
    tiny_part = cv2.resize(part, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    tiny_behind = cv2.resize(behind, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    covered = cv2.resize(hidden, size, interpolation=cv2.INTER_AREA)
    free = (covered == 0).astype(np.float32)[..., np.newaxis]
    if not free.any():
        return behind
    difference = np.clip(tiny_part - tiny_behind, -30, 30)
    overall = np.median(difference[free[..., 0] > 0], axis=0)
    weighted = cv2.GaussianBlur(np.concatenate([difference * free, free], axis=2), (0, 0), 4)
    # Far from any free pixel the weights vanish; there the overall difference counts.
    shift = (weighted[..., :3] + 0.02 * overall) / (weighted[..., 3:] + 0.02)
    return np.asarray(cv2.add(behind, cv2.resize(shift, (width, height)), dtype=cv2.CV_8U), np.uint8)


def _tiny_aligned(rows: NDArray[np.intp], columns: NDArray[np.intp], height: int, width: int) -> Region:
    """The area's bounding box with a rim to compare brightness on, in whole tiny pixels where it can be."""

    def span(hits: NDArray[np.intp], limit: int) -> slice:
        start = max(0, int(hits[0]) * _SMALL // _TINY - 3) * _TINY
        end = min(limit, (int(hits[-1]) * _SMALL // _TINY + 5) * _TINY)
        return slice(start, end)

    return span(rows, height), span(columns, width)


def _mosaic_canvas(moves: Sequence[Transform], width: int, height: int) -> tuple[Transform, tuple[int, int]]:
    """Where a scene's pixels go on its mosaic, as [3, 3], and the mosaic's (width, height)."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64).T
    spread = np.concatenate([(move @ corners)[:2] for move in moves], axis=1)
    low, extent = spread.min(axis=1), np.ptp(spread, axis=1)
    scale = min(1.0, float(np.sqrt(_LARGEST_MOSAIC * width * height / extent.prod())))
    placing = np.array([[scale, 0, -scale * low[0]], [0, scale, -scale * low[1]], [0, 0, 1]])
    return placing, (int(np.ceil(extent[0] * scale)), int(np.ceil(extent[1] * scale)))


def _sample_positions(frame_count: int, size: tuple[int, int]) -> list[int]:
    """Positions of the frames to sample, evenly spread, few enough to be held in memory."""
    affordable = _SAMPLE_BYTES // (size[0] * size[1] * 4)
    count = min(frame_count, max(LEAST_SAMPLES, min(MOST_SAMPLES, affordable)))
    return [int(position) for position in np.linspace(0, frame_count - 1, count).round()]
