"""Pictures: read, write, and what upstream's OpenCV reads otherwise than people see it.

Measured with OpenCV 4.11, which upstream's requirements give: it decodes no GIF, AVIF or HEIC, follows the
EXIF orientation of JPEG and PNG, ignores that of WebP, and fails on a TIFF that it would have to turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from media.errors import MediaError, reason, require_file
from media.picture_headers import Kind, kind_of, read_header
from media.remembered import Remembered

Image = NDArray[np.uint8]

SMALLEST_SIDE: Final = 96
"""Pixels below which a reference shows too little of a character."""

_SAVE_AS: Final = "Save it as PNG or JPEG."
_MOST_PIXELS: Final = 2**30
"""OpenCV's bound, unless an environment variable raises it."""
_SIDEWAYS: Final = 5
"""The first EXIF orientation that exchanges width and height."""


@dataclass(frozen=True)
class PictureInfo:
    """A picture as upstream will read it: ``width`` and ``height`` after the turn that OpenCV makes."""

    path: Path
    kind: Kind
    width: int
    height: int
    bit_depth: int
    orientation: int
    """EXIF orientation, 1 (upright) to 8."""
    transparent: bool
    """Whether any pixel is not wholly opaque."""
    cmyk: bool
    animated: bool


@dataclass(frozen=True)
class PictureTrait:
    """Something about a reference image. ``code`` is the finding's; ``words`` follow the path."""

    code: str
    words: str
    level: Literal["error", "warning", "note"]


def read_picture(path: Path) -> Image:
    """Decode a picture as RGB uint8, upright by its EXIF orientation, alpha dropped (as upstream reads it).

    Raises:
        MediaError: missing, empty, or of a kind that upstream's OpenCV does not decode.
    """
    image = _decode(path, _read(path), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def write_picture(path: Path, image: Image) -> None:
    """Encode an RGB or grey uint8 picture by the suffix of ``path`` (.png, .jpg, ...)."""
    bgr = image if image.ndim == 2 else np.ascontiguousarray(image[:, :, ::-1])
    done, data = cv2.imencode(path.suffix, bgr)
    if not done:
        raise MediaError(f"{path}: the picture could not be encoded as {path.suffix}.")
    path.write_bytes(data.tobytes())


def describe_picture(path: Path) -> PictureInfo:
    """What a picture holds. It is decoded once (a JPEG at an eighth of its size), and remembered.

    Raises:
        MediaError: as ``read_picture``.
    """
    require_file(path, "picture", "reference")
    return _DESCRIBED.about(path)


def picture_traits(info: PictureInfo) -> tuple[PictureTrait, ...]:
    """What is worth saying about a reference image; nothing for an ordinary one."""
    found = []
    if info.transparent:
        words = "is transparent in places; upstream drops that, so the colours hidden there show"
        found.append(PictureTrait("reference.hidden-colours", words, "warning"))
    if info.cmyk:
        words = "holds the inks of printing (CMYK); upstream turns them into colours without their profile"
        found.append(PictureTrait("reference.cmyk", words, "warning"))
    if info.orientation > 1:
        found.append(_turn(info))
    if info.animated:
        found.append(PictureTrait("reference.animated", "is animated; its first picture is used", "note"))
    if min(info.width, info.height) < SMALLEST_SIDE:
        words = f"is only {info.width}x{info.height} pixels, so the character will be blurred"
        found.append(PictureTrait("reference.too-small", words, "warning"))
    return tuple(found)


def _turn(info: PictureInfo) -> PictureTrait:
    if info.kind == "WebP":
        words = "is a WebP that is turned by its EXIF data, which upstream ignores: it would lie on its side"
        return PictureTrait("reference.turn-ignored", words, "warning")
    if info.kind == "TIFF" and info.orientation >= _SIDEWAYS:
        words = "is a TIFF that is turned by its EXIF data, on which upstream's OpenCV fails"
        return PictureTrait("reference.turned-tiff", words, "error")
    return PictureTrait("reference.turned", "is turned by its EXIF data, and is read upright", "note")


def _describe(path: Path) -> PictureInfo:
    data = _read(path)
    header = read_header(data)
    if header.width * header.height > _MOST_PIXELS:
        what = f"{path} has {header.width}x{header.height} pixels, more than OpenCV decodes."
        raise MediaError(what, "Make it smaller.", code="reference.too-large")
    width, height, transparent = header.width, header.height, False
    if header.kind == "JPEG" and width:
        _decode(path, data, cv2.IMREAD_REDUCED_COLOR_8)
    elif header.may_be_transparent:
        image = _decode(path, data, cv2.IMREAD_UNCHANGED)
        opaque = np.iinfo(image.dtype).max if image.dtype.kind == "u" else 1
        transparent = image.ndim == 3 and image.shape[2] == 4 and bool((image[:, :, 3] < opaque).any())
    else:
        image = _decode(path, data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if not width:
            height, width = image.shape[:2]
    if header.orientation >= _SIDEWAYS and header.kind in ("JPEG", "PNG", "TIFF"):
        width, height = height, width
    return PictureInfo(
        path=path,
        kind=header.kind,
        width=width,
        height=height,
        bit_depth=header.bit_depth,
        orientation=header.orientation,
        transparent=transparent,
        cmyk=header.cmyk,
        animated=header.animated,
    )


_DESCRIBED: Final = Remembered(_describe)


def _read(path: Path) -> bytes:
    require_file(path, "picture", "reference")
    try:
        data = path.read_bytes()
    except OSError as error:
        what = f"{path} cannot be read ({reason(error)})."
        raise MediaError(what, "Copy the picture again.", code="reference.not-readable") from error
    kind = kind_of(data)
    if kind in ("GIF", "HEIC", "AVIF"):
        what = f"{path} is a picture of the kind {kind}, which upstream's OpenCV does not decode."
        raise MediaError(what, _SAVE_AS, code=f"reference.{kind.lower()}")
    return data


def _decode(path: Path, data: bytes, flags: int) -> NDArray[Any]:
    logging = cv2.utils.logging
    level = logging.setLogLevel(logging.LOG_LEVEL_SILENT)  # it would write about damage to the terminal
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        image = None
    finally:
        logging.setLogLevel(level)
    if image is None:
        what = f"{path} is not a picture that can be decoded."
        raise MediaError(what, _SAVE_AS, code="reference.unreadable")
    return np.asarray(image)
