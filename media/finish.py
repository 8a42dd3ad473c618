"""The last step: the generated video at its true rate, with sound, tags and label, in a file that streams.

Nothing of the picture is encoded again: its packets get new time stamps.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import av

from media import labels
from media import sound as sounds
from media.errors import reason
from media.sound import FinishError as FinishError
from media.sound import Sound as Sound
from media.sound import check_sound as check_sound

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    Packets = Iterator[Packet[Any]]

Report = Callable[[str, int, int], None]
"""(phase, done, total)."""

_PHASE: Final = "write the result"
_REPORT_EVERY: Final = 50
_AGAIN: Final = "Generate it again (--force)."
_LEAST_TIMESCALE: Final = 10_000
_LARGEST_TIMESCALE: Final = 2**31 - 1


@dataclass(frozen=True)
class Finished:
    """What was written. ``seconds`` is the picture's exact length; ``audio_codec`` is empty without sound."""

    frame_count: int
    rate: Fraction
    audio: Literal["copied", "encoded", "none"]
    audio_codec: str
    seconds: Fraction


@dataclass(frozen=True)
class _Track:
    """A sound track that was set up: its packets, and how they came about."""

    packets: Packets
    stream: Stream
    how: Literal["copied", "encoded"]
    codec: str


def finish_video(
    picture: Path,
    target: Path,
    *,
    rate: Fraction,
    sound: Sound | None,
    tags: Mapping[str, str],
    xmp: bytes,
    report: Report,
) -> Finished:
    """Write ``picture`` to ``target`` as an MP4 that plays at ``rate``, frame 0 at 0 s.

    Args:
        picture: an MP4 with frames at one constant rate, whichever it is.
        rate: frames per second, exact.
        sound: where the sound comes from, or None for a silent result. It is cut to the picture's length;
            none is written when none falls within it.
        tags: of the container, such as ``{"title": ..., "comment": ...}``.
        xmp: the XMP packet to embed (``labels.make_xmp``); empty for none.
        report: told of the progress; may raise to cancel.

    Raises:
        FinishError: a file cannot be read or written, or is not of the kind that is needed.
    """
    with ExitStack() as stack:
        timescale = _timescale(rate)
        source, video = _open_picture(picture, stack)
        frame_count = video.frames
        seconds = frame_count / rate
        with _writing(target, timescale, tags, xmp) as output:
            video_out = output.add_stream_from_template(video)
            video_out.time_base = Fraction(1, timescale)
            track = _add_sound(output, sound, seconds, stack) if sound else None
            frames = _restamped(picture, source, video, rate, timescale)
            streams = [_timed(_counted(frames, frame_count, report), video_out)]
            if track is not None:
                streams.append(_timed(track.packets, track.stream))
            for _, packet in heapq.merge(*streams, key=lambda item: item[0]):
                output.mux_one(packet)
    return Finished(
        frame_count=frame_count,
        rate=rate,
        audio=track.how if track else "none",
        audio_codec=track.codec if track else "",
        seconds=seconds,
    )


@contextmanager
def _writing(target: Path, timescale: int, tags: Mapping[str, str], xmp: bytes) -> Iterator[OutputContainer]:
    """The MP4 to fill. Left without an error, it is complete: index in front, XMP at the end."""
    options = {"movflags": "+faststart", "movie_timescale": str(timescale)}
    try:
        output = av.open(str(target.absolute()), "w", format="mp4", options=options)
        try:
            output.metadata.update(tags)
            yield output
            output.close()
        finally:
            with suppress(av.FFmpegError, OSError):  # a full disk is full for the closing too
                output.close()
        if xmp:
            with target.open("ab") as file:
                file.write(labels.xmp_box(xmp))
    except (av.FFmpegError, OSError) as error:
        raise FinishError(
            f"{target} cannot be written ({reason(error)}).", "Check the folder and the disk's free space."
        ) from error


# -------------------------------------------------------------------------------------------- picture


def _open_picture(path: Path, stack: ExitStack) -> tuple[InputContainer, VideoStream]:
    try:
        source = stack.enter_context(av.open(str(path.absolute())))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise FinishError(f"{path}: the generated video cannot be read.", _AGAIN) from error
    if not source.streams.video or not source.streams.video[0].frames:
        raise FinishError(f"{path}: the generated video holds no frames.", _AGAIN)
    return source, source.streams.video[0]


def _timescale(rate: Fraction) -> int:
    """Ticks per second in which every frame's time is whole, for the picture's track and the edits."""
    if rate <= 0 or rate.numerator > _LARGEST_TIMESCALE:
        raise FinishError(f"{rate} frames a second cannot be written.", "State a simpler fraction.")
    return int(rate.numerator * -(-_LEAST_TIMESCALE // rate.numerator))


def _restamped(
    path: Path, source: InputContainer, video: VideoStream, rate: Fraction, timescale: int
) -> Packets:
    """The packets in order of decoding: frame k is shown at k / rate, whatever rate the file claims.

    With B-frames, packets are decoded in another order than they are shown. Their decoding times run ahead
    of the first frame's by as many frames as in the file.
    """
    ticks = timescale // rate.numerator * rate.denominator
    first = period = delay = 0
    expected, early = 0, set[int]()
    for number, packet in enumerate(_packets(path, source, video)):
        if packet.pts is None or packet.dts is None:
            raise _uneven(path)
        if number == 0:
            first, period = packet.pts, packet.duration or 1
            delay = -((packet.dts - first) // period)
        frame, rest = divmod(packet.pts - first, period)
        if rest or frame < expected or frame in early or number - delay > frame:
            raise _uneven(path)
        early.add(frame)
        while expected in early:
            early.remove(expected)
            expected += 1
        packet.time_base = Fraction(1, timescale)
        packet.pts, packet.dts, packet.duration = frame * ticks, (number - delay) * ticks, ticks
        yield packet
    if early or expected != video.frames:
        raise _uneven(path)


def _packets(path: Path, source: InputContainer, video: VideoStream) -> Packets:
    try:
        for packet in source.demux(video):
            if packet.size:
                yield packet
    except av.FFmpegError as error:
        raise FinishError(f"{path}: the generated video is damaged ({reason(error)}).", _AGAIN) from error


def _uneven(path: Path) -> FinishError:
    return FinishError(f"{path}: the generated video is cut off or its frames are not evenly spaced.", _AGAIN)


def _counted(packets: Packets, total: int, report: Report) -> Packets:
    report(_PHASE, 0, total)
    for done, packet in enumerate(packets, start=1):
        yield packet
        if done % _REPORT_EVERY == 0 or done == total:
            report(_PHASE, done, total)


# ---------------------------------------------------------------------------------------------- sound


def _add_sound(output: OutputContainer, sound: Sound, seconds: Fraction, stack: ExitStack) -> _Track | None:
    """Set up the sound track, or None when nothing of the sound falls within the picture."""
    container, stream = stack.enter_context(sounds.open_sound(sound.path))
    start = sounds.beginning(container, stream) if sound.start is None else sound.start
    if sounds.is_copied(stream):
        packets = sounds.copied_packets(sound.path, container, stream, start, seconds)
        first = next(packets, None)
        if first is None:
            return None
        copy = output.add_stream_from_template(stream)
        return _Track(chain((first,), packets), copy, "copied", sounds.codec_name(stream))
    rate, layout = sounds.aac_rate(stream), sounds.aac_layout(stream)
    pieces = sounds.samples(sound.path, container, stream, start, seconds, rate=rate, layout=layout)
    piece = next(pieces, None)
    if piece is None:
        return None
    encoder = output.add_stream(
        sounds.ENCODED_CODEC, rate=rate, layout=layout, bit_rate=sounds.aac_bit_rate(layout)
    )
    encoded = sounds.encoded_packets(chain((piece,), pieces), encoder, rate=rate, layout=layout)
    return _Track(encoded, encoder, "encoded", sounds.ENCODED_CODEC)


def _timed(packets: Packets, stream: Stream) -> Iterator[tuple[float, Packet[Any]]]:
    """Each packet, assigned to the stream it goes into, with its decoding time in seconds."""
    for packet in packets:
        seconds = float((packet.dts or 0) * packet.time_base)
        packet.stream = stream
        yield seconds, packet
