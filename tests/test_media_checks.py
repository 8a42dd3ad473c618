"""Findings about the driving video and the reference image: each cause has its code, and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from config import GENERATION, PREPROCESSING, Job, load_job
from engines import media_checks
from engines.findings import Finding, registry
from engines.media_checks import media_findings, needs_normalising, upstream_media_findings
from preprocess import write_picture
from tests.media import numbered_frame, write_clip, write_sound
from tests.test_pictures import tiff
from tests.test_preprocess import noise
from tests.test_traits import MISREAD

ROOT = Path(__file__).parents[1]
BOTH = (PREPROCESSING, GENERATION)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with a good clip and a good picture."""
    write_clip(tmp_path / "drive.mp4", frame_count=24)
    write_picture(tmp_path / "character.png", numbered_frame(0, 160, 96))
    return tmp_path


def job(
    folder: Path, video: str | Path = "drive.mp4", picture: str = "character.png", **flags: object
) -> Job:
    paths = {"video_path": str(folder / video), "refer_path": str(folder / picture)}
    return load_job(BOTH, {**paths, "save_path": str(folder / "made"), **flags})


def found(given: Job) -> dict[str, Finding]:
    return {finding.code: finding for finding in (*media_findings(given), *upstream_media_findings(given))}


def test_good_inputs_give_no_findings(inputs):
    assert found(job(inputs)) == {}
    assert not needs_normalising(job(inputs))


def _write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    write_clip(path, frame=noise, container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[:-3000])


def _zeroed(path: Path) -> None:
    """Everything there by name and length, and not one picture that decodes."""
    data = bytearray(write_clip(path, frame=noise).read_bytes())
    first = data.index(b"mdat") + 4
    length = int.from_bytes(data[first - 8 : first - 4], "big") - 8
    data[first : first + length] = bytes(length)
    path.write_bytes(bytes(data))


def _track_without_frames(path: Path) -> None:
    with av.open(str(path), "w", format="matroska") as container:
        video = container.add_stream("libx264", rate=30)
        video.width = video.height = 96
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = 48000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))


BAD_VIDEOS: dict[str, Callable[[Path], object]] = {
    "media.missing": lambda path: None,
    "media.empty": _write(b""),
    "media.a-folder": lambda path: path.mkdir(),
    "media.not-a-video": _write(b"not a video\n" * 50),
    "media.a-picture": lambda path: write_picture(path.with_suffix(".png"), noise(0, 96, 96)),
    "media.no-video-stream": write_sound,
    "media.no-frames": _track_without_frames,
    "media.cut-off": _cut,
    "media.damaged": _zeroed,
    "media.too-short": lambda path: write_clip(path, frame_count=1, rate=60),
    "media.too-small": lambda path: write_clip(path, size=(72, 160)),
}


@pytest.mark.parametrize("code", BAD_VIDEOS)
def test_each_unusable_video_has_its_own_code_and_remedy(inputs, code):
    name = "bad.png" if code == "media.a-picture" else "bad.mp4"
    BAD_VIDEOS[code](inputs / "bad.mp4")
    findings = found(job(inputs, name))
    assert list(findings) == [code]
    finding = findings[code]
    assert finding.level == "error"
    assert finding.what.startswith(f"--video_path: {inputs / name}") and finding.remedy.endswith(".")
    assert not needs_normalising(job(inputs, name))


def test_a_device_and_a_name_that_no_file_can_have_are_refused(inputs):
    assert list(found(job(inputs, Path("/dev/null")))) == ["media.not-a-file"]
    assert list(found(job(inputs, "x" * 300 + ".mp4"))) == ["media.not-readable"]
    assert list(found(job(inputs, picture="/dev/null"))) == ["reference.not-a-file"]
    assert list(found(job(inputs, picture="x" * 300))) == ["reference.not-readable"]


BAD_PICTURES: dict[str, Callable[[Path], object]] = {
    "reference.missing": lambda path: None,
    "reference.empty": _write(b""),
    "reference.a-folder": lambda path: path.mkdir(),
    "reference.unreadable": _write(b"not a picture"),
    "reference.heic": _write(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)),
    "reference.gif": lambda path: write_clip(path.with_suffix(".gif"), codec="gif").rename(path),
    "reference.too-large": _write(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (40000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + bytes(99)
    ),
    "reference.turned-tiff": _write(tiff(6)),
    "reference.avif": _write(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(100)),
}


@pytest.mark.parametrize("code", BAD_PICTURES)
def test_each_unusable_picture_has_its_own_code_and_remedy(inputs, code):
    BAD_PICTURES[code](inputs / "bad.png")
    findings = found(job(inputs, picture="bad.png"))
    assert list(findings) == [code]
    finding = findings[code]
    assert finding.level == "error"
    assert finding.what.startswith(f"--refer_path: {inputs / 'bad.png'}") and finding.remedy.endswith(".")


def test_a_transparent_reference_is_warned_of(inputs):
    import cv2

    picture = np.dstack([numbered_frame(0, 160, 96), np.full((96, 160), 90, np.uint8)])
    cv2.imwrite(str(inputs / "clear.png"), picture)
    (finding,) = media_findings(job(inputs, picture="clear.png"))
    assert (finding.code, finding.level) == ("reference.hidden-colours", "warning")
    assert "background" in finding.remedy


def test_a_tiny_reference_is_warned_of(inputs):
    write_picture(inputs / "tiny.png", numbered_frame(0, 64, 48))
    (finding,) = media_findings(job(inputs, picture="tiny.png"))
    assert (finding.code, finding.level) == ("reference.too-small", "warning")


@pytest.mark.parametrize(("flags", "code"), [({}, "character.png"), ({"replace": True}, "drive.mp4")])
def test_a_shape_that_fits_no_canvas_is_refused(inputs, flags, code):
    """The canvas follows the reference, in replace mode the driving video."""
    thin, size = inputs / code, (2000, 96)
    if thin.suffix == ".png":
        write_picture(thin, numbered_frame(0, *size))
    else:
        write_clip(thin, size=size, frame_count=2)
    (finding,) = media_findings(job(inputs, resolution="64x64", **flags))
    assert (finding.code, finding.level) == ("media.canvas", "error")
    assert "--resolution" in finding.what and "larger" in finding.remedy


def test_a_low_clip_is_no_trouble(inputs):
    """Only the width as shown makes decord break, measured at 16, 48 and 72 pixels."""
    write_clip(inputs / "low.mp4", size=(160, 64))
    assert found(job(inputs, "low.mp4")) == {}
    write_clip(inputs / "turned.mp4", size=(160, 72), rotation=90)
    assert list(found(job(inputs, "turned.mp4"))) == ["media.too-small"]


def test_the_preview_engine_reads_tiny_clips(inputs):
    write_clip(inputs / "tiny.mp4", size=(64, 64))
    assert found(job(inputs, "tiny.mp4", engine="preview"))["media.too-small"].level == "note"


@pytest.mark.parametrize("case", MISREAD)
def test_what_upstream_would_misread_is_put_right_or_refused(inputs, case):
    code, make = MISREAD[case]
    clip = make(inputs)
    automatic = job(inputs, clip)
    assert needs_normalising(automatic)
    finding = found(automatic)[code]
    assert finding.level == "note" and str(clip) in finding.what
    assert "It is made a clean copy at 30 fps first." in finding.what
    refused = job(inputs, clip, normalize="never")
    assert not needs_normalising(refused)
    finding = found(refused)[code]
    assert finding.level == "error" and "MP4" in finding.remedy and "--normalize never" in finding.remedy


def test_the_copy_has_the_clips_own_rate_when_that_is_asked_for(inputs):
    clip = write_clip(inputs / "av1.mp4", codec="libsvtav1", rate=24)
    assert "at 24 fps" in found(job(inputs, clip, fps="source"))["media.av1"].what


def test_every_cause_that_the_readers_name_is_a_registered_error():
    """A code without a kind would end a check with a traceback."""
    sources = [
        ROOT / name for name in ("preprocess.py", "media/probe.py", "media/errors.py", "media/pictures.py")
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r'code="((?:media|reference)\.[a-z0-9-]+)"', text))
    shared = set(re.findall(r'^ +raise error\(.*"([a-z-]+)"\)', text, re.MULTILINE))
    named |= {f"{area}.{cause}" for area in ("media", "reference") for cause in shared}
    assert len(named) >= 15
    assert named <= set(registry())
    assert media_checks.TOO_SHORT.code in registry()
