"""Names and shapes of the tensors in a weights file. Nothing is unpickled, no tensor is read."""

from __future__ import annotations

import json
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Shapes = dict[str, tuple[int, ...]]
"""Shape of each tensor by its name."""

_LONGEST_HEADER: Final = 100_000_000
"""Bytes; more is no header of a safetensors file, as its own library has it."""
_LONGEST_PICKLE: Final = 64_000_000
_REBUILD: Final = ("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor")
_WRAPPED: Final = "torch._utils _rebuild_parameter"


class NotReadable(Exception):
    """No names of tensors can be read from it. The message says why, as the end of a sentence."""

    def __init__(self, why: str, *, damaged: bool = False) -> None:
        super().__init__(why)
        self.damaged = damaged
        """Whether it looks like a weights file of which a part is missing or wrong."""


def tensor_shapes(path: Path) -> Shapes:
    """Shapes of all tensors of a ``.pt`` or ``.safetensors`` file, told apart by content.

    A dictionary in the dictionary (Meta's files have all under "model") is seen through: of several, the one
    with the most tensors counts.

    Raises:
        NotReadable: it is neither, or not whole.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"version https://"):
        raise NotReadable("is a pointer that Git LFS left in place of the real file", damaged=True)
    if start.startswith(b"PK\x03\x04"):
        return _shapes_of_zip(path)
    if start[8:9] == b"{":
        return _shapes_of_safetensors(path)
    raise NotReadable("is neither a .pt nor a .safetensors file", damaged=not start.strip(b"\0"))


def _shapes_of_safetensors(path: Path) -> Shapes:
    """By its header: 8 bytes little-endian length, then JSON {name: {dtype, shape, data_offsets}}."""
    size = path.stat().st_size
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size, _LONGEST_HEADER):
            raise NotReadable("has a header that is cut off", damaged=True)
        try:
            entries = json.loads(file.read(length))
            entries.pop("__metadata__", None)
            end = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
            shapes = {name: tuple(map(int, entry["shape"])) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise NotReadable("has a header that is not safetensors'", damaged=True) from error
    if end > size:
        raise NotReadable(f"is cut off: {size:,} of {end:,} bytes are there", damaged=True)
    return shapes


def _shapes_of_zip(path: Path) -> Shapes:
    """By the pickle in it, whose operations are read and not carried out."""
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
            pickles = [name for name in sizes if name.rpartition("/")[2] == "data.pkl"]
            if len(pickles) != 1:
                raise NotReadable("is a zip file, but none that PyTorch writes")
            if sizes[pickles[0]] > _LONGEST_PICKLE:
                raise NotReadable("holds more than weights")
            written = archive.read(pickles[0])
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error) as error:
        raise NotReadable("is cut off or damaged", damaged=True) from error
    try:
        return _largest(_Reading().of(written))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotReadable("holds something else than a dictionary of tensors") from error


@dataclass(frozen=True)
class _Call:
    """What the pickle would have called, had it been loaded."""

    function: str
    arguments: Any


class _Reading:
    """Follows the operations of a pickle as far as plain values need it; calls and classes stay names.

    Formula of every operation: pickletools' own documentation of the opcodes.
    """

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def of(self, written: bytes) -> Any:
        """The value that the pickle describes.

        Raises:
            ValueError, IndexError, KeyError, TypeError: it is no pickle of plain values.
        """
        for operation, argument, _ in pickletools.genops(written):
            if operation.name in _PUSHES:
                self.stack.append(argument)
            else:
                _OPERATIONS[operation.name](self, argument)
        return self.stack[-1]

    def above_mark(self) -> list[Any]:
        """Take everything above the last mark from the stack."""
        mark = self.marks.pop()
        taken, self.stack[mark:] = self.stack[mark:], []
        return taken

    def take(self, count: int) -> list[Any]:
        """Take that many values from the stack."""
        taken = [self.stack.pop() for _ in range(count)]
        return taken[::-1]

    def set_items(self, pairs: list[Any]) -> None:
        """Put keys and values into the dictionary, or what stands for one, on top of the stack."""
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))

    def call(self) -> None:
        """A function and its arguments become a note of the call; an OrderedDict becomes a dictionary."""
        function, arguments = self.take(2)
        is_dictionary = function == "collections OrderedDict"
        self.stack.append({} if is_dictionary else _Call(str(function), arguments))

    def extend(self, items: list[Any]) -> None:
        """Put items into the list on top of the stack."""
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)


_PUSHES: Final = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING"),
        *("SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "GLOBAL"),
    )
)
"""Operations that put their argument on the stack."""
_OPERATIONS: Final[dict[str, Callable[[_Reading, Any], object]]] = {
    "PROTO": lambda reading, _: None,
    "FRAME": lambda reading, _: None,
    "STOP": lambda reading, _: None,
    "NONE": lambda reading, _: reading.stack.append(None),
    "NEWTRUE": lambda reading, _: reading.stack.append(True),
    "NEWFALSE": lambda reading, _: reading.stack.append(False),
    "EMPTY_DICT": lambda reading, _: reading.stack.append({}),
    "EMPTY_LIST": lambda reading, _: reading.stack.append([]),
    "EMPTY_TUPLE": lambda reading, _: reading.stack.append(()),
    "MARK": lambda reading, _: reading.marks.append(len(reading.stack)),
    "POP": lambda reading, _: reading.stack.pop(),
    "TUPLE": lambda reading, _: reading.stack.append(tuple(reading.above_mark())),
    "TUPLE1": lambda reading, _: reading.stack.append(tuple(reading.take(1))),
    "TUPLE2": lambda reading, _: reading.stack.append(tuple(reading.take(2))),
    "TUPLE3": lambda reading, _: reading.stack.append(tuple(reading.take(3))),
    "STACK_GLOBAL": lambda reading, _: reading.stack.append(" ".join(map(str, reading.take(2)))),
    "BINPERSID": lambda reading, _: reading.stack.append(_Call("", reading.stack.pop())),
    "REDUCE": lambda reading, _: reading.call(),
    "NEWOBJ": lambda reading, _: reading.call(),
    "BUILD": lambda reading, _: reading.take(1),
    "SETITEM": lambda reading, _: reading.set_items(reading.take(2)),
    "SETITEMS": lambda reading, _: reading.set_items(reading.above_mark()),
    "APPEND": lambda reading, _: reading.extend(reading.take(1)),
    "APPENDS": lambda reading, _: reading.extend(reading.above_mark()),
    "PUT": lambda reading, place: reading.memo.__setitem__(int(place), reading.stack[-1]),
    "BINPUT": lambda reading, place: reading.memo.__setitem__(place, reading.stack[-1]),
    "LONG_BINPUT": lambda reading, place: reading.memo.__setitem__(place, reading.stack[-1]),
    "MEMOIZE": lambda reading, _: reading.memo.__setitem__(len(reading.memo), reading.stack[-1]),
    "GET": lambda reading, place: reading.stack.append(reading.memo[int(place)]),
    "BINGET": lambda reading, place: reading.stack.append(reading.memo[place]),
    "LONG_BINGET": lambda reading, place: reading.stack.append(reading.memo[place]),
}


def _largest(value: Any) -> Shapes:
    """The dictionary with the most tensors in a value: itself, or one of its own values."""
    candidates = [value, *(value.values() if isinstance(value, dict) else ())]
    found = [_shapes_in(candidate) for candidate in candidates if isinstance(candidate, dict)]
    return max(found, key=len, default={})


def _shapes_in(dictionary: dict[Any, Any]) -> Shapes:
    shapes = {}
    for name, value in dictionary.items():
        if isinstance(value, _Call) and value.function == _WRAPPED:
            value = value.arguments[0]
        if isinstance(name, str) and isinstance(value, _Call) and value.function in _REBUILD:
            shapes[name] = tuple(map(int, value.arguments[2]))
    return shapes
