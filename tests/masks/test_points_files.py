"""Pictures and videos that carry a workflow, and files that carry none: each ends in clicks or in words."""

from __future__ import annotations

import json
import os
import struct
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from masks import embedded_workflow, points_file
from masks.errors import MaskError
from masks.points_file import read_points
from masks.prompts import Point
from preprocess import VideoWriter

DATA = Path(__file__).parents[1] / "data" / "points"
PROMPT = (DATA / "prompt.json").read_text(encoding="utf-8")
WORKFLOW = (DATA / "workflow.json").read_text(encoding="utf-8")
POSITIVE = (Point(120, 62), Point(122, 90))
NO_EDITOR = '{"1": {"class_type": "LoadImage", "inputs": {}}}'


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data), name) + data + struct.pack(">I", zlib.crc32(name + data))


def png(*chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(chunks[:1])
        + pixels
        + b"".join(chunks[1:])
        + chunk(b"IEND", b"")
    )


def plain(key: str, text: str) -> bytes:
    return chunk(b"tEXt", key.encode() + b"\0" + text.encode("latin-1"))


def packed(key: str, text: str) -> bytes:
    return chunk(b"zTXt", key.encode() + b"\0\0" + zlib.compress(text.encode("latin-1")))


def international(key: str, text: str, *, compressed: bool) -> bytes:
    data = zlib.compress(text.encode()) if compressed else text.encode()
    return chunk(b"iTXt", key.encode() + b"\0" + bytes([compressed, 0]) + b"de\0Ablauf\0" + data)


def write(folder: Path, data: bytes) -> Path:
    path = folder / "clicks.json"  # names tell nothing
    path.write_bytes(data)
    return path


def error_of(path: Path) -> MaskError:
    with pytest.raises(MaskError) as error:
        read_points(path)
    assert str(path) in error.value.what and error.value.remedy
    return error.value


@pytest.mark.parametrize(
    "chunks",
    [
        (plain("prompt", PROMPT), plain("workflow", WORKFLOW)),
        (plain("workflow", WORKFLOW),),
        (plain("Title", "x"), packed("prompt", PROMPT)),
        (international("prompt", PROMPT, compressed=False),),
        (international("workflow", WORKFLOW, compressed=True),),
        (plain("prompt", NO_EDITOR), plain("workflow", WORKFLOW)),
        (plain("prompt", "not JSON"), plain("workflow", WORKFLOW)),
    ],
)
def test_a_png_carries_its_workflow(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    prompts = read_points(write(tmp_path, png(*chunks)))
    assert prompts.objects[0].prompts[0].points == POSITIVE
    assert "PNG" in prompts.source and "PointsEditor 7" in prompts.source


def test_a_png_that_another_program_wrote(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    assert error_of(path).code == "mask.points-no-workflow"


def write_video(path: Path, metadata: dict[str, str], kind: str, options: dict[str, str]) -> Path:
    with av.open(str(path), "w", format=kind, options=options) as container:
        container.metadata.update(metadata)
        stream = container.add_stream("mpeg4" if kind == "mp4" else "vp9", rate=8)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        for packet in (*stream.encode(frame), *stream.encode()):
            container.mux(packet)
    return path


BOTH_IN_A_COMMENT = {"comment": json.dumps({"prompt": PROMPT, "workflow": json.loads(WORKFLOW)})}


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("mp4", {"prompt": PROMPT, "workflow": WORKFLOW}),
        ("mp4", BOTH_IN_A_COMMENT),
        ("matroska", {"workflow": WORKFLOW}),
        ("webm", BOTH_IN_A_COMMENT),
        ("mp4", {"comment": json.dumps({"workflow": json.loads(WORKFLOW)})}),
    ],
)
def test_a_video_carries_its_workflow(tmp_path: Path, kind: str, metadata: dict[str, str]) -> None:
    options = {"movflags": "use_metadata_tags"} if kind == "mp4" and "comment" not in metadata else {}
    path = write_video(tmp_path / "video.bin", metadata, kind, options)
    prompts = read_points(path)
    assert prompts.objects[0].prompts[0].points == POSITIVE
    assert "video" in prompts.source


@pytest.mark.parametrize("comment", ["", "holiday", "[1]", '{"prompt": 5}', "{}"])
def test_a_video_without_a_workflow(tmp_path: Path, comment: str) -> None:
    path = write_video(tmp_path / "video.mp4", {"comment": comment}, "mp4", {})
    assert error_of(path).code == "mask.points-no-workflow"


def test_a_cut_off_video(tmp_path: Path) -> None:
    path = tmp_path / "whole.mp4"
    with VideoWriter(path, 32, 32, Fraction(8)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert error_of(write(tmp_path, path.read_bytes()[:60])).code == "mask.points-unreadable"


def test_a_playlist_is_text_and_never_reaches_ffmpeg(tmp_path: Path) -> None:
    secret = write_video(tmp_path / "other.mp4", {"comment": "x"}, "mp4", {})
    for text in (f"#EXTM3U\n#EXTINF:1,\n{secret}\n", f"ffconcat version 1.0\nfile {secret}\n"):
        assert error_of(write(tmp_path, text.encode())).code == "mask.points-not-json"


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "empty", "empty"),
        (b" \n\t", "empty", "empty"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20, "not-json", "JPEG"),
        (b"%PDF-1.7\n\0\x80", "not-json", "PDF"),
        (bytes(range(256)), "not-json", "binary"),
        (b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0", "not-json", "WebP"),
        (b'[{"x": 1,\n "y" 2}]', "not-json", "line 2, column 6"),
        (b"483,333\n480,159\n", "not-json", "483,333"),
        (b"[{'x': 1, 'y': oops}]", "not-json", "line 1"),
        (b"[" * 100_000, "not-json", "deep"),
        (b'{"a":' * 100_000, "not-json", "deep"),
        (b"[[" + b"9" * 5000 + b", 1]]", "not-json", "digits"),
        (b"__import__('os').system('true')", "not-json", "line 1"),
        (b"PK\x03\x04 and no more", "unreadable", "numpy"),
        (b"\x93NUMPY", "unreadable", "numpy"),
        (png(plain("Title", "no workflow")), "no-workflow", "PNG"),
        (png(plain("prompt", NO_EDITOR)), "no-editor", "PointsEditor"),
        (png(plain("prompt", "[]")), "no-workflow", "prompt"),
        (png(chunk(b"zTXt", b"prompt\0\0broken")), "no-workflow", "prompt"),
        (png()[:20], "no-workflow", "PNG"),
        (b"\0\0\0\x18ftypmp42", "unreadable", "video"),
    ],
)
def test_files_without_clicks_say_what_they_are(tmp_path: Path, data: bytes, code: str, words: str) -> None:
    error = error_of(write(tmp_path, data))
    assert error.code == f"mask.points-{code}"
    assert words in error.what


def test_no_file_and_no_plain_file(tmp_path: Path) -> None:
    assert error_of(tmp_path / "nothing.json").code == "mask.points-missing"
    assert error_of(tmp_path).code == "mask.points-unreadable"
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert error_of(tmp_path / "pipe").code == "mask.points-unreadable"


def test_files_of_the_size_of_films_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points_file, "LARGEST_FILE", 10)
    assert error_of(write(tmp_path, b"[[1, 1], [2, 2]]")).code == "mask.points-too-large"
    monkeypatch.setattr(embedded_workflow, "LARGEST_TEXT", 100)
    for data in (plain("prompt", PROMPT), packed("prompt", PROMPT)):
        assert error_of(write(tmp_path, png(data))).code == "mask.points-too-large"
    path = write_video(tmp_path / "video.mp4", BOTH_IN_A_COMMENT, "mp4", {})
    assert error_of(path).code == "mask.points-too-large"
