"""Light: one colour for every visible pixel of a figure, with shadows, occlusion and strands of hair."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from scripts.demo_figure.figure import HAIR, LASHES, SKIN, TEETH, Figure, vertex_normals
from scripts.demo_figure.looks import Looks
from scripts.demo_figure.mesh import Floats, Ints, numbers
from scripts.demo_figure.paint import DYES, Textures, linear
from scripts.demo_figure.pose import Pose
from scripts.demo_figure.raster import Hits, rasterise

LIGHT = np.array([-0.48, 0.72, 0.62], np.float32) / np.linalg.norm([-0.48, 0.72, 0.62]).astype(np.float32)
RIM = np.array([0.75, 0.35, -0.55], np.float32) / np.linalg.norm([0.75, 0.35, -0.55]).astype(np.float32)


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
        return Camera(
            self.width * factor,
            self.height * factor,
            self.focal * factor,
            self.horizon * factor,
            self.eye_height,
            self.distance,
        )


@dataclass(frozen=True)
class Shot:
    """A rendered figure: linear colour [H, W, 3], cover [H, W] of 0 or 1, and the posed base mesh."""

    colour: Floats
    cover: Floats
    vertices: Floats
    outline: Floats  # all sheet vertices, for shadows


def shoot(figure: Figure, pose: Pose, camera: Camera, textures: Textures) -> Shot:
    """Render the figure alone at the camera's size."""
    sheets, hair, base = figure.pose(pose)
    starts = np.cumsum([0, *(len(sheet) for sheet in sheets)])
    vertices = np.concatenate(sheets)
    triangles = np.concatenate(
        [layer.triangles + start for layer, start in zip(figure.layers, starts, strict=False)]
    )
    normals = np.concatenate(
        [vertex_normals(sheet, layer.triangles) for sheet, layer in zip(sheets, figure.layers, strict=True)]
    )
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

    values = np.concatenate(
        [
            np.concatenate([vertices, normals, paint], axis=1),
            np.concatenate([strands.world, strands.tangents, strands.extra], axis=1),
        ]
    )
    mixed = hits.mix(values[all_triangles])
    all_uv = np.concatenate([uv, np.zeros((len(strands.triangles), 3, 2), np.float32)])
    all_material = np.concatenate([material, np.full(len(strands.triangles), HAIR)])
    shadow = _light_map(vertices, triangles, keep, mixed[:, :3])
    occlusion = _occlusion(hits, camera)
    colour = _colours(
        mixed,
        hits.mix(all_uv),
        all_material[hits.triangle],
        figure.looks,
        textures,
        shadow,
        occlusion,
        camera,
    )
    picture = np.zeros((camera.height * camera.width, 3), np.float32)
    picture[hits.pixel] = colour
    cover = np.zeros(camera.height * camera.width, np.float32)
    cover[hits.pixel] = 1
    return Shot(
        picture.reshape(camera.height, camera.width, 3),
        cover.reshape(camera.height, camera.width),
        base,
        np.concatenate([sheet[layer.keep > 0] for sheet, layer in zip(sheets, figure.layers, strict=True)]),
    )


@dataclass(frozen=True)
class _Ribbons:
    points: Floats
    depth: Floats
    world: Floats
    tangents: Floats
    extra: Floats  # shade, place along the strand (0 root .. 1 tip), 0, 0
    triangles: Ints


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
    extra = np.stack(
        [
            np.repeat(figure.hair.shade[:, None], steps, 1),
            np.repeat(np.linspace(0, 1, steps)[None], count, 0),
            np.zeros((count, steps)),
            np.zeros((count, steps)),
        ],
        axis=-1,
    )

    def twice(values: Floats) -> Floats:
        flat = values.reshape(count * steps, -1)
        return np.concatenate([flat, flat]).astype(np.float32)

    return _Ribbons(
        np.concatenate([(points - half).reshape(-1, 2), (points + half).reshape(-1, 2)]),
        twice(depth)[:, 0],
        twice(hair),
        twice(tangents),
        twice(extra),
        np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]),
    )


def _light_map(vertices: Floats, triangles: Ints, keep: Floats, places: Floats) -> Floats:
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


def _colours(
    mixed: Floats,
    uv: Floats,
    material: Floats,
    looks: Looks,
    textures: Textures,
    lit: Floats,
    occlusion: Floats,
    camera: Camera,
) -> Floats:
    world, normal, paint = mixed[:, :3], mixed[:, 3:6].copy(), mixed[:, 6:]
    view = np.array([0, camera.eye_height, camera.distance], np.float32) - world
    view /= np.linalg.norm(view, axis=1, keepdims=True)
    albedo, shine, gloss = (
        np.zeros((len(world), 3), np.float32),
        np.zeros(len(world), np.float32),
        np.full(len(world), 20, np.float32),
    )
    for number, dye in DYES.items():
        here = material == number
        if here.any():
            look = dye(paint[here], uv[here], looks, textures)
            albedo[here], shine[here], gloss[here] = look.colour, look.shine, look.gloss
            normal[here] += look.bump
    albedo[material == TEETH] = linear((0.93, 0.91, 0.87))
    albedo[material == LASHES] = linear(looks.hair) * 0.4
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-6
    normal = np.where(
        (np.sum(normal * view, axis=1) < 0)[:, None] & (material != HAIR)[:, None], -normal, normal
    )
    colour = _light(albedo, normal, view, shine, gloss, lit, occlusion, material == SKIN)
    hair = material == HAIR
    colour[hair] = _hair(mixed[hair], view[hair], looks, lit[hair], occlusion[hair])
    return colour


def _light(
    albedo: Floats,
    normal: Floats,
    view: Floats,
    shine: Floats,
    gloss: Floats,
    lit: Floats,
    occlusion: Floats,
    skin: Floats,
) -> Floats:
    """Warm key light from the upper left, cool rim from behind, sky and floor as fill."""
    facing = normal @ LIGHT
    wrap = np.where(skin, 0.25, 0.12)
    key = np.clip((facing + wrap) / (1 + wrap), 0, 1) * (0.12 + 0.88 * lit)
    fill = (0.5 + 0.5 * normal[:, 1:2]) * linear((0.70, 0.73, 0.80)) + (0.5 - 0.5 * normal[:, 1:2]) * linear(
        (0.52, 0.46, 0.40)
    )
    fill = fill + np.clip(normal[:, 2:3], 0, 1) * 0.16
    colour = albedo * (key[:, None] * numbers(1.42, 1.34, 1.22) + fill * occlusion[:, None])
    edge = skin * np.clip(1 - np.abs(facing) / 0.35, 0, 1) * 0.06  # light that bleeds through skin
    colour += albedo * edge[:, None] * numbers(1.0, 0.25, 0.12)
    rim = np.clip(normal @ RIM, 0, 1) * (1 - np.clip(np.sum(normal * view, axis=1), 0, 1)) ** 2
    colour += (0.15 + albedo) * rim[:, None] * numbers(0.55, 0.60, 0.70) * occlusion[:, None]
    half = view + LIGHT
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    glint = shine * np.clip(np.sum(normal * half, axis=1), 0, 1) ** gloss * lit
    return np.asarray(colour + glint[:, None] * numbers(1, 0.97, 0.92), np.float32)


def _hair(mixed: Floats, view: Floats, looks: Looks, lit: Floats, occlusion: Floats) -> Floats:
    """Kajiya and Kay's lighting of thin fibres: light depends on the angle to the strand's tangent."""
    tangent, shade, along = mixed[:, 3:6], mixed[:, 6], mixed[:, 7]
    tangent = tangent / (np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6)
    to_light, to_eye = tangent @ LIGHT, np.sum(tangent * view, axis=1)
    diffuse = np.sqrt(np.clip(1 - to_light**2, 0, 1))
    shift = to_light * to_eye + np.sqrt(np.clip(1 - to_light**2, 0, 1)) * np.sqrt(
        np.clip(1 - to_eye**2, 0, 1)
    )
    light = lit * 0.85 + 0.15
    colour = (
        linear(looks.hair)
        * (shade * (0.45 + 0.55 * along))[:, None]
        * (diffuse * light * 0.95 + 0.45 * occlusion)[:, None]
    )
    glint = 0.10 * np.clip(np.abs(shift), 0, 1) ** 26 * light
    return np.asarray(colour + glint[:, None] * (linear(looks.hair) * 2.2 + 0.12), np.float32)
