"""What stands in a points file, checked piece by piece: numbers, points, boxes, known keys.

Nothing of a file is evaluated, and whatever it holds ends in a ``MaskError`` that says where it stands.
"""

from __future__ import annotations

import difflib
import json
import reprlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from masks.errors import MaskError
from masks.prompts import Box, MaskObject, Point, Prompt

LARGEST_NUMBER: Final = 1_000_000
"""Pixels. Whatever is larger is no place in a picture."""
MOST_POINTS: Final = 1000
"""For one object on one frame. Segmenters take a handful; thousands are another kind of file."""
POINT_SHAPES: Final = "Write a point as [x, y]."


class Fields(dict[str, Any]):
    """A JSON object that remembers which of its keys stood there twice."""

    repeated: tuple[str, ...] = ()


def fields(pairs: Sequence[tuple[str, Any]]) -> Fields:
    """For ``json.loads(object_pairs_hook=fields)``."""
    made = Fields(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        made.repeated = tuple(key for key in made if keys.count(key) > 1)
    return made


def load_json(text: str) -> Any:
    """Parse JSON. Texts with single quotes are read as Sam2Segmentation reads them: ' stands for ".

    Raises:
        json.JSONDecodeError: it is no JSON; told of the text as it stands.
        ValueError: it holds a number of thousands of digits, or is nested thousands deep.
    """
    try:
        try:
            return json.loads(text, object_pairs_hook=fields)
        except json.JSONDecodeError:
            if "'" not in text:
                raise
        try:
            return json.loads(text.replace("'", '"'), object_pairs_hook=fields)
        except json.JSONDecodeError:
            return json.loads(text, object_pairs_hook=fields)  # told of the text as it stands
    except RecursionError:
        raise ValueError("it is nested too deep") from None


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxlong = self.maxother = 40
        self.maxdict = self.maxlist = 3
        self.maxlevel = 2

    def repr_Fields(self, value: Fields, level: int) -> str:  # noqa: N802  # found by the class's name
        return self.repr_dict(value, level)


def shown(value: object) -> str:
    """A value of a file for a message: short, and printable whatever it is."""
    return _Short().repr(value)


def refuse(where: str, value: object, wanted: str) -> MaskError:
    """The error for a value that is not what its place asks for."""
    return MaskError(f"{where} is {shown(value)}.", wanted, code="mask.points-value")


def number(value: object, where: str) -> float:
    """A place in a picture, in pixels.

    Raises:
        MaskError: not a number, not finite, or larger than any picture.
    """
    # A comparison with NaN is false too; whole numbers of any length compare without becoming floats.
    fits = isinstance(value, (int, float)) and -LARGEST_NUMBER <= value <= LARGEST_NUMBER
    if isinstance(value, bool) or not fits:
        raise refuse(where, value, "It must be a number of pixels.")
    return float(value)  # type: ignore[arg-type]  # it is an int or a float


def whole(value: object, where: str, least: int = 0) -> int:
    """A whole number: a frame's, a width, a height.

    Raises:
        MaskError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= LARGEST_NUMBER:
        raise refuse(where, value, f"It must be a whole number, {least} or more.")
    return value


def sequence(value: object, where: str, wanted: str) -> list[Any]:
    """A list.

    Raises:
        MaskError: anything else.
    """
    if not isinstance(value, list):
        raise refuse(where, value, wanted)
    return value


def point(value: object, where: str, *, positive: bool = True, rounded: bool = False) -> Point:
    """``[x, y]`` or ``{"x": x, "y": y}``, in pixels.

    Args:
        rounded: round to whole pixels, half to even, as ComfyUI's PointsEditor gives its points out.

    Raises:
        MaskError: anything else.
    """
    if isinstance(value, Mapping) and {"x", "y"} <= set(value):
        x, y = value["x"], value["y"]
    elif isinstance(value, list) and len(value) == 2:
        x, y = value
    else:
        raise refuse(where, value, POINT_SHAPES)
    x, y = number(x, f"{where}: x"), number(y, f"{where}: y")
    return Point(float(round(x)), float(round(y)), positive) if rounded else Point(x, y, positive)


def points(value: object, where: str, *, positive: bool = True, rounded: bool = False) -> tuple[Point, ...]:
    """A list of points; they are counted from 1 in messages.

    Raises:
        MaskError: anything else, or too many.
    """
    entries = sequence(value, where, "It must be a list of points, [[x, y], [x, y]].")
    if len(entries) > MOST_POINTS:
        what = f"{where} holds {len(entries)} points; at most {MOST_POINTS} are read."
        raise MaskError(what, "A handful on the person is enough.", code="mask.points-value")
    return tuple(
        point(entry, f"{where}, point {place}", positive=positive, rounded=rounded)
        for place, entry in enumerate(entries, 1)
    )


def box(value: object, where: str) -> Box:
    """``[left, top, right, bottom]``, opposite corners in any order, in pixels.

    Raises:
        MaskError: anything else, or a box without an area.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise refuse(where, value, "Write a box as [left, top, right, bottom].")
    x0, y0, x1, y1 = (number(entry, f"{where}: number {place}") for place, entry in enumerate(value, 1))
    if x0 == x1 or y0 == y1:
        what = f"{where} has no area: ({x0:g}, {y0:g}, {x1:g}, {y1:g})."
        raise MaskError(what, "Give two opposite corners: left, top, right, bottom.", code="mask.points-box")
    return Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def space(width: object, height: object, where: str) -> tuple[int, int]:
    """Width and height of the picture that was clicked on.

    Raises:
        MaskError: they are no whole numbers.
    """
    return whole(width, f'"width" of {where}', 1), whole(height, f'"height" of {where}', 1)


def check_keys(entry: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Find keys that mean nothing here, and keys that stand twice.

    Raises:
        MaskError: there is one.
    """
    for key in entry:
        if key not in known:
            what = f"{where} has the key {shown(key)}, which is not known{nearest(key, known)}"
            remedy = f"Known are {', '.join(known)}."
            raise MaskError(what, remedy, code="mask.points-unknown-key")
    if isinstance(entry, Fields) and entry.repeated:
        what = f"{where} has the key {shown(entry.repeated[0])} twice; all but the last would be lost."
        raise MaskError(what, "Put their contents together.", code="mask.points-duplicate")


def nearest(word: str, known: Collection[str]) -> str:
    """``"; did you mean 'x'?"`` when a known word is near, else a full stop."""
    near = difflib.get_close_matches(word[:60], list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else "."


def object_on_frame(
    name: str, found: Sequence[Point], rectangle: Box | None = None, frame: int = 0
) -> MaskObject:
    """An object that is clicked on one frame."""
    return MaskObject(name, (Prompt(frame, tuple(found), rectangle),))
