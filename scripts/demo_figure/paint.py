"""Paint: albedo, bumps and gloss of each material, from places on the neutral mesh and the texture map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from scripts.demo_figure.figure import (
    EYE,
    NECK_Z,
    NECKLINE,
    SHIRT,
    SHOES,
    SKIN,
    TROUSERS,
)
from scripts.demo_figure.hair import scalp
from scripts.demo_figure.looks import Looks
from scripts.demo_figure.mesh import BaseMesh, Floats, numbers

EYE_CENTRE = numbers(0.308, 7.284, 1.245)  # the left eye on the neutral mesh


@dataclass(frozen=True)
class Textures:
    """Masks on the mesh's texture map, [H, W] in 0..1."""

    lips: Floats
    inside_mouth: Floats
    eyelids: Floats
    nails: Floats
    ears: Floats

    @classmethod
    def read(cls, mesh: BaseMesh) -> Textures:
        """The five masks that are used here."""
        return cls(
            *(
                np.asarray(
                    cv2.GaussianBlur(mesh.source.gray(f"textures/mpfb_{name}.jpg"), (0, 0), 3), np.float32
                )
                for name in ("lips", "inside-mouth", "eyelids", "fingernails", "ears")
            )
        )


@dataclass(frozen=True)
class Dye:
    """What P pixels are made of: linear colour and bump of the normal [P, 3], strength and power of shine."""

    colour: Floats
    bump: Floats
    shine: float | Floats
    gloss: float


def linear(colour: tuple[float, ...] | Floats) -> Floats:
    """sRGB 0..1 -> linear light (gamma 2.2)."""
    light: Floats = np.power(np.asarray(colour, np.float32), 2.2)
    return light


def _sample(texture: Floats, uv: Floats) -> Floats:
    column = np.clip(uv[:, 0] * texture.shape[1], 0, texture.shape[1] - 1).astype(np.int64)
    row = np.clip((1 - uv[:, 1]) * texture.shape[0], 0, texture.shape[0] - 1).astype(np.int64)
    sampled: Floats = texture[row, column]
    return sampled


def _spot(place: Floats, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
    """Soft spot 0..1 on both halves of the body."""
    apart = (np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], 1) - numbers(*centre)) / numbers(
        *radii
    )
    share: Floats = np.exp(-np.sum(apart**2, axis=1))
    return share


def ripple(place: Floats, waves: int, seed: int, low: float, high: float) -> tuple[Floats, Floats]:
    """Smooth noise about 0 as a sum of waves, and its gradient; place [P, 3] -> [P], [P, 3]."""
    generator = np.random.default_rng(seed)
    value, slope = np.zeros(len(place), np.float32), np.zeros_like(place)
    for _ in range(waves):
        way = generator.normal(size=3)
        way = (way / np.linalg.norm(way) * generator.uniform(low, high)).astype(np.float32)
        phase = place @ way + np.float32(generator.uniform(0, 6.28))
        value += np.sin(phase) / waves
        slope += np.cos(phase)[:, None] * way / waves
    return value, slope


def _skin(paint: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    place = paint[:, :3]
    colour = np.tile(linear(looks.skin), (len(place), 1))
    red = numbers(1.06, 0.80, 0.74)
    blush = (
        0.8 * _spot(place, (0.42, 6.98, 1.3), (0.24, 0.18, 0.4))
        + 0.7 * _spot(place, (0, 7.0, 1.75), (0.12, 0.14, 0.3))
        + 0.6 * _sample(textures.ears, uv)
    )
    colour *= 1 + blush[:, None] * (red - 1)
    lids = np.maximum(_sample(textures.eyelids, uv), 0)
    colour *= 1 - 0.22 * lids[:, None]
    lip = _sample(textures.lips, uv)[:, None]
    colour = colour * (1 - 0.85 * lip) + linear(looks.lips) * 0.85 * lip
    colour *= 1 - 0.92 * _sample(textures.inside_mouth, uv)[:, None] * numbers(0.9, 1, 1)
    colour = (
        colour * (1 - 0.35 * _sample(textures.nails, uv)[:, None])
        + 0.35 * 0.6 * _sample(textures.nails, uv)[:, None]
    )
    grain, _ = ripple(place * 14, 7, 3, 0.7, 1.3)
    colour *= 1 + 0.02 * grain[:, None]
    dark = linear(looks.hair) * 0.55
    for share in (
        _brow(place, looks.brows),
        0.9 * np.clip(scalp(place) / 0.22 + 0.4, 0, 1),
        _lash_line(place),
        looks.stubble * _beard(place),
    ):
        colour = colour * (1 - share[:, None]) + dark * share[:, None]
    shine = 0.05 + 0.12 * lip[:, 0]
    return Dye(colour, np.zeros_like(place), shine, 14)


def _brow(place: Floats, thick: float) -> Floats:
    """Eyebrows: an arched stroke over each eye, thick inside and thin outside."""
    across = (np.abs(place[:, 0]) - 0.11) / 0.46
    middle = 7.475 + 0.085 * np.sin(np.clip(across, 0, 1) * 2.4) - 0.035 * across
    half = thick * (0.066 - 0.040 * np.clip(across, 0, 1))
    inside = (across > 0) & (across < 1) & (place[:, 2] > 0.9)
    hairs, _ = ripple(place * numbers(1, 0.5, 0.3) * 60, 5, 5, 0.8, 1.2)
    soft = np.clip(1.25 - np.abs(place[:, 1] - middle) / half, 0, 1) * np.clip(across / 0.22 + 0.2, 0, 1)
    return np.asarray(inside * soft * (0.82 + 0.3 * hairs), np.float32).clip(0, 0.92)


def _lash_line(place: Floats) -> Floats:
    """Dark rim of the upper lid: close to the eyeball's surface."""
    apart = np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], axis=1) - EYE_CENTRE
    near = np.linalg.norm(apart, axis=1)
    return np.asarray(np.clip((0.172 - near) / 0.02, 0, 1) * np.clip(apart[:, 1] / 0.04, 0, 0.8), np.float32)


def _beard(place: Floats) -> Floats:
    jaw = _spot(place, (0.45, 6.55, 1.1), (0.35, 0.33, 0.8)) + _spot(place, (0, 6.45, 1.4), (0.3, 0.25, 0.6))
    lip = _spot(place, (0.1, 6.88, 1.55), (0.2, 0.07, 0.4))
    return np.asarray(np.clip(jaw + lip, 0, 1), np.float32)


def _eye(paint: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    place = paint[:, :3]
    apart = np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], axis=1) - EYE_CENTRE
    off = np.linalg.norm(apart[:, :2], axis=1) / 0.138
    front = apart[:, 2] > 0
    white = np.tile(linear((0.90, 0.89, 0.88)), (len(place), 1)) * (1 - 0.35 * np.clip(off, 0, 1))[:, None]
    iris = np.clip((0.50 - off) / 0.05, 0, 1) * front
    rim = 1 - 0.6 * np.clip((off - 0.38) / 0.1, 0, 1)
    pupil = np.clip((0.21 - off) / 0.05, 0, 1) * front
    colour = white * (1 - iris[:, None]) + linear(looks.eyes) * (iris * rim)[:, None]
    colour *= 1 - 0.95 * pupil[:, None]
    spark = np.exp(
        -np.sum(
            (
                place[:, :2]
                - np.sign(place[:, :1]) * numbers(0.308, 0) * numbers(1, 0)
                - numbers(-0.035, 7.284 + 0.045)
            )
            ** 2,
            axis=1,
        )
        / 0.0005
    )
    colour = colour + 0.8 * spark[:, None] * iris[:, None]
    colour *= (1 - 0.55 * np.clip((apart[:, 1] - 0.01) / 0.08, 0, 1))[:, None]  # shade of the upper lid
    return Dye(colour, np.zeros_like(place), 0.1, 60)


def _folds(place: Floats, seed: int, strength: Floats, stretch: tuple[float, float, float]) -> Floats:
    """Bumps of cloth: broad folds with sharper crests."""
    warp, _ = ripple(place, 5, seed + 1, 0.8, 1.8)
    value, slope = ripple(place * numbers(*stretch) + 0.9 * warp[:, None], 6, seed, 1.4, 3.0)
    return np.asarray(-strength[:, None] * slope * numbers(*stretch) * (1 + 2.0 * value[:, None]), np.float32)


def _shirt(paint: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    place, arm = paint[:, :3], paint[:, 3]
    x, y = np.abs(place[:, 0]), place[:, 1]
    strength = (
        0.30
        + 0.60 * _spot(place, (1.5, 1.4, 0.4), (1.3, 1.2, 2))
        + 0.55 * _spot(place, (1.8, 4.2, 0.3), (0.6, 0.9, 2))
        + 0.30 * np.exp(-(((arm - 0.5) / 0.09) ** 2))
    )
    colour = np.tile(linear(looks.shirt), (len(place), 1))
    accent = linear(looks.accent)
    torso = arm < 0.008
    if looks.pattern == "stripes":
        where = np.where(torso, y / 0.72, arm * 9.2 + 0.1)
        band = (
            np.clip(1.5 - np.abs(np.abs((where % 1) - 0.5) / 0.11), 0, 1) * (y < 4.75) * ((y > 0.75) | ~torso)
        )
        band = np.clip(band * 2, 0, 1) * np.where(torso, np.clip((1.72 - x) / 0.03, 0, 1), arm > 0.2)
        colour += band[:, None] * (accent - colour)
    else:
        band = np.clip(6 - np.abs(y - 4.0) / 0.03, 0, 1) * torso
        colour += band[:, None] * (accent - colour)
        colour *= np.where(torso & (y > 4.18), 0.62, 1)[:, None]
        colour *= np.where(~torso, 0.62, 1)[:, None]
    ring = np.hypot(place[:, 0], place[:, 2] - NECK_Z) - NECKLINE
    wide = 0.17 - 0.11 * np.clip((place[:, 2] - 0.2) / 0.5, 0, 1)  # the chest slopes away from the collar
    rib = np.clip((wide - ring) / 0.02, 0, 1) * (y > 4.6) * torso
    colour += rib[:, None] * (accent - colour)
    cuff = np.clip((arm - looks.sleeve + 0.035) / 0.006, 0, 1)
    colour += cuff[:, None] * (accent - colour)
    colour *= (1 - 0.16 * np.clip((0.40 - y) / 0.03, 0, 1) * torso)[:, None]
    weave, _ = ripple(place * 30, 6, 11, 0.8, 1.2)
    colour *= 1 + 0.03 * weave[:, None]
    return Dye(colour, _folds(place, 21, strength, (1.0, 0.7, 0.8)), 0.015, 8)


def _trousers(paint: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    place = paint[:, :3]
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    strength = (
        0.25
        + 0.15 * _spot(place, (1.6, -3.7, 0.3), (1, 0.7, 1.5))
        + 0.35 * _spot(place, (0.9, -0.2, 0.6), (1.2, 0.5, 2))
        + 0.5 * _spot(place, (2.1, -6.8, 0.2), (1, 0.7, 2))
    )
    colour = np.tile(linear(looks.trousers), (len(place), 1))
    fade = 0.35 * _spot(place, (1.45, -1.9, 1.4), (0.4, 1.5, 1.2)) + 0.2 * _spot(
        place, (1.65, -4.6, 1.2), (0.4, 1.2, 1.2)
    )
    colour *= 1 + fade[:, None]
    colour *= np.where((np.abs(z - 0.25) < 0.03) & (y < 0.4), 0.72, 1)[:, None]  # outer seam
    pocket = (np.abs(y - 0.45 + 0.75 * (x - 1.0)) < 0.035) & (x > 0.85) & (x < 1.75) & (z > 0.3)
    colour *= np.where(pocket | ((x < 0.03) & (y > -0.5)), 0.62, 1)[:, None]
    colour *= np.where(y < -7.1, 0.8, 1)[:, None]
    grain, _ = ripple(place * 24, 6, 12, 0.8, 1.2)
    colour *= 1 + 0.05 * grain[:, None]
    return Dye(colour, _folds(place, 31, strength, (1.0, 1.15, 0.9)), 0.012, 8)


def _shoes(paint: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    place = paint[:, :3]
    y, z = place[:, 1], place[:, 2]
    colour = np.tile(linear(looks.shoes), (len(place), 1))
    colour[y < -8.02] = linear((0.93, 0.92, 0.89))
    laces = (
        (np.abs((z / 0.2) % 1 - 0.5) < 0.17)
        & (z > 0.45)
        & (z < 1.35)
        & (np.abs(np.abs(place[:, 0]) - 2.15) < 0.22)
    )
    colour[laces & (y > -7.95)] = linear((0.90, 0.90, 0.88))
    return Dye(colour, np.zeros_like(place), 0.04, 18)


DYES: dict[int, Callable[[Floats, Floats, Looks, Textures], Dye]] = {
    SKIN: _skin,
    EYE: _eye,
    SHIRT: _shirt,
    TROUSERS: _trousers,
    SHOES: _shoes,
}
