"""Paint and light: one colour for every visible pixel of a figure, from its place on the neutral mesh."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.demo_figure.figure import (
    EYE,
    HAIR,
    LASHES,
    SHIRT,
    SHOES,
    SKIN,
    TEETH,
    TROUSERS,
    Figure,
    Looks,
    scalp,
    vertex_normals,
)
from scripts.demo_figure.mesh import BaseMesh, Floats
from scripts.demo_figure.pose import Pose
from scripts.demo_figure.raster import Hits, rasterise

LIGHT = np.array([-0.48, 0.72, 0.62], np.float32) / np.linalg.norm([-0.48, 0.72, 0.62]).astype(np.float32)
RIM = np.array([0.75, 0.35, -0.55], np.float32) / np.linalg.norm([0.75, 0.35, -0.55]).astype(np.float32)
EYE_CENTRE = np.array([0.308, 7.284, 1.245], np.float32)  # the left eye on the neutral mesh


@dataclass(frozen=True)
class Camera:
    """A level pinhole camera on the z axis: focal length and centre in pixels, height and distance in dm."""

    width: int
    height: int
    focal: float
    horizon: float
    eye_height: float
    distance: float

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """World [..., 3] -> pixels [..., 2] and depth [...]."""
        depth = self.distance - points[..., 2]
        x = self.width / 2 + self.focal * points[..., 0] / depth
        y = self.horizon - self.focal * (points[..., 1] - self.eye_height) / depth
        return np.stack([x, y], axis=-1).astype(np.float32), depth.astype(np.float32)

    def scaled(self, factor: int) -> Camera:
        """The same view with `factor` times as many pixels along each side."""
        return Camera(self.width * factor, self.height * factor, self.focal * factor, self.horizon * factor,
                      self.eye_height, self.distance)


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
        return cls(*(cv2.GaussianBlur(mesh.source.gray(f"textures/mpfb_{name}.jpg"), (0, 0), 3)
                     for name in ("lips", "inside-mouth", "eyelids", "fingernails", "ears")))


@dataclass(frozen=True)
class Shot:
    """A rendered figure: linear colour [H, W, 3] times cover [H, W] in 0..1, depth, and the posed base mesh."""

    colour: Floats
    cover: Floats
    vertices: Floats
    outline: Floats  # all sheet vertices, for shadows


def shoot(figure: Figure, pose: Pose, camera: Camera, textures: Textures) -> Shot:
    """Render the figure alone at the camera's size."""
    sheets, hair, base = figure.pose(pose)
    starts = np.cumsum([0, *(len(sheet) for sheet in sheets)])
    vertices = np.concatenate(sheets)
    triangles = np.concatenate([layer.triangles + start
                                for layer, start in zip(figure.layers, starts, strict=False)])
    normals = np.concatenate([vertex_normals(sheet, layer.triangles)
                              for sheet, layer in zip(sheets, figure.layers, strict=True)])
    paint = np.concatenate([layer.paint for layer in figure.layers])
    keep = np.concatenate([layer.keep for layer in figure.layers])
    uv = np.concatenate([layer.uv for layer in figure.layers])
    material = np.concatenate([np.full(len(layer.triangles), layer.material) for layer in figure.layers])
    points, depth = camera.project(vertices)

    strands = _ribbons(hair, figure, camera)
    offset = len(vertices)
    all_points = np.concatenate([points, strands.points])
    all_depth = np.concatenate([depth, strands.depth])
    all_triangles = np.concatenate([triangles, strands.triangles + offset])
    all_keep = np.concatenate([keep, np.ones(len(strands.points), np.float32)])
    hits = rasterise(all_points, all_depth, all_triangles, all_keep, (camera.width, camera.height))

    values = np.concatenate([np.concatenate([vertices, normals, paint], axis=1),
                             np.concatenate([strands.world, strands.tangents, strands.extra], axis=1)])
    mixed = hits.mix(values[all_triangles])
    all_uv = np.concatenate([uv, np.zeros((len(strands.triangles), 3, 2), np.float32)])
    all_material = np.concatenate([material, np.full(len(strands.triangles), HAIR)])
    shadow = _light_map(vertices, triangles, keep, mixed[:, :3])
    occlusion = _occlusion(hits, camera)
    colour = _colours(mixed, hits.mix(all_uv), all_material[hits.triangle], figure.looks, textures, shadow,
                      occlusion, camera)
    picture = np.zeros((camera.height * camera.width, 3), np.float32)
    picture[hits.pixel] = colour
    cover = np.zeros(camera.height * camera.width, np.float32)
    cover[hits.pixel] = 1
    return Shot(picture.reshape(camera.height, camera.width, 3), cover.reshape(camera.height, camera.width), base,
                np.concatenate([sheet[layer.keep > 0] for sheet, layer in zip(sheets, figure.layers, strict=True)]))


@dataclass(frozen=True)
class _Ribbons:
    points: Floats
    depth: Floats
    world: Floats
    tangents: Floats
    extra: Floats  # shade, place along the strand (0 root .. 1 tip), 0, 0
    triangles: np.ndarray[tuple[int, ...], np.dtype[np.int64]]


def _ribbons(hair: Floats, figure: Figure, camera: Camera) -> _Ribbons:
    """Strands as thin quads that face the camera."""
    points, depth = camera.project(hair)
    count, steps = points.shape[:2]
    tangents = np.gradient(hair, axis=1)
    tangents /= np.linalg.norm(tangents, axis=2, keepdims=True) + 1e-9
    along = np.gradient(points, axis=1)
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    across /= np.linalg.norm(across, axis=-1, keepdims=True) + 1e-6
    taper = np.linspace(1.0, 0.45, steps)[None, :, None]
    half = across * taper * (figure.hair.width * camera.focal / depth[..., None]) / 2
    half *= np.maximum(1, 0.75 / np.linalg.norm(half, axis=-1, keepdims=True))
    number = np.arange(count * steps).reshape(count, steps)
    a, b = number[:, :-1].ravel(), number[:, 1:].ravel()
    c, d = a + count * steps, b + count * steps
    extra = np.stack([np.repeat(figure.hair.shade[:, None], steps, 1),
                      np.repeat(np.linspace(0, 1, steps)[None], count, 0), np.zeros((count, steps)),
                      np.zeros((count, steps))], axis=-1)

    def twice(values: Floats) -> Floats:
        flat = values.reshape(count * steps, -1)
        return np.concatenate([flat, flat]).astype(np.float32)

    return _Ribbons(np.concatenate([(points - half).reshape(-1, 2), (points + half).reshape(-1, 2)]),
                    twice(depth)[:, 0], twice(hair), twice(tangents), twice(extra),
                    np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]))


def _light_map(vertices: Floats, triangles: np.ndarray[tuple[int, ...], np.dtype[np.int64]], keep: Floats,
               places: Floats) -> Floats:
    """Share of the key light that reaches each place [P], from a shadow map with 16 taps."""
    right = np.cross(np.array([0, 1, 0]), LIGHT)
    right /= np.linalg.norm(right)
    up = np.cross(LIGHT, right)
    low, scale, size = np.array([-9.0, -9.0]), 40.0, (720, 1040)

    def view(points: Floats) -> tuple[Floats, Floats]:
        flat = np.stack([points @ right, points @ up], axis=1)
        return ((flat - low) * scale).astype(np.float32), (-(points @ LIGHT)).astype(np.float32)

    flat, depth = view(vertices)
    hits = rasterise(flat, depth, triangles, keep, size)
    nearest = np.full(size[0] * size[1], np.inf, np.float32)
    nearest[hits.pixel] = hits.depth
    spots, distance = view(places)
    lit = np.zeros(len(places), np.float32)
    angles = np.arange(16) * 2.39996
    for radius, angle in zip(np.sqrt((np.arange(16) + 0.5) / 16) * 6.0, angles, strict=True):
        x = np.clip(spots[:, 0] + radius * np.cos(angle), 0, size[0] - 1).astype(np.int64)
        y = np.clip(spots[:, 1] + radius * np.sin(angle), 0, size[1] - 1).astype(np.int64)
        lit += distance < nearest[y * size[0] + x] + 0.28
    return lit / 16


def _occlusion(hits: Hits, camera: Camera) -> Floats:
    """Darkening of creases: how far each pixel lies behind its surroundings (unsharp mask of the depth)."""
    depth = np.zeros(camera.width * camera.height, np.float32)
    cover = np.zeros_like(depth)
    depth[hits.pixel], cover[hits.pixel] = hits.depth - camera.distance, 1
    shape = (camera.height, camera.width)
    dark = np.zeros(len(hits.pixel), np.float32)
    for sigma, reach in ((camera.height / 420, 0.35), (camera.height / 110, 0.9)):
        total = cv2.GaussianBlur(depth.reshape(shape), (0, 0), sigma).ravel()[hits.pixel]
        share = cv2.GaussianBlur(cover.reshape(shape), (0, 0), sigma).ravel()[hits.pixel]
        behind = hits.depth - camera.distance - total / np.maximum(share, 1e-3)
        dark += 0.5 * np.clip(behind / reach, 0, 1)
    return 1 - 0.6 * np.clip(dark, 0, 1)


def linear(colour: tuple[float, ...] | Floats) -> Floats:
    """sRGB 0..1 -> linear light (gamma 2.2)."""
    return np.power(np.asarray(colour, np.float32), 2.2)


def _sample(texture: Floats, uv: Floats) -> Floats:
    column = np.clip(uv[:, 0] * texture.shape[1], 0, texture.shape[1] - 1).astype(np.int64)
    row = np.clip((1 - uv[:, 1]) * texture.shape[0], 0, texture.shape[0] - 1).astype(np.int64)
    return texture[row, column]


def _spot(place: Floats, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
    """Soft spot 0..1 on both halves of the body."""
    apart = (np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], 1) - np.float32(centre)) / np.float32(radii)
    return np.exp(-np.sum(apart**2, axis=1))


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


def _colours(mixed: Floats, uv: Floats, material: Floats, looks: Looks, textures: Textures, lit: Floats,
             occlusion: Floats, camera: Camera) -> Floats:
    world, normal, paint = mixed[:, :3], mixed[:, 3:6].copy(), mixed[:, 6:]
    view = np.array([0, camera.eye_height, camera.distance], np.float32) - world
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    albedo, shine, gloss = (np.zeros((len(world), 3), np.float32), np.zeros(len(world), np.float32),
                            np.full(len(world), 20, np.float32))
    for number, dye in ((SKIN, _skin), (EYE, _eye), (SHIRT, _shirt), (TROUSERS, _trousers), (SHOES, _shoes)):
        here = material == number
        if here.any():
            albedo[here], bump, shine[here], gloss[here] = dye(paint[here, :3], uv[here], looks, textures) if number != SHIRT else \
                _shirt(paint[here, :3], paint[here, 3], looks)
            normal[here] += bump
    albedo[material == TEETH] = linear((0.93, 0.91, 0.87))
    albedo[material == LASHES] = linear(looks.hair) * 0.4
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    normal = np.where((np.sum(normal * view, axis=1) < 0)[:, None] & (material != HAIR)[:, None], -normal, normal)
    colour = _light(albedo, normal, view, shine, gloss, lit, occlusion, material == SKIN)
    hair = material == HAIR
    colour[hair] = _hair(mixed[hair], view[hair], looks, lit[hair], occlusion[hair])
    return colour


def _light(albedo: Floats, normal: Floats, view: Floats, shine: Floats, gloss: Floats, lit: Floats,
           occlusion: Floats, skin: Floats) -> Floats:
    """Warm key light from the upper left, cool rim from behind, sky and floor as fill."""
    facing = normal @ LIGHT
    wrap = np.where(skin, 0.25, 0.12)
    key = np.clip((facing + wrap) / (1 + wrap), 0, 1) * (0.12 + 0.88 * lit)
    fill = (0.5 + 0.5 * normal[:, 1:2]) * linear((0.70, 0.73, 0.80)) \
        + (0.5 - 0.5 * normal[:, 1:2]) * linear((0.52, 0.46, 0.40))
    fill = fill + np.clip(normal[:, 2:3], 0, 1) * 0.16
    colour = albedo * (key[:, None] * np.float32([1.42, 1.34, 1.22]) + fill * occlusion[:, None])
    edge = skin * np.clip(1 - np.abs(facing) / 0.35, 0, 1) * 0.06  # light that bleeds through skin
    colour += albedo * edge[:, None] * np.float32([1.0, 0.25, 0.12])
    rim = np.clip(normal @ RIM, 0, 1) * (1 - np.clip(np.sum(normal * view, axis=1), 0, 1)) ** 2
    colour += (0.15 + albedo) * rim[:, None] * np.float32([0.55, 0.60, 0.70]) * occlusion[:, None]
    half = view + LIGHT
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    glint = shine * np.clip(np.sum(normal * half, axis=1), 0, 1) ** gloss * lit
    return np.asarray(colour + glint[:, None] * np.float32([1, 0.97, 0.92]), np.float32)


Dye = tuple[Floats, Floats, Floats, Floats]


def _skin(place: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    colour = np.tile(linear(looks.skin), (len(place), 1))
    red = np.float32([1.06, 0.80, 0.74])
    blush = (0.8 * _spot(place, (0.42, 6.98, 1.3), (0.24, 0.18, 0.4)) + 0.7 * _spot(place, (0, 7.0, 1.75), (0.12, 0.14, 0.3))
             + 0.6 * _sample(textures.ears, uv))
    colour *= 1 + blush[:, None] * (red - 1)
    lids = np.maximum(_sample(textures.eyelids, uv), 0)
    colour *= 1 - 0.22 * lids[:, None]
    lip = _sample(textures.lips, uv)[:, None]
    colour = colour * (1 - 0.85 * lip) + linear(looks.lips) * 0.85 * lip
    colour *= 1 - 0.92 * _sample(textures.inside_mouth, uv)[:, None] * np.float32([0.9, 1, 1])
    colour = colour * (1 - 0.35 * _sample(textures.nails, uv)[:, None]) + 0.35 * 0.6 * _sample(textures.nails, uv)[:, None]
    grain, _ = ripple(place * 14, 7, 3, 0.7, 1.3)
    colour *= 1 + 0.02 * grain[:, None]
    dark = linear(looks.hair) * 0.55
    for share in (_brow(place), 0.9 * np.clip(scalp(place) / 0.12 + 0.3, 0, 1), _lash_line(place),
                  looks.stubble * _beard(place)):
        colour = colour * (1 - share[:, None]) + dark * share[:, None]
    shine = 0.05 + 0.12 * lip[:, 0]
    return colour, np.zeros_like(place), shine.astype(np.float32), np.full(len(place), 14, np.float32)


def _brow(place: Floats) -> Floats:
    """Eyebrows: an arched stroke over each eye, thick inside and thin outside."""
    across = (np.abs(place[:, 0]) - 0.11) / 0.46
    middle = 7.475 + 0.085 * np.sin(np.clip(across, 0, 1) * 2.4) - 0.035 * across
    half = 0.066 - 0.040 * np.clip(across, 0, 1)
    inside = (across > 0) & (across < 1) & (place[:, 2] > 0.9)
    hairs, _ = ripple(place * np.float32([1, 0.5, 0.3]) * 60, 5, 5, 0.8, 1.2)
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


def _eye(place: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    apart = np.stack([np.abs(place[:, 0]), place[:, 1], place[:, 2]], axis=1) - EYE_CENTRE
    off = np.linalg.norm(apart[:, :2], axis=1) / 0.138
    front = apart[:, 2] > 0
    white = np.tile(linear((0.90, 0.89, 0.88)), (len(place), 1)) * (1 - 0.35 * np.clip(off, 0, 1))[:, None]
    iris = np.clip((0.50 - off) / 0.05, 0, 1) * front
    rim = 1 - 0.6 * np.clip((off - 0.38) / 0.1, 0, 1)
    pupil = np.clip((0.21 - off) / 0.05, 0, 1) * front
    colour = white * (1 - iris[:, None]) + linear(looks.eyes) * (iris * rim)[:, None]
    colour *= 1 - 0.95 * pupil[:, None]
    spark = np.exp(-np.sum((place[:, :2] - np.sign(place[:, :1]) * np.float32([[0.308, 0]]) * np.float32([1, 0])
                            - np.float32([-0.035, 7.284 + 0.045])) ** 2, axis=1) / 0.0005)
    colour = colour + 0.8 * spark[:, None] * iris[:, None]
    colour *= (1 - 0.55 * np.clip((apart[:, 1] - 0.01) / 0.08, 0, 1))[:, None]  # shade of the upper lid
    return colour, np.zeros_like(place), np.full(len(place), 0.1, np.float32), np.full(len(place), 60, np.float32)


def _folds(place: Floats, seed: int, strength: Floats, stretch: tuple[float, float, float]) -> Floats:
    """Bumps of cloth: broad folds with sharper crests."""
    warp, _ = ripple(place, 5, seed + 1, 0.8, 1.8)
    value, slope = ripple(place * np.float32(stretch) + 0.9 * warp[:, None], 6, seed, 1.4, 3.0)
    return np.asarray(-strength[:, None] * slope * np.float32(stretch) * (1 + 2.0 * value[:, None]), np.float32)


def _shirt(place: Floats, arm: Floats, looks: Looks) -> Dye:
    x, y = np.abs(place[:, 0]), place[:, 1]
    strength = 0.17 + 0.45 * _spot(place, (1.5, 1.4, 0.4), (1.3, 1.2, 2)) \
        + 0.35 * _spot(place, (1.8, 4.2, 0.3), (0.6, 0.9, 2)) + 0.30 * np.exp(-(((arm - 0.5) / 0.09) ** 2))
    colour = np.tile(linear(looks.shirt), (len(place), 1))
    accent = linear(looks.accent)
    torso = arm < 0.008
    if looks.pattern == "stripes":
        where = np.where(torso, y / 0.72, arm * 9.2 + 0.1)
        band = np.clip(1.5 - np.abs(np.abs((where % 1) - 0.5) / 0.11), 0, 1) * (y < 4.75) * ((y > 0.75) | ~torso)
        band = np.clip(band * 2, 0, 1) * np.where(torso, 1, arm > 0.16)
        colour += band[:, None] * (accent - colour)
    else:
        band = np.clip(6 - np.abs(y - 4.0) / 0.03, 0, 1) * torso
        colour += band[:, None] * (accent - colour)
        colour *= np.where(torso & (y > 4.18), 0.62, 1)[:, None]
        colour *= np.where(~torso, 0.62, 1)[:, None]
    rib = np.clip(7 - np.abs(5.50 + 0.25 * x - y) / 0.02, 0, 1) * (x < 1.2) * torso
    colour += rib[:, None] * (accent - colour)
    cuff = np.clip((arm - looks.sleeve + 0.035) / 0.006, 0, 1)
    colour += cuff[:, None] * (accent - colour)
    colour *= (1 - 0.16 * np.clip((0.40 - y) / 0.03, 0, 1) * torso)[:, None]
    weave, _ = ripple(place * 30, 6, 11, 0.8, 1.2)
    colour *= 1 + 0.03 * weave[:, None]
    return colour, _folds(place, 21, np.float32(strength), (1.0, 0.7, 0.8)), np.full(len(place), 0.015, np.float32), \
        np.full(len(place), 8, np.float32)


def _trousers(place: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    strength = 0.14 + 0.30 * _spot(place, (1.6, -3.7, 0.3), (1, 0.7, 1.5)) \
        + 0.35 * _spot(place, (0.9, -0.2, 0.6), (1.2, 0.5, 2)) + 0.5 * _spot(place, (2.1, -6.8, 0.2), (1, 0.7, 2))
    colour = np.tile(linear(looks.trousers), (len(place), 1))
    fade = 0.35 * _spot(place, (1.45, -1.9, 1.4), (0.4, 1.5, 1.2)) + 0.2 * _spot(place, (1.65, -4.6, 1.2), (0.4, 1.2, 1.2))
    colour *= 1 + fade[:, None]
    colour *= np.where((np.abs(z - 0.25) < 0.03) & (y < 0.4), 0.72, 1)[:, None]  # outer seam
    pocket = (np.abs(y - 0.45 + 0.75 * (x - 1.0)) < 0.035) & (x > 0.85) & (x < 1.75) & (z > 0.3)
    colour *= np.where(pocket | ((x < 0.03) & (y > -0.5)), 0.62, 1)[:, None]
    colour *= np.where(y < -7.1, 0.8, 1)[:, None]
    grain, _ = ripple(place * 24, 6, 12, 0.8, 1.2)
    colour *= 1 + 0.05 * grain[:, None]
    return colour, _folds(place, 31, strength, (1.0, 1.15, 0.9)), np.full(len(place), 0.012, np.float32), \
        np.full(len(place), 8, np.float32)


def _shoes(place: Floats, uv: Floats, looks: Looks, textures: Textures) -> Dye:
    y, z = place[:, 1], place[:, 2]
    colour = np.tile(linear(looks.shoes), (len(place), 1))
    colour[y < -8.02] = linear((0.93, 0.92, 0.89))
    laces = (np.abs((z / 0.2) % 1 - 0.5) < 0.17) & (z > 0.45) & (z < 1.35) & (np.abs(np.abs(place[:, 0]) - 2.15) < 0.22)
    colour[laces & (y > -7.95)] = linear((0.90, 0.90, 0.88))
    return colour, np.zeros_like(place), np.full(len(place), 0.04, np.float32), np.full(len(place), 18, np.float32)


def _hair(mixed: Floats, view: Floats, looks: Looks, lit: Floats, occlusion: Floats) -> Floats:
    """Kajiya and Kay's lighting of thin fibres: light depends on the angle to the strand's tangent."""
    tangent, shade, along = mixed[:, 3:6], mixed[:, 6], mixed[:, 7]
    tangent = tangent / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6)
    to_light, to_eye = tangent @ LIGHT, np.sum(tangent * view, axis=1)
    diffuse = np.sqrt(np.clip(1 - to_light**2, 0, 1))
    shift = to_light * to_eye + np.sqrt(np.clip(1 - to_light**2, 0, 1)) * np.sqrt(np.clip(1 - to_eye**2, 0, 1))
    light = lit * 0.85 + 0.15
    colour = linear(looks.hair) * (shade * (0.45 + 0.55 * along))[:, None] \
        * (diffuse * light * 0.95 + 0.45 * occlusion)[:, None]
    glint = 0.10 * np.clip(np.abs(shift), 0, 1) ** 26 * light
    return np.asarray(colour + glint[:, None] * (linear(looks.hair) * 2.2 + 0.12), np.float32)
