"""Workflows that ComfyUI leaves in its results: in text chunks of a PNG, in the metadata of a video."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.error import FFmpegError

from masks.errors import MaskError
from masks.points_values import load_json

PNG_START: Final = b"\x89PNG\r\n\x1a\n"
LARGEST_TEXT: Final = 64 * 2**20
"""Bytes of one embedded text. An editor keeps its background picture in it, so it may have megabytes."""

_KEYS: Final = ("prompt", "workflow")
_TEXT_CHUNKS: Final = (b"tEXt", b"zTXt", b"iTXt")
_VIDEO_STARTS: Final = ((4, b"ftyp", "MP4"), (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"))


def video_kind(head: bytes) -> str | None:
    """Name of the container by a file's first bytes, None for other files.

    Only these are handed to FFmpeg: it would take a text file for a playlist, and follow it.
    """
    for place, start, name in _VIDEO_STARTS:
        if head[place : place + len(start)] == start:
            return name
    return None


def texts_of_png(path: Path) -> dict[str, str]:
    """The texts under ``prompt`` and ``workflow``. Chunks are found by their lengths; no pixel is decoded.

    Raises:
        OSError: the file cannot be read.
        MaskError: one of the texts is larger than any workflow.
    """
    found: dict[str, str] = {}
    with path.open("rb") as file:
        file.seek(len(PNG_START))
        for name, data in _text_chunks(file):
            key, text = _text_of_chunk(name, data)
            if key in _KEYS and key not in found:
                found[key] = text
    return found


def _text_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"IEND":
            return
        if name not in _TEXT_CHUNKS:
            file.seek(length + 4, 1)
            continue
        if length > LARGEST_TEXT:
            raise _too_large()
        yield name, file.read(length)
        file.seek(4, 1)


def _text_of_chunk(name: bytes, data: bytes) -> tuple[str, str]:
    """Key and text of a PNG text chunk (PNG specification, section 11.3.3)."""
    key, _, rest = data.partition(b"\0")
    encoding = "latin-1"
    packed = False
    if name == b"zTXt":
        packed, rest = True, rest[1:]
    elif name == b"iTXt":
        packed, encoding = rest[:1] == b"\1", "utf-8"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]  # after the language and the translated key
    title = key.decode("latin-1").lower()
    if packed and title in _KEYS:
        rest = _unpacked(rest)
    return title, rest.decode(encoding, "replace")


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, LARGEST_TEXT)
    except zlib.error:
        return b""
    if unpacking.unconsumed_tail:
        raise _too_large()
    return text


def texts_of_video(path: Path) -> dict[str, str]:
    """The texts under ``prompt`` and ``workflow``, in the metadata itself or in a comment that is JSON.

    Raises:
        MaskError: it cannot be read as a video, or one of the texts is larger than any workflow.
    """
    try:
        with av.open(str(path.absolute()), metadata_errors="replace") as container:
            metadata = {key.lower(): value for key, value in container.metadata.items()}
    except (FFmpegError, OSError, ValueError) as error:
        what = f"It begins like a video and cannot be read as one: {error.__class__.__name__}."
        remedy = "Copy it again, or give the workflow's JSON file."
        raise MaskError(what, remedy, code="mask.points-unreadable") from error
    if any(len(metadata.get(key, "")) > LARGEST_TEXT for key in (*_KEYS, "comment")):
        raise _too_large()
    found: dict[str, str] = {key: metadata[key] for key in _KEYS if key in metadata}
    return found or _texts_of_comment(metadata.get("comment", ""))


def _texts_of_comment(comment: str) -> dict[str, str]:
    import json

    try:
        content = load_json(comment)
    except ValueError:
        return {}
    if not isinstance(content, Mapping):
        return {}
    given = {key: content[key] for key in _KEYS if key in content}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in given.items()}


def _too_large() -> MaskError:
    what = f"A text in it is larger than {LARGEST_TEXT // 2**20} MiB; no workflow is."
    return MaskError(what, "Save the workflow as JSON and give that.", code="mask.points-too-large")
