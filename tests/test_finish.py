"""The finish: the true rate by re-stamping, the sound beside it, and what else the file must hold."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import wave
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from media import labels
from media.finish import Finished, FinishError, Sound, check_sound, finish_video
from tests.flash_and_beep import Track, beep_times, exact, heard, write_sound_file
from tests.media import write_clip

ROOT = Path(__file__).resolve().parents[1]
BEEPS = (0.5, 1.25, 2.0)
BLUR = 0.003
"""Seconds by which lossy codecs and time stamps of a millisecond blur a beep."""

RATES = [
    Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50),
    Fraction(60), Fraction(16), Fraction(25, 2), Fraction(1), Fraction(60000, 1001), Fraction(164000, 6833),
    Fraction(240),
]  # fmt: skip

COPIED = {
    "aac.mp4": Track("aac"),
    "aac-5.1.mp4": Track("aac", "5.1"),
    "aac.mkv": Track("aac", "stereo"),
    "aac.ts": Track("aac"),
    "aac.aac": Track("aac"),
    "mp3.mp3": Track("libmp3lame"),
    "mp3.mp4": Track("libmp3lame", "stereo"),
    "mp3.mkv": Track("libmp3lame"),
    "ac3-5.1.mp4": Track("ac3", "5.1(side)"),
    "eac3.mkv": Track("eac3", "stereo"),
    "opus.opus": Track("libopus"),
    "opus.webm": Track("libopus", "stereo"),
    "opus.mp4": Track("libopus"),
    "alac.m4a": Track("alac"),
    "flac.flac": Track("flac", "stereo"),
    "flac.mkv": Track("flac"),
}
ENCODED = {
    "pcm.wav": Track("pcm_s16le", "stereo"),
    "pcm-5.1.wav": Track("pcm_s24le", "5.1"),
    "pcm.mov": Track("pcm_s16le"),
    "vorbis.webm": Track("vorbis", "stereo"),
    "vorbis.ogg": Track("vorbis", "stereo"),
    "wma.wma": Track("wmav2", bit_rate=128_000),
    "mp2.mkv": Track("mp2"),
}
FORMATS = {
    "mp4": "mp4", "m4a": "mp4", "mkv": "matroska", "ts": "mpegts", "aac": "adts", "mp3": "mp3", "opus": "ogg",
    "webm": "webm", "flac": "flac", "wav": "wav", "mov": "mov", "ogg": "ogg", "wma": "asf",
}  # fmt: skip


def quiet(_phase: str, _done: int, _total: int) -> None:
    pass


def finish(
    picture: Path, target: Path, rate: Fraction = Fraction(25), sound: Sound | None = None, xmp: bytes = b""
) -> Finished:
    return finish_video(picture, target, rate=rate, sound=sound, tags={}, xmp=xmp, report=quiet)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 frames as upstream writes them: 30 a second, B-frames, index at the end. 3 s at 25 a second."""
    path = tmp_path_factory.mktemp("picture") / "generated.mp4"
    return write_clip(
        path, frame_count=75, size=(96, 64), options={"preset": "superfast", "bf": "3", "g": "20"}
    )


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one file of each kind of sound, 4 s long."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, track in (COPIED | ENCODED).items():
        write_sound_file(folder / name, BEEPS, 4.0, track, FORMATS[name.rpartition(".")[2]])
    return folder


def payloads(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0] if kind == "video" else container.streams.audio[0]
        return [bytes(packet) for packet in container.demux(stream) if packet.size]


def top_level_boxes(path: Path) -> list[str]:
    data, position, kinds = path.read_bytes(), 0, []
    while position < len(data):
        size = int.from_bytes(data[position : position + 4])
        assert size >= 8
        kinds.append(data[position + 4 : position + 8].decode())
        position += size
    assert position == len(data)
    return kinds


# -------------------------------------------------------------------------------------------- picture


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_every_frame_is_shown_at_its_exact_time(tmp_path: Path, picture: Path, rate: Fraction) -> None:
    finished = finish(picture, tmp_path / "result.mp4", rate)
    assert finished == Finished(75, rate, "none", "", 75 / rate)
    with av.open(str(tmp_path / "result.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate == stream.guessed_rate
        assert stream.start_time == 0 and stream.frames == 75
        assert exact(stream.duration, stream.time_base) == 75 / rate
        times = [exact(frame.pts, frame.time_base) for frame in container.decode(stream)]
        assert container.duration == pytest.approx(float(75 / rate) * 1e6, abs=1)
    assert times == [number / rate for number in range(75)]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_opencv_reads_the_result(tmp_path: Path, picture: Path, rate: Fraction) -> None:
    finish(picture, tmp_path / "result.mp4", rate, xmp=labels.make_xmp(labels.source_type(replace=False)))
    capture = cv2.VideoCapture(str(tmp_path / "result.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(float(rate), rel=1e-12)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 75
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 75


@pytest.mark.parametrize("b_frames", [0, 1, 3, 8])
@pytest.mark.parametrize("frame_count", [1, 2, 3, 75])
def test_the_picture_is_copied_not_encoded(tmp_path: Path, b_frames: int, frame_count: int) -> None:
    source, target = tmp_path / "generated.mp4", tmp_path / "result.mp4"
    options = {"preset": "superfast", "bf": str(b_frames), "b-pyramid": "normal", "g": "20"}
    write_clip(source, frame_count=frame_count, size=(64, 64), options=options)
    finish(source, target, Fraction(24000, 1001))
    assert payloads(target, "video") == payloads(source, "video")
    with av.open(str(target)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        decoded = [exact(packet.dts, packet.time_base) for packet in packets]
        shown = [exact(packet.pts, packet.time_base) for packet in packets]
        assert {packet.duration for packet in packets} == {1001}
    assert decoded == sorted(set(decoded))
    assert all(early <= late for early, late in zip(decoded, shown, strict=True))
    assert sorted(shown) == [Fraction(1001 * number, 24000) for number in range(frame_count)]


@pytest.mark.parametrize("written_at", [Fraction(30), Fraction(24000, 1001), Fraction(25), Fraction(16)])
def test_the_rate_that_the_file_claims_does_not_matter(tmp_path: Path, written_at: Fraction) -> None:
    source, target = tmp_path / "generated.mp4", tmp_path / "result.mp4"
    write_clip(source, frame_count=20, rate=written_at, size=(64, 64))
    finish(source, target, Fraction(30000, 1001))
    with av.open(str(target)) as container:
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)


def test_the_index_is_in_front_and_the_label_at_the_end(tmp_path: Path, picture: Path) -> None:
    xmp = labels.make_xmp(labels.source_type(replace=True))
    finish(picture, tmp_path / "result.mp4", xmp=xmp)
    boxes = top_level_boxes(tmp_path / "result.mp4")
    assert boxes.index("moov") < boxes.index("mdat") and boxes[-1] == "uuid"
    assert labels.read_label(tmp_path / "result.mp4") == labels.source_type(replace=True)


def test_tags_are_kept(tmp_path: Path, picture: Path) -> None:
    tags = {"title": "Ein Titel – 你好", "comment": '{"seed": 42, "prompt": "a \\"b\\""}' * 50}
    finish_video(
        picture, tmp_path / "result.mp4", rate=Fraction(25), sound=None, tags=tags, xmp=b"", report=quiet
    )
    with av.open(str(tmp_path / "result.mp4")) as container:
        assert {name: container.metadata[name] for name in tags} == tags


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, picture: Path, sounds: Path) -> None:
    for sound in (sounds / "aac.mp4", sounds / "pcm.wav"):
        digests = set()
        for name in ("a.mp4", "b.mp4"):
            finish(picture, tmp_path / name, sound=Sound(sound), xmp=labels.make_xmp("x"))
            digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
        assert len(digests) == 1


def test_progress_is_told_and_can_cancel(tmp_path: Path, picture: Path) -> None:
    told: list[tuple[int, int]] = []
    finish_video(
        picture, tmp_path / "a.mp4", rate=Fraction(25), sound=None, tags={}, xmp=b"",
        report=lambda _phase, done, total: told.append((done, total)),
    )  # fmt: skip
    assert told[0] == (0, 75) and told[-1] == (75, 75)

    class Cancelled(BaseException):
        pass

    def cancel(_phase: str, done: int, _total: int) -> None:
        if done:
            raise Cancelled

    with pytest.raises(Cancelled):
        finish_video(
            picture, tmp_path / "b.mp4", rate=Fraction(25), sound=None, tags={}, xmp=b"", report=cancel
        )


# ---------------------------------------------------------------------------------------------- sound


def channels(path: Path) -> int:
    with av.open(str(path)) as container:
        return container.streams.audio[0].codec_context.layout.nb_channels


def sound_end(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        return exact(stream.start_time, stream.time_base) + exact(stream.duration, stream.time_base)


def as_played(path: Path) -> list[float]:
    """When a file beeps, counted from where a player starts it."""
    with av.open(str(path)) as container:
        begins = (container.start_time or 0) / av.time_base
    return [time - begins for time in beep_times(path)]


@pytest.mark.parametrize("name", COPIED)
def test_sound_is_copied_where_mp4_takes_it(tmp_path: Path, picture: Path, sounds: Path, name: str) -> None:
    target = tmp_path / "result.mp4"
    finished = finish(picture, target, sound=Sound(sounds / name))
    assert (finished.audio, finished.audio_codec) == ("copied", name.replace("-", ".").split(".")[0])
    original, copied = payloads(sounds / name, "audio"), payloads(target, "audio")
    if name not in ("aac.ts", "aac.aac"):  # there each packet has a header that MP4 has no use for
        assert copied == original[: len(copied)]
    assert len(copied) < len(original)
    assert channels(target) == channels(sounds / name)
    assert beep_times(target) == pytest.approx(as_played(sounds / name), abs=BLUR)
    assert len(beep_times(target)) == len(BEEPS)


@pytest.mark.parametrize("name", ENCODED)
def test_other_sound_is_encoded_as_aac(tmp_path: Path, picture: Path, sounds: Path, name: str) -> None:
    target = tmp_path / "result.mp4"
    finished = finish(picture, target, sound=Sound(sounds / name))
    assert (finished.audio, finished.audio_codec) == ("encoded", "aac")
    assert channels(target) == channels(sounds / name)
    assert beep_times(target) == pytest.approx(as_played(sounds / name), abs=BLUR)
    assert sound_end(target) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("name", [*COPIED, *ENCODED])
def test_sound_ends_with_the_picture(tmp_path: Path, picture: Path, sounds: Path, name: str) -> None:
    finish(picture, tmp_path / "result.mp4", sound=Sound(sounds / name))
    assert float(sound_end(tmp_path / "result.mp4")) == pytest.approx(3.0, abs=0.002)


@pytest.mark.parametrize("name", [*COPIED, *ENCODED])
@pytest.mark.parametrize("start", [Fraction(1, 7), Fraction(1), Fraction(5005, 4096)], ids=str)
def test_sound_begins_where_the_picture_does(
    tmp_path: Path, picture: Path, sounds: Path, name: str, start: Fraction
) -> None:
    expected = [beep - float(start) for beep in beep_times(sounds / name) if beep > start]
    finish(picture, tmp_path / "result.mp4", sound=Sound(sounds / name, start))
    assert beep_times(tmp_path / "result.mp4") == pytest.approx(expected, abs=BLUR)


@pytest.mark.parametrize("name", ["aac.mp4", "opus.webm", "mp3.mp3", "pcm.wav"])
def test_sound_that_begins_after_the_picture_is_late_in_the_result(
    tmp_path: Path, picture: Path, sounds: Path, name: str
) -> None:
    expected = [beep + 0.75 for beep in beep_times(sounds / name)]
    finish(picture, tmp_path / "result.mp4", sound=Sound(sounds / name, Fraction(-3, 4)))
    assert beep_times(tmp_path / "result.mp4") == pytest.approx(expected, abs=BLUR)


@pytest.mark.parametrize("name", ["aac.mp4", "flac.flac", "pcm.wav"])
def test_sound_may_be_shorter_than_the_picture(
    tmp_path: Path, picture: Path, sounds: Path, name: str
) -> None:
    finished = finish(picture, tmp_path / "result.mp4", Fraction(5), Sound(sounds / name))
    assert finished.seconds == 15
    assert beep_times(tmp_path / "result.mp4") == pytest.approx(as_played(sounds / name), abs=BLUR)
    assert float(sound_end(tmp_path / "result.mp4")) == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize("name", ["aac.mp4", "pcm.wav"])
@pytest.mark.parametrize("start", [Fraction(100), Fraction(-100)])
def test_no_track_is_written_when_no_sound_falls_within_the_picture(
    tmp_path: Path, picture: Path, sounds: Path, name: str, start: Fraction
) -> None:
    finished = finish(picture, tmp_path / "result.mp4", sound=Sound(sounds / name, start))
    assert (finished.audio, finished.audio_codec) == ("none", "")
    with av.open(str(tmp_path / "result.mp4")) as container:
        assert not container.streams.audio


def test_holes_in_sound_that_is_encoded_become_silence(tmp_path: Path, picture: Path) -> None:
    source = tmp_path / "holes.mkv"
    with av.open(str(source), "w", format="matroska") as out:
        stream = out.add_stream("pcm_s16le", rate=48000, layout="mono")
        for start in (0, 60_000, 96_000):  # half a second each
            tone = 0.5 * np.cos(np.arange(24_000) / 8, dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(
                np.round(tone[None] * 32767).astype(np.int16), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    finish(picture, tmp_path / "result.mp4", sound=Sound(source))
    samples, begins = heard(tmp_path / "result.mp4")
    assert begins == 0
    looks = range(4000, 114_000, 6000)
    loud = [bool(np.abs(samples[at : at + 2000]).max() > 0.1) for at in looks]
    inside = [any(s <= at and at + 2000 <= s + 24_000 for s in (0, 60_000, 96_000)) for at in looks]
    assert loud == inside


@pytest.mark.parametrize(
    ("rate", "kept"), [(192_000, 48_000), (44_100, 44_100), (11_025, 11_025), (37_800, 32_000)]
)
def test_sample_rates_are_kept_where_aac_knows_them(
    tmp_path: Path, picture: Path, rate: int, kept: int
) -> None:
    source = tmp_path / "sound.wav"
    with av.open(str(source), "w", format="wav") as out:
        stream = out.add_stream("pcm_s16le", rate=rate, layout="mono")
        tone = np.zeros((1, rate * 2), np.int16)
        tone[:, rate : rate + rate // 10 : 16] = 30000
        frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    finish(picture, tmp_path / "result.mp4", sound=Sound(source))
    with av.open(str(tmp_path / "result.mp4")) as container:
        assert container.streams.audio[0].codec_context.sample_rate == kept
    samples, _ = heard(tmp_path / "result.mp4")
    assert np.flatnonzero(np.abs(samples) > 0.01)[0] / 48_000 == pytest.approx(1.0, abs=0.02)


# ------------------------------------------------------------------------------------------- refusals


def test_a_file_without_sound_is_refused(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(FinishError, match="has no sound track"):
        check_sound(picture)
    with pytest.raises(FinishError, match="has no sound track"):
        finish(picture, tmp_path / "result.mp4", sound=Sound(picture))


@pytest.mark.parametrize("content", [None, b"", b"not sound at all" * 100])
def test_a_file_that_is_not_sound_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "sound.mp3"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FinishError, match=r"sound\.mp3"):
        check_sound(path)


def test_a_folder_is_not_sound(tmp_path: Path) -> None:
    with pytest.raises(FinishError, match="is not a file"):
        check_sound(tmp_path)


def test_a_sound_track_without_sound_is_refused(tmp_path: Path) -> None:
    write_sound_file(tmp_path / "empty.wav", (), 0.0, Track("pcm_s16le"))
    with pytest.raises(FinishError, match=r"empty\.wav"):
        check_sound(tmp_path / "empty.wav")


def test_more_channels_than_an_mp4_holds_are_refused(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "many.wav"), "wb") as file:
        file.setnchannels(9)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(bytes(9 * 2 * 4800))
    with pytest.raises(FinishError, match="9 channels"):
        check_sound(tmp_path / "many.wav")


@pytest.mark.parametrize("name", [*COPIED, *ENCODED])
def test_good_sound_is_not_refused(sounds: Path, name: str) -> None:
    check_sound(sounds / name)


def test_a_picture_that_is_not_whole_is_refused(tmp_path: Path, picture: Path) -> None:
    broken = tmp_path / "generated.mp4"
    for content in (b"", b"no video" * 100, picture.read_bytes()[:-2000]):
        broken.write_bytes(content)
        with pytest.raises(FinishError, match="generated video"):
            finish(broken, tmp_path / "result.mp4")


def test_a_picture_with_uneven_frames_is_refused(tmp_path: Path) -> None:
    uneven = tmp_path / "generated.mp4"
    with av.open(str(uneven), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30)
        stream.width = stream.height = 64
        for at in (0, 1, 2, 4, 5):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 30)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(FinishError, match="not evenly spaced"):
        finish(uneven, tmp_path / "result.mp4")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, picture: Path) -> None:
    with pytest.raises(FinishError, match=r"nowhere.*cannot be written"):
        finish(picture, tmp_path / "nowhere" / "result.mp4")


@pytest.mark.parametrize("rate", [Fraction(0), Fraction(-25), Fraction(2**40 + 1, 2**36)])
def test_an_impossible_rate_is_refused(tmp_path: Path, picture: Path, rate: Fraction) -> None:
    with pytest.raises(FinishError, match="cannot be written"):
        finish(picture, tmp_path / "result.mp4", rate)


def test_a_full_disk_is_said(tmp_path: Path, picture: Path) -> None:
    # In a process of its own: the limit is for all that a process writes, pytest's own output too.
    program = """
import resource, sys
from fractions import Fraction
from pathlib import Path
from media.finish import FinishError, finish_video
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
picture, target = map(Path, sys.argv[1:])
try:
    finish_video(picture, target, rate=Fraction(25), sound=None, tags={}, xmp=b"", report=lambda *_: None)
except FinishError as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(picture), str(tmp_path / "result.mp4")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "cannot be written" in done.stdout, done
