"""Grow and blockify: the real nodes' outputs bit for bit, and what holds for any mask."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masks.operations import blockify, blockify_2025_09, grow
from masks.store import Mask
from tests.workplace import ROOT

GOLDEN = ROOT / "tests" / "data" / "golden" / "mask_ops"
FILES: list[dict[str, Any]] = json.loads((GOLDEN / "index.json").read_text())["files"]
CASES = [pytest.param(file, case, id=case["id"]) for file in FILES for case in file["cases"]]

blocks = st.integers(1, 40)
radii = st.integers(0, 12)


shapes = st.tuples(st.integers(1, 90), st.integers(1, 90))


@st.composite
def masks(draw: st.DrawFn, shape: tuple[int, int] | None = None) -> Mask:
    """Some rectangles, often single pixels, in pictures from one pixel to several blocks."""
    height, width = shape or draw(shapes)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        wide, high = draw(st.integers(1, 20)), draw(st.integers(1, 20))
        mask[y : y + high, x : x + wide] = 1
    return mask


def batch(file: dict[str, Any], name: str) -> Mask:
    shape = file["shape"]
    with np.load(GOLDEN / file["file"], allow_pickle=False) as arrays:
        return np.unpackbits(arrays[name], count=int(np.prod(shape)), bitorder="big").reshape(shape)


def box(mask: Mask) -> tuple[int, ...]:
    return tuple(cv2.boundingRect(mask))


def diamond(radius: int) -> Mask:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (np.abs(x) + np.abs(y) <= radius).astype(np.uint8)


@pytest.mark.parametrize(("file", "case"), CASES)
def test_the_result_is_that_of_the_real_node(file: dict[str, Any], case: dict[str, Any]) -> None:
    masks = batch(file, "input")
    if "grow" in case["op"]:
        masks = np.stack([grow(mask, case["expand"], square=not case["tapered_corners"]) for mask in masks])
    if "blockify" in case["op"]:
        masks = np.stack([blockify(mask, case["block_size"]) for mask in masks])
    assert masks.dtype == np.uint8
    differing = int((masks != batch(file, case["array"])).sum())
    assert differing == 0
    assert hashlib.sha256(masks.tobytes()).hexdigest() == case["sha256"]


def test_every_golden_case_is_tried() -> None:
    assert len(FILES) == 20
    assert len(CASES) == 157
    assert {case["op"] for file in FILES for case in file["cases"]} == {"grow", "blockify", "grow_blockify"}


@pytest.mark.parametrize("radius", [1, 2, 5, 10])
def test_one_pixel_grows_to_a_diamond_or_a_square(radius: int) -> None:
    mask = np.zeros((40, 50), np.uint8)
    mask[20, 25] = 1
    around = np.s_[20 - radius : 21 + radius, 25 - radius : 26 + radius]
    for square, shape in ((False, diamond(radius)), (True, np.ones((2 * radius + 1,) * 2))):
        grown = grow(mask, radius, square=square)
        assert (grown[around] == shape).all()
        assert grown.sum() == shape.sum()


def test_a_huge_radius_fills_the_frame_at_once() -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[0, 0] = 1
    assert grow(mask, 10**9).all()
    assert not grow(1 - mask, -(10**9)).any()


@given(masks(), radii, st.booleans())
def test_growing_contains_the_mask_and_eroding_lies_in_it(mask: Mask, radius: int, square: bool) -> None:
    assert (grow(mask, radius, square=square) >= mask).all()
    assert (grow(mask, -radius, square=square) <= mask).all()


@given(masks(), radii, st.booleans())
def test_eroding_is_growing_what_is_not_set(mask: Mask, radius: int, square: bool) -> None:
    assert (grow(mask, -radius, square=square) == 1 - grow(1 - mask, radius, square=square)).all()


@given(masks(), radii, radii, st.booleans())
def test_growing_twice_is_growing_once_by_the_sum(mask: Mask, one: int, other: int, square: bool) -> None:
    assert (
        grow(grow(mask, one, square=square), other, square=square) == grow(mask, one + other, square=square)
    ).all()


@given(st.data(), radii, st.booleans())
def test_parts_grow_as_if_the_others_were_not_there(data: st.DataObject, radius: int, square: bool) -> None:
    one = data.draw(masks())
    other = data.draw(masks(one.shape))
    apart = grow(one, radius, square=square) | grow(other, radius, square=square)
    assert (grow(one | other, radius, square=square) == apart).all()


@given(masks(), radii, st.booleans())
def test_the_box_grows_by_the_radius_and_stays_in_the_frame(mask: Mask, radius: int, square: bool) -> None:
    height, width = mask.shape
    grown = grow(mask, radius, square=square)
    assert grown.shape == mask.shape
    if not mask.any():
        assert not grown.any()
        return
    x, y, w, h = box(mask)
    left, top = max(0, x - radius), max(0, y - radius)
    right, bottom = min(width, x + w + radius), min(height, y + h + radius)
    assert box(grown) == (left, top, right - left, bottom - top)


@given(masks(), blocks)
def test_blocks_contain_the_mask_and_keep_its_box(mask: Mask, block: int) -> None:
    for operation in (blockify, blockify_2025_09):
        blocked = operation(mask, block)
        assert blocked.shape == mask.shape
        assert set(np.unique(blocked)) <= {0, 1}
        assert (blocked >= mask).all()
        assert box(blocked) == box(mask)


@given(masks(), blocks)
def test_blockify_twice_is_blockify_once(mask: Mask, block: int) -> None:
    for operation in (blockify, blockify_2025_09):
        blocked = operation(mask, block)
        assert (operation(blocked, block) == blocked).all()


@given(masks(), blocks)
def test_blockify_agrees_with_its_definition_pixel_by_pixel(mask: Mask, block: int) -> None:
    """The cell of a pixel is min((x - x0) div cw, nw - 1); it is filled if any of it is set."""
    expected = np.zeros_like(mask)
    x0, y0, width, height = box(mask)
    if width:
        across, down = max(1, width // block), max(1, height // block)
        cell_x = np.minimum(np.arange(width) // (width // across), across - 1)
        cell_y = np.minimum(np.arange(height) // (height // down), down - 1)
        inside = mask[y0 : y0 + height, x0 : x0 + width]
        sums = np.zeros((down, across), int)
        np.add.at(sums, (cell_y[:, None], cell_x[None, :]), inside)
        expected[y0 : y0 + height, x0 : x0 + width] = sums[cell_y[:, None], cell_x[None, :]] > 0
    assert (blockify(mask, block) == expected).all()


@given(masks(), blocks)
def test_the_older_blockify_cuts_the_remainder_off(mask: Mask, block: int) -> None:
    expected = np.zeros_like(mask)
    x0, y0, width, height = box(mask)
    if width:
        cell_x, cell_y = width // max(1, width // block), height // max(1, height // block)
        for y in range(y0, y0 + height, cell_y):
            for x in range(x0, x0 + width, cell_x):
                cell = np.s_[y : min(y + cell_y, y0 + height), x : min(x + cell_x, x0 + width)]
                expected[cell] = mask[cell].any()
    assert (blockify_2025_09(mask, block) == expected).all()


def test_the_two_versions_differ_only_where_there_is_a_remainder() -> None:
    mask = np.zeros((64, 65), np.uint8)
    mask[0, 0] = mask[63, 64] = 1
    new, old = blockify(mask, 32), blockify_2025_09(mask, 32)
    assert new[32:, 32:].all()
    assert (old[32:, 64:] == 1).all()
    assert not old[:, 32:64].any()
    assert (blockify(mask[:, 1:], 32) == blockify_2025_09(mask[:, 1:], 32)).all()


@pytest.mark.parametrize(
    "operation",
    [lambda mask: grow(mask, 0), lambda mask: blockify(mask, 0), lambda mask: blockify_2025_09(mask, 0)],
)
def test_zero_gives_a_copy(operation: Any) -> None:
    mask = np.eye(20, dtype=np.uint8)
    copied = operation(mask)
    assert (copied == mask).all()
    assert not np.shares_memory(copied, mask)


@pytest.mark.parametrize("value", [0, 1])
def test_empty_stays_empty_and_full_stays_full(value: int) -> None:
    mask = np.full((50, 70), value, np.uint8)
    for made in (grow(mask, 10), grow(mask, -10), blockify(mask, 32), blockify_2025_09(mask, 32)):
        assert (made == value).all()


def test_what_is_given_is_not_changed() -> None:
    mask = np.eye(40, dtype=np.uint8)
    kept = mask.copy()
    for made in (grow(mask, 3), grow(mask, -1), blockify(mask, 8), blockify_2025_09(mask, 8)):
        assert not np.shares_memory(made, mask)
    assert (mask == kept).all()
