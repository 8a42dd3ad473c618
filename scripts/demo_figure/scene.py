"""The two places, a room for the driving video and a park for the reference image; shadows; compositing."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.demo_figure.mesh import Floats, numbers
from scripts.demo_figure.paint import linear, ripple
from scripts.demo_figure.shade import LIGHT, Camera, Shot

GRID, CELLS = 20.0, 640  # the floor's shadow map: cells per decimetre, cells along each side


@dataclass(frozen=True)
class Place:
    """A background [H, W, 3] in linear light, and where each of its pixels lies on the floor (x, z in dm)."""

    picture: Floats
    floor: Floats  # [H, W, 2]; far away where there is no floor
    shade: float


def floor_coordinates(camera: Camera) -> tuple[Floats, Floats, Floats]:
    """For every pixel: x and z on the floor in dm (far away above the horizon), and the slope to the eye."""
    y, x = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32) + 0.5
    slope = (y - camera.horizon) / camera.focal
    depth = np.where(slope > 1e-4, camera.eye_height / np.maximum(slope, 1e-4), 1e6)
    return (
        ((x - camera.width / 2) * depth / camera.focal).astype(np.float32),
        (camera.distance - depth).astype(np.float32),
        slope.astype(np.float32),
    )


def room(camera: Camera) -> Place:
    """A bright room: plaster wall, skirting board, planks, a rug, a framed print, a plant, window light."""
    wall_z = -13.0
    x, z, slope = floor_coordinates(camera)
    depth = camera.distance - wall_z
    column = np.mgrid[0 : camera.height, 0 : camera.width][1].astype(np.float32)
    wall_x = (column - camera.width / 2) * depth / camera.focal
    wall_y = camera.eye_height - slope * depth
    on_floor = wall_y < 0
    picture = np.where(on_floor[..., None], _planks(x, z), _wall(wall_x, wall_y)).astype(np.float32)
    rug = np.hypot(x - 0.4, (z - 0.5)) / 8.6
    ring = np.where(
        (np.abs(rug - 0.88) < 0.02)[..., None], linear((0.88, 0.84, 0.76)), linear((0.62, 0.66, 0.68))
    )
    weave = 1 + 0.04 * np.sin(x * 9) * np.sin(z * 9)
    picture = np.where(((rug < 1) & on_floor)[..., None], ring * weave[..., None] * 0.92, picture)
    light = 1.02 - 0.30 * np.clip((wall_x + 4) / 22, 0, 1) - 0.16 * np.clip((wall_y - 12) / 12, 0, 1)
    floor_light = 0.80 + 0.22 * np.exp(-((x + 2) ** 2 + (z - 1) ** 2) / 160)
    corner = 1 - 0.30 * np.exp(-np.abs(wall_y) / 0.9)
    picture *= (np.where(on_floor, floor_light, light) * corner)[..., None]
    _plant(picture, camera, (8.1, -10.5))
    return Place(picture, np.stack([x, z], axis=-1), 0.62)


def _planks(x: Floats, z: Floats) -> Floats:
    board = np.floor(x / 1.35)
    shift = np.sin(board * 12.9898) * 43758.547
    length = np.floor((z + (shift - np.floor(shift)) * 14) / 14)
    tone = np.sin(board * 78.233 + length * 37.719) * 43758.547
    tone -= np.floor(tone)
    grain, _ = ripple(
        np.stack([x.ravel() * 5, z.ravel() * 0.5, (board + 7 * length).ravel() * 3], 1), 8, 41, 0.6, 2.2
    )
    inside = np.abs(x / 1.35 - board - 0.5) * 2
    groove = 1 - 0.30 * np.clip((inside - 0.955) / 0.03, 0, 1)
    bright = (0.86 + 0.22 * tone + 0.16 * grain.reshape(x.shape)) * groove
    return np.asarray(linear((0.76, 0.60, 0.45)) * np.clip(bright, 0.3, 1.5)[..., None], np.float32)


def _wall(x: Floats, y: Floats) -> Floats:
    cloud, _ = ripple(np.stack([x.ravel(), y.ravel(), 0 * x.ravel()], 1) * 0.35, 6, 51, 0.5, 1.6)
    wall = linear((0.86, 0.85, 0.81)) * (1 + 0.012 * cloud.reshape(x.shape))[..., None]
    low = y < 8.2
    wall = np.where(
        low[..., None], linear((0.62, 0.70, 0.67)) * (1 + 0.012 * cloud.reshape(x.shape))[..., None], wall
    )
    wall = np.where((np.abs(y - 8.3) < 0.16)[..., None], linear((0.93, 0.92, 0.89)), wall)
    panel = np.maximum(np.abs((x + 2.6) % 5.2 - 2.6) / 2.1, np.abs(y - 4.6) / 2.7)
    wall = wall * np.where(low & (np.abs(panel - 1) < 0.02), 0.86, 1)[..., None]
    wall = np.where((y < 1.0)[..., None], linear((0.92, 0.91, 0.88)), wall)
    frame = np.maximum(np.abs(x + 5.3) / 1.9, np.abs(y - 14.4) / 2.5)
    wall = wall * np.where((frame < 1.12) & (frame > 1.0), 0.78, 1)[..., None]
    wall = np.where((frame < 1)[..., None], linear((0.33, 0.26, 0.21)), wall)
    wall = np.where((frame < 0.93)[..., None], linear((0.94, 0.93, 0.90)), wall)
    inside = frame < 0.72
    hills = 13.6 + 0.5 * np.sin(x * 1.3 + 1) + 0.2 * np.sin(x * 3.1)
    art = np.where((y > hills)[..., None], linear((0.93, 0.78, 0.62)), linear((0.36, 0.52, 0.55)))
    art = np.where(
        (y > hills)[..., None] & (np.hypot(x + 4.9, y - 15.2) < 0.55)[..., None],
        linear((0.86, 0.42, 0.30)),
        art,
    )
    art = np.where((y < hills - 0.7 + 0.2 * np.sin(x * 2))[..., None], linear((0.20, 0.33, 0.38)), art)
    # window light: two slanted panes
    slant = x - 0.32 * y
    pane = np.zeros_like(x)
    for left in (-1.7, 1.0):
        pane += np.clip((slant - left) / 0.35, 0, 1) * np.clip((left + 2.3 - slant) / 0.35, 0, 1)
    pane *= np.clip((y - 9.4) / 0.5, 0, 1) * np.clip((18.6 - y) / 0.5, 0, 1)
    wall = np.where(inside[..., None], art, wall)
    return np.asarray(wall * (1 + 0.16 * pane[..., None] * numbers(1.1, 1.0, 0.8)), np.float32)


def _plant(picture: Floats, camera: Camera, spot: tuple[float, float]) -> None:
    """A pot with arching leaves, drawn in place."""
    generator = np.random.default_rng(4)

    def at(x: float, y: float) -> tuple[float, float]:
        point, _ = camera.project(numbers(x, y, spot[1]))
        return float(point[0]), float(point[1])

    def fill(points: list[tuple[float, float]], colour: Floats) -> None:
        corners = (np.array([at(*point) for point in points]) * 16).astype(np.int32)
        cv2.fillPoly(picture, [corners], colour.tolist(), cv2.LINE_8, 4)

    x = spot[0]
    for number in range(46):
        angle, reach = generator.uniform(-1.25, 1.25), generator.uniform(2.2, 5.2)
        steps = np.linspace(0, 1, 12)
        sway = np.sin(angle) * reach * steps
        rise = 3.2 + np.cos(angle * 0.8) * reach * steps - 0.22 * reach * steps**2 * abs(angle)
        half = 0.34 * np.sin(np.pi * steps**0.75) * generator.uniform(0.7, 1.1)
        tone = (0.55 + 0.45 * number / 46) * generator.uniform(0.75, 1.1)
        left = [(x + s - h * 0.8, r + h * 0.5) for s, r, h in zip(sway, rise, half, strict=True)]
        right = [(x + s + h * 0.8, r - h * 0.5) for s, r, h in zip(sway, rise, half, strict=True)]
        middle = list(zip(x + sway, rise, strict=True))
        fill(left + middle[::-1], linear((0.25, 0.42, 0.28)) * tone * 1.25)
        fill(middle + right[::-1], linear((0.25, 0.42, 0.28)) * tone)
    for step in range(24):
        a, b = -1 + step / 12, -1 + (step + 1) / 12
        light = 0.95 - 0.38 * (a + 1) / 2
        fill(
            [(x + a * 1.15, 3.3), (x + b * 1.15, 3.3), (x + b * 0.85, 0.1), (x + a * 0.85, 0.1)],
            linear((0.80, 0.52, 0.40)) * light,
        )
        fill(
            [(x + a * 1.25, 3.6), (x + b * 1.25, 3.6), (x + b * 1.25, 3.1), (x + a * 1.25, 3.1)],
            linear((0.84, 0.57, 0.45)) * light,
        )


def park(camera: Camera) -> Place:
    """A park on a bright day, out of focus: sky, trees, lawn, a paved path under the feet."""
    generator = np.random.default_rng(12)
    x, z, slope = floor_coordinates(camera)
    height, width = camera.height, camera.width
    row = (np.arange(height, dtype=np.float32) / height)[:, None, None]
    sky = linear((0.60, 0.76, 0.90)) * (1 - row * 1.6).clip(0, 1) + linear((0.95, 0.93, 0.86)) * (
        row * 1.6
    ).clip(0, 1)
    picture = np.ascontiguousarray(np.broadcast_to(sky, (height, width, 3)), np.float32)
    unit = height / 1080
    for layer, (base, tone) in enumerate(
        ((0.34, (0.62, 0.74, 0.60)), (0.40, (0.44, 0.60, 0.40)), (0.46, (0.30, 0.47, 0.28)))
    ):
        for _ in range(260):
            spot = (
                generator.uniform(-40, width + 40),
                base * height - abs(generator.normal(0, 170 - 60 * layer)) * unit,
            )
            colour = (
                linear(tone) * generator.uniform(0.65, 1.35) * numbers(1, generator.uniform(0.9, 1.1), 0.9)
            )
            cv2.circle(
                picture,
                (int(spot[0]), int(spot[1])),
                int(generator.uniform(14, 46) * unit),
                colour.tolist(),
                -1,
            )
        cv2.rectangle(
            picture, (0, int((base + 0.0) * height)), (width, height), (linear(tone) * 0.8).tolist(), -1
        )
    for _ in range(120):  # discs of light between the leaves
        spot = (int(generator.uniform(0, width)), int(generator.uniform(0.25, 0.42) * height))
        cv2.circle(
            picture,
            spot,
            int(generator.uniform(3, 10) * unit),
            (linear((1.0, 0.97, 0.80)) * 1.1).tolist(),
            -1,
        )
    ground = slope > 0.012
    lawn, _ = ripple(np.stack([x.ravel() * 0.25, z.ravel() * 0.1, 0 * z.ravel()], 1), 8, 61, 0.5, 2.0)
    grass = linear((0.55, 0.65, 0.40)) * (1 + 0.5 * lawn.reshape(x.shape))[..., None]
    picture = np.where(ground[..., None], grass, picture).astype(np.float32)
    for _ in range(420):  # a bed of flowers along the far edge of the lawn
        tone = ((0.24, 0.40, 0.22), (0.36, 0.52, 0.28), (0.80, 0.46, 0.52), (0.93, 0.84, 0.55))[
            generator.choice(4, p=(0.45, 0.35, 0.1, 0.1))
        ]
        spot = (
            int(generator.uniform(-20, width + 20)),
            int((0.475 + abs(generator.normal(0, 0.018))) * height),
        )
        cv2.circle(picture, spot, int(generator.uniform(6, 17) * unit), linear(tone).tolist(), -1)
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), 11 * unit), np.float32)
    edge = np.clip((z + 13) / 3.5, 0, 1) * ground
    stone, _ = ripple(np.stack([x.ravel(), z.ravel(), 0 * z.ravel()], 1) * 4, 10, 71, 0.4, 3.0)
    course = np.floor(z / 5)
    joint = np.minimum(np.abs((x + 2.5 * (course % 2)) % 5 - 2.5), np.abs(z % 5 - 2.5) * 1.0)
    joint = 1 - 0.16 * np.clip(
        (np.maximum(np.abs((x + 2.5 * (course % 2)) % 5 - 2.5), np.abs(z % 5 - 2.5)) - 2.42) / 0.05, 0, 1
    )
    paving = linear((0.78, 0.75, 0.70)) * ((1 + 0.05 * stone.reshape(x.shape)) * joint)[..., None]
    sharp = np.clip((z + 9) / 8, 0, 1)[..., None]
    paving = paving * sharp + cv2.GaussianBlur(np.asarray(paving, np.float32), (0, 0), 4 * unit) * (1 - sharp)
    picture = picture * (1 - edge[..., None]) + paving * edge[..., None]
    return Place(picture.astype(np.float32), np.stack([x, z], axis=-1), 0.6)


def compose(place: Place, shot: Shot) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Shadow on the floor, figure over it, 2 x 2 pixels into one. -> RGB [H, W, 3] and mask [H, W]."""
    picture = place.picture * (1 - place.shade * _floor_shadow(shot.outline, place.floor))[..., None]
    picture = picture * (1 - shot.cover[..., None]) + shot.colour
    picture = _tone(picture)
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    cover = cv2.resize(shot.cover, size, interpolation=cv2.INTER_AREA)
    return np.rint(np.clip(small, 0, 1) * 255).astype(np.uint8), cover >= 0.5


def _tone(picture: Floats) -> Floats:
    """Linear light -> sRGB with a soft shoulder above 0.7."""
    shoulder = np.where(picture > 0.6, 0.6 + 0.4 * np.tanh((picture - 0.6) / 0.4), picture)
    return np.asarray(np.power(np.clip(shoulder, 0, 1), 1 / 2.2), np.float32)


def _floor_shadow(outline: Floats, floor: Floats) -> Floats:
    """How dark each pixel's floor is, 0..1: softer the higher the part that casts it; and contact shadow."""
    light = np.ones((CELLS, CELLS), np.float32)
    height = outline[:, 1]
    cast = outline[:, [0, 2]] - LIGHT[[0, 2]] * (height / LIGHT[1])[:, None]
    for low, high, blur in ((0, 2, 3.0), (2, 6, 6.0), (6, 11, 11.0), (11, 25, 17.0)):
        light *= 1 - _splat(cast[(height >= low) & (height < high)], blur)
    contact = _splat(outline[height < 0.5][:, [0, 2]], 4.0)
    near = _splat(outline[height < 4][:, [0, 2]], 16.0)
    light *= (1 - 0.75 * contact) * (1 - 0.3 * near)
    spot = ((floor + CELLS / GRID / 2) * GRID).clip(-2, CELLS + 2)
    sampled = cv2.remap(1 - light, spot[..., 0], spot[..., 1], cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(sampled, np.float32)


def _splat(points: Floats, blur: float) -> Floats:
    cells = np.floor((points + CELLS / GRID / 2) * GRID).astype(np.int64)
    cells = cells[((cells >= 0) & (cells < CELLS)).all(axis=1)]
    count = np.bincount(cells[:, 1] * CELLS + cells[:, 0], minlength=CELLS * CELLS).reshape(CELLS, CELLS)
    solid = cv2.morphologyEx((count > 0).astype(np.float32), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    return np.asarray(cv2.GaussianBlur(solid, (0, 0), blur), np.float32)
