"""Clicks against the frames they are meant for: size, place, frame numbers; and the flags about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from masks import points_values
from masks.errors import MaskError
from masks.points_formats import FRACTIONS
from masks.prompts import MAIN_OBJECT, Box, MaskObject, Point, Prompt, Prompts

_ROUNDING: Final = 8
"""Pixels by which a side may be off where sizes are rounded to multiples of 16."""
_MOST_ROUNDING: Final = 0.06
"""Largest relative difference of two aspects that counts as rounding, for small pictures."""
_BOX_FLAG: Final = "--mask_box"
_OVERHANG: Final = 0.05
"""Share of a side by which a box may reach over the edge: it is cut off there."""


def check_prompts(prompts: Prompts, width: int, height: int, frame_count: int) -> Prompts:
    """The clicks in pixels of the canvas, inside it, on frames that there are.

    Clicks on a picture of another size are scaled, with a notice. A point on the right or lower edge itself,
    which ComfyUI's editor allows, is put on the last pixel. A box that reaches a little over the edge is cut.

    Args:
        frame_count: frames of stage 1's files.

    Raises:
        MaskError: another aspect, a place outside the picture, a frame that is not there, no positive point.
    """
    _require_included(prompts)
    notices = list(prompts.notices)
    remedy = _remedy(prompts)
    size = prompts.space or (width, height)
    if size not in (FRACTIONS, (width, height)):
        _check_aspect(size, (width, height))
        notices.append(f"The clicks are on a picture of {_text(size)} and are scaled to {width}x{height}.")
    objects = []
    for thing in prompts.objects:
        _require_positive(thing)
        for prompt in thing.prompts:
            where = f"Object '{thing.name}', frame {prompt.frame}"
            _check_frame(prompt, where, frame_count)
            _check_points(prompt, where, size, remedy)
        cut = tuple(_within(prompt, thing.name, size, remedy, notices) for prompt in thing.prompts)
        objects.append(replace(thing, prompts=cut))
    checked = replace(prompts, objects=tuple(objects), notices=tuple(notices)).on_canvas(width, height)
    return replace(checked, objects=tuple(_off_the_edge(thing, width, height) for thing in checked.objects))


def box_prompts(box: str | Sequence[float]) -> Prompts:
    """The flag ``--mask_box``: left, top, right and bottom on frame 0, in pixels of the canvas.

    Raises:
        MaskError: these are not four such numbers.
    """
    remedy = 'Write --mask_box "LEFT TOP RIGHT BOTTOM" in pixels, such as "420 80 760 700".'
    try:
        parts = box.replace(",", " ").split() if isinstance(box, str) else box
        left, top, right, bottom = (points_values.number(float(part), "A number") for part in parts)
    except (ValueError, MaskError):
        what = f"--mask_box is {points_values.shown(box)}, not four numbers of pixels."
        raise MaskError(what, remedy, code="mask.points-box") from None
    if left >= right or top >= bottom:
        what = f"--mask_box is {left:g} {top:g} {right:g} {bottom:g}, which has no area."
        raise MaskError(what, remedy, code="mask.points-box")
    prompt = Prompt(0, (), Box(left, top, right, bottom))
    return Prompts((MaskObject(MAIN_OBJECT, (prompt,)),), None, _BOX_FLAG)


def with_exclusions(prompts: Prompts, names: Sequence[str]) -> Prompts:
    """The flag ``--mask_exclude``: these objects are taken out of the mask. Commas separate names.

    Raises:
        MaskError: there is no such object, or nothing is left.
    """
    known = [thing.name for thing in prompts.objects]
    wanted = {part.strip() for name in names for part in name.split(",") if part.strip()}
    for name in sorted(wanted - set(known)):
        what = f"--mask_exclude names {points_values.shown(name)}, an object that the clicks do not have"
        what += points_values.nearest(name, known)
        raise MaskError(what, f"They have {_quoted(known)}.", code="mask.points-exclude")
    objects = tuple(
        replace(thing, excluded=thing.excluded or thing.name in wanted) for thing in prompts.objects
    )
    excluded = replace(prompts, objects=objects)
    _require_included(excluded)
    return excluded


# ------------------------------------------------------------------------------------------- the checks


def _require_included(prompts: Prompts) -> None:
    if all(thing.excluded for thing in prompts.objects):
        what = (
            f"Every object is taken out of the mask ({_quoted([thing.name for thing in prompts.objects])})."
        )
        raise MaskError(what, "Leave one in: the person to replace.", code="mask.points-all-excluded")


def _require_positive(thing: MaskObject) -> None:
    """Negative points alone only correct: somewhere else the object must be shown."""
    if not any(prompt.box or any(point.positive for point in prompt.points) for prompt in thing.prompts):
        what = f"Object '{thing.name}': there is no positive point and no box."
        raise MaskError(what, "Click on the object on one frame at least.", code="mask.points-no-positive")


def _check_aspect(size: tuple[int, int], canvas: tuple[int, int]) -> None:
    """Points on a picture of another shape belong to another one. Rounding of sides to 16 is let through."""
    allowed = min(sum(_ROUNDING / side for side in (*size, *canvas)), _MOST_ROUNDING)
    across, down = size[0] * canvas[1], size[1] * canvas[0]
    if abs(across - down) <= allowed * max(across, down):
        return
    what = f"The clicks are on a picture of {_text(size)}, and the frames are {_text(canvas)}: another shape."
    remedy = "Click on a frame of this driving video, uncropped, and give that picture's size."
    if abs(size[1] * canvas[1] - size[0] * canvas[0]) <= allowed * size[0] * canvas[0]:
        remedy = "Width and height seem to have changed places. " + remedy
    raise MaskError(what, remedy, code="mask.points-aspect")


def _check_frame(prompt: Prompt, where: str, frame_count: int) -> None:
    if not 0 <= prompt.frame < frame_count:
        frames = "1 frame, number 0" if frame_count == 1 else f"{frame_count} frames, 0 to {frame_count - 1}"
        what = f"{where}: there is no such frame. Stage 1's files have {frames}."
        remedy = (
            "Correct the number. It counts the frames of stage 1's files, not those of the driving video."
        )
        raise MaskError(what, remedy, code="mask.points-unknown-frame")


def _check_points(prompt: Prompt, where: str, size: tuple[int, int], remedy: str) -> None:
    for point in prompt.points:
        if not (0 <= point.x <= size[0] and 0 <= point.y <= size[1]):
            kind = "positive" if point.positive else "negative"
            place = f"({point.x:g}, {point.y:g})"
            what = f"{where}: the {kind} point {place} is outside the picture of {_text(size)}."
            raise MaskError(what, remedy, code="mask.points-outside")


def _within(prompt: Prompt, name: str, size: tuple[int, int], remedy: str, notices: list[str]) -> Prompt:
    """The prompt with its box cut off at the picture's edge."""
    if prompt.box is None:
        return prompt
    box = prompt.box
    where = f"Object '{name}', frame {prompt.frame}"
    over = max(-box.left, box.right - size[0]) / size[0], max(-box.top, box.bottom - size[1]) / size[1]
    cut = Box(max(box.left, 0.0), max(box.top, 0.0), min(box.right, size[0]), min(box.bottom, size[1]))
    if max(over) > _OVERHANG or cut.left >= cut.right or cut.top >= cut.bottom:
        told = f"({box.left:g}, {box.top:g}, {box.right:g}, {box.bottom:g})"
        what = f"{where}: the box {told} reaches outside the picture of {_text(size)}."
        raise MaskError(what, remedy, code="mask.points-outside")
    if cut != box:
        notices.append(f"{where}: the box reaches over the edge of the picture and is cut off there.")
    return replace(prompt, box=cut)


def _off_the_edge(thing: MaskObject, width: int, height: int) -> MaskObject:
    """With points on the right or lower edge, just outside the last pixel, put on that pixel."""

    def inside(point: Point) -> Point:
        x, y = point.x if point.x < width else width - 1.0, point.y if point.y < height else height - 1.0
        return replace(point, x=x, y=y)

    prompts = (replace(prompt, points=tuple(map(inside, prompt.points))) for prompt in thing.prompts)
    return replace(thing, prompts=tuple(prompts))


def _remedy(prompts: Prompts) -> str:
    """What is likely wrong where a place is outside the picture."""
    if prompts.source == _BOX_FLAG:
        return "Its numbers are pixels of the frames that stage 1 made."
    if prompts.space is not None:
        return "Check the place, and the width and height that the file states."
    return 'Likely the picture that was clicked on has another size: state its "width" and "height".'


def _text(size: tuple[int, int]) -> str:
    return "1x1, in fractions" if size == FRACTIONS else f"{size[0]}x{size[1]}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
