"""Sound and picture stay together: flash-and-beep clips through everything that the pipeline does to them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import preprocess
from media.finish import Finished, Sound, finish_video
from media.normalise import normalised_rate, write_normalised
from tests.flash_and_beep import (
    Track,
    beep_times,
    constant_times,
    flash_times,
    varying_times,
    write_flash_and_beep,
)

RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(50),
    Fraction(60),
]
SHORT, LONG = 20, 300
HEARING = 0.004
"""Seconds by which a lossy codec blurs the beginning of a beep."""


def generate(source: Path, target: Path, fps: int) -> Fraction:
    """What both stages do to time: sample frames by number, write them at 30 a second. The true rate."""
    info = preprocess.probe_video(source)
    indices = preprocess.sample_indices(info.frame_count, float(info.rate), fps)
    with av.open(str(target), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "superfast", "bf": "3"})
        stream.codec_context.thread_count = 1
        stream.width, stream.height, stream.pix_fmt = info.width, info.height, "yuv420p"
        for number, frame in enumerate(picked_frames(source, indices)):
            frame.pts, frame.time_base, frame.pict_type = number, Fraction(1, 30), 0
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return info.rate if fps == preprocess.SOURCE_FPS else Fraction(fps)


def picked_frames(source: Path, indices: Sequence[int]) -> Iterator[av.VideoFrame]:
    """The frames with those numbers, in order of display; a number may come twice."""
    with av.open(str(source)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        wanted = iter(indices)
        number = next(wanted, None)
        for position, frame in enumerate(container.decode(video=0)):
            while number == position:
                yield frame
                number = next(wanted, None)


def finish(picture: Path, target: Path, rate: Fraction, sound: Sound | None) -> Finished:
    return finish_video(
        picture, target, rate=rate, sound=sound, tags={}, xmp=b"", report=lambda phase, done, total: None
    )


def through_the_pipeline(
    folder: Path, source: Path, fps: int, *, clean: Path | None = None
) -> tuple[Path, Fraction]:
    generated, result = folder / "generated.mp4", folder / "result.mp4"
    rate = generate(clean or source, generated, fps)
    finish(generated, result, rate, Sound(source, preprocess.probe_video(source).start))
    return result, rate


def apart(result: Path, count: int) -> list[float]:
    """Seconds from each flash to its beep; every one of them must be there."""
    flashes, beeps = flash_times(result), beep_times(result)
    assert len(flashes) == len(beeps) == count
    return [beep - flash for flash, beep in zip(flashes, beeps, strict=True)]


def assert_together(result: Path, rate: Fraction, count: int) -> None:
    assert count >= 15
    assert max(np.abs(apart(result, count))) <= float(1 / rate) + HEARING
    with av.open(str(result)) as container:
        assert container.streams.video[0].average_rate == rate


def constant_rate_case(folder: Path, seconds: float, rate: Fraction, fps: int) -> None:
    source = folder / "source.mp4"
    beeps = write_flash_and_beep(source, constant_times(seconds, rate), rate=rate, sound=Track())
    result, true_rate = through_the_pipeline(folder, source, fps)
    assert true_rate == (rate if fps == preprocess.SOURCE_FPS else fps)
    assert_together(result, true_rate, len(beeps))


@pytest.mark.parametrize("fps", [30, preprocess.SOURCE_FPS])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_sound_and_picture_stay_within_one_frame(tmp_path: Path, rate: Fraction, fps: int) -> None:
    constant_rate_case(tmp_path, SHORT, rate, fps)


@pytest.mark.long
@pytest.mark.parametrize("fps", [30, preprocess.SOURCE_FPS])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_sound_and_picture_stay_within_one_frame_for_five_minutes(
    tmp_path: Path, rate: Fraction, fps: int
) -> None:
    constant_rate_case(tmp_path, LONG, rate, fps)


def variable_rate_case(folder: Path, seconds: float, fps: int) -> None:
    """A phone's clip: the clean copy stands in for it before upstream, the sound is the clip's own."""
    source, copy = folder / "source.mp4", folder / "driving_video.mp4"
    beeps = write_flash_and_beep(source, varying_times(seconds), sound=Track())
    rate = normalised_rate(preprocess.probe_video(source), fps)
    write_normalised(source, copy, rate=rate, frame_limit=None, report=lambda phase, done, total: None)
    result, true_rate = through_the_pipeline(folder, source, fps, clean=copy)
    assert_together(result, true_rate, len(beeps))


@pytest.mark.parametrize("fps", [30, preprocess.SOURCE_FPS])
def test_sound_and_picture_of_a_variable_rate_stay_within_one_frame(tmp_path: Path, fps: int) -> None:
    variable_rate_case(tmp_path, SHORT, fps)


@pytest.mark.long
@pytest.mark.parametrize("fps", [30, preprocess.SOURCE_FPS])
def test_sound_and_picture_of_a_variable_rate_stay_within_one_frame_for_five_minutes(
    tmp_path: Path, fps: int
) -> None:
    variable_rate_case(tmp_path, LONG, fps)


def test_the_instruments_notice_a_wrong_rate(tmp_path: Path) -> None:
    rate = Fraction(24000, 1001)
    source, generated, result = tmp_path / "source.mp4", tmp_path / "generated.mp4", tmp_path / "result.mp4"
    beeps = write_flash_and_beep(source, constant_times(70, rate), rate=rate, every=4, sound=Track())
    generate(source, generated, preprocess.SOURCE_FPS)
    finish(generated, result, Fraction(24), Sound(source, Fraction(0)))
    assert max(np.abs(apart(result, len(beeps)))) > 1 / 24 + HEARING


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_a_picture_that_begins_late_stays_with_its_sound(
    tmp_path: Path, container: str, b_frames: int
) -> None:
    rate, source = Fraction(25), tmp_path / "source"
    late = Fraction(4, 5)
    beeps = write_flash_and_beep(
        source, constant_times(18, rate), rate=rate, sound=Track(), b_frames=b_frames,
        video_start=late, container=container,
    )  # fmt: skip
    start = preprocess.probe_video(source).start
    assert start >= late
    result, true_rate = through_the_pipeline(tmp_path, source, preprocess.SOURCE_FPS)
    assert_together(result, true_rate, len(beeps))


@pytest.mark.parametrize("container", ["mp4", "matroska"])
def test_a_sound_that_begins_late_stays_with_its_picture(tmp_path: Path, container: str) -> None:
    rate, source = Fraction(25), tmp_path / "source"
    beeps = write_flash_and_beep(
        source, constant_times(18, rate), rate=rate, sound=Track(start=1.0), container=container
    )
    result, _ = through_the_pipeline(tmp_path, source, preprocess.SOURCE_FPS)
    flashes, heard = flash_times(result), beep_times(result)
    assert len(flashes) == len(beeps) and len(heard) == len(beeps) - 1  # the first beep is not in the file
    assert max(np.abs(np.subtract(heard, flashes[1:]))) <= float(1 / rate) + HEARING
