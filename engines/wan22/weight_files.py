"""Whether a file of weights is whole, by its structure: headers, lengths and ends, not the numbers inside.

Three formats, each read by a few lines of our own; no content is ever unpickled.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

_LARGEST_HEADER: Final = 100 * 2**20
_HEAD: Final = 512


class DamagedFile(Exception):
    """The file is not whole. The message says what is wrong, as the end of a sentence about it."""


class LfsPointer(DamagedFile):
    """A few lines that git-lfs would have replaced by the file."""


class WebPage(DamagedFile):
    """A page, such as a log-in or an error, saved in the file's place."""


@dataclass(frozen=True)
class ExternalTensor:
    """Where an ONNX file says that one of its tensors lies: a file beside it, and how long that must be."""

    name: str
    end: int
    """Bytes up to the tensor's end, 0 if it is not told."""


def check_impostor(head: bytes, size: int) -> None:
    """Tell what is often found in a file's place.

    Raises:
        DamagedFile: it is empty, or one of these.
    """
    if size == 0:
        raise DamagedFile("is empty")
    if head.startswith(b"version https://git-lfs"):
        raise LfsPointer("is a pointer of git-lfs, not the file")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        raise WebPage("is a web page, not the file")


# ----------------------------------------------------------------------------------------- safetensors


def safetensors_names(path: Path) -> frozenset[str]:
    """Names of the tensors in a safetensors file.

    The format: the length of a JSON header (8 bytes, little-endian), the header, the tensors; the header says
    where each begins and ends, and the last ends with the file.

    Raises:
        DamagedFile: it is cut off or is no such file.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(8)
        begin = stream.read(_HEAD)
        # A header that begins as one is none of the others, though its length may begin like a page.
        if not begin.startswith(b"{"):
            check_impostor(head + begin, size)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
        if not 2 <= length <= _LARGEST_HEADER:
            raise DamagedFile("is no safetensors file")
        if 8 + length > size:
            raise DamagedFile(f"is cut off at {size} bytes, within its header")
        stream.seek(8)
        try:
            header = json.loads(stream.read(length))
            tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
            ends = [int(entry["data_offsets"][1]) for entry in tensors.values()]
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise DamagedFile("has a damaged header") from error
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        raise DamagedFile(f"is cut off: {size} of {expected} bytes are there")
    if size > expected:
        raise DamagedFile(f"has {size - expected} bytes too many")
    return frozenset(tensors)


# ----------------------------------------------------------------------------------------------- torch


def check_torch_file(path: Path) -> None:
    """A file of torch.save: a zip archive, whose table of contents is its end; or the older bare pickle.

    Raises:
        DamagedFile: it is cut off or is no such file. Of a bare pickle only the beginning is looked at.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(_HEAD)
        check_impostor(head, size)
        if head.startswith(b"PK\x03\x04"):
            _check_zip_end(stream, size)
        elif not (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and size > 2):
            raise DamagedFile("is no file of torch")


def _check_zip_end(stream: BinaryIO, size: int) -> None:
    reach = min(size, 22 + 65535)  # the end record and the longest comment behind it
    stream.seek(size - reach)
    tail = stream.read(reach)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise DamagedFile(f"is cut off at {size} bytes: it has a beginning but no end")
    length, offset = struct.unpack_from("<LL", tail, at + 12)
    locator = tail.rfind(b"PK\x06\x07", 0, at)
    if locator >= 0 and locator == at - 20:
        long_end = struct.unpack_from("<Q", tail, locator + 8)[0]
        stream.seek(min(long_end, size))
        record = stream.read(56)
        if len(record) < 56 or not record.startswith(b"PK\x06\x06"):
            raise DamagedFile("has a damaged end: parts of it are missing")
        length, offset = struct.unpack_from("<QQ", record, 40)
    stream.seek(min(offset, size))
    if offset + length > size or (length and stream.read(4) != b"PK\x01\x02"):
        raise DamagedFile("has a damaged end: parts of it are missing")


# ------------------------------------------------------------------------------------------------ onnx
# The protocol-buffer fields that count, by number: ModelProto.graph 7 and opset_import 8 (every model has it,
# writers put it at the end), GraphProto.initializer 5, TensorProto.external_data 13 with its key 1, value 2.


def external_tensors(path: Path) -> tuple[ExternalTensor, ...]:
    """The tensors that an ONNX file leaves to files beside it, in its order.

    Raises:
        DamagedFile: it is cut off or is no ONNX file.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        check_impostor(stream.read(_HEAD), size)
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
            parts = list(_fields(data, 0, size))
            graphs = [part for part in parts if part[0] == 7]
            if not graphs or not any(number == 8 for number, _, _ in parts):
                raise DamagedFile("is no ONNX file" if not parts else f"is cut off at {size} bytes")
            tensors = []
            for _, start, end in graphs:
                for number, first, last in _fields(data, start, end):
                    if number == 5 and (tensor := _external(data, first, last)) is not None:
                        tensors.append(tensor)
    return tuple(tensors)


def _external(data: mmap.mmap, start: int, end: int) -> ExternalTensor | None:
    entries = {}
    for number, first, last in _fields(data, start, end):
        if number == 13:
            words = {key: data[begin:stop] for key, begin, stop in _fields(data, first, last)}
            entries[words.get(1, b"")] = words.get(2, b"").decode("utf-8", "replace")
    if b"location" not in entries:
        return None
    try:
        reach = int(entries.get(b"offset") or 0) + int(entries.get(b"length") or 0)
    except ValueError:
        reach = 0
    return ExternalTensor(entries[b"location"], reach)


def _fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and end of each field's content between two places. Contents are not read."""
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        wire, begin = tag & 7, at
        if wire == 0:
            _, at = _varint(data, at, end)
        elif wire == 1:
            at += 8
        elif wire == 2:
            length, begin = _varint(data, at, end)
            at = begin + length
        elif wire == 5:
            at += 4
        else:
            raise DamagedFile("is no ONNX file")
        if at > end:
            raise DamagedFile(f"is cut off at {len(data)} bytes")
        yield tag >> 3, begin, at


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and the place behind it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise DamagedFile(f"is cut off at {len(data)} bytes" if at >= end else "is no ONNX file")
