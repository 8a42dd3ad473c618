"""Clips that flash and beep at the same moments, and instruments that read both times off a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

SIDE = 64
SAMPLE_RATE = 48000
FLASH = 0.15
"""Seconds that a flash lasts: several frames at any rate."""
_CHUNK = 1152


@dataclass(frozen=True)
class Track:
    """How the sound of a clip is written."""

    codec: str = "aac"
    layout: str = "mono"
    start: float = 0.0
    """Seconds by which the sound begins later than the file."""
    bit_rate: int | None = None


def constant_times(seconds: float, rate: Fraction) -> list[Fraction]:
    """When each frame of a clip at a constant rate is shown."""
    return [number / rate for number in range(int(seconds * rate))]


def varying_times(seconds: float, seed: int = 7) -> list[Fraction]:
    """When each frame of a clip at a variable rate is shown, in milliseconds as phones count them."""
    random = np.random.default_rng(seed)
    times, now = [], 0
    while now < seconds * 1000:
        times.append(Fraction(now, 1000))
        now += int(random.choice([16, 17, 33, 34, 41, 66]))
    return times


def flash_numbers(times: Sequence[Fraction], every: float) -> list[int]:
    """The frames with which a flash begins: the first one after each multiple of ``every``, and a bit."""
    moments = np.arange(0.37, float(times[-1]) - 2 * FLASH, every)
    return [int(number) for number in np.searchsorted([float(time) for time in times], moments)]


def write_flash_and_beep(
    path: Path,
    times: Sequence[Fraction],
    *,
    rate: Fraction = Fraction(30),
    every: float = 1.0,
    sound: Track | None = None,
    sound_seconds: float | None = None,
    b_frames: int = 2,
    video_start: Fraction = Fraction(0),
    container: str | None = None,
) -> list[float]:
    """Write a clip whose frames are shown at ``video_start + times``; the seconds at which it beeps.

    Each flash begins with a frame; each beep begins at exactly that frame's time. ``sound_seconds`` makes the
    sound longer or shorter than the picture.
    """
    flashes = flash_numbers(times, every)
    white = {
        number
        for first in flashes
        for number in range(first, len(times))
        if times[number] < times[first] + Fraction(FLASH)
    }
    length = float(times[-1]) + 0.05 if sound_seconds is None else sound_seconds
    beeps = [float(video_start + times[number]) for number in flashes]
    shift = {"output_ts_offset": "1.4"} if container == "mpegts" else {}  # as broadcasters' encoders do
    with av.open(str(path), "w", format=container, options=shift) as out:
        options = {"preset": "superfast", "bf": str(b_frames), "g": "48"}
        video = out.add_stream("libx264", rate=rate, options=options)
        video.width = video.height = SIDE
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = ticks = _time_base(times)
        video.codec_context.thread_count = 1
        packets = []
        if sound:
            audio = _add_sound(out, sound)
            packets += list(encoded_beeps(audio, beeps, float(video_start) + length, sound))
        for number, time in enumerate(times):
            image = np.full((SIDE, SIDE, 3), 240 if number in white else 10, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.time_base, frame.pts = ticks, round((video_start + time) / ticks)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet in sorted(packets, key=lambda packet: exact(packet.dts, packet.time_base)):
            out.mux(packet)
    return beeps


def write_sound_file(
    path: Path, beeps: Sequence[float], seconds: float, sound: Track, container: str | None = None
) -> Path:
    """A file with sound alone that beeps at those seconds."""
    with av.open(str(path), "w", format=container) as out:
        for packet in encoded_beeps(_add_sound(out, sound), beeps, seconds, sound):
            out.mux(packet)
    return path


def beeping(beeps: Iterable[float], seconds: float) -> NDArray[np.float32]:
    """Samples, one channel, of tones of 60 ms."""
    samples = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
    tone = 0.8 * np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE * 6 // 100) / SAMPLE_RATE + np.pi / 2)
    for beep in beeps:
        at = round(beep * SAMPLE_RATE)
        piece = samples[at : at + len(tone)]
        piece[:] = tone[: len(piece)]
    return samples


def encoded_beeps(
    stream: av.AudioStream, beeps: Iterable[float], seconds: float, sound: Track
) -> Iterator[av.Packet[av.AudioStream]]:
    samples = beeping(beeps, seconds)
    channels = stream.codec_context.layout.nb_channels
    first = round(sound.start * SAMPLE_RATE)
    for start in range(first, len(samples), _CHUNK):
        piece = np.tile(samples[start : start + _CHUNK], (channels, 1))
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=sound.layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, start, Fraction(1, SAMPLE_RATE)
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _add_sound(out: av.container.OutputContainer, sound: Track) -> av.AudioStream:
    options = {"strict": "experimental"} if sound.codec == "vorbis" else {}
    stream = out.add_stream(sound.codec, rate=SAMPLE_RATE, layout=sound.layout, options=options)
    assert isinstance(stream, av.AudioStream)
    if sound.bit_rate:
        stream.bit_rate = sound.bit_rate
    return stream


def _time_base(times: Sequence[Fraction]) -> Fraction:
    return Fraction(1, int(np.lcm.reduce([time.denominator for time in times[:200]])))


# ----------------------------------------------------------------------------------------- instruments


def exact(ticks: int | None, time_base: Fraction | None) -> Fraction:
    """A time stamp in seconds; it must be there."""
    assert ticks is not None and time_base is not None
    return ticks * time_base


def flash_times(path: Path) -> list[float]:
    """The seconds at which the picture turns white."""
    times, dark = [], True
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            bright = np.frombuffer(bytes(frame.planes[0]), np.uint8)[:SIDE].mean() > 128
            if bright and dark:
                times.append(float(exact(frame.pts, frame.time_base)))
            dark = not bright
    return times


def beep_times(path: Path) -> list[float]:
    """The seconds at which sound sets in, as a player hears it: encoder delay and edit lists are applied."""
    samples, start = heard(path)
    loud = np.abs(samples) > 0.3
    quiet_for = SAMPLE_RATE // 20
    onsets = np.flatnonzero(loud)
    first = np.ones(len(onsets), bool)
    first[1:] = np.diff(onsets) > quiet_for
    return [start + float(onset) / SAMPLE_RATE for onset in onsets[first]]


def heard(path: Path) -> tuple[NDArray[np.float32], float]:
    """The first channel's samples at 48 kHz, each where its time stamp says, and the first one's second."""
    pieces: list[tuple[float, NDArray[np.float32]]] = []
    expected = 0.0
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", rate=SAMPLE_RATE)
        for frame in container.decode(audio=0):
            for part in resampler.resample(frame):
                at = expected if part.pts is None else float(exact(part.pts, part.time_base))
                pieces.append((at, part.to_ndarray()[0]))
                expected = at + part.samples / SAMPLE_RATE
    start = pieces[0][0]
    end = max(at + len(piece) / SAMPLE_RATE for at, piece in pieces)
    samples = np.zeros(round((end - start) * SAMPLE_RATE) + 1, np.float32)
    for at, piece in pieces:
        first = round((at - start) * SAMPLE_RATE)
        room = samples[first : first + len(piece)]
        room[:] = piece[: len(room)]
    return samples, start
