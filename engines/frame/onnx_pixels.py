"""From pixels to a model's numbers and back. Pictures are uint8 [height, width, 3] RGB."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.frame.model import Driving, Floats, Image, ModelError
from engines.frame.onnx_description import Landmarks, Picture

Array = NDArray[np.generic]


@dataclass(frozen=True)
class Placement:
    """How a picture was brought to the model's size, so that it can be undone.

    ``inner`` is where it lies in the model's picture, ``outer`` which part of it is there: left, top, width,
    height.
    """

    size: tuple[int, int]
    """Height and width of the model's picture."""
    inner: tuple[int, int, int, int]
    outer: tuple[int, int, int, int]


def place(image: Image, size: tuple[int, int] | None, resize: str) -> tuple[Image, Placement]:
    """The picture at the model's size (height, width), by ``stretch``, ``letterbox`` or ``crop``."""
    height, width = image.shape[:2]
    goal_height, goal_width = size or (height, width)
    inner, outer = (0, 0, goal_width, goal_height), (0, 0, width, height)
    if resize == "letterbox":
        scale = min(goal_height / height, goal_width / width)
        inner = _centred(goal_width, goal_height, round(width * scale), round(height * scale))
    elif resize == "crop":
        scale = max(goal_height / height, goal_width / width)
        outer = _centred(width, height, round(goal_width / scale), round(goal_height / scale))
    placed = _scaled(_cut(image, outer), inner[2:])
    if inner[2:] != (goal_width, goal_height):
        canvas = np.zeros((goal_height, goal_width, 3), np.uint8)
        canvas[inner[1] : inner[1] + inner[3], inner[0] : inner[0] + inner[2]] = placed
        placed = canvas
    return placed, Placement((goal_height, goal_width), inner, outer)


def put_back(made: Image, source: Image, placement: Placement) -> Image:
    """The model's picture at the source's size; what was cut off for the model stays the source's."""
    height, width = made.shape[:2]
    down, across = height / placement.size[0], width / placement.size[1]
    left, top, inner_width, inner_height = placement.inner
    inner = (round(left * across), round(top * down), round(inner_width * across), round(inner_height * down))
    scaled = _scaled(_cut(made, inner), placement.outer[2:])
    if scaled.shape == source.shape:
        return np.ascontiguousarray(scaled)
    result = source.copy()
    left, top, outer_width, outer_height = placement.outer
    result[top : top + outer_height, left : left + outer_width] = scaled
    return result


def _centred(width: int, height: int, inner_width: int, inner_height: int) -> tuple[int, int, int, int]:
    inner_width, inner_height = max(1, min(width, inner_width)), max(1, min(height, inner_height))
    return (width - inner_width) // 2, (height - inner_height) // 2, inner_width, inner_height


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    left, top, width, height = box
    return image[top : top + height, left : left + width]


def _scaled(image: Image, size: tuple[int, ...]) -> Image:
    """``size`` is width and height, as OpenCV has it."""
    width, height = size
    if image.shape[:2] == (height, width):
        return image
    shrinks = width * height < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(
        cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method), np.uint8
    )


def to_numbers(image: Image, picture: Picture) -> Array:
    """A picture as the tensor [1, ...] that the model takes."""
    pixels = _recolored(image, picture.color)
    if picture.tensor.dtype == "uint8":
        numbers: Array = pixels
    else:
        scale = (picture.high - picture.low) / 255 / np.array(picture.std, np.float32)
        shift = (picture.low - np.array(picture.mean, np.float32)) / np.array(picture.std, np.float32)
        numbers = (pixels * scale.astype(np.float32) + shift.astype(np.float32)).astype(picture.tensor.dtype)
    if picture.layout == "NCHW":
        numbers = numbers.transpose(2, 0, 1)
    return np.ascontiguousarray(numbers[np.newaxis])


def to_pixels(numbers: Array, picture: Picture) -> Image:
    """One frame of the model's output, without its batch axis, as a picture.

    Raises:
        ModelError: it holds numbers that are none, or its shape is no picture's.
    """
    channels = {"GRAY": 1, "RGBA": 4}.get(picture.color, 3)
    axis = 0 if picture.layout == "NCHW" else 2
    if numbers.ndim != 3 or numbers.shape[axis] != channels:
        shape = " x ".join(map(str, numbers.shape))
        raise ModelError(
            f"The model's output {picture.tensor.name} is {shape} for a frame; {picture.color} as "
            f"{picture.layout} was expected. Mend output.color or output.layout."
        )
    pixels = _quantised(numbers, picture)
    if picture.layout == "NCHW":
        pixels = np.asarray(cv2.merge(list(pixels)), np.uint8).reshape(*pixels.shape[1:], channels)
    return _as_rgb(pixels, picture.color)


def _quantised(numbers: Array, picture: Picture) -> Image:
    if numbers.dtype == np.uint8:
        return np.asarray(numbers, np.uint8)
    flat = np.ascontiguousarray(numbers, np.float32).reshape(numbers.shape[0], -1)
    if not np.isfinite(flat).all():
        raise ModelError(
            f"The model's output {picture.tensor.name} holds numbers that are none (NaN or infinite). Check "
            "range, mean and std; a half-precision model may need the CPU."
        )
    scale = 255 / (picture.high - picture.low)
    pixels = cv2.addWeighted(flat, scale, flat, 0, -picture.low * scale, dtype=cv2.CV_8U)
    return np.asarray(pixels, np.uint8).reshape(numbers.shape)


def _recolored(image: Image, color: str) -> Image:
    """RGB in another order, with its channel axis kept."""
    codes = {"BGR": cv2.COLOR_RGB2BGR, "GRAY": cv2.COLOR_RGB2GRAY, "RGBA": cv2.COLOR_RGB2RGBA}
    if color not in codes:
        return image
    pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(image), codes[color]), np.uint8)
    return pixels.reshape(*image.shape[:2], -1)


def _as_rgb(pixels: Image, color: str) -> Image:
    codes = {"BGR": cv2.COLOR_BGR2RGB, "GRAY": cv2.COLOR_GRAY2RGB, "RGBA": cv2.COLOR_RGBA2RGB}
    return np.asarray(cv2.cvtColor(pixels, codes[color]), np.uint8) if color in codes else pixels


def to_points(driving: Driving, wanted: Landmarks, size: tuple[int, int]) -> Floats:
    """The face points as the model takes them, [n, 2] or [n, 3].

    ``size`` is height and width of the model's picture, for points in its pixels. Depth is scaled as x is.
    """
    points = driving["landmarks"]
    if points is None:
        raise ModelError("The model was given a frame without landmarks.")
    if wanted.dims == 3:
        depth = np.zeros(len(points), np.float32) if driving["depth"] is None else driving["depth"]
        points = np.concatenate([points, depth[:, np.newaxis]], axis=1)
    if wanted.indices is not None:
        points = points[list(wanted.indices)]
    if wanted.space == "pixel":
        return points
    height, width = driving["size"]
    unit = points / np.array([width, height, width][: wanted.dims], np.float32)
    if wanted.space == "unit":
        return np.asarray(unit, np.float32)
    if wanted.space == "signed":
        centre = np.array([1, 1, 0][: wanted.dims], np.float32)
        return np.asarray(unit * 2 - centre, np.float32)
    return np.asarray(unit * np.array([size[1], size[0], size[1]][: wanted.dims], np.float32), np.float32)
