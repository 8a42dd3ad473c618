"""Stage 2 of the preview engine: the files it takes, the file it leaves."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import av
import cv2
import numpy as np
import pytest

import preprocess
from config import Job
from engines.preview import stage2
from engines.preview.track import PersonNotFound, Track
from tests.preview.puppet_figure import Image, drawn_figure, repeated

_SIZE = (160, 208)
_COUNT = 6


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stage 1's folder of a small job; the reference's analysis is the drawn figure's known track."""
    picture, track = drawn_figure(*_SIZE)
    clip = repeated(track, _COUNT)
    clip.body[:, 15, :2] += np.linspace(0, 20, _COUNT)[:, np.newaxis]
    folder = tmp_path / "process_results"
    folder.mkdir()
    preprocess.write_picture(folder / "src_ref.png", picture)
    clip.save(folder / "preview_track.npz")
    mask = np.zeros(_SIZE[::-1], np.uint8)
    cv2.rectangle(mask, (40, 16), (119, 191), 255, -1)
    scene = np.full((*_SIZE[::-1], 3), (60, 90, 120), np.uint8)
    hidden = np.where(mask[..., np.newaxis] > 0, 0, scene).astype(np.uint8)
    plate = np.full_like(scene, (90, 60, 30))
    for name, frame in (
        ("src_pose.mp4", np.zeros_like(scene)),
        ("src_bg.mp4", hidden),
        ("src_mask.mp4", mask),
        ("preview_plate.mp4", plate),
    ):
        _write(folder / name, frame)
    monkeypatch.setattr(stage2, "analyse_picture", lambda image: track)
    return folder


def _write(path: Path, frame: Image) -> None:
    with preprocess.VideoWriter(path, *_SIZE, Fraction(30000, 1001), lossless=frame.ndim == 2) as writer:
        for _ in range(_COUNT):
            writer.write(frame)


def _job(replace_mode: bool) -> Job:
    return cast(Job, SimpleNamespace(replace=replace_mode))


def _render(folder: Path, output: Path, *, replace_mode: bool = False) -> list[tuple[str, int, int]]:
    reports: list[tuple[str, int, int]] = []
    stage2.render(_job(replace_mode), folder, output, lambda *values: reports.append(values))
    return reports


@pytest.mark.parametrize("replace_mode", [False, True])
def test_result_has_the_frames_size_and_rate_of_the_pose_video(
    source: Path, tmp_path: Path, replace_mode: bool
) -> None:
    output = tmp_path / "result.mp4"
    reports = _render(source, output, replace_mode=replace_mode)
    info = preprocess.check_video(output, frame_count=_COUNT, size=_SIZE)
    assert info.rate == Fraction(30000, 1001)
    assert info.codec == "h264"
    assert reports[-1] == ("render", _COUNT, _COUNT)


def test_result_says_that_it_is_a_preview(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    _render(source, output)
    with av.open(str(output)) as container:
        assert "Understudy preview engine" in container.metadata["comment"]


def test_same_inputs_give_the_same_bytes(source: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "first.mp4", tmp_path / "second.mp4"]
    for output in outputs:
        _render(source, output, replace_mode=True)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_replace_mode_shows_the_scene_and_a_rebuilt_mask_is_honoured(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    _render(source, output, replace_mode=True)
    first = next(preprocess.read_frames(output)).astype(int)
    assert np.abs(first[180, 10] - (60, 90, 120)).max() < 12
    assert np.abs(first[25, 110] - (90, 60, 30)).max() < 12
    smaller = np.zeros(_SIZE[::-1], np.uint8)
    cv2.rectangle(smaller, (60, 40), (99, 167), 255, -1)
    scene = np.full((*_SIZE[::-1], 3), (60, 90, 120), np.uint8)
    scene[smaller > 0] = 0
    _write(source / "src_mask.mp4", smaller)
    _write(source / "src_bg.mp4", scene)
    _render(source, output, replace_mode=True)
    first = next(preprocess.read_frames(output)).astype(int)
    assert np.abs(first[25, 110] - (60, 90, 120)).max() < 12


def test_animate_mode_keeps_the_references_own_background(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "result.mp4"
    _render(source, output)
    picture = preprocess.read_picture(source / "src_ref.png").astype(int)
    first = next(preprocess.read_frames(output)).astype(int)
    assert np.abs(first[:, :20] - picture[:, :20]).mean() < 4


def test_a_reference_of_another_shape_is_letterboxed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, track = drawn_figure(104, 208)
    preprocess.write_picture(source / "src_ref.png", picture)
    seen: list[tuple[int, ...]] = []

    def analyse(image: Image) -> Track:
        seen.append(image.shape)
        return track

    monkeypatch.setattr(stage2, "analyse_picture", analyse)
    output = tmp_path / "result.mp4"
    _render(source, output)
    assert seen == [(208, 104, 3)]
    first = next(preprocess.read_frames(output)).astype(int)
    assert first[:, :24].max() < 30


def test_a_reference_without_a_person_is_refused_with_a_remedy(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, track = drawn_figure(*_SIZE)
    nobody = replace(track, person_score=np.zeros(1, np.float32))
    monkeypatch.setattr(stage2, "analyse_picture", lambda image: nobody)
    with pytest.raises(PersonNotFound, match="Choose a reference image"):
        _render(source, tmp_path / "result.mp4")


def test_a_track_of_another_clip_is_refused(source: Path, tmp_path: Path) -> None:
    _, track = drawn_figure(*_SIZE)
    repeated(track, _COUNT + 1).save(source / "preview_track.npz")
    with pytest.raises(preprocess.MediaError, match=r"Run stage 1 again"):
        _render(source, tmp_path / "result.mp4")
    (source / "preview_track.npz").write_bytes(b"nothing")
    with pytest.raises(preprocess.MediaError, match=r"Run stage 1 again"):
        _render(source, tmp_path / "result.mp4")


def test_cancelling_from_the_report_ends_the_run(source: Path, tmp_path: Path) -> None:
    class Cancelled(Exception):
        pass

    def report(phase: str, done: int, total: int) -> None:
        if (phase, done) == ("render", 3):
            raise Cancelled

    with pytest.raises(Cancelled):
        stage2.render(_job(False), source, tmp_path / "result.mp4", report)
