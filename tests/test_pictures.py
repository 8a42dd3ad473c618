"""Reference images: what upstream's OpenCV reads otherwise than people see it is said, the rest passes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import preprocess
from media.picture_headers import kind_of, read_header
from media.pictures import describe_picture, picture_traits, read_picture
from preprocess import MediaError

CMYK = Path(__file__).parent / "data" / "cmyk.jpg"


def colours(height: int = 128, width: int = 160, channels: int = 3) -> np.ndarray:
    image = np.full((height, width, channels), 255, np.uint8)
    image[:, : width // 2, :3] = (60, 40, 200)
    return image


def encoded(suffix: str, image: np.ndarray | None = None) -> bytes:
    return bytes(cv2.imencode(suffix, colours() if image is None else image)[1].tobytes())


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + b"\0\0\0\0"


def jpeg(orientation: int) -> bytes:
    body = b"Exif\0\0" + exif(orientation)
    data = encoded(".jpg")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png_with(name: bytes, body: bytes) -> bytes:
    """A PNG with a chunk more behind its head."""
    data = encoded(".png")
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + chunk + data[33:]


def webp(flags: int, *, tail: bytes = b"") -> bytes:
    """A lossy WebP in the extended form."""
    size = (159).to_bytes(3, "little") + (127).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes([flags, 0, 0, 0]) + size
    body = b"WEBP" + head + encoded(".webp")[12:] + tail
    return b"RIFF" + struct.pack("<I", len(body)) + body


def turned_webp() -> bytes:
    body = exif(6)
    return webp(0x08, tail=b"EXIF" + struct.pack("<I", len(body)) + body)


def tiff(orientation: int) -> bytes:
    """An uncompressed RGB TIFF of 160x128."""
    fields = [
        (0x100, 160),
        (0x101, 128),
        (0x102, 8),
        (0x103, 1),
        (0x106, 2),
        (0x111, 8),
        (0x112, orientation),
        (0x115, 3),
        (0x116, 128),
        (0x117, 160 * 128 * 3),
    ]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    place = 8 + 160 * 128 * 3
    pixels = colours().tobytes()
    return (
        b"II*\0" + struct.pack("<I", place) + pixels + struct.pack("<H", len(fields)) + directory + bytes(4)
    )


def container(brand: bytes, *others: bytes) -> bytes:
    brands = brand + bytes(4) + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0" * 400


def see_through() -> np.ndarray:
    image = colours(channels=4)
    image[:40, :, 3] = 0
    return image


SAID: dict[str, tuple[Callable[[], bytes], dict[str, str]]] = {
    "transparent PNG": (lambda: encoded(".png", see_through()), {"reference.hidden-colours": "warning"}),
    "transparent WebP": (lambda: encoded(".webp", see_through()), {"reference.hidden-colours": "warning"}),
    "CMYK JPEG": (CMYK.read_bytes, {"reference.cmyk": "warning"}),
    "turned JPEG": (lambda: jpeg(6), {"reference.turned": "note"}),
    "mirrored JPEG": (lambda: jpeg(2), {"reference.turned": "note"}),
    "turned PNG": (lambda: png_with(b"eXIf", exif(8)), {"reference.turned": "note"}),
    "turned WebP": (turned_webp, {"reference.turn-ignored": "warning"}),
    "turned TIFF": (lambda: tiff(6), {"reference.turned-tiff": "error"}),
    "TIFF upside down": (lambda: tiff(3), {"reference.turned": "note"}),
    "animated PNG": (
        lambda: png_with(b"acTL", struct.pack(">II", 2, 0)),
        {"reference.animated": "note"},
    ),
    "tiny": (lambda: encoded(".png", colours(95, 300)), {"reference.too-small": "warning"}),
}


@pytest.mark.parametrize("kind", SAID)
def test_what_upstream_reads_otherwise_is_said(tmp_path, kind):
    make, expected = SAID[kind]
    path = tmp_path / "reference"
    path.write_bytes(make())
    traits = picture_traits(describe_picture(path))
    assert {trait.code: trait.level for trait in traits} == expected
    assert all(trait.words and not trait.words.endswith(".") for trait in traits)


ORDINARY: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded(".jpg"),
    "PNG": lambda: encoded(".png"),
    "WebP": lambda: encoded(".webp"),
    "BMP": lambda: encoded(".bmp"),
    "TIFF": lambda: tiff(1),
    "grey PNG": lambda: encoded(".png", colours()[:, :, 0]),
    "16-bit PNG": lambda: encoded(".png", colours().astype(np.uint16) * 257),
    "PNG with alpha, all opaque": lambda: encoded(".png", colours(channels=4)),
    "JPEG with upright EXIF": lambda: jpeg(1),
    "JPEG with nonsense in its EXIF": lambda: jpeg(99),
}


@pytest.mark.parametrize("kind", ORDINARY)
def test_nothing_is_said_about_an_ordinary_picture(tmp_path, kind):
    path = tmp_path / "reference"
    path.write_bytes(ORDINARY[kind]())
    info = describe_picture(path)
    assert picture_traits(info) == ()
    assert (info.width, info.height) == (160, 128)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_picture_as_it_is_read(tmp_path, orientation):
    path = tmp_path / "turned.jpg"
    path.write_bytes(jpeg(orientation))
    info = describe_picture(path)
    assert (info.height, info.width) == read_picture(path).shape[:2]
    assert ((info.height, info.width) == (160, 128)) == (orientation >= 5)


def test_a_turned_webp_has_the_size_that_upstream_sees(tmp_path):
    (tmp_path / "turned.webp").write_bytes(turned_webp())
    info = describe_picture(tmp_path / "turned.webp")
    assert (info.width, info.height) == (160, 128)


REFUSED: dict[str, Callable[[], bytes]] = {
    "reference.heic": lambda: container(b"heic", b"mif1", b"heic"),
    "reference.avif": lambda: container(b"mif1", b"avif", b"mif1", b"miaf"),
    "reference.gif": lambda: b"GIF89a" + bytes(50),
    "reference.empty": lambda: b"",
    "reference.unreadable": lambda: b"%PDF-1.4 text",
    "reference.too-large": lambda: (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 50000, 50000) + bytes(9)
    ),
}


@pytest.mark.parametrize("code", REFUSED)
def test_a_picture_that_upstream_cannot_read_is_refused_with_its_own_code(tmp_path, capfd, code):
    path = tmp_path / "reference.png"
    path.write_bytes(REFUSED[code]())
    with pytest.raises(MediaError) as refused:
        describe_picture(path)
    assert refused.value.code == code
    assert str(path) in refused.value.what and refused.value.remedy
    assert capfd.readouterr().err == "", "OpenCV's own complaints are kept from the terminal"


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_a_picture_that_is_cut_off_is_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)
    data = encoded(suffix, noise)
    (tmp_path / "cut").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError) as refused:
        describe_picture(tmp_path / "cut")
    assert refused.value.code == "reference.unreadable"


def test_missing_pictures_and_folders_have_their_own_codes(tmp_path):
    for path, code in ((tmp_path / "none.png", "reference.missing"), (tmp_path, "reference.a-folder")):
        for look in (describe_picture, read_picture):
            with pytest.raises(MediaError) as refused:
                look(path)
            assert refused.value.code == code


def test_a_picture_that_is_replaced_is_looked_at_again(tmp_path):
    path = tmp_path / "reference.png"
    for side in (100, 120, 140):
        path.write_bytes(encoded(".png", colours(side, side)))
        assert describe_picture(path).width == side


@given(
    start=st.sampled_from([jpeg(6), png_with(b"eXIf", exif(8)), turned_webp(), tiff(6)[-200:], tiff(6)[:8]]),
    length=st.integers(0, 400),
    noise=st.binary(max_size=60),
)
def test_no_broken_head_makes_the_reader_fail(start, length, noise):
    data = start[:length] + noise
    header = read_header(data)
    assert header.kind == kind_of(data)
    assert 1 <= header.orientation <= 8 and header.width >= 0 and header.height >= 0


def test_the_media_room_offers_the_same_pictures(tmp_path):
    path = tmp_path / "reference.png"
    preprocess.write_picture(path, colours())
    assert np.array_equal(preprocess.read_picture(path), read_picture(path))
