"""What upstream's reader would misread in a driving video.

Upstream reads with decord and picks frames by number, at the stream's average rate. What that does to each
kind of clip was measured with the real decord 0.6. A plain turn by 90, 180 or 270 degrees is read right.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from media.probe import PQ, VideoInfo

SQUARE: Final = Fraction(1, 100)
"""Pixels may differ from squares by this share: encoders round, and nobody sees it."""

_UNEVEN: Final = 0.6
"""Frames by which one may lie away from its number. Beyond a half another frame is the right one; a single
dropped frame makes exactly a half, and is let pass."""

_WITHOUT_INDEX: Final = "mpegts"
_WITHOUT_TIMES_IN_AVI: Final = ("h264", "hevc", "mpeg1video", "mpeg2video")
"""Codecs whose frames need times of their own, which an AVI does not have."""

_HALF_THE_ROWS: Final = ("yuv420p", "yuvj420p")
_FILLED_IN_OTHERWISE: Final = ("yuv410p", "yuv440p", "yuvj440p", "nv12", "nv21")
"""Pixel formats with fewer rows of colour than of brightness, which decord stretches in a way of its own."""


@dataclass(frozen=True)
class Trait:
    """One reason why upstream would misread a clip. ``code`` is the finding's; ``words`` follow the path."""

    code: str
    words: str


def misread(info: VideoInfo) -> tuple[Trait, ...]:
    """Everything in a clip that upstream would misread; empty for an ordinary one."""
    return (*_timing(info), *_coding(info), *_shape(info))


def is_uneven(info: VideoInfo) -> bool:
    """Whether frames lie elsewhere than their numbers and the stated rate say."""
    return info.has_times and info.unevenness > _UNEVEN


def _timing(info: VideoInfo) -> list[Trait]:
    found = []
    if info.hidden_count:
        words = (
            f"was cut without re-encoding: it holds {info.hidden_count} frame(s) that are never shown, "
            "and upstream counts them"
        )
        found.append(Trait("media.edit-list", words))
    if not info.has_times:
        found.append(
            Trait("media.no-times", "is a bare stream without time stamps, which upstream cannot open")
        )
    elif is_uneven(info):
        words = (
            f"does not run evenly at {float(info.rate):.4g} frames a second; upstream takes its rate "
            "as constant, so the movement would be uneven"
        )
        found.append(Trait("media.variable-rate", words))
    elif info.container == "avi" and info.codec in _WITHOUT_TIMES_IN_AVI:
        words = "is an AVI without the times that its kind of coding needs, and upstream ends with an error"
        found.append(Trait("media.avi-times", words))
    if info.container == _WITHOUT_INDEX:
        words = "is an MPEG transport stream without an index, in which upstream finds the wrong frames"
        found.append(Trait("media.no-index", words))
    return found


def _coding(info: VideoInfo) -> list[Trait]:
    found = []
    if info.codec == "av1":
        found.append(Trait("media.av1", "is coded as AV1, which upstream cannot open"))
    if info.codec == "gif":
        found.append(Trait("media.gif", "is a GIF, which upstream cannot open"))
    elif info.has_alpha:
        words = "has transparent parts; upstream drops the transparency, and what is hidden shows"
        found.append(Trait("media.transparent", words))
    if info.is_hdr:
        name = "PQ, as in HDR10" if info.transfer == PQ else "HLG"
        found.append(
            Trait("media.hdr", f"is HDR video ({name}), which upstream reads as pale and wrong colours")
        )
    elif info.bit_depth > 8:
        words = f"has {info.bit_depth} bits a colour, which upstream reads with wrong levels"
        found.append(Trait("media.10-bit", words))
    if _colours_are_filled_in_otherwise(info):
        words = "has fewer rows of colour than of brightness, which upstream fills in otherwise than players"
        found.append(Trait("media.colour-rows", words))
    if info.interlaced:
        found.append(Trait("media.interlaced", "is interlaced, so upstream sees combed edges where it moves"))
    return found


def _colours_are_filled_in_otherwise(info: VideoInfo) -> bool:
    rows = info.width if info.orientation.transposed else info.height
    odd = info.pixel_format in _HALF_THE_ROWS and rows % 2 == 1
    return odd or info.pixel_format in _FILLED_IN_OTHERWISE


def _shape(info: VideoInfo) -> list[Trait]:
    found = []
    if info.orientation.mirrored:
        words = "is mirrored by its display matrix, which upstream shows turned instead"
        found.append(Trait("media.mirrored", words))
    if info.orientation.tilted:
        words = "is tilted by an angle that is no quarter turn, which upstream does not turn"
        found.append(Trait("media.tilted", words))
    if abs(info.sample_aspect - 1) > SQUARE:
        aspect = f"{info.sample_aspect.numerator}:{info.sample_aspect.denominator}"
        words = f"has pixels that are not square ({aspect}), so upstream sees people stretched"
        found.append(Trait("media.non-square-pixels", words))
    return found
