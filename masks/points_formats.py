"""Clicks as lists and small objects: ComfyUI's texts, SAM-style points with labels, boxes.

``docs/points.md`` shows each. None says on which frame it was clicked: all are on frame 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from masks.errors import MaskError
from masks.points_values import (
    box,
    check_keys,
    number,
    object_on_frame,
    points,
    refuse,
    sequence,
    shown,
    space,
    whole,
)
from masks.prompts import MAIN_OBJECT, Box, Point, Prompts

FRACTIONS: Final = (1, 1)
"""The space of points that are given as fractions of the picture's sides."""
CORNERS: Final = ("startX", "startY", "endX", "endY")

_POINT_KEYS: Final = ("points", "point_coords", "input_point", "input_points")
_LABEL_KEYS: Final = ("labels", "point_labels", "input_label", "input_labels")
_BOX_KEYS: Final = ("box", "boxes", "input_box", "input_boxes")
_FRAME_KEYS: Final = ("frame", "frame_idx", "frame_index", "ann_frame_idx")
SAM_KEYS: Final = (*_POINT_KEYS, *_LABEL_KEYS, *_BOX_KEYS)


# ------------------------------------------------------------------------------------- ComfyUI's texts


def read_list(content: list[Any]) -> Prompts:
    """A list of points (``{"x", "y"}`` or pairs), or of boxes (``{"startX" ...}`` or four numbers).

    Raises:
        MaskError: it is another list, or an empty one.
    """
    if not content:
        raise MaskError("The list is empty.", "Click on the person first.", code="mask.points-none")
    first = content[0]
    if isinstance(first, Mapping) and ("x" in first or "y" in first):
        return _of_store(
            points(content, "The list"), points(content, "The list", rounded=True), None, "list of points"
        )
    if all(isinstance(entry, Mapping) and set(entry) <= {*CORNERS} for entry in content):
        return _read_boxes([drawn_box(entry, "The box") for entry in content])
    if isinstance(first, list) and len(first) == 2:
        found = points(content, "The list")
        if _are_fractions(found):
            return _fractions(found, "list of points")
        return Prompts((object_on_frame(MAIN_OBJECT, found),), None, "list of points")
    if isinstance(first, list) and len(first) == 4:
        return _read_boxes([box(entry, f"Box {place}") for place, entry in enumerate(content, 1)])
    if len(content) == 4 and all(isinstance(entry, (int, float)) for entry in content):
        return _read_boxes([box(content, "The box")])
    what = f"It is a list, but neither of points nor of boxes: it begins with {shown(first)}."
    remedy = 'Points are [{"x": 483, "y": 333}] or [[483, 333]], boxes [[left, top, right, bottom]].'
    raise MaskError(what, remedy, code="mask.points-unknown-shape")


def read_store(content: Mapping[str, Any], source: str = "points_store of PointsEditor") -> Prompts:
    """``{"positive": [...], "negative": [...]}``, as the widget points_store holds them.

    Points are rounded as the node gives them out. ``width`` and ``height`` may stand beside them.

    Raises:
        MaskError: the points are malformed, or there is none.
    """
    check_keys(content, ("positive", "negative", "width", "height"), "The object with the points")
    exact, found = (_points_of_store(content, rounded=rounded) for rounded in (False, True))
    return _of_store(exact, found, _size(content), source)


def _of_store(
    exact: tuple[Point, ...], found: tuple[Point, ...], size: tuple[int, int] | None, source: str
) -> Prompts:
    """Of the points as they stand and as they are rounded: fractions must not be rounded."""
    if size is None and _are_fractions(exact):
        return _fractions(exact, source)
    if not found:
        raise MaskError("There is no point in it.", "Click on the person.", code="mask.points-none")
    return Prompts((object_on_frame(MAIN_OBJECT, found),), size, source)


def _points_of_store(content: Mapping[str, Any], *, rounded: bool) -> tuple[Point, ...]:
    wanted = points(content.get("positive", []), '"positive"', rounded=rounded)
    return wanted + points(content.get("negative", []), '"negative"', positive=False, rounded=rounded)


def _size(content: Mapping[str, Any]) -> tuple[int, int] | None:
    if "width" not in content and "height" not in content:
        return None
    return space(content.get("width"), content.get("height"), "the points")


def _are_fractions(found: tuple[Point, ...]) -> bool:
    values = [value for point in found for value in (point.x, point.y)]
    return any(not value.is_integer() for value in values) and all(0 <= value <= 1 for value in values)


def _fractions(found: tuple[Point, ...], source: str, frame: int = 0) -> Prompts:
    notice = "All numbers are from 0 to 1, so they are taken as fractions of the picture's width and height."
    return Prompts((object_on_frame(MAIN_OBJECT, found, frame=frame),), FRACTIONS, source, (notice,))


# ----------------------------------------------------------------------------------------------- boxes


def drawn_box(entry: object, where: str) -> Box | None:
    """A box as PointsEditor stores it, corners in any order, cut to whole pixels as the node does.

    None where none is drawn: an empty object, one without numbers, or a click without a drag.

    Raises:
        MaskError: something else stands there.
    """
    if not isinstance(entry, Mapping):
        raise refuse(where, entry, f"It must be an object with {', '.join(CORNERS)}.")
    values = [entry.get(key) for key in CORNERS]
    if any(value is None for value in values):
        return None
    x0, y0, x1, y1 = (
        float(int(number(value, f"{where}: {key}"))) for key, value in zip(CORNERS, values, strict=True)
    )
    return None if x0 == x1 or y0 == y1 else Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def _read_boxes(found: list[Box | None]) -> Prompts:
    boxes = [entry for entry in found if entry is not None]
    if not boxes:
        what = "It is a list of boxes, and none is drawn."
        raise MaskError(what, "Draw a box around the person.", code="mask.points-none")
    if len(boxes) == 1:
        return Prompts((object_on_frame(MAIN_OBJECT, (), boxes[0]),), None, "a box")
    objects = tuple(object_on_frame(f"box {place}", (), entry) for place, entry in enumerate(boxes, 1))
    notice = f"Each of the {len(boxes)} boxes is taken for an object; the mask is all of them together."
    return Prompts(objects, None, f"{len(boxes)} boxes", (notice,))


# ------------------------------------------------------------------------------------------- SAM's way


def read_sam(content: Mapping[str, Any]) -> Prompts:
    """Points with labels (1 = the person, 0 = not), a box, or both, under the names that SAM's scripts use.

    Raises:
        MaskError: labels that do not fit the points, other labels, malformed values.
    """
    check_keys(content, (*SAM_KEYS, *_FRAME_KEYS, "width", "height"), "The object with points and labels")
    given, labels = _one_of(content, _POINT_KEYS), _one_of(content, _LABEL_KEYS)
    if given is None and labels is not None:
        what = "There are labels and no points."
        raise MaskError(what, 'Add "points": [[x, y]].', code="mask.points-none")
    found = () if given is None else _labelled(_unwrapped(given, 2), labels)
    rectangle = _sam_box(_one_of(content, _BOX_KEYS))
    if not found and rectangle is None:
        raise MaskError("There is no point in it.", "Click on the person.", code="mask.points-none")
    given_frame = _one_of(content, _FRAME_KEYS)
    frame = 0 if given_frame is None else whole(given_frame, "The frame")
    source = "points with labels" if found else "a box"
    size = _size(content)
    if size is None and rectangle is None and _are_fractions(found):
        return _fractions(found, source, frame)
    return Prompts((object_on_frame(MAIN_OBJECT, found, rectangle, frame),), size, source)


def _labelled(given: Any, labels: Any) -> tuple[Point, ...]:
    found = points(given, "The list of points")
    if labels is None:
        return found
    wanted = "Labels are 1 (the person) or 0 (not the person), one for each point."
    marks = sequence(_unwrapped(labels, 1), "The list of labels", wanted)
    if len(marks) != len(found):
        what = f"There are {len(found)} points and {len(marks)} labels."
        raise MaskError(what, "Give each point one label.", code="mask.points-value")
    for place, mark in enumerate(marks, 1):
        if not isinstance(mark, (bool, int, float)) or mark not in (0, 1):
            raise refuse(f"Label {place}", mark, wanted)
    return tuple(Point(point.x, point.y, mark == 1) for point, mark in zip(found, marks, strict=True))


def _sam_box(value: Any) -> Box | None:
    if value is None or value == []:
        return None
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return box(value, "The box")


def _unwrapped(value: Any, depth: int) -> Any:
    """A list nested ``depth`` deep, without the axis for several objects that SAM's scripts put around it."""
    inner = value
    for _ in range(depth):
        if not isinstance(inner, list) or not inner:
            return value
        inner = inner[0]
    return value[0] if isinstance(inner, list) and len(value) == 1 else value


def _one_of(content: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    given = [key for key in keys if content.get(key) is not None]
    if len(given) > 1:
        what = f'It has both "{given[0]}" and "{given[1]}".'
        raise MaskError(what, "Leave one out.", code="mask.points-duplicate")
    return content[given[0]] if given else None
