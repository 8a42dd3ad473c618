"""Clicks that a script saved with numpy: points and labels in an .npz, or points alone in an .npy file."""

from __future__ import annotations

import io
import lzma
import warnings
import zipfile
import zlib
from typing import Any, Final

import numpy as np

from masks.errors import MaskError
from masks.points_formats import SAM_KEYS

NPY_START: Final = b"\x93NUMPY"
ZIP_START: Final = b"PK\x03\x04"
_LARGEST_ARRAY: Final = 2**20
"""Bytes of one array as it lies in memory."""
_MOST_ARRAYS: Final = 20
_UNPACKING: Final = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError),
    *(RuntimeError, NotImplementedError, ValueError),
)
"""What zipfile raises for what it cannot unpack."""


def content_of_npy(data: bytes) -> dict[str, Any]:
    """The array as ``{"points": [...]}``.

    Raises:
        MaskError: it is damaged, or no array of numbers.
    """
    return {"points": _listed(data, "The array")}


def content_of_npz(data: bytes) -> dict[str, Any]:
    """The arrays by their names, as lists.

    Raises:
        MaskError: it is no numpy file, is damaged, or holds no points.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if not any(name in SAM_KEYS for name in members):
                names = ", ".join(repr(name[:40]) for name in list(members)[:5]) or "nothing"
                what = f"It is a zip file with {names}, and no points are among that."
                remedy = "A numpy file needs the arrays points and labels."
                raise MaskError(what, remedy, code="mask.points-unknown-shape")
            if len(members) > _MOST_ARRAYS:
                raise _damaged(f"It holds {len(members)} arrays, too many for clicks")
            content = {}
            for name, info in members.items():
                if info.file_size > _LARGEST_ARRAY:
                    raise _damaged(f"Array {name[:40]!r} is too large for clicks")
                content[name] = _listed(archive.read(info), f"Array {name[:40]!r}")
            return content
    except _UNPACKING as error:
        raise _damaged("It begins like a numpy file (.npz) and cannot be unpacked") from error


def _listed(data: bytes, where: str) -> Any:
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(stream)
        size = int(np.prod([float(side) for side in shape])) * kind.itemsize
        if kind.kind not in "iufb" or size > _LARGEST_ARRAY:
            raise _damaged(f"{where} is no small array of numbers")
        stream.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # headers that Python 2 wrote
            return np.load(stream, allow_pickle=False).tolist()
    except (ValueError, EOFError, OSError, OverflowError, SyntaxError, TypeError) as error:
        raise _damaged(f"{where} begins like a numpy array and cannot be read") from error


def _damaged(what: str) -> MaskError:
    remedy = "Save points [[x, y], ...] and labels [1, 0, ...] with numpy.savez."
    return MaskError(f"{what}.", remedy, code="mask.points-unreadable")
