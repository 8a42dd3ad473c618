"""Driving video, pose and result in one picture."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import preprocess
from media import labels
from media.finish import FinishError, Sound, finish_video
from media.side_by_side import write_side_by_side
from preprocess import Image
from tests.flash_and_beep import Track, beep_times, write_sound_file
from tests.media import write_clip

RATE = Fraction(24000, 1001)
COUNT = 36


def grey(level: int, width: int, height: int, count: int = COUNT) -> Iterator[Image]:
    """Frames whose brightness grows with their number."""
    for number in range(count):
        yield np.full((height, width, 3), level + number, np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pose video and a finished result with sound and label, 96x64."""
    folder = tmp_path_factory.mktemp("clips")
    for name, level in (("pose.mp4", 100), ("generated.mp4", 180)):
        with preprocess.VideoWriter(folder / name, 96, 64, Fraction(30)) as writer:
            for frame in grey(level, 96, 64):
                writer.write(frame)
    sound = write_sound_file(folder / "sound.m4a", (0.4, 1.1), 3.0, Track(), "mp4")
    finish_video(
        folder / "generated.mp4", folder / "result.mp4", rate=RATE, sound=Sound(sound), tags={},
        xmp=labels.make_xmp(labels.source_type(replace=True)), report=lambda phase, done, total: None,
    )  # fmt: skip
    return folder


def test_each_picture_is_in_its_place_in_every_frame(tmp_path: Path, folder: Path) -> None:
    target = tmp_path / "side.mp4"
    written = write_side_by_side(
        grey(20, 192, 128), folder / "pose.mp4", folder / "result.mp4", target, rate=RATE
    )
    info = preprocess.probe_video(target)
    assert (info.width, info.height) == (3 * 96 + 8, 64)
    assert (info.frame_count, info.rate) == (COUNT, RATE) == (written.frame_count, written.rate)
    for number, frame in enumerate(preprocess.read_frames(target)):
        centres = [int(frame[32, x].mean()) for x in (48, 148, 248)]
        assert centres == pytest.approx([20 + number, 100 + number, 180 + number], abs=4)
    assert list(tmp_path.iterdir()) == [target]


def test_sound_and_label_of_the_result_are_kept(tmp_path: Path, folder: Path) -> None:
    target = tmp_path / "side.mp4"
    written = write_side_by_side(
        grey(20, 96, 64), folder / "pose.mp4", folder / "result.mp4", target, rate=RATE
    )
    assert written.audio == "copied"
    assert beep_times(target) == pytest.approx(beep_times(folder / "result.mp4"), abs=0.001)
    assert labels.read_label(target) == labels.source_type(replace=True)


def test_a_silent_result_gives_a_silent_video(tmp_path: Path, folder: Path) -> None:
    written = write_side_by_side(
        grey(20, 96, 64), folder / "pose.mp4", folder / "generated.mp4", tmp_path / "side.mp4", rate=RATE
    )
    assert written.audio == "none" and labels.read_label(tmp_path / "side.mp4") is None


@pytest.mark.parametrize(("width", "height"), [(64, 96), (1, 200), (111, 37), (200, 33)])
def test_a_driving_video_of_any_shape_gets_the_height_of_the_result(
    tmp_path: Path, folder: Path, width: int, height: int
) -> None:
    target = tmp_path / "side.mp4"
    write_side_by_side(grey(20, width, height), folder / "pose.mp4", folder / "result.mp4", target, rate=RATE)
    info = preprocess.probe_video(target)
    shown = info.width - 2 * 96 - 8
    assert info.height == 64 and shown == pytest.approx(max(2, width * 64 / height), abs=1)


def test_a_driving_video_turned_upright_is_shown_upright(tmp_path: Path, folder: Path) -> None:
    turned = write_clip(tmp_path / "turned.mp4", frame_count=COUNT, size=(128, 96), rotation=90)
    target = tmp_path / "side.mp4"
    write_side_by_side(
        preprocess.read_frames(turned), folder / "pose.mp4", folder / "result.mp4", target, rate=RATE
    )
    assert preprocess.probe_video(target).width == 48 + 2 * 96 + 8


@pytest.mark.parametrize("count", [0, COUNT - 1, COUNT + 1])
def test_a_driving_video_of_another_length_is_refused(tmp_path: Path, folder: Path, count: int) -> None:
    with pytest.raises(FinishError, match=r"ends at frame|go on"):
        write_side_by_side(
            grey(20, 96, 64, count), folder / "pose.mp4", folder / "result.mp4", tmp_path / "s.mp4", rate=RATE
        )
    assert not (tmp_path / "s.silent.mp4").exists()


def test_progress_is_told(tmp_path: Path, folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    write_side_by_side(
        grey(20, 96, 64), folder / "pose.mp4", folder / "result.mp4", tmp_path / "side.mp4", rate=RATE,
        report=lambda phase, done, total: told.append((phase, done, total)),
    )  # fmt: skip
    assert [done for phase, done, _ in told if phase == "put side by side"] == [10, 20, 30]
    assert told[-1][1:] == (COUNT, COUNT)
