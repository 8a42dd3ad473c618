"""A finished mask from any tool: brought to the canvas, cut at one half, counted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import preprocess
from masks.errors import MaskError
from masks.mask_video import check_mask_video, read_mask_video
from preprocess import Image, MediaError, VideoWriter
from tests.media import write_clip

FRAMES = 5


def write(path: Path, width: int, height: int, paint: Callable[[int], Image], frames: int = FRAMES) -> Path:
    with VideoWriter(path, width, height, Fraction(25), lossless=True, pixel_format="yuv444p") as writer:
        for number in range(frames):
            writer.write(paint(number))
    return path


def half(number: int, width: int = 64, height: int = 48) -> Image:
    """The left half is set, and a column more in each frame."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[:, : width // 2 + number] = 255
    return frame


def test_a_mask_of_the_canvass_size_comes_as_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.mp4", 64, 48, half)
    masks = list(read_mask_video(path, 64, 48, FRAMES))
    assert len(masks) == FRAMES
    for number, mask in enumerate(masks):
        assert mask.dtype == np.uint8 and np.array_equal(mask * 255, half(number)[..., 0])


@pytest.mark.parametrize("size", [(128, 96), (32, 24), (80, 60), (1280, 960)])
def test_another_size_is_matched_by_the_nearest_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    path = write(tmp_path / "mask.mp4", 64, 48, half)
    for number, mask in enumerate(read_mask_video(path, width, height, FRAMES)):
        columns = [min(63, int((column + 0.5) * 64 / width)) for column in range(width)]
        expected = half(number)[0, columns, 0] // 255
        assert mask.shape == (height, width) and (mask == expected).all()


def test_it_is_cut_at_one_half_of_the_brightness(tmp_path: Path) -> None:
    def paint(number: int) -> Image:
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[:16], frame[16:32] = 100, 160
        frame[32:, :, (0, 2)[number % 2]] = 255
        return frame

    path = write(tmp_path / "mask.mp4", 64, 48, paint)
    for mask in read_mask_video(path, 64, 48, FRAMES):
        assert not mask[:16].any() and mask[16:32].all()
        assert not mask[32:].any(), "a pure colour is less than half bright"


def refused(path: Path, width: int = 64, height: int = 48) -> MaskError:
    with pytest.raises(MaskError) as caught:
        check_mask_video(path, width, height, FRAMES)
    with pytest.raises(MaskError):
        read_mask_video(path, width, height, FRAMES)
    assert caught.value.remedy
    return caught.value


@pytest.mark.parametrize("frames", [1, FRAMES - 1, FRAMES + 1])
def test_another_length_is_refused_with_both_counts(tmp_path: Path, frames: int) -> None:
    error = refused(write(tmp_path / "mask.mp4", 64, 48, half, frames))
    assert error.code == "mask.video-length"
    assert f"{frames} frames" in error.what and f"has {FRAMES}" in error.what


def test_another_shape_is_refused_but_rounding_is_not(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.mp4", 64, 48, half)
    assert refused(path, 48, 64).code == "mask.video-shape"
    assert refused(path, 64, 128).code == "mask.video-shape"
    check_mask_video(path, 64, 46, FRAMES)


@pytest.mark.parametrize("content", [b"", b"no video", b"\x89PNG\r\n\x1a\n" + bytes(64)])
def test_what_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mask.mp4"
    path.write_bytes(content)
    for each in (path, tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(MediaError):
            check_mask_video(each, 64, 48, FRAMES)


@pytest.mark.parametrize("canvas", [(832, 464), (464, 832)])
def test_a_mask_of_the_driving_videos_shape_is_placed_as_its_frames_are(
    tmp_path: Path, canvas: tuple[int, int]
) -> None:
    """The canvas of 960x540 at 832*480 pixels is 832x464: the frames leave 4 columns black at each side."""
    width, height = (960, 540) if canvas[0] > canvas[1] else (540, 960)
    block = np.zeros((height, width, 3), np.uint8)
    block[:, : width // 2] = 255
    path = write(tmp_path / "mask.mp4", width, height, lambda number: block)
    placed = preprocess.fit_to_canvas(np.full((height, width, 3), 255, np.uint8), *canvas)[..., 0] > 0
    assert 0 < (~placed).mean() < 0.02
    expected = (preprocess.fit_to_canvas(block, *canvas)[..., 0] >= 128).astype(np.uint8)
    for mask in read_mask_video(path, *canvas, FRAMES):
        assert not mask[~placed].any()
        assert (mask != expected).mean() < 0.002, "but for the rounding of one column"


def test_a_transparent_video_is_read_by_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "mask.mov"

    def paint(number: int, width: int, height: int) -> Image:
        frame = np.full((height, width, 4), 255, np.uint8)
        frame[:, : width // 2, :3] = 0
        frame[: height // 2, :, 3] = 0
        return frame

    write_clip(path, frame_count=FRAMES, size=(64, 48), codec="qtrle", frame=paint, pixel_format="argb")
    for mask in read_mask_video(path, 64, 48, FRAMES):
        assert not mask[:, :32].any() and mask[:, 32:].all()


def test_a_picture_is_no_mask_video(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    preprocess.write_picture(path, half(0))
    with pytest.raises(MediaError, match="picture, not a video"):
        check_mask_video(path, 64, 48, 1)


def test_a_mask_video_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mask.mp4", 64, 48, half, 60)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises((MediaError, MaskError)):
        list(read_mask_video(path, 64, 48, 60))
