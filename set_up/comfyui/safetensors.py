"""What a safetensors file holds: name, type, shape and place of every tensor, from its header alone.

The format: the length of a JSON header (8 bytes, little-endian), the header, the tensors, one after another.
Nothing that the header says is believed before it is checked against the file's own size.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engines.wan22.weight_files import DamagedFile, check_impostor

_LONGEST_HEADER: Final = 100_000_000
"""Bytes; the format's own library reads no longer one."""
_HEAD: Final = 512
_ITEM_BYTES: Final = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}
"""Other types may be there; their sizes are not checked."""


@dataclass(frozen=True)
class Tensor:
    """One tensor in a file."""

    name: str
    dtype: str
    """As the format names it: "F32", "BF16"."""
    shape: tuple[int, ...]
    start: int
    """Of its first byte, from the beginning of the file."""
    size: int
    """Bytes."""


def read_tensors(path: Path) -> tuple[Tensor, ...]:
    """The tensors of a safetensors file, in the order in which they lie in it. None of them is read.

    Raises:
        DamagedFile: it is cut off or is no such file.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        head = stream.read(_HEAD)
        if head[8:9] != b"{":  # only then: a length can have the bytes with which a web page begins
            check_impostor(head, size)
            raise DamagedFile("is no safetensors file")
        (length,) = struct.unpack_from("<Q", head)
        if not 2 <= length <= _LONGEST_HEADER:
            raise DamagedFile("is no safetensors file")
        if 8 + length > size:
            raise DamagedFile(f"is cut off at {size} bytes, within its header")
        stream.seek(8)
        written = stream.read(length)
    try:
        header = json.loads(written)
        tensors = [_tensor(name, entry, 8 + length) for name, entry in header.items() if _is_tensor(name)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFile("has a damaged header") from error
    tensors.sort(key=lambda tensor: (tensor.start, tensor.size))
    _check_places(tensors, 8 + length, size)
    return tuple(tensors)


def _is_tensor(name: str) -> bool:
    return name != "__metadata__"


def _tensor(name: str, entry: Any, data_start: int) -> Tensor:
    """Raises ValueError, KeyError or TypeError where it is not what the format says."""
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list):
        raise TypeError(name)
    if any(type(number) is not int or number < 0 for number in (*shape, start, end)):
        raise ValueError(name)
    if dtype in _ITEM_BYTES and end - start != _ITEM_BYTES[dtype] * _product(shape):
        raise ValueError(name)
    return Tensor(name, dtype, tuple(shape), data_start + start, end - start)


def _product(shape: list[int]) -> int:
    count = 1
    for length in shape:
        count *= length
    return count


def _check_places(tensors: list[Tensor], data_start: int, size: int) -> None:
    """They lie one behind the other, without holes, up to the end of the file."""
    at = data_start
    for tensor in tensors:
        if tensor.start != at or tensor.size < 0:
            raise DamagedFile("has a damaged header: its tensors overlap or leave holes")
        at += tensor.size
    if size < at:
        raise DamagedFile(f"is cut off: {size} of {at} bytes are there")
    if size > at:
        raise DamagedFile(f"has {size - at} bytes too many")
