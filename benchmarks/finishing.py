"""The finish (true rate, sound, tags, label, index in front) against a plain copy of the same two streams."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import preprocess
from benchmarks.row import Row
from media import labels
from media.finish import Sound, finish_video

WIDTH, HEIGHT = 1280, 720
RATE = Fraction(24000, 1001)
PIECE, PIECES = 120, 24
"""Frames that are encoded, and how often they stand one after the other: two minutes at 24 a second."""
ROUNDS = 5
GRAIN = 2
"""Levels; a second then takes about 17 megabits, somewhat more than most of upstream's results."""


def rows() -> Iterator[Row]:
    """Two minutes of 1280x720 with stereo sound, five rounds by turns; the file is in the system's cache."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture, sound = folder / "generated.mp4", folder / "sound.m4a"
        write_picture(picture)
        write_sound(sound, PIECE * PIECES / float(RATE))
        pairs = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            plain_copy(picture, sound, folder / "copy.mp4")
            copied = time.perf_counter() - began
            began = time.perf_counter()
            finish_video(
                picture, folder / "result.mp4", rate=RATE, sound=Sound(sound), tags={"title": "a result"},
                xmp=labels.make_xmp(labels.source_type(replace=False)), report=lambda *_: None,
            )  # fmt: skip
            pairs.append((copied, time.perf_counter() - began))
        copied, finished = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        megabytes = picture.stat().st_size / 1e6
    ratio = finished / copied
    text = f"{ratio:.2f}x ({finished:.2f} s for {megabytes:.0f} MB)"
    yield Row("finish of two minutes, against a plain stream copy", text, "<= 1.5x", ratio <= 1.5)


def plain_copy(picture: Path, sound: Path, target: Path) -> None:
    """Both streams into an MP4 as they are, with the same library; nothing is looked at or changed."""
    with av.open(str(picture)) as first, av.open(str(sound)) as second, av.open(str(target), "w") as out:
        sources = [(first, first.streams.video[0]), (second, second.streams.audio[0])]
        streams = [out.add_stream_from_template(stream) for _, stream in sources]
        demuxed = [container.demux(stream) for container, stream in sources]
        waiting = [next(packets) for packets in demuxed]
        while True:
            # the one that is decoded first goes first, as in any muxing loop
            times = [
                float(packet.dts * packet.time_base) if packet.dts is not None else float("inf")
                for packet in waiting
            ]
            side = times.index(min(times))
            if times[side] == float("inf"):
                return
            waiting[side].stream = streams[side]
            out.mux_one(waiting[side])
            waiting[side] = next(demuxed[side])


def write_picture(path: Path) -> None:
    """A moving texture with grain, at upstream's quality and rate, repeated by copying packets."""
    piece = path.with_name("piece.mp4")
    random = np.random.default_rng(1)
    texture = random.integers(60, 90, (HEIGHT, WIDTH + 2 * PIECE, 3), np.uint8)
    with preprocess.VideoWriter(piece, WIDTH, HEIGHT, Fraction(30), crf=10, preset="superfast") as writer:
        for number in range(PIECE):
            grain = random.integers(0, GRAIN, (HEIGHT, WIDTH, 1), np.uint8)
            writer.write(texture[:, 2 * number : 2 * number + WIDTH] + grain)
    with av.open(str(path), "w") as out:
        stream = None
        for turn in range(PIECES):
            with av.open(str(piece)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.pts is None or packet.dts is None or not packet.duration:
                        continue
                    shift = turn * PIECE * packet.duration
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    packet.stream = stream
                    out.mux_one(packet)


def write_sound(path: Path, seconds: float) -> None:
    """Stereo noise as AAC."""
    random = np.random.default_rng(2)
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=48000, layout="stereo")
        for start in range(0, int(seconds * 48000), 1024):
            samples = (random.random((2, 1024), np.float32) - 0.5) / 4
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
