"""The overlay and the sheet: what is drawn lies where it belongs, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from masks import drawing
from masks.contact_sheet import EVENLY, ContactSheet
from masks.prompts import Box, MaskObject, Point, Prompt
from preprocess import Image

SIZES = [(1280, 720), (832, 480), (480, 832), (96, 64)]


def grey(width: int, height: int) -> Image:
    return np.full((height, width, 3), 90, np.uint8)


def inked(picture: Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what differs from the grey."""
    rows, columns = np.nonzero((picture != 90).any(axis=2))
    return int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())


def one_point(x: float, y: float, *, positive: bool = True) -> MaskObject:
    return MaskObject("person", (Prompt(0, (Point(x, y, positive),)),))


@pytest.mark.parametrize("size", SIZES)
def test_a_disc_is_centred_on_its_point_and_follows_the_pictures_size(size: tuple[int, int]) -> None:
    picture = grey(*size)
    x, y = size[0] // 2 + 0.5, size[1] // 2 + 0.5
    drawing.draw_prompts(picture, (one_point(x, y),), 0)
    left, top, right, bottom = inked(picture)
    assert (left + right) / 2 == pytest.approx(x - 0.5, abs=1)
    assert (top + bottom) / 2 == pytest.approx(y - 0.5, abs=1)
    wide = right - left + 1
    assert wide == pytest.approx(bottom - top + 1, abs=1)
    assert 11 <= wide <= max(18, min(size) / 20)


@pytest.mark.parametrize("positive", [True, False])
def test_plus_and_minus_tell_what_the_colour_tells(positive: bool) -> None:
    picture = grey(1280, 720)
    drawing.draw_prompts(picture, (one_point(100.5, 100.5, positive=positive),), 0)
    colour = drawing.POSITIVE if positive else drawing.NEGATIVE
    assert tuple(picture[100, 100]) == tuple(picture[100, 96]) == drawing.WHITE
    assert tuple(picture[96, 100]) == (drawing.WHITE if positive else colour)
    assert tuple(picture[96, 96]) == colour


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("corner", [(0.5, 0.5), (1.0, 0.5), (0.5, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_clicks_at_the_border_are_drawn_with_their_names(
    size: tuple[int, int], corner: tuple[float, float]
) -> None:
    picture = grey(*size)
    point = Point(size[0] * corner[0], size[1] * corner[1])
    box = Box(0, 0, *size)
    two = [MaskObject(name, (Prompt(3, (point,), box),)) for name in ("dancer", "drummer")]
    drawing.draw_prompts(picture, two, 3)
    plates = (picture == drawing.DARK).all(axis=2).sum()
    drawing.draw_prompts(alone := grey(*size), two[:1], 3)
    assert plates > (alone == drawing.DARK).all(axis=2).sum(), "names stand where there are several"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", [(-50, -50), (5000, 5000)])
def test_a_label_stays_in_the_picture(size: tuple[int, int], place: tuple[int, int]) -> None:
    picture = grey(*size)
    drawing.draw_label(picture, "no 1", *place)
    left, top, right, bottom = inked(picture)
    at_border = (left, top) == (0, 0) if place[0] < 0 else (right, bottom) == (size[0] - 1, size[1] - 1)
    assert at_border
    assert (picture[top : bottom + 1, left : right + 1] == 255).any(), "letters"


def test_the_outline_follows_holes_too_and_an_empty_mask_changes_nothing() -> None:
    mask = np.zeros((720, 1280), np.uint8)
    assert (drawing.draw_mask(grey(1280, 720), mask) == 90).all()
    mask[100:600, 100:600] = 1
    mask[300:400, 300:400] = 0
    drawn = drawing.draw_mask(grey(1280, 720), mask)
    for row, column in ((350, 100), (350, 299)):
        assert (drawn[row, column - 3 : column + 3] == drawing.OUTLINE).all(axis=1).any()
    assert tuple(drawn[350, 350]) == (90, 90, 90)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("frame_count", "clicked"), [(1, [0]), (7, []), (200, [0, 57, 130]), (900, list(range(90)))]
)
def test_the_sheet_is_a_full_grid_of_bounded_size(
    size: tuple[int, int], frame_count: int, clicked: list[int]
) -> None:
    prompts = tuple(Prompt(frame, (Point(9, 9),)) for frame in clicked)
    sheet = ContactSheet(frame_count, *size, (MaskObject("person", prompts),) if prompts else ())
    frame, mask = grey(*size), np.zeros(size[::-1], np.uint8)
    for number in range(frame_count):
        sheet.add(number, frame, mask)
    picture = sheet.picture()
    assert picture.shape[1] <= 1800
    tiles = (picture[8:-8, 8:-8] == 90).all(axis=2).mean()
    assert tiles > 0.6, "hardly a place in the grid is empty"
    assert picture.shape[0] <= 4000


def test_a_short_clip_shows_every_frame_once() -> None:
    sheet = ContactSheet(EVENLY - 2, 64, 48)
    for number in range(EVENLY - 2):
        sheet.add(number, np.full((48, 64, 3), 20 * number + 30, np.uint8), np.zeros((48, 64), np.uint8))
    shades = {int(shade) for shade in np.unique(sheet.picture())}
    assert {20 * number + 30 for number in range(EVENLY - 2)} <= shades
