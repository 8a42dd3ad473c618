"""Writes the tensors of a safetensors file as torch.save would, without torch and without holding them.

The format: a zip archive, nothing compressed. ``data.pkl`` is a pickle of the dictionary, in which every
tensor is a call with its type, shape and the number of the entry ``data/N`` that holds its numbers. Its
operations are written here one by one; they are those that ``torch.load(weights_only=True)`` accepts.
"""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from engines.wan22.weight_files import DamagedFile
from execution.weights_hashes import Report
from set_up.comfyui.safetensors import Tensor, read_tensors

PIECE: Final = 4 * 2**20
"""Bytes that are held at a time."""
STORAGES: Final = {
    "F64": "DoubleStorage",
    "F32": "FloatStorage",
    "F16": "HalfStorage",
    "BF16": "BFloat16Storage",
    "I64": "LongStorage",
    "I32": "IntStorage",
    "I16": "ShortStorage",
    "I8": "CharStorage",
    "U8": "ByteStorage",
    "BOOL": "BoolStorage",
}
"""torch's class for each type that can be written."""
_ALIGNMENT: Final = 64
"""torch puts each tensor's first byte at a multiple of this, so that a file can be mapped into memory."""
_LOCAL_HEADER: Final = 30
_LONG_SIZES: Final = 20
"""Bytes that zipfile adds to the header of an entry of 2 GiB and more."""
_PADDING_ID: Final = 0x4246


@dataclass(frozen=True)
class Written:
    """What was written."""

    size: int
    """Bytes."""
    sha256: str


def _silent(done: int, total: int) -> None:
    pass


def write_torch_file(
    path: Path, source: Path, *, wrapped_in: str | None, report: Report = _silent
) -> Written:
    """Write a safetensors file's tensors into a file for torch.load.

    It gets its name when it is whole and on the disk; until then it lies beside it, as ``unfinished_path``.

    Args:
        wrapped_in: None for a flat dictionary of tensors; else the key of an outer one that holds it.
        report: called with the bytes of tensors done, and all of them.

    Raises:
        DamagedFile: the source is not whole, or has tensors of a type that is not written.
        OSError: the source cannot be read, or the file not be written.
        BaseException: what ``report`` raised; the unfinished file is removed.
    """
    unfinished = unfinished_path(path)
    unfinished.unlink(missing_ok=True)  # a link that lies there is not written through
    try:
        with unfinished.open("xb") as stream:
            sink = _Sink(stream.write)
            _write_archive(sink, path.stem, source, wrapped_in, report)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return sink.written()


def written_from(
    path: Path, source: Path, *, wrapped_in: str | None, report: Report = _silent
) -> Written | None:
    """What ``write_torch_file`` wrote, if the file is that, byte for byte; None if it is anything else.

    Raises:
        DamagedFile, OSError, BaseException: as ``write_torch_file``.
    """
    with path.open("rb") as stream:

        def compare(piece: bytes) -> None:
            if stream.read(len(piece)) != piece:
                raise _Different

        sink = _Sink(compare)
        try:
            _write_archive(sink, path.stem, source, wrapped_in, report)
        except _Different:
            return None
        return None if stream.read(1) else sink.written()


def unfinished_path(path: Path) -> Path:
    """Where a file lies while it is written: always the same place, so that kills leave no more than one."""
    return path.with_name(f".{path.name}.unfinished")


class _Different(Exception):
    pass


class _Sink:
    """Where zipfile writes to. It cannot be sought: what is written stays, and is hashed as it comes."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self.size = 0
        self._write = write
        self._digest = hashlib.sha256()

    def write(self, piece: bytes, /) -> int:
        self._write(piece)
        self._digest.update(piece)
        self.size += len(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """It belongs to the caller."""

    def written(self) -> Written:
        return Written(self.size, self._digest.hexdigest())


# ---------------------------------------------------------------------------------------------- archive


def _write_archive(sink: _Sink, stem: str, source: Path, wrapped_in: str | None, report: Report) -> None:
    tensors = read_tensors(source)
    if strange := next((tensor for tensor in tensors if tensor.dtype not in STORAGES), None):
        raise DamagedFile(f"has tensors of type {strange.dtype}, such as {strange.name}")
    done, total = 0, sum(tensor.size for tensor in tensors)
    with source.open("rb", buffering=0) as stream, zipfile.ZipFile(sink, "w") as archive:

        def put(name: str, size: int, pieces: Iterator[bytes]) -> None:
            entry = _entry(f"{stem}/{name}", size, sink.size)
            with archive.open(entry, "w") as member:
                for piece in pieces:
                    member.write(piece)

        pickled = pickle_of(tensors, wrapped_in)
        put("data.pkl", len(pickled), iter([pickled]))
        put("byteorder", 6, iter([b"little"]))
        for number, tensor in enumerate(tensors):
            put(f"data/{number}", tensor.size, _pieces(stream, tensor, done, total, report))
            done += tensor.size
        put("version", 2, iter([b"3\n"]))


def _pieces(stream: FileIO, tensor: Tensor, before: int, total: int, report: Report) -> Iterator[bytes]:
    """The tensor's bytes."""
    stream.seek(tensor.start)
    left = tensor.size
    while left:
        piece = stream.read(min(PIECE, left))
        if not piece:
            raise DamagedFile("became shorter while it was read")
        left -= len(piece)
        yield piece
        report(before + tensor.size - left, total)


def _entry(name: str, size: int, at: int) -> zipfile.ZipInfo:
    """An entry whose content begins at a multiple of the alignment, if its header begins at ``at``."""
    entry = zipfile.ZipInfo(name)
    entry.create_system = 0  # as torch has it, and the same bytes on every system
    entry.file_size = size  # zipfile decides by it whether the sizes need long fields
    start = at + _LOCAL_HEADER + len(name.encode()) + struct.calcsize("<HH")
    if size * 1.05 > zipfile.ZIP64_LIMIT:
        start += _LONG_SIZES
    padding = -start % _ALIGNMENT
    entry.extra = struct.pack("<HH", _PADDING_ID, padding) + b"Z" * padding
    return entry


# ----------------------------------------------------------------------------------------------- pickle


def pickle_of(tensors: Sequence[Tensor], wrapped_in: str | None) -> bytes:
    """``data.pkl``: the dictionary of the tensors, the first of which is ``data/0``."""
    items = b"".join(_text(tensor.name) + _tensor(tensor, number) for number, tensor in enumerate(tensors))
    dictionary = b"}(" + items + b"u"
    if wrapped_in is not None:
        dictionary = b"}(" + _text(wrapped_in) + dictionary + b"u"
    return b"\x80\x02" + dictionary + b"."


def _tensor(tensor: Tensor, number: int) -> bytes:
    """torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)."""
    count = math.prod(tensor.shape)
    storage = (
        b"(" + _text("storage") + _class("torch", STORAGES[tensor.dtype]) + _text(str(number))
        + _text("cpu") + _number(count) + b"tQ"
    )  # fmt: skip
    return (
        _class("torch._utils", "_rebuild_tensor_v2")
        + b"(" + storage + _number(0) + _numbers(tensor.shape) + _numbers(strides(tensor.shape))
        + b"\x89" + _class("collections", "OrderedDict") + b")R"
        + b"tR"
    )  # fmt: skip


def strides(shape: Sequence[int]) -> tuple[int, ...]:
    """How many items lie between neighbours along each axis of a tensor without gaps, as torch counts.

    An axis of no length counts as 1.
    """
    found: list[int] = []
    step = 1
    for length in reversed(shape):
        found.append(step)
        step *= max(length, 1)
    return tuple(reversed(found))


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _class(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _number(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + struct.pack("<B", len(encoded)) + encoded


def _numbers(numbers: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(_number, numbers)) + b"t"
