"""The whole job of the preview engine on real clips, where they lie beside the checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import preprocess
from engines import source_folder, verification
from engines.preview.track import Track
from tests.workplace import ROOT, Workplace

CLIPS = ROOT.parent / "shared" / "data" / "wan_animate"

pytestmark = [
    pytest.mark.skipif(not CLIPS.is_dir(), reason="the real clips do not lie beside this checkout"),
    pytest.mark.usefixtures("preview_models"),
]


def make(mode: str, folder: Path) -> Path:
    """Run the main job at a quarter of the pixels; returns stage 1's folder, the result beside it."""
    flags = ["--engine", "preview", "--resolution", "640x360", "--quiet"]
    flags += [
        "--video_path",
        str(CLIPS / mode / "video.mp4"),
        "--refer_path",
        str(CLIPS / mode / "image.jpeg"),
    ]
    done = Workplace(folder).run("pipeline.py", *flags, *(["--replace"] if mode == "replace" else []))
    assert done.returncode == 0, done.stderr
    return folder / "process_results"


@pytest.mark.parametrize(("mode", "frame_count"), [("animate", 106), ("replace", 205)])
def test_both_modes_end_to_end_with_a_person_in_every_frame(
    tmp_path: Path, mode: str, frame_count: int
) -> None:
    source = make(mode, tmp_path)
    verification.verify_source(source, replace=mode == "replace", exact_background=True)
    preprocess.check_video(tmp_path / "output_wanimate.mp4", frame_count=frame_count, size=(640, 352))
    track = Track.load(source / source_folder.TRACK)
    assert len(track) == frame_count
    assert (track.person_score > 0.5).all()
    assert (track.face_score > 0).mean() > 0.95
    if mode == "replace":
        assert_the_mask_covers_the_face(source, track)
        assert_the_scene_outside_the_mask_is_kept(source, tmp_path / "output_wanimate.mp4")


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
