"""The label that a result was made by AI: written as the standards want it, found again, safe to read."""

from __future__ import annotations

import struct
from pathlib import Path
from xml.etree import ElementTree

import av
import cv2
import pytest

from config import VERSION
from media.labels import SOURCE_TYPES, make_xmp, read_label, read_xmp, source_type, xmp_box
from tests.media import write_clip

NAMES = {
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "iptc": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
}
ADOBE_XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", sound=True)


def labelled(clip: Path, target: Path, xmp: bytes) -> Path:
    target.write_bytes(clip.read_bytes() + xmp_box(xmp))
    return target


@pytest.mark.parametrize(
    ("replace", "word"), [(False, "trainedAlgorithmicMedia"), (True, "compositeWithTrainedAlgorithmicMedia")]
)
def test_the_packet_states_the_digital_source_type(replace: bool, word: str) -> None:
    url = f"http://cv.iptc.org/newscodes/digitalsourcetype/{word}"
    assert source_type(replace=replace) == url
    root = ElementTree.fromstring(make_xmp(url))  # noqa: S314, our own
    description = root.find("rdf:RDF/rdf:Description", NAMES)
    assert description is not None
    assert description.get(f"{{{NAMES['iptc']}}}DigitalSourceType") == url
    assert description.get(f"{{{NAMES['xmp']}}}CreatorTool") == f"Understudy {VERSION}"


def test_text_that_looks_like_xml_is_escaped() -> None:
    tool = """a "tool" <with> 'all' & everything ]]> é"""
    root = ElementTree.fromstring(make_xmp("x", tool))  # noqa: S314, our own
    description = root.find("rdf:RDF/rdf:Description", NAMES)
    assert description is not None and description.get(f"{{{NAMES['xmp']}}}CreatorTool") == tool


@pytest.mark.parametrize("replace", [False, True])
def test_the_label_is_found_again(tmp_path: Path, clip: Path, replace: bool) -> None:
    xmp = make_xmp(source_type(replace=replace))
    path = labelled(clip, tmp_path / "a.mp4", xmp)
    assert read_xmp(path) == xmp
    assert read_label(path) == source_type(replace=replace)


def test_the_box_is_the_one_that_xmp_names() -> None:
    box = xmp_box(b"<x/>")
    assert box == struct.pack(">I", len(box)) + b"uuid" + ADOBE_XMP + b"<x/>"


def test_players_read_a_file_with_a_label(tmp_path: Path, clip: Path) -> None:
    path = labelled(clip, tmp_path / "a.mp4", make_xmp("x"))
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 12
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(audio=0)) > 0
    capture = cv2.VideoCapture(str(path))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 12


@pytest.mark.parametrize(
    "body",
    [
        '<rdf:Description rdf:about=""><e:DigitalSourceType>{}</e:DigitalSourceType></rdf:Description>',
        '<rdf:Description rdf:about=""><e:DigitalSourceType> {} </e:DigitalSourceType></rdf:Description>',
        '<rdf:Description rdf:about=""><e:DigitalSourceType rdf:resource="{}"/></rdf:Description>',
        '<rdf:Description rdf:about="" e:DigitalSourceType="{}"/>',
        '<rdf:Description><e:DigitalSourceType><rdf:Bag><rdf:li>{}</rdf:li></rdf:Bag></e:DigitalSourceType>'
        "</rdf:Description>",
    ],
)  # fmt: skip
def test_other_programs_spellings_are_read(tmp_path: Path, clip: Path, body: str) -> None:
    word = SOURCE_TYPES + "digitalCapture"
    xmp = (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:e="{NAMES["iptc"]}">'
        f'<rdf:RDF xmlns:rdf="{NAMES["rdf"]}">{body.format(word)}</rdf:RDF></x:xmpmeta>'
    )
    assert read_label(labelled(clip, tmp_path / "a.mp4", xmp.encode())) == word
    assert read_label(labelled(clip, tmp_path / "b.mp4", xmp.encode("utf-16"))) == word


def test_a_file_without_a_label_has_none(tmp_path: Path, clip: Path) -> None:
    assert read_label(clip) is None
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes() + struct.pack(">I4s16s", 24, b"uuid", bytes(16)))
    assert read_label(other) is None
    plain = labelled(clip, tmp_path / "plain.mp4", b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    assert read_label(plain) is None


BOMB = (
    b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    b'<x xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" e:DigitalSourceType="&b;"/>'
)


@pytest.mark.parametrize(
    "xmp",
    [
        BOMB,
        BOMB.decode().encode("utf-16"),
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>',
        b"",
        b"\xff\xfe\x00",
        b"<x",
        b"\x00" * 1000,
        b"<x>" * 10_000,
    ],
)
def test_hostile_packets_are_no_label(tmp_path: Path, clip: Path, xmp: bytes) -> None:
    assert read_label(labelled(clip, tmp_path / "a.mp4", xmp)) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"\0\0\0\x08free" * 3,
        struct.pack(">I4s", 0, b"free"),
        struct.pack(">I4s", 7, b"free") * 10,
        struct.pack(">I4s", 1, b"free"),
        struct.pack(">I4sQ", 1, b"free", 2**63) + b"x",
        struct.pack(">I4sQ", 1, b"free", 3),
        struct.pack(">I4s16s", 24 + 2**30, b"uuid", ADOBE_XMP) + b"<x/>",
        struct.pack(">I4s16s", 20, b"uuid", ADOBE_XMP),
        b"no video at all, just text of some length",
    ],
)
def test_files_of_any_kind_are_safe_to_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert read_label(path) is None


def test_a_huge_packet_is_not_read(tmp_path: Path, clip: Path) -> None:
    xmp = make_xmp("x") + b" " * 2**20
    assert read_label(labelled(clip, tmp_path / "a.mp4", xmp)) is None


def test_a_box_with_a_long_size_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, b"mdat", 116) + bytes(100) + xmp_box(make_xmp("x")))
    assert read_label(path) == "x"
