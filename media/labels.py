"""The machine-readable word that a video was made by AI: IPTC's digital source type, in XMP, in the MP4.

https://www.iptc.org/std/photometadata/specification (Digital Source Type) and https://cv.iptc.org/newscodes/
digitalsourcetype name the property and its values; XMP part 3 says where an MP4 keeps XMP: in a ``uuid`` box.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import BinaryIO, Final
from xml.parsers import expat

from config import VERSION

SOURCE_TYPES: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
CREATOR_TOOL: Final = f"Understudy {VERSION}"

_XMP_BOX: Final = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_IPTC: Final = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
_XMP: Final = "http://ns.adobe.com/xap/1.0/"
_RDF: Final = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_LARGEST_PACKET: Final = 2**20
_MOST_BOXES: Final = 100_000


def source_type(*, replace: bool) -> str:
    """IPTC's word for the result: wholly generated, or generated parts put into a real video."""
    return SOURCE_TYPES + ("compositeWithTrainedAlgorithmicMedia" if replace else "trainedAlgorithmicMedia")


def make_xmp(source_type: str, creator_tool: str = CREATOR_TOOL) -> bytes:
    """An XMP packet, UTF-8, that states the digital source type and the program.

    The packet holds no date: the same job gives the same bytes.
    """
    packet = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="{_RDF}">
  <rdf:Description rdf:about=""
    xmlns:xmp="{_XMP}"
    xmlns:Iptc4xmpExt="{_IPTC}"
    xmp:CreatorTool="{escape(creator_tool)}"
    Iptc4xmpExt:DigitalSourceType="{escape(source_type)}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""
    return packet.encode()


def xmp_box(xmp: bytes) -> bytes:
    """The top-level MP4 box that holds an XMP packet."""
    return struct.pack(">I4s16s", 24 + len(xmp), b"uuid", _XMP_BOX) + xmp


def read_xmp(path: Path) -> bytes | None:
    """The XMP packet of an MP4, or None: there is none, or the file is not an MP4. At most 1 MiB is read.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for kind, size in _boxes(file):
            if kind == b"uuid" and 16 <= size <= 16 + _LARGEST_PACKET and file.read(16) == _XMP_BOX:
                return file.read(size - 16)
    return None


def read_label(path: Path) -> str | None:
    """The digital source type that a video states, or None. Files of any origin are safe to read.

    Raises:
        OSError: the file cannot be read.
    """
    xmp = read_xmp(path)
    return None if xmp is None else _find(xmp, f"{_IPTC} DigitalSourceType")


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and content size of each top-level box, the file standing at its content."""
    end = file.seek(0, 2)
    position = 0
    for _ in range(_MOST_BOXES):
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = struct.unpack(">I4s", head)
        used = 8
        if size == 1:
            long = file.read(8)
            if len(long) < 8:
                return
            size, used = struct.unpack(">Q", long)[0], 16
        elif size == 0:
            size = end - position
        if size < used or position + size > end:
            return
        yield kind, size - used
        position += size


class _Unsafe(Exception):
    """The XML defines entities: it could grow without bound."""


def _find(xmp: bytes, name: str) -> str | None:
    """The first value of a property, however RDF spells it: attribute, element, or ``rdf:resource``."""
    found: list[str] = []
    text: list[str] = []
    inside = 0

    def refuse(*_: object) -> None:
        raise _Unsafe

    def start(element: str, attributes: dict[str, str]) -> None:
        nonlocal inside
        if element == name or inside:
            inside += 1
            text.clear()
            found.extend(filter(None, [attributes.get(f"{_RDF} resource")]))
        found.extend(filter(None, [attributes.get(name)]))

    def end(_: str) -> None:
        nonlocal inside
        if inside:
            inside -= 1
            found.extend(filter(None, ["".join(text).strip()]))
            text.clear()

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda piece: text.append(piece) if inside else None
    try:
        parser.Parse(xmp, True)
    except (expat.ExpatError, _Unsafe):
        return None
    return found[0] if found else None
