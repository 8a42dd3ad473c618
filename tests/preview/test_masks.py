"""The grown and gridded mask against a slow, literal reading of upstream's rule."""

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.preview.masks import fill_grid, grow_mask, replacement_mask

Image = NDArray[np.uint8]


def blobs(seed: int, height: int = 60, width: int = 80) -> Image:
    generator = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    for _ in range(generator.integers(1, 4)):
        y, x = generator.integers(0, height), generator.integers(0, width)
        mask[y : y + generator.integers(1, 25), x : x + generator.integers(1, 25)] = 1
    return mask


def slow_grow(mask: Image, iterations: int, k: int) -> Image:
    """Each round: a pixel is set when any pixel of the k x k square round it (anchor at k // 2) is set."""
    height, width = mask.shape
    for _ in range(iterations):
        grown = np.zeros_like(mask)
        for y in range(height):
            for x in range(width):
                top, left = max(0, y - k // 2), max(0, x - k // 2)
                grown[y, x] = mask[top : y - k // 2 + k, left : x - k // 2 + k].any()
        mask = grown
    return mask


def slow_grid(mask: Image, w_len: int, h_len: int) -> Image:
    mask = mask.copy()
    ys, xs = np.nonzero(mask)
    x0, x1, y0, y1 = xs.min(), xs.max(), ys.min(), ys.max()
    cell_width, cell_height = int((x1 - x0) / w_len), int((y1 - y0) / h_len)
    assert cell_width > 0 and cell_height > 0  # where upstream fails there is nothing to compare with
    x = x0
    while x < x1:
        y = y0
        while y < y1:
            cell = mask[y : min(y + cell_height, y1), x : min(x + cell_width, x1)]
            if cell.sum() > 0:
                cell[...] = 1
            y += cell_height
        x += cell_width
    return mask


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("iterations", "k"), [(1, 3), (3, 7), (2, 4), (3, 8), (1, 1)])
def test_growing_follows_the_rule_pixel_by_pixel(seed: int, iterations: int, k: int) -> None:
    mask = blobs(seed, 40, 50)
    np.testing.assert_array_equal(grow_mask(mask, iterations, k), slow_grow(mask, iterations, k))


def test_kernel_side_of_0_acts_like_3() -> None:
    np.testing.assert_array_equal(grow_mask(blobs(1), 2, 0), grow_mask(blobs(1), 2, 3))


def test_the_default_grows_nine_pixels_and_an_even_kernel_unevenly() -> None:
    point = np.zeros((60, 60), np.uint8)
    point[30, 30] = 1
    ys, xs = np.nonzero(grow_mask(point, 3, 7))
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (21, 39, 21, 39)
    ys, xs = np.nonzero(grow_mask(point, 3, 8))
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (21, 42, 21, 42)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("w_len", "h_len"), [(1, 1), (3, 2), (7, 5), (10, 18)])
def test_the_grid_follows_the_rule_cell_by_cell(seed: int, w_len: int, h_len: int) -> None:
    mask = grow_mask(np.pad(blobs(seed, 40, 60), 12), 3, 7)
    np.testing.assert_array_equal(fill_grid(mask, w_len, h_len), slow_grid(mask, w_len, h_len))


def test_one_cell_fills_the_box_but_for_its_last_column_and_row() -> None:
    mask = np.zeros((20, 20), np.uint8)
    mask[3, 4] = mask[12, 15] = 1
    expected = np.zeros((20, 20), np.uint8)
    expected[3:12, 4:15] = 1
    expected[12, 15] = 1
    np.testing.assert_array_equal(fill_grid(mask, 1, 1), expected)


@pytest.mark.parametrize("lengths", [(0, 1), (1, 0), (-2, 3)])
def test_a_grid_of_no_cells_fills_nothing(lengths: tuple[int, int]) -> None:
    np.testing.assert_array_equal(fill_grid(blobs(2), *lengths), blobs(2))


def test_an_empty_mask_stays_empty() -> None:
    empty = np.zeros((30, 30), np.uint8)
    assert not replacement_mask(empty, 3, 7, 4, 4).any()


def test_a_mask_thinner_than_the_grid_is_kept_whole() -> None:
    thin = np.zeros((30, 30), np.uint8)
    thin[5:25, 10:12] = 1
    filled = fill_grid(thin, 10, 40)
    assert (filled >= thin).all()
    line = np.zeros((30, 30), np.uint8)
    line[7, 3:20] = 1
    np.testing.assert_array_equal(fill_grid(line, 2, 2), line)


@pytest.mark.parametrize("iterations", [0, -1])
def test_no_iterations_leaves_the_person_mask_as_it_is(iterations: int) -> None:
    mask = blobs(3)
    np.testing.assert_array_equal(replacement_mask(mask, iterations, 7, 1, 1), mask)


def test_the_given_mask_is_not_changed() -> None:
    mask = blobs(4)
    before = mask.copy()
    replacement_mask(mask, 3, 7, 5, 5)
    np.testing.assert_array_equal(mask, before)
