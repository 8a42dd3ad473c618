"""A dressed figure: skin, eyes, teeth, clothes and shoes cut from the mesh's tights, and hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scripts.demo_figure.hair import grow_hair
from scripts.demo_figure.looks import Looks
from scripts.demo_figure.mesh import BaseMesh, Floats, Ints
from scripts.demo_figure.pose import Pose, Skeleton

SKIN, EYE, TEETH, SHIRT, TROUSERS, SHOES, HAIR, LASHES = range(8)
FACE = (
    "mouth-open",
    "mouth-corner-puller",
    "eye-left-closure",
    "eye-right-closure",
    "eyebrows-left-up",
    "eyebrows-right-up",
    "eye-left-slit",
    "eye-right-slit",
)
NECK_Z, NECKLINE = 0.12, 0.86  # on the neutral mesh: middle of the neck, radius of the collar


@dataclass(frozen=True)
class Layer:
    """A sheet of triangles; vertices are means of `parents` [N, K] of the base mesh, plus `offset` [N, 3]."""

    material: int
    parents: Ints
    offset: Floats
    triangles: Ints
    weights: Floats  # [N, bones]
    keep: Floats  # [N]; the sheet ends where it falls below 0
    paint: Floats  # [N, 4]: place on the neutral mesh (the same on every figure), _arm_share
    uv: Floats  # [M, 3, 2]


class Figure:
    """A figure at rest and the means to pose it."""

    def __init__(self, mesh: BaseMesh, looks: Looks) -> None:
        self.mesh, self.looks = mesh, looks
        shaped = mesh.shape(looks.targets)
        self.scale = looks.stature / float(np.ptp(shaped[mesh.groups["body"], 1]))
        self.shaped = shaped * self.scale
        self.expressions = {
            name: mesh.offsets(f"expression/units/caucasian/{name}") * self.scale for name in FACE
        }
        self.layers = [*_bare_layers(mesh, looks), *_clothes(mesh, looks, self.shaped)]
        shoes = self.layers[-1]
        soles = (self.shaped[shoes.parents].mean(axis=1) + shoes.offset)[shoes.keep > 0]
        self.shaped[:, 1] -= soles[:, 1].min()
        self.skeleton = Skeleton(mesh, self.shaped, 0.0)
        self.hair = grow_hair(mesh, self.shaped, looks)

    def pose(self, pose: Pose) -> tuple[list[Floats], Floats, Floats]:
        """Vertices of every layer, hair points [S, K, 3], and all vertices of the base mesh, posed."""
        shaped = self.shaped.copy()
        for name, strength in (self.looks.face | pose.face).items():
            shaped += self.expressions[name] * strength
        transforms = self.skeleton.transforms(pose)
        blended = self._blend(self.mesh.weights, transforms)
        layers = []
        for layer in self.layers:
            rest = shaped[layer.parents].mean(axis=1) + layer.offset
            layers.append(apply(self._blend(layer.weights, transforms), rest))
        head = transforms[self.mesh.bone_numbers["Head"]]
        hair = self.hair.points @ head[:, :3].T + head[:, 3]
        return layers, hair.astype(np.float32), apply(blended, shaped)

    @staticmethod
    def _blend(weights: Floats, transforms: Floats) -> Floats:
        blended: Floats = (weights @ transforms.reshape(len(transforms), 12)).reshape(-1, 3, 4)
        return blended


def apply(transforms: Floats, points: Floats) -> Floats:
    """One transform [N, 3, 4] for each point [N, 3]."""
    moved: Floats = np.einsum("nij,nj->ni", transforms[:, :, :3], points) + transforms[:, :, 3]
    return moved


def vertex_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Unit normals [N, 3], the mean of the triangles' normals weighted by area."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    faces = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(faces[:, axis], 3), len(vertices)) for axis in range(3)],
        axis=1,
    )
    unit = normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9)
    return np.asarray(unit, np.float32)


def _bare_layers(mesh: BaseMesh, looks: Looks) -> list[Layer]:
    layers = []
    arm, leg = _arm_share(mesh), mesh.vertices[:, 1] < 0.5
    x, y = np.abs(mesh.vertices[:, 0]), mesh.vertices[:, 1]
    neck = np.where(y > 6.2, 1, np.minimum(y - 4.9, 0.95 - x))
    skin = np.where(arm > 0, arm - (looks.sleeve - 0.04), neck)
    skin[leg] = -1
    for material, groups in (
        (SKIN, ["body"]),
        (EYE, ["helper-l-eye", "helper-r-eye"]),
        (TEETH, ["helper-upper-teeth", "helper-lower-teeth"]),
        (LASHES, [f"helper-{side}-eyelashes-{row}" for side in "lr" for row in (1, 2)]),
    ):
        faces = np.concatenate([mesh.faces_of(group) for group in groups])
        if material == SKIN:
            faces = faces[(skin[mesh.triangles[faces]] > 0).any(axis=1)]
        numbers, triangles = np.unique(mesh.triangles[faces], return_inverse=True)
        layers.append(
            Layer(
                material,
                numbers[:, None],
                np.zeros((len(numbers), 3), np.float32),
                triangles.reshape(-1, 3),
                mesh.weights[numbers],
                skin[numbers] if material == SKIN else np.ones(len(numbers), np.float32),
                np.concatenate([mesh.vertices[numbers], arm[numbers, None]], axis=1),
                mesh.uvs[mesh.triangle_uvs[faces]],
            )
        )
    return layers


def _arm_share(mesh: BaseMesh) -> Floats:
    """How far down an arm each vertex lies: 0 shoulder, .5 elbow, 1 wrist, more in the hand; 0 elsewhere."""
    share = np.zeros(len(mesh.vertices), np.float32)
    for side in ("l", "r"):
        shoulder, elbow, wrist = (
            mesh.vertices[mesh.groups[f"joint-{side}-{joint}"]].mean(axis=0)
            for joint in ("shoulder", "elbow", "hand")
        )
        bones = [
            number
            for number, bone in enumerate(mesh.bones)
            if bone.name.startswith("Left" if side == "l" else "Right")
            and any(part in bone.name for part in ("Arm", "Hand"))
        ]
        there = mesh.weights[:, bones].sum(axis=1) > 0.5
        upper, lower = elbow - shoulder, wrist - elbow
        above = np.clip((mesh.vertices - shoulder) @ upper / (upper @ upper), 0.01, 1)
        below = np.clip((mesh.vertices - elbow) @ lower / (lower @ lower), 0, 2)
        share = np.where(there, 0.5 * above + 0.5 * below, share)
    return share.astype(np.float32)


def _subdivide(quads: Ints) -> tuple[Ints, Ints]:
    """Each quad into four: the new vertices as means of four old ones [N, 4], and triangles."""
    corner = [np.repeat(quads[:, k : k + 1], 4, axis=1) for k in range(4)]
    edge = [np.sort(quads[:, [k, (k + 1) % 4]], axis=1)[:, [0, 0, 1, 1]] for k in range(4)]
    middle = np.sort(quads, axis=1)
    parents, numbers = np.unique(np.concatenate([*corner, *edge, middle]), axis=0, return_inverse=True)
    c0, c1, c2, c3, e0, e1, e2, e3, m = numbers.reshape(9, -1)
    small = np.concatenate(
        [
            np.stack(quad, axis=1)
            for quad in ((c0, e0, m, e3), (e0, c1, e1, m), (m, e1, c2, e2), (e3, m, e2, c3))
        ]
    )
    return parents, np.concatenate([small[:, [0, 1, 2]], small[:, [0, 2, 3]]])


def smooth(values: Floats, triangles: Ints, rounds: int, share: Floats) -> Floats:
    """Laplacian smoothing: each vertex moves by `share` [N] to the mean of its neighbours."""
    start = np.concatenate([triangles[:, [0, 1, 2]].ravel(), triangles[:, [1, 2, 0]].ravel()])
    end = np.concatenate([triangles[:, [1, 2, 0]].ravel(), triangles[:, [0, 1, 2]].ravel()])
    count = np.maximum(np.bincount(start, minlength=len(values)), 1)
    for _ in range(rounds):
        mean = np.stack(
            [np.bincount(start, values[end, axis], len(values)) / count for axis in range(values.shape[1])],
            axis=1,
        )
        values = (values + share[:, None] * (mean - values)).astype(np.float32)
    return values


def _clothes(mesh: BaseMesh, looks: Looks, shaped: Floats) -> list[Layer]:
    """Trousers, shirt and shoes: the tights, subdivided, smoothed and pushed out along their normals."""
    faces = mesh.faces_of("helper-tights")
    first, second = np.split(mesh.triangles[faces], 2)  # the two halves of every quad, in the same order
    parents, triangles = _subdivide(np.concatenate([first, second[:, 2:]], axis=1))
    plain = shaped[parents].mean(axis=1)
    everywhere = np.full(len(plain), 0.5, np.float32)
    paint = np.concatenate([mesh.vertices[parents], _arm_share(mesh)[parents][..., None]], axis=2).mean(
        axis=1
    )
    paint = np.concatenate(
        [smooth(paint[:, :3], triangles, 8, everywhere), smooth(paint[:, 3:], triangles, 3, everywhere)],
        axis=1,
    )
    y, arm = paint[:, 1], paint[:, 3]
    on_arm = arm > 0.06
    flare = np.interp(y, [-7.2, -4.2, -3.2, 0.5, 1.2], [0.30, 0.22, 0.13, 0.06, 0.03])
    trousers = (flare, np.where(on_arm, -1, np.minimum(1.35 - y, y + 7.30)), 10, everywhere)
    loose = np.where(
        on_arm,
        np.interp(arm, [0.0, 0.3, 0.5, 1.0], [0.07, 0.14, 0.15, 0.12]),
        np.interp(y, [0.3, 1.5, 3.2, 5.0, 5.9], [0.24, 0.20, 0.13, 0.06, 0.04]),
    )
    # hem and stripes are level: on the trunk heights are those of the shaped body, between hips and neck
    hips, neck = (float(shaped[mesh.groups[f"joint-{name}"], 1].mean()) for name in ("l-upper-leg", "neck"))
    hang = np.where(on_arm, 0.3, np.interp(y, [0, 3, 5, 5.6], [0.6, 0.6, 0.35, 0.1])).astype(np.float32)
    height = smooth(plain, triangles, 16, hang)[:, 1]
    level = np.where(on_arm, y, np.interp(height, [hips - 5, hips, neck], [-4.9, 0.49, 5.89]))
    neckline = np.where(y > 4.6, np.hypot(paint[:, 0], paint[:, 2] - NECK_Z) - NECKLINE, 1)
    shirt = (loose, np.where(on_arm, looks.sleeve - arm, np.minimum(level - 0.15, neckline)), 16, hang)
    shoes = (np.interp(paint[:, 2], [0.6, 1.2, 2.0], [0.09, 0.08, 0.02]), -7.25 - y, 5, everywhere)
    weights = smooth(mesh.weights[parents].mean(axis=1), triangles, 5, everywhere)  # cloth bends less sharply
    layers = []
    for material, (push, keep, rounds, share) in ((TROUSERS, trousers), (SHIRT, shirt), (SHOES, shoes)):
        soft = smooth(plain, triangles, rounds, share.astype(np.float32))
        soft += vertex_normals(soft, triangles) * push[:, None].astype(np.float32)
        if material == SHOES:
            soft[:, 1] = np.maximum(soft[:, 1], plain[:, 1].min() - 0.12)
        place = paint.copy()
        if material == SHIRT:
            place[:, 1] = level
        used = triangles[(keep[triangles] > 0).any(axis=1)]
        numbers, local = np.unique(used, return_inverse=True)
        layers.append(
            Layer(
                material,
                parents[numbers],
                (soft - plain)[numbers],
                local.reshape(-1, 3),
                weights[numbers],
                keep[numbers].astype(np.float32),
                place[numbers],
                np.zeros((len(used), 3, 2), np.float32),
            )
        )
    return layers
