"""What a stage left is looked at: whole, not empty, black or frozen; as coded by upstream and by us."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engines import source_folder
from engines.verification import verify_generated, verify_source
from execution.step import StepFailed
from media.luminance import STEP, read_luminance
from preprocess import MediaError, probe_video, write_picture
from tests.media import numbered_frame, write_clip

Image = NDArray[np.uint8]
Paint = Callable[[int, int, int], Image]

SIZE = (160, 96)
FACE = (512, 512)
UPSTREAM = {"crf": "23", "preset": "medium"}
OURS = {"qp": "0", "preset": "superfast"}


def noise(number: int, width: int, height: int) -> Image:
    """A busy scene that differs from frame to frame."""
    return np.random.default_rng(number).integers(60, 256, (height, width, 3), dtype=np.uint8)


def box(number: int, width: int, height: int) -> tuple[slice, slice]:
    left = width // 8 + number
    return slice(height // 4, height), slice(left, left + width // 3)


def mask(number: int, width: int, height: int) -> Image:
    image = np.zeros((height, width, 3), np.uint8)
    image[box(number, width, height)] = 255
    return image


def background(number: int, width: int, height: int) -> Image:
    image = noise(number, width, height)
    image[box(number, width, height)] = 0
    return image


def flat(level: int) -> Paint:
    return lambda number, width, height: np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder as upstream's stage 1 leaves it in replace mode."""
    write_picture(tmp_path / source_folder.REFERENCE, numbered_frame(0, 64, 64))
    write_clip(tmp_path / source_folder.FACE, size=FACE, options=UPSTREAM)
    for name, paint in (("src_pose.mp4", numbered_frame), ("src_mask.mp4", mask), ("src_bg.mp4", background)):
        write_clip(tmp_path / name, options=UPSTREAM, frame=paint)
    return tmp_path


def refused(folder: Path, *, exact: bool = False, replace: bool = True) -> str:
    with pytest.raises(StepFailed) as failure:
        verify_source(folder, replace=replace, exact_background=exact)
    return str(failure.value)


# ------------------------------------------------------------------------------------------------- stage 1


def test_what_upstream_codes_passes(source):
    verify_source(source, replace=True, exact_background=False)


def test_what_we_code_passes_the_exact_look(source):
    write_clip(source / "src_mask.mp4", options=OURS, frame=mask)
    write_clip(source / "src_bg.mp4", options={"crf": "12", "preset": "superfast"}, frame=background)
    verify_source(source, replace=True, exact_background=True)


def test_a_mask_coded_with_loss_is_not_ours(source):
    write_clip(source / "src_mask.mp4", options={"crf": "40"}, frame=mask)
    assert "must be black and white only" in refused(source, exact=True)


def test_frames_without_anybody_are_fine(source):
    def sometimes(paint: Paint, empty: Paint) -> Paint:
        return lambda number, *size: (empty if number % 3 else paint)(number, *size)

    write_clip(source / "src_mask.mp4", options=UPSTREAM, frame=sometimes(mask, flat(0)))
    write_clip(source / "src_bg.mp4", options=UPSTREAM, frame=sometimes(background, noise))
    verify_source(source, replace=True, exact_background=False)


def test_a_mask_that_is_empty_throughout_is_refused(source):
    write_clip(source / "src_mask.mp4", options=UPSTREAM, frame=flat(0))
    said = refused(source)
    assert "src_mask.mp4 is empty in every frame" in said and "Use a driving video" in said


def test_a_mask_that_covers_everything_throughout_is_refused(source):
    write_clip(source / "src_mask.mp4", options=UPSTREAM, frame=flat(255))
    write_clip(source / "src_bg.mp4", options=UPSTREAM, frame=flat(0))
    said = refused(source)
    assert "covers the whole picture in every frame" in said and "--w_len" in said


@pytest.mark.parametrize("exact", [False, True])
def test_a_background_that_is_not_black_under_the_mask_is_refused(source, exact):
    write_clip(source / "src_mask.mp4", options=OURS, frame=mask)
    write_clip(source / "src_bg.mp4", options=UPSTREAM, frame=noise)
    said = refused(source, exact=exact)
    assert "src_bg.mp4 is not black where src_mask.mp4 is: frame 0" in said and "stage 1 again" in said


def test_one_bad_frame_is_found_and_named(source):
    def slipped(number: int, width: int, height: int) -> Image:
        return (noise if number == 7 else background)(number, width, height)

    write_clip(source / "src_bg.mp4", options=UPSTREAM, frame=slipped)
    assert "frame 7" in refused(source)


def test_a_background_out_of_step_with_its_mask_is_found(source):
    write_clip(
        source / "src_bg.mp4", options=UPSTREAM, frame=lambda number, *size: background(number + 12, *size)
    )
    assert "out of step" in refused(source)


def test_a_dim_person_under_the_mask_is_found(source):
    def dim(number: int, width: int, height: int) -> Image:
        image = background(number, width, height)
        image[box(number, width, height)] = 14
        return image

    write_clip(source / "src_bg.mp4", options=UPSTREAM, frame=dim)
    assert "on average" in refused(source)


@pytest.mark.parametrize(
    ("name", "frame_count", "size", "words"),
    [
        ("src_face.mp4", 9, FACE, "src_face.mp4 has 9 frames and src_pose.mp4 has 12"),
        ("src_mask.mp4", 11, SIZE, "src_mask.mp4 has 11 frames"),
        ("src_face.mp4", 12, SIZE, "src_face.mp4 is 160x96; it must be 512x512"),
        ("src_mask.mp4", 12, (96, 160), "src_mask.mp4 is 96x160; it must be 160x96"),
        ("src_bg.mp4", 12, (96, 160), "src_bg.mp4 is 96x160"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(source, name, frame_count, size, words):
    write_clip(source / name, frame_count=frame_count, size=size)
    said = refused(source)
    assert words in said and "Run stage 1 again" in said


@pytest.mark.parametrize("name", ["src_ref.png", "src_face.mp4", "src_pose.mp4"])
@pytest.mark.parametrize("replace", [False, True])
def test_a_missing_file_is_refused_in_both_modes(source, name, replace):
    (source / name).unlink()
    assert f"{name} does not exist" in refused(source, replace=replace)


@pytest.mark.parametrize("name", ["src_bg.mp4", "src_mask.mp4"])
def test_mask_and_background_are_asked_for_in_replace_mode_only(source, name):
    (source / name).unlink()
    verify_source(source, replace=False, exact_background=False)
    assert f"{name} does not exist" in refused(source)


def damage(path: Path, frame: Paint) -> None:
    """Write a clip and ruin the coded data of its middle; its index and its length stay as they were."""
    write_clip(path, options=OURS, frame=frame)
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov", start)
    third = (end - start) // 3
    data[start + third : start + 2 * third] = np.random.default_rng(1).bytes(third)
    path.write_bytes(data)


@pytest.mark.parametrize(("name", "frame"), [("src_pose.mp4", noise), ("src_bg.mp4", background)])
def test_damage_in_the_middle_of_a_file_is_found(source, name, frame):
    damage(source / name, frame)
    assert probe_video(source / name).frame_count == 12, "what is not decoded looks whole"
    assert f"{name} is damaged" in refused(source)


# ------------------------------------------------------------------------------------------------- stage 2


@pytest.fixture
def pose(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "src_pose.mp4", options=UPSTREAM)


def judged(folder: Path) -> str:
    with pytest.raises(StepFailed) as failure:
        verify_generated(folder, name="made.mp4", pose=folder / "src_pose.mp4")
    return str(failure.value)


def test_a_moving_result_passes(tmp_path, pose):
    write_clip(tmp_path / "made.mp4", frame=noise)
    verify_generated(tmp_path, name="made.mp4", pose=pose)


@pytest.mark.parametrize(
    ("frame_count", "size", "words"),
    [
        (9, SIZE, "made.mp4 has 9 frames; 12 were expected"),
        (13, SIZE, "made.mp4 has 13 frames; 12 were expected"),
        (12, (96, 160), "made.mp4 is 96x160; 160x96 was expected"),
    ],
)
def test_a_result_of_another_length_or_size_is_refused(tmp_path, pose, frame_count, size, words):
    write_clip(tmp_path / "made.mp4", frame_count=frame_count, size=size)
    said = judged(tmp_path)
    assert words in said and "again" in said


@pytest.mark.parametrize("level", [0, 10])
def test_a_black_result_is_refused(tmp_path, pose, level):
    write_clip(tmp_path / "made.mp4", options=UPSTREAM, frame=flat(level))
    said = judged(tmp_path)
    assert "is black from its first frame to its last" in said and "weights" in said


def test_a_result_that_turns_black_after_its_first_window_is_refused(tmp_path, pose):
    write_clip(
        tmp_path / "made.mp4", frame=lambda number, *size: (noise if number < 4 else flat(0))(number, *size)
    )
    assert "is mostly black (8 of 12 frames)" in judged(tmp_path)


def test_a_result_that_fades_out_passes(tmp_path, pose):
    write_clip(
        tmp_path / "made.mp4", frame=lambda number, *size: (noise if number < 8 else flat(0))(number, *size)
    )
    verify_generated(tmp_path, name="made.mp4", pose=pose)


def test_a_dark_scene_is_not_black(tmp_path, pose):
    def night(number: int, width: int, height: int) -> Image:
        image = np.full((height, width, 3), 6, np.uint8)
        image[40:52, 20 + number : 32 + number] = 90
        return image

    write_clip(tmp_path / "made.mp4", options=UPSTREAM, frame=night)
    verify_generated(tmp_path, name="made.mp4", pose=pose)


@pytest.mark.parametrize("options", [{"crf": "10"}, UPSTREAM], ids=["upstream's quality", "worse"])
def test_a_frozen_result_is_refused_when_the_pose_moves(tmp_path, pose, options):
    write_clip(tmp_path / "made.mp4", options=options, frame=lambda number, *size: noise(0, *size))
    assert "is one frozen picture, though src_pose.mp4 moves" in judged(tmp_path)


def test_a_still_driving_video_may_give_a_still_result(tmp_path):
    write_clip(tmp_path / "src_pose.mp4", frame=lambda number, *size: numbered_frame(0, *size))
    write_clip(tmp_path / "made.mp4", frame=lambda number, *size: noise(0, *size))
    verify_generated(tmp_path, name="made.mp4", pose=tmp_path / "src_pose.mp4")


def test_a_single_frame_cannot_be_frozen(tmp_path):
    write_clip(tmp_path / "src_pose.mp4", frame_count=1)
    write_clip(tmp_path / "made.mp4", frame_count=1)
    verify_generated(tmp_path, name="made.mp4", pose=tmp_path / "src_pose.mp4")


def test_little_motion_is_motion(tmp_path, pose):
    def blink(number: int, width: int, height: int) -> Image:
        image = noise(0, width, height)
        image[40:56, 40:56] = 0 if number == 6 else 255
        return image

    write_clip(tmp_path / "made.mp4", options={"crf": "10"}, frame=blink)
    verify_generated(tmp_path, name="made.mp4", pose=pose)


def test_a_result_that_does_not_decode_to_its_end_is_refused(tmp_path, pose):
    damage(tmp_path / "made.mp4", noise)
    assert "made.mp4 is damaged" in judged(tmp_path)
    (tmp_path / "made.mp4").write_bytes(pose.read_bytes()[:-700])
    assert "made.mp4" in judged(tmp_path)
    (tmp_path / "made.mp4").unlink()
    assert "does not exist" in judged(tmp_path)


# ----------------------------------------------------------------------------------------------- brightness


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [("libx264", "yuv420p"), ("libx264", "yuvj420p"), ("libx264", "yuv444p10le"), ("libx264rgb", "rgb24")],
)
def test_brightness_is_the_same_in_every_pixel_format(tmp_path, codec, pixels):
    import av

    levels = (0, 60, 128, 255)
    path = tmp_path / "grey.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"qp": "0"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 66, 50, pixels
        for level in levels:
            picture = av.VideoFrame.from_ndarray(np.full((50, 66, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    seen = list(read_luminance(path))
    assert [frame.shape for frame in seen] == [(-(-50 // STEP), -(-66 // STEP))] * 4
    for level, frame in zip(levels, seen, strict=True):
        assert np.abs(frame.astype(int) - level).max() <= 2


def test_what_is_no_video_is_a_media_error(tmp_path):
    (tmp_path / "text.mp4").write_text("neither a video nor a picture")
    with pytest.raises(MediaError, match="does not decode"):
        list(read_luminance(tmp_path / "text.mp4"))
