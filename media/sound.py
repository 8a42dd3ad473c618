"""A sound track for an MP4: its packets copied where MP4 takes the codec, encoded as AAC where it does not.

Times are exact (fractions of seconds). Everything is read as a stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError, reason

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

COPIED_CODECS: Final = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp3", "opus"})
"""What both FFmpeg's MP4 writer and ordinary players take. Vorbis, PCM and the like are encoded."""

ENCODED_CODEC: Final = "aac"
_AAC_RATES: Final = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_BITS_PER_CHANNEL: Final = 96_000
_MOST_CHANNELS: Final = 8
_LOWEST_MP3_RATE: Final = 16000

_LEAD_IN: Final = Fraction(1, 10)
"""Packets kept before the picture's start, in seconds: a decoder needs some to swing in (80 ms for Opus,
several frames for MP3). Players skip them by the edit list."""

_JITTER: Final = Fraction(1, 100)
"""Time stamps of encoded sound may be off by this (seconds) before silence is put in or samples left out."""

Samples = NDArray[np.float32]


class FinishError(MediaError):
    """The result cannot be finished. The message names the file, the cause and the remedy."""


@dataclass(frozen=True)
class Sound:
    """A file with sound. ``start`` is the second on its timeline at which the picture's frame 0 lies.

    None: sound and picture begin together, as when a player opens the file (encoder delay left out).
    """

    path: Path
    start: Fraction | None = None


def check_sound(path: Path) -> None:
    """See quickly whether a file's sound can be used; nothing is decoded beyond its first samples.

    Raises:
        FinishError: it is not there, cannot be read, has no sound, or sound of a kind that cannot be used.
    """
    with open_sound(path) as (container, stream):
        if is_copied(stream):
            if next(_packets(path, container, stream), None) is None:
                raise FinishError(f"{path} has a sound track without any sound.", "Give another file.")
            return
        channels = stream.codec_context.layout.nb_channels
        if channels > _MOST_CHANNELS:
            raise FinishError(
                f"{path} has {channels} channels of sound; an MP4 holds {_MOST_CHANNELS} at most.",
                "Mix it down to 5.1 or stereo.",
            )
        if next(_decoded(path, container, stream), None) is None:
            raise FinishError(f"{path} has a sound track without any sound.", "Give another file.")


@contextmanager
def open_sound(path: Path) -> Iterator[tuple[InputContainer, AudioStream]]:
    """The file and its first sound track.

    Raises:
        FinishError: it is not there, cannot be read, or has no sound.
    """
    if not path.is_file():
        raise FinishError(f"{path} is not a file.", "Give the path of a file with sound.")
    try:
        container = av.open(str(path.absolute()))
    except (av.FFmpegError, ValueError) as error:
        raise FinishError(
            f"{path} cannot be read as sound or video ({reason(error)}).",
            "Play it once, or export it again as WAV, MP3 or M4A.",
        ) from error
    with container:
        if not container.streams.audio:
            raise FinishError(f"{path} has no sound track.", "Give a file with sound, or --no_audio.")
        stream = container.streams.audio[0]
        if stream.codec_context is None or not stream.codec_context.sample_rate:
            raise FinishError(
                f"{path}: its sound is of a kind that is not known here, or empty.",
                "Export it as M4A or WAV, or say --no_audio.",
            )
        # A cover picture or a film beside the sound would else be read and thrown away packet by packet.
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        yield container, stream


def is_copied(stream: AudioStream) -> bool:
    """Whether the packets go into the MP4 as they are."""
    name, rate = codec_name(stream), stream.codec_context.sample_rate
    return name in COPIED_CODECS and (name != "mp3" or rate >= _LOWEST_MP3_RATE)


def codec_name(stream: AudioStream) -> str:
    """The codec, not the decoder: ``mp3``, not ``mp3float``."""
    return str(stream.codec_context.codec.canonical_name)


def beginning(container: InputContainer, stream: AudioStream) -> Fraction:
    """The second at which a player starts the file."""
    if container.start_time is not None:
        return Fraction(container.start_time, av.time_base)
    if stream.start_time is not None and stream.time_base is not None:
        return stream.start_time * stream.time_base
    return Fraction(0)


# -------------------------------------------------------------------------------------------- copying


def copied_packets(
    path: Path, container: InputContainer, stream: AudioStream, start: Fraction, seconds: Fraction
) -> Iterator[Packet[AudioStream]]:
    """The packets that are heard from ``start`` on for ``seconds``, with times that count from ``start``.

    A few packets before it come along, with negative times. The last one is declared shorter, so that the
    track ends with the picture.

    Raises:
        FinishError: the file is damaged.
    """
    tick = stream.time_base or Fraction(1, stream.codec_context.sample_rate)
    shift, end = round(start / tick), seconds / tick
    kept_from = -_LEAD_IN / tick
    lead_in: deque[Packet[AudioStream]] = deque()
    last: int | None = None
    for packet in _packets(path, container, stream):
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            raise FinishError(f"{path}: its sound has no time stamps.", "Export it again as M4A or MP4.")
        pts -= shift
        if pts >= end and last is not None:
            return
        if pts >= end or (last is not None and pts <= last):
            continue  # a stray time stamp, such as of a counter that ran over
        packet.pts = packet.dts = pts
        duration = packet.duration or 0
        if pts + duration <= 0:
            lead_in.append(packet)
            while lead_in and (lead_in[0].pts or 0) < kept_from:
                lead_in.popleft()
            continue
        while lead_in:
            yield lead_in.popleft()
        if pts + duration > end:
            packet.duration = max(1, int(end - pts))
        last = pts
        yield packet


# ------------------------------------------------------------------------------------------- encoding


def aac_rate(stream: AudioStream) -> int:
    """The sample rate to encode at: the track's own, or the next lower one that AAC knows, 48 kHz above."""
    rate = stream.codec_context.sample_rate
    if rate > _AAC_RATES[0]:
        return 48000
    return next((known for known in _AAC_RATES if known <= rate), _AAC_RATES[-1])


def aac_layout(stream: AudioStream) -> str:
    """The channels to encode: the track's own, or the usual ones for their number if the file names none.

    Raises:
        FinishError: there are more than an MP4 holds.
    """
    layout = stream.codec_context.layout
    usual = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
    if layout.nb_channels not in usual:
        raise FinishError(f"{layout.nb_channels} channels of sound are too many.", "Mix them down to stereo.")
    return usual[layout.nb_channels] if "channels" in layout.name else str(layout.name)


def aac_bit_rate(layout: str) -> int:
    """Bits per second: enough that nobody hears the difference."""
    return _BITS_PER_CHANNEL * av.AudioLayout(layout).nb_channels


def samples(
    path: Path,
    container: InputContainer,
    stream: AudioStream,
    start: Fraction,
    seconds: Fraction,
    *,
    rate: int,
    layout: str,
) -> Iterator[Samples]:
    """Decoded sound from ``start`` on, ``seconds`` at most: pieces ``(channels, n)``, float32, -1 to 1.

    Holes in the time stamps become silence and overlaps are cut, so that the sample number is the time.

    Raises:
        FinishError: the file is damaged.
    """
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    wanted, written, jitter = round(seconds * rate), 0, round(_JITTER * rate)
    expected, first = round(-start * rate), True
    for frame in _resampled(path, resampler, _decoded(path, container, stream)):
        piece = np.asarray(frame.to_ndarray(), np.float32)
        at = expected
        if frame.pts is not None and frame.time_base is not None:
            at = round((frame.pts * frame.time_base - start) * rate)
        if abs(at - expected) <= jitter and not first:
            at = expected
        expected, first = at + piece.shape[1], False
        if at >= wanted:
            if written:
                return
            continue  # a stray time stamp
        piece = piece[:, max(0, written - at) : wanted - at]
        if piece.shape[1]:
            yield np.pad(piece, ((0, 0), (max(0, at - written), 0)))
            written = max(at, written) + piece.shape[1]


def encoded_packets(
    pieces: Iterator[Samples], encoder: AudioStream, *, rate: int, layout: str
) -> Iterator[Packet[AudioStream]]:
    """Packets of the encoder. Their times count from 0, encoder delay before it."""
    position = 0
    for piece in pieces:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
        position += piece.shape[1]
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


# -------------------------------------------------------------------------------------------- reading


def _packets(path: Path, container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        raise _damaged(path, error) from error


def _decoded(path: Path, container: InputContainer, stream: AudioStream) -> Iterator[AudioFrame]:
    try:
        yield from container.decode(stream)
    except av.FFmpegError as error:
        raise _damaged(path, error) from error


def _resampled(
    path: Path, resampler: av.AudioResampler, frames: Iterator[AudioFrame]
) -> Iterator[AudioFrame]:
    try:
        for frame in frames:
            yield from resampler.resample(frame)
        yield from resampler.resample(None)
    except ValueError as error:  # PyAV's word for sound that changes its kind on the way
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> FinishError:
    return FinishError(
        f"{path}: its sound is damaged ({reason(error)}).",
        "Give another file with --audio, or say --no_audio.",
    )
