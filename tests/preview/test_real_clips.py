"""The whole job of the preview engine on real clips, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import preprocess
from engines import source_folder, verification
from engines.preview.track import Track
from tests.media import write_beginning
from tests.workplace import ROOT, Workplace

CLIPS = ROOT.parent / "shared" / "data" / "wan_animate"

pytestmark = [
    pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips do not lie beside this checkout"),
    pytest.mark.usefixtures("preview_models"),
]


def make(mode: str, video: Path, folder: Path) -> Path:
    """Run the main job at a quarter of the pixels; returns stage 1's folder, the result beside it."""
    flags = ["--engine", "preview", "--resolution", "640x360", "--quiet"]
    flags += ["--video_path", str(video), "--refer_path", str(CLIPS / mode / "image.jpeg")]
    done = Workplace(folder).run("pipeline.py", *flags, *(["--replace"] if mode == "replace" else []))
    assert done.returncode == 0, done.stderr
    return folder / "process_results"


@pytest.mark.parametrize(("mode", "first", "frame_count"), [("animate", 40, 40), ("replace", 32, 40)])
def test_both_modes_end_to_end_with_a_person_in_every_frame(
    tmp_path: Path, mode: str, first: int, frame_count: int
) -> None:
    video = write_beginning(tmp_path / "clip.mp4", CLIPS / mode / "video.mp4", first)
    assert_both_stages_do_well(tmp_path, mode, video, frame_count)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "frame_count"), [("animate", 106), ("replace", 205)])
def test_whole_clips_end_to_end_with_a_person_in_every_frame(
    tmp_path: Path, mode: str, frame_count: int
) -> None:
    assert_both_stages_do_well(tmp_path, mode, CLIPS / mode / "video.mp4", frame_count)


def assert_both_stages_do_well(folder: Path, mode: str, video: Path, frame_count: int) -> None:
    source = make(mode, video, folder)
    verification.verify_source(source, replace=mode == "replace", exact_background=True)
    preprocess.check_video(folder / "output_wanimate.mp4", frame_count=frame_count, size=(640, 352))
    track = Track.load(source / source_folder.TRACK)
    assert len(track) == frame_count
    assert (track.person_score > 0.5).all()
    assert (track.face_score > 0).mean() > 0.95
    if mode == "replace":
        assert_the_mask_covers_the_face(source, track)
        assert_the_scene_outside_the_mask_is_kept(source, folder / "output_wanimate.mp4")


def assert_the_mask_covers_the_face(source: Path, track: Track) -> None:
    for index, mask in enumerate(preprocess.read_frames(source / source_folder.MASK)):
        x, y = np.round(track.body[index, 0, :2]).astype(int)
        assert mask[y, x, 0] == 255
        assert 0.05 < (mask[:, :, 0] > 127).mean() < 0.6


def assert_the_scene_outside_the_mask_is_kept(source: Path, result: Path) -> None:
    """Left of the figure the result shows the background file, but for coding."""
    pairs = zip(
        preprocess.read_frames(source / source_folder.BACKGROUND), preprocess.read_frames(result), strict=True
    )
    for background, made in pairs:
        left = np.s_[:, : background.shape[1] // 5]
        difference = np.abs(background[left].astype(int) - made[left].astype(int))
        assert np.median(difference) <= 4
