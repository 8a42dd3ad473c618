"""Hard cuts are found at their frame, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from engines.preview.scene_cuts import find_cuts
from engines.preview.track import Image


def scene(seed: int) -> Image:
    """A made-up picture of large areas, as thumbnails are."""
    rough = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.asarray(cv2.resize(rough, (32, 18), interpolation=cv2.INTER_CUBIC), np.uint8)


def mixed(one: Image, other: Image, share: float) -> Image:
    return np.asarray(cv2.addWeighted(one, 1 - share, other, share, 0.0), np.uint8)


def cuts(frames: Iterable[Image]) -> list[int]:
    return find_cuts(np.array(list(frames)))


ONE, OTHER, THIRD = scene(1), scene(2), scene(3)
BLACK = np.zeros_like(ONE)


def test_hard_cuts_are_found_even_close_to_each_other_or_to_the_end() -> None:
    assert cuts([ONE] * 10 + [OTHER] * 10) == [10]
    assert cuts([ONE] * 10 + [OTHER] * 2 + [THIRD] * 10) == [10, 12]
    assert cuts([ONE] * 10 + [OTHER]) == [10]
    assert cuts([ONE, OTHER]) == [1]


def test_a_cut_that_a_change_of_rate_has_blended_is_one_cut() -> None:
    assert cuts([ONE] * 10 + [mixed(ONE, OTHER, 0.5)] + [OTHER] * 10) == [10]


def test_a_dissolve_and_a_fade_to_black_are_no_cuts() -> None:
    for end in (OTHER, BLACK):
        steps = [mixed(ONE, end, step / 8) for step in range(9)]
        assert cuts([ONE] * 10 + steps + [end] * 10) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    assert cuts([ONE] * 10 + [np.full_like(ONE, 255)] * length + [ONE] * 10) == []


def test_a_light_that_is_switched_is_no_cut() -> None:
    dim = mixed(ONE, BLACK, 0.5)
    assert cuts([dim] * 10 + [ONE] * 10) == []


def test_a_fast_pan_is_no_cut_nor_is_one_with_every_other_frame_repeated() -> None:
    wide = np.hstack([scene(seed) for seed in range(10)])
    pan = [wide[:, 8 * step : 8 * step + 32] for step in range(30)]
    assert cuts(pan) == []
    assert cuts(image for image in pan for _ in range(2)) == []


def test_a_clip_of_one_frame_has_no_cut() -> None:
    assert cuts([ONE]) == []
