"""HDR pictures (PQ, HLG; BT.2020) as ordinary 8-bit ones (BT.709): people look as they do on a screen.

Brightness is counted from 1 = the 203 nits of reference white (ITU-R BT.2408). It is rolled off by Reinhard's
extended curve on the brightest channel, which keeps the hue: 1,000 nits become full white, reference white
about three quarters of the way up.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

_LEVELS: Final = 4096
_CUBE_SIDE: Final = 33
_REFERENCE_WHITE: Final = 203.0
_PEAK: Final = 1000.0
_SCREEN_GAMMA: Final = 2.4  # BT.1886
_LUMINANCE: Final = np.array([0.2627, 0.6780, 0.0593], np.float32)  # BT.2020
_BT2020_TO_BT709: Final = np.array(  # ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def to_standard(image: NDArray[np.uint16], transfer: Literal["pq", "hlg"]) -> NDArray[np.float32]:
    """Turn BT.2020 RGB, uint16 ``(H, W, 3)`` over the full range, into a screen's BT.709 RGB from 0 to 1."""
    light = np.take(_linear(transfer), image >> 4)
    if transfer == "hlg":  # its light is the scene's; a screen adds contrast (BT.2100: gamma 1.2)
        light *= np.power(np.maximum(light @ _LUMINANCE, 1e-6), 0.2)[:, :, None]
        light *= _PEAK / _REFERENCE_WHITE
    light = np.maximum(cv2.transform(light, _BT2020_TO_BT709), 0)
    brightest = light.max(axis=2, keepdims=True)
    peak = _PEAK / _REFERENCE_WHITE
    light *= (1 + brightest / peak**2) / (1 + brightest)
    # Indexed by the square root: dark shades need finer steps than bright ones.
    steps = (np.sqrt(np.minimum(light, 1)) * (_LEVELS - 1)).round().astype(np.uint16)
    return np.asarray(np.take(_screen(), steps), np.float32)


def write_cube(path: Path, transfer: Literal["pq", "hlg"]) -> None:
    """Write ``to_standard`` as a table for FFmpeg's ``lut3d`` filter, which is many times faster (.cube)."""
    axis = np.linspace(0, 65535, _CUBE_SIDE).round().astype(np.uint16)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")  # red changes fastest
    colours = np.stack([red, green, blue], axis=-1).reshape(1, -1, 3)
    rows = to_standard(colours, transfer)[0]
    lines = (f"{row[0]:.5f} {row[1]:.5f} {row[2]:.5f}" for row in rows)
    path.write_text("\n".join((f"LUT_3D_SIZE {_CUBE_SIDE}", *lines, "")), encoding="ascii")


@cache
def _linear(transfer: Literal["pq", "hlg"]) -> NDArray[np.float32]:
    """Light by code (BT.2100): PQ in reference whites, HLG as the scene's, 0 to 1."""
    code = np.linspace(0, 1, _LEVELS)
    if transfer == "pq":
        power = code ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
        return np.asarray(nits / _REFERENCE_WHITE, np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)


@cache
def _screen() -> NDArray[np.float32]:
    """The screen's signal, 0 to 1, by the square root of the light."""
    return np.asarray(np.linspace(0, 1, _LEVELS) ** (2 / _SCREEN_GAMMA), np.float32)
