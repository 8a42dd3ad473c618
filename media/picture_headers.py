"""What the head of a picture file says, without decoding it: JPEG, PNG, WebP, TIFF, and others by name."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["JPEG", "PNG", "WebP", "TIFF", "GIF", "HEIC", "AVIF", "other"]

_STARTS: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"GIF8", "GIF"),
)
_AVIF_BRANDS: Final = frozenset((b"avif", b"avis"))
_HEIC_BRANDS: Final = frozenset(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")
)
_START_OF_FRAME: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ORIENTATION_TAG: Final = 0x0112
_PHOTOMETRIC_TAG: Final = 0x0106
_EXTRA_SAMPLES_TAG: Final = 0x0152
_SEPARATED_INKS: Final = 5


@dataclass
class Header:
    """What a picture's head says. ``width`` and ``height`` are as stored, 0 where it was not understood."""

    kind: Kind
    width: int = 0
    height: int = 0
    bit_depth: int = 8
    may_be_transparent: bool = False
    cmyk: bool = False
    animated: bool = False
    orientation: int = 1
    """EXIF orientation, 1 (upright) to 8."""


def read_header(data: bytes) -> Header:
    """The head of a picture, from its first bytes. Never fails: what is not understood keeps its default."""
    header = Header(kind_of(data))
    reader = {"JPEG": _read_jpeg, "PNG": _read_png, "WebP": _read_webp, "TIFF": _read_tiff}.get(header.kind)
    if reader is not None:
        with suppress(struct.error, IndexError):  # cut off within the head: decoding tells
            reader(data, header)
    return header


def kind_of(data: bytes) -> Kind:
    """The kind of a picture by its content. The name of a file says little: ``.png`` may be anything."""
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        length = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12], *(data[place : place + 4] for place in range(16, length, 4))}
        # An AVIF names HEIC's general brands too, so it is looked for first.
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIC_BRANDS:
            return "HEIC"
    return "other"


def _read_jpeg(data: bytes, header: Header) -> None:
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            return
        marker, length = data[place + 1], struct.unpack_from(">H", data, place + 2)[0]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
            header.orientation = _exif_orientation(data[place + 10 : place + 2 + length])
        if marker in _START_OF_FRAME:
            depth, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            header.bit_depth, header.width, header.height = depth, width, height
            header.cmyk = channels == 4
            return
        place += 2 + length


def _read_png(data: bytes, header: Header) -> None:
    for name, start, length in _png_chunks(data):
        if name == b"IHDR":
            header.width, header.height, header.bit_depth, colours = struct.unpack_from(">IIBB", data, start)
            header.may_be_transparent = colours in (4, 6)
        elif name == b"tRNS":
            header.may_be_transparent = True
        elif name == b"acTL":
            header.animated = struct.unpack_from(">I", data, start)[0] > 1
        elif name == b"eXIf":
            header.orientation = _exif_orientation(data[start : start + length])


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    place = 8
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, place + 8, length
        place += 12 + length


def _read_webp(data: bytes, header: Header) -> None:
    place = 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        start = place + 8
        if name == b"VP8X":
            flags = data[start]
            header.may_be_transparent, header.animated = bool(flags & 0x10), bool(flags & 0x02)
            header.width = int.from_bytes(data[start + 4 : start + 7], "little") + 1
            header.height = int.from_bytes(data[start + 7 : start + 10], "little") + 1
        elif name == b"VP8L" and not header.width:
            bits = struct.unpack_from("<I", data, start + 1)[0]
            header.width, header.height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            header.may_be_transparent = bool(bits >> 28 & 1)
        elif name == b"EXIF":
            exif = data[start : start + length]
            header.orientation = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
        place = start + length + length % 2


def _read_tiff(data: bytes, header: Header) -> None:
    fields = dict(_tiff_fields(data))
    header.width, header.height = fields.get(0x0100, 0), fields.get(0x0101, 0)
    header.orientation = _sound(fields.get(_ORIENTATION_TAG, 1))
    header.cmyk = fields.get(_PHOTOMETRIC_TAG) == _SEPARATED_INKS
    header.may_be_transparent = _EXTRA_SAMPLES_TAG in fields and not header.cmyk


def _exif_orientation(tiff: bytes) -> int:
    try:
        return _sound(dict(_tiff_fields(tiff)).get(_ORIENTATION_TAG, 1))
    except struct.error:
        return 1


def _sound(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


def _tiff_fields(data: bytes) -> Iterator[tuple[int, int]]:
    """Tag and value of the first directory's fields that are one short or long number."""
    order = "<" if data[:2] == b"II" else ">"
    directory = struct.unpack_from(order + "I", data, 4)[0]
    (count,) = struct.unpack_from(order + "H", data, directory)
    for number in range(count):
        place = directory + 2 + 12 * number
        tag, kind, _ = struct.unpack_from(order + "HHI", data, place)
        if kind in (3, 4):
            yield tag, struct.unpack_from(order + ("H" if kind == 3 else "I"), data, place + 8)[0]
