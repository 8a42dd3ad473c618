"""Drawing deformed triangles: the fast way gives what the plain way gives."""

import numpy as np
from numpy.typing import NDArray

from engines.preview.puppet.raster import bounding_box, draw_over, source_maps

Floats = NDArray[np.float32]


def _bent_grid() -> tuple[Floats, Floats, NDArray[np.int32]]:
    random = np.random.default_rng(3)
    columns, rows = 6, 5
    x, y = np.meshgrid(np.arange(columns) * 14.0, np.arange(rows) * 14.0)
    source = np.stack([x.ravel(), y.ravel()], 1).astype(np.float32)
    target = (source * 1.2 + random.uniform(-3, 3, source.shape) + 6).astype(np.float32)
    cells = [row * columns + column for row in range(rows - 1) for column in range(columns - 1)]
    triangles = [(at, at + 1, at + columns) for at in cells]
    triangles += [(at + 1, at + columns + 1, at + columns) for at in cells]
    return source, target, np.array(triangles, np.int32)


def _slow(
    source: Floats, target: Floats, triangles: NDArray[np.int32], point: tuple[float, float]
) -> Floats | None:
    """Where a canvas point comes from, by the barycentric coordinates in the triangle that holds it."""
    for triangle in triangles:
        corners = target[triangle].astype(float)
        matrix = np.vstack([corners.T, np.ones(3)])
        shares = np.linalg.solve(matrix, [*point, 1.0])
        if (shares > 0.15).all():
            return np.asarray(shares @ source[triangle], np.float32)
    return None


def test_maps_equal_a_slow_triangle_by_triangle_search() -> None:
    source, target, triangles = _bent_grid()
    map_x, map_y = source_maps(source, target, triangles, (0, 0, 110, 90))
    compared = 0
    for y in range(0, 90, 3):
        for x in range(0, 110, 3):
            expected = _slow(source, target, triangles, (x, y))
            if expected is not None:
                np.testing.assert_allclose((map_x[y, x], map_y[y, x]), expected, atol=0.02)
                compared += 1
    assert compared > 150


def test_a_mesh_without_gaps_leaves_no_pixel_uncovered_inside() -> None:
    source, target, triangles = _bent_grid()
    map_x, _ = source_maps(source, target, triangles, (0, 0, 110, 90))
    assert (map_x[14:60, 14:80] > -1).all()


def test_pixels_that_no_triangle_covers_show_nothing() -> None:
    source, target, triangles = _bent_grid()
    map_x, map_y = source_maps(source, target + 500, triangles, (0, 0, 50, 50))
    assert (map_x < -1000).all()
    assert (map_y < -1000).all()


def test_a_later_triangle_covers_an_earlier_one() -> None:
    source = np.array([[0, 0], [10, 0], [0, 10], [100, 100], [110, 100], [100, 110]], np.float32)
    target = np.array([[0, 0], [40, 0], [0, 40]] * 2, np.float32)
    map_x, _ = source_maps(source, target, np.array([[0, 1, 2], [3, 4, 5]], np.int32), (0, 0, 40, 40))
    assert map_x[5, 5] > 99


def test_a_triangle_pressed_flat_is_left_out() -> None:
    flat = np.array([[0, 0], [10, 10], [20, 20]], np.float32)
    map_x, _ = source_maps(flat, flat, np.array([[0, 1, 2]], np.int32), (0, 0, 30, 30))
    assert (map_x < -1000).all()


def test_draw_over_blends_premultiplied_colours() -> None:
    random = np.random.default_rng(5)
    canvas = random.integers(0, 256, (20, 30, 3), np.uint8)
    opacity = random.integers(0, 256, (8, 9, 1)).astype(float)
    colour = random.integers(0, 256, (8, 9, 3)).astype(float)
    patch = np.dstack([np.rint(colour * opacity / 255), opacity]).astype(np.uint8)
    expected = canvas.astype(float)
    expected[4:12, 7:16] = expected[4:12, 7:16] * (1 - opacity / 255) + colour * opacity / 255
    draw_over(canvas, patch, 7, 4)
    assert np.abs(canvas - expected).max() <= 1.5


def test_bounding_box_is_clipped_to_the_canvas() -> None:
    assert bounding_box(np.array([[-5, 2.5], [8.2, 900]], np.float32), 100, 50) == (0, 2, 10, 50)
    assert bounding_box(np.array([[200, 2], [300, 9]], np.float32), 100, 50) is None
