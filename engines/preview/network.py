"""One model file, loaded, and the square region of a frame that it looks at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from engines.preview.models import model_path
from engines.preview.track import FloatArray, Image

# How much of a change a region takes over from one frame to the next: STILL_WEIGHT of the smallest, all of
# one that is FULL_CHANGE of its side. Without this the joints jitter a third more.
STILL_WEIGHT = 0.12
FULL_CHANGE = 0.12


class Network:
    """A LiteRT model with one square RGB input, read by output name. Not for use by two threads at a time."""

    def __init__(self, name: str) -> None:
        # Body and extremities run side by side already; two threads for each gained nothing on two cores.
        self._interpreter = Interpreter(model_path=str(model_path(name)), num_threads=1)
        self._interpreter.allocate_tensors()
        (details,) = self._interpreter.get_input_details()
        self._input = details["index"]
        self.side: int = int(details["shape"][1])
        self._outputs = {output["name"]: output["index"] for output in self._interpreter.get_output_details()}

    def run(self, crop: Image, low: float = 0.0) -> None:
        """Run on a uint8 RGB [side, side, 3] crop, mapped to low..1."""
        values = crop.astype(np.float32)
        values *= (1.0 - low) / 255.0
        values += low
        self._interpreter.set_tensor(self._input, values[np.newaxis])
        self._interpreter.invoke()

    def output(self, name: str) -> FloatArray:
        """A copy of the named output of the last run."""
        return np.asarray(self._interpreter.get_tensor(self._outputs[name]), np.float32)


@dataclass(frozen=True)
class Region:
    """A rotated square in a frame: centre and side in pixels, angle in radians (clockwise; 0 = upright)."""

    x: float
    y: float
    side: float
    angle: float

    @classmethod
    def pointing(cls, x: float, y: float, side: float, up: FloatArray) -> Region:
        """The square whose upward side faces along the vector `up` [2]."""
        return cls(x, y, side, math.atan2(float(up[0]), -float(up[1])))

    @classmethod
    def around(cls, points: FloatArray, up: FloatArray, scale: float, shift: float = 0.0) -> Region:
        """Bounding square of points [N, 2] with `up` [2] for up; grown by `scale`, moved up `shift` sides."""
        angle = math.atan2(float(up[0]), -float(up[1]))
        cosine, sine = math.cos(angle), math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]], np.float32)  # region axes -> frame axes
        local = points @ turn
        low, high = local.min(axis=0), local.max(axis=0)
        side = float((high - low).max()) * scale
        middle = (low + high) / 2
        middle[1] -= shift * side
        x, y = turn @ middle
        return cls(float(x), float(y), side, angle)

    def transform(self, size: int) -> NDArray[np.float64]:
        """Affine [2, 3], pixels of a size x size crop -> pixels of the frame (centres at whole numbers)."""
        scale = self.side / size
        cosine, sine = math.cos(self.angle) * scale, math.sin(self.angle) * scale
        middle = (size - 1) / 2
        return np.array(
            [
                [cosine, -sine, self.x - (cosine - sine) * middle],
                [sine, cosine, self.y - (sine + cosine) * middle],
            ]
        )

    def cut(self, frame: Image, size: int) -> Image:
        """The region as a size x size picture; black outside the frame."""
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(frame, self.transform(size), (size, size), flags=flags), np.uint8)

    def to_frame(self, points: FloatArray, size: int) -> FloatArray:
        """Points [N, 2 or 3] as the models give them (first pixel spans 0..1) -> frame; z is scaled."""
        transform = self.transform(size)
        result = np.array(points, np.float32)
        result[:, :2] = (points[:, :2] - 0.5) @ transform[:, :2].T + transform[:, 2]
        result[:, 2:] *= self.side / size
        return result

    def follow(self, previous: Region) -> Region:
        """This region as the successor of `previous`: small changes damped, those over 12 % not."""
        turn = math.remainder(self.angle - previous.angle, math.tau)
        moved = math.hypot(self.x - previous.x, self.y - previous.y)
        change = max(moved, abs(self.side - previous.side), abs(turn) * previous.side / 2) / previous.side
        weight = STILL_WEIGHT + (1 - STILL_WEIGHT) * min(change / FULL_CHANGE, 1.0)
        return Region(
            previous.x + weight * (self.x - previous.x),
            previous.y + weight * (self.y - previous.y),
            previous.side + weight * (self.side - previous.side),
            previous.angle + weight * turn,
        )


def sigmoid(values: FloatArray) -> FloatArray:
    """Logistic function; safe for large negative logits."""
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(values, -60.0, 60.0))), np.float32)
