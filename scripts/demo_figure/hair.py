"""Hair made of strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.demo_figure.looks import Looks
from scripts.demo_figure.mesh import BaseMesh, Floats


@dataclass(frozen=True)
class Strands:
    """Hair at rest: points [S, K, 3], a shade for each strand [S]; all move with the head bone."""

    points: Floats
    shade: Floats
    width: float


def grow_hair(mesh: BaseMesh, shaped: Floats, looks: Looks) -> Strands:
    """Strands from the scalp, combed away from a parting and falling around the head's ellipsoid."""
    generator = np.random.default_rng(7)
    bob = looks.hair_style == "bob"
    faces = mesh.faces_of("body")
    faces = faces[scalp(mesh.vertices[mesh.triangles[faces]].mean(axis=1)) > 0]
    corners = shaped[mesh.triangles[faces]]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    count = 7000 if bob else 5200
    chosen = generator.choice(len(faces), count, p=area / area.sum())
    mix = generator.dirichlet((1, 1, 1), count).astype(np.float32)
    roots = np.einsum("sk,skc->sc", mix, corners[chosen]).astype(np.float64)
    low, high = corners.reshape(-1, 3).min(axis=0), corners.reshape(-1, 3).max(axis=0)
    centre = np.array([0, high[1] - 0.92, (low[2] + high[2]) / 2])
    radii = np.array([high[0], 0.92, (high[2] - low[2]) / 2])
    side = np.where(roots[:, 0] > (0.22 if bob else 0.42), 1.0, -1.0)[
        :, None
    ]  # the parting is on the figure's left
    height = (roots[:, 1] - centre[1]) / 0.92
    length = looks.hair_length * generator.uniform(0.85, 1.08, count)
    if not bob:  # longer on top, short at the sides and the nape
        length *= np.clip((height - 0.1) / 0.6, 0.16, 1)
    lift = generator.uniform(0.03, 0.17, count) * (1.15 if bob else np.clip(0.3 + 1.5 * height, 0.15, 1.7))
    swirl = generator.normal(0, 0.09 if bob else 0.13, (count, 3))
    lift *= np.clip(np.abs(roots[:, 0] - (0.22 if bob else 0.42)) / 0.35, 0.35, 1)
    tips = generator.uniform(0, 0.10, count)  # where a bob is cut
    steps, points, place = 12, [roots], roots
    for step in range(1, steps):
        inner = (place - centre) / radii
        outward = inner / radii
        outward /= np.linalg.norm(outward, axis=1, keepdims=True)
        way = _comb(inner, side, bob) + swirl
        hold = np.clip(0.5 + inner[:, 1:2] * 2, 0, 1)  # on the skull strands follow it, below they fall
        way -= outward * np.sum(way * outward, axis=1, keepdims=True) * hold
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        rise = max(0.0, 1 - step / 4) * (0.4 if bob else 0.55)
        place = place + (way + outward * rise) * (length / steps)[:, None]
        inner = (place - centre) / radii
        wanted = 1.0 + lift * min(1.0, step / 3)
        distance = np.maximum(np.linalg.norm(inner, axis=1), 1e-3)
        push = np.where((distance < wanted) & (inner[:, 1] > -1.0), wanted / distance, 1.0)
        inner = inner * push[:, None]
        if bob:  # keep the face free
            face = np.clip((inner[:, 2] - 0.05) / 0.3, 0, 1) * np.clip((0.62 - inner[:, 1]) / 0.3, 0, 1)
            aside = 0.90 - 0.20 * np.clip(inner[:, 1], 0, 1)
            inner[:, 0] += face * (side[:, 0] * np.maximum(np.abs(inner[:, 0]), aside) - inner[:, 0])
            inner[:, 1] = np.maximum(inner[:, 1], -1.42 - tips)
            inner[:, 2] -= face * np.clip(inner[:, 2] - 0.45, 0, None) * 0.6
        place = centre + inner * radii
        points.append(place)
    return Strands(
        np.stack(points, axis=1).astype(np.float32),
        generator.normal(1.0, 0.16, count).astype(np.float32),
        0.04 if bob else 0.035,
    )


def _comb(inner: Floats, side: Floats, bob: bool) -> Floats:
    """Direction in which strands are combed at a place (in units of the head's ellipsoid)."""
    top = np.clip(inner[:, 1:2] * 1.6, 0, 1)
    if bob:  # from the parting to the sides, then straight down with the tips turned in
        tips = np.clip(-0.75 - inner[:, 1:2], 0, 0.6)
        return np.concatenate(
            [side * (1.1 * top - 0.5 * tips), -1.0 + 0.3 * top, -0.45 * top - 0.05 + 0 * tips], axis=1
        )
    front = np.clip(inner[:, 2:3] * 1.5, 0, 1)
    return np.concatenate(
        [side * (0.75 - 0.2 * front), -0.3 + 0.5 * front * top, -0.75 + 0.1 * front], axis=1
    )


def scalp(place: Floats) -> Floats:
    """Positive where hair grows; place: [..., 3] on the neutral mesh."""
    x, y, z = np.abs(place[..., 0]), place[..., 1], place[..., 2]
    line = np.interp(z, [-0.9, -0.4, 0.2, 0.55, 0.9, 1.25, 1.5], [6.35, 6.5, 7.1, 7.5, 7.75, 7.95, 8.02])
    line = line - 0.10 * np.clip(x - 0.45, 0, 1) * (z > 0.6)
    ear = (x > 0.72) & (z > -0.25) & (z < 0.55) & (y < 7.5)
    grown: Floats = np.where(ear, -0.1, y - line)
    return grown
