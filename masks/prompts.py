"""What is clicked: points and boxes on key frames, for one object or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

MAIN_OBJECT: Final = "person"
"""Name of the object where the source has only one."""


@dataclass(frozen=True)
class Point:
    """A click, in pixels: x to the right, y down, the middle of the upper left pixel at (0.5, 0.5)."""

    x: float
    y: float
    positive: bool = True
    """Whether the object is there; else it is not."""


@dataclass(frozen=True)
class Box:
    """A rectangle around the object, in pixels, ``left < right`` and ``top < bottom``."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Prompt:
    """What is clicked on one frame for one object: points, a box, or both."""

    frame: int
    """Number of the frame in stage 1's files, from 0."""
    points: tuple[Point, ...] = ()
    box: Box | None = None


@dataclass(frozen=True)
class MaskObject:
    """Something to find in every frame."""

    name: str
    prompts: tuple[Prompt, ...]
    """At least one, in the order of their frames, one for each frame at most."""
    excluded: bool = False
    """Whether it is taken out of the mask (another person in front) instead of put into it."""


@dataclass(frozen=True)
class Prompts:
    """All that was clicked, and on a picture of which size."""

    objects: tuple[MaskObject, ...]
    space: tuple[int, int] | None
    """Width and height of the picture that was clicked on; None where the source does not say."""
    source: str
    """What was recognised, for people: "ComfyUI workflow, node PointsEditor 107"."""
    notices: tuple[str, ...] = ()
    """What people should know of how the source was read, in full sentences."""

    def on_canvas(self, width: int, height: int) -> Prompts:
        """The same in pixels of a canvas of that size; each axis is scaled on its own."""
        if self.space in (None, (width, height)):
            return replace(self, space=(width, height))
        across, down = width / self.space[0], height / self.space[1]
        objects = tuple(
            replace(thing, prompts=tuple(_scaled(prompt, across, down) for prompt in thing.prompts))
            for thing in self.objects
        )
        return replace(self, objects=objects, space=(width, height))


def _scaled(prompt: Prompt, across: float, down: float) -> Prompt:
    points = tuple(replace(point, x=point.x * across, y=point.y * down) for point in prompt.points)
    box = prompt.box and Box(
        prompt.box.left * across, prompt.box.top * down, prompt.box.right * across, prompt.box.bottom * down
    )
    return replace(prompt, points=points, box=box)


def prompted_frames(objects: Sequence[MaskObject]) -> list[int]:
    """Numbers of the frames on which anything was clicked, in order."""
    return sorted({prompt.frame for thing in objects for prompt in thing.prompts})
