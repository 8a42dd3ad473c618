"""The files of stage 1, made from a made-up Track: the models are not asked."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from config import SOURCE_FPS, Job
from engines.preview import stage1
from engines.preview.masks import replacement_mask
from engines.preview.plate import PersonArea
from engines.preview.pose_drawing import draw_pose
from engines.preview.pose_points import pose_points
from engines.preview.track import Track
from preprocess import MediaError, VideoWriter, fit_to_canvas, probe_video, read_frames, write_picture
from tests.preview.made_up_track import made_up_track

Image = NDArray[np.uint8]

ANIMATE = ["src_face.mp4", "src_pose.mp4"]
REPLACE = [*ANIMATE, "src_bg.mp4", "src_mask.mp4", "preview_plate.mp4"]


def grey_difference(first: Image, second: Image) -> NDArray[np.int_]:
    """Difference of two RGB pictures in brightness, as int [H, W] (colour is coded at half the size)."""
    return np.abs(
        cv2.cvtColor(first, cv2.COLOR_RGB2GRAY).astype(int) - cv2.cvtColor(second, cv2.COLOR_RGB2GRAY)
    )


def nothing(phase: str, done: int, total: int) -> None:
    pass


@pytest.fixture(autouse=True)
def _made_up_person(monkeypatch: pytest.MonkeyPatch) -> None:
    def video(
        forward: Callable[[Sequence[int]], Iterator[Image]],
        backward: object,
        indices: Sequence[int],
        size: tuple[int, int],
        report: object,
    ) -> Track:
        assert len(list(forward(indices[:3]))) == len(indices[:3])
        return made_up_track(len(indices), *size, size=0.6, centre=(0.3, 0.5), step=(1.0, 0.0))

    monkeypatch.setattr(stage1, "analyse_video", video)
    monkeypatch.setattr(
        stage1, "analyse_picture", lambda image: made_up_track(1, image.shape[1], image.shape[0])
    )


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A driving video of 41 frames of 192x108 at 24 a second, and a reference image of 120x150."""
    generator = np.random.default_rng(1)
    small = generator.integers(30, 220, (14, 24, 3)).astype(np.uint8)
    scene = np.asarray(cv2.resize(small, (192, 108), interpolation=cv2.INTER_CUBIC), np.uint8)
    with VideoWriter(tmp_path / "driving video.mp4", 192, 108, Fraction(24), crf=10) as writer:
        for index in range(41):
            frame = scene.copy()
            frame[30:80, 60 + index : 80 + index] = (20, 250, 20)
            writer.write(frame)
    write_picture(tmp_path / "reference.jpg", np.full((150, 120, 3), 128, np.uint8))
    return tmp_path


def make(inputs: Path, **settings: Any) -> Path:
    job = Job(
        stages=(1,),
        video_path=inputs / "driving video.mp4",
        refer_path=inputs / "reference.jpg",
        resolution=(160, 96),
        **{"retarget": False, **settings},
    )
    folder = inputs / "made"
    folder.mkdir(exist_ok=True)
    stage1.make_inputs(job, folder, nothing)
    return folder


@pytest.mark.parametrize(
    ("settings", "names", "canvas"),
    [
        ({"retarget": False}, ANIMATE, (96, 128)),
        ({"retarget": True}, ANIMATE, (96, 128)),
        ({"replace": True}, REPLACE, (160, 80)),
    ],
)
def test_every_file_has_the_sampled_frames_at_the_right_size_and_rate(
    inputs: Path, settings: dict[str, Any], names: list[str], canvas: tuple[int, int]
) -> None:
    folder = make(inputs, **settings)
    assert {path.name for path in folder.iterdir()} == {*names, "src_ref.png", "preview_track.npz"}
    for name in names:
        info = probe_video(folder / name)
        assert info.frame_count == 51, name  # int(41 / 24 * 30)
        assert info.rate == 30, name
        assert (info.width, info.height) == ((512, 512) if name == "src_face.mp4" else canvas), name
    assert len(Track.load(folder / "preview_track.npz")) == 51


def test_the_source_rate_keeps_every_frame(inputs: Path) -> None:
    folder = make(inputs, replace=True, fps=SOURCE_FPS)
    for name in REPLACE:
        info = probe_video(folder / name)
        assert (info.frame_count, info.rate) == (41, Fraction(24))


def test_the_reference_is_copied_byte_for_byte(inputs: Path) -> None:
    folder = make(inputs)
    assert (folder / "src_ref.png").read_bytes() == (inputs / "reference.jpg").read_bytes()


def test_every_video_says_that_it_is_a_preview(inputs: Path) -> None:
    folder = make(inputs, replace=True)
    for name in REPLACE:
        with av.open(str(folder / name)) as container:
            assert "Understudy preview engine" in container.metadata["comment"]


def test_masks_are_lossless_and_grown_as_asked(inputs: Path) -> None:
    folder = make(inputs, replace=True, iterations=2, k=5, w_len=4, h_len=3)
    track = Track.load(folder / "preview_track.npz")
    for index, frame in enumerate(read_frames(folder / "src_mask.mp4")):
        person = (track.mask(index) >= 128).astype(np.uint8)
        expected = replacement_mask(person, 2, 5, 4, 3) * 255
        np.testing.assert_array_equal(frame, np.repeat(expected[..., np.newaxis], 3, axis=2))


def test_the_background_is_black_where_the_mask_is_and_the_frame_elsewhere(inputs: Path) -> None:
    folder = make(inputs, replace=True, fps=SOURCE_FPS)
    driving = [fit_to_canvas(frame, 160, 80) for frame in read_frames(inputs / "driving video.mp4")]
    pairs = zip(
        driving, read_frames(folder / "src_bg.mp4"), read_frames(folder / "src_mask.mp4"), strict=True
    )
    rim = np.ones((5, 5), np.uint8)
    for frame, background, mask in pairs:
        inside = cv2.erode(mask[..., 0], rim) > 0
        outside = cv2.dilate(mask[..., 0], rim) == 0
        assert inside.any() and outside.any()
        assert background[inside].max() <= 24
        assert grey_difference(background, frame)[outside].mean() < 2


def test_without_retargeting_the_skeleton_is_drawn_at_the_driving_videos_size_then_letterboxed(
    inputs: Path,
) -> None:
    folder = make(inputs)
    points = pose_points(Track.load(folder / "preview_track.npz"))
    for index, frame in enumerate(read_frames(folder / "src_pose.mp4", [0, 25, 50])):
        drawing = draw_pose(np.zeros((108, 192, 3), np.uint8), *points.frame((0, 25, 50)[index]))
        expected = fit_to_canvas(drawing, 96, 128, allow_area=False)
        assert np.abs(frame.astype(int) - expected).mean() < 3
        assert not frame[:30].any() and not frame[-30:].any()


def test_with_retargeting_the_skeleton_stands_on_the_references_canvas(inputs: Path) -> None:
    folder = make(inputs, retarget=True)
    first = next(read_frames(folder / "src_pose.mp4"))
    assert first[:30].any() and first[-30:].any()  # the reference's figure is as tall as its picture


def test_the_plate_is_the_frame_outside_the_persons_area_and_not_black_inside(inputs: Path) -> None:
    folder = make(inputs, replace=True, fps=SOURCE_FPS)
    area = PersonArea(Track.load(folder / "preview_track.npz"))
    for index, frame in enumerate(read_frames(inputs / "driving video.mp4")):
        if index % 10 == 0:
            scene = fit_to_canvas(frame, 160, 80)
            (painted,) = read_frames(folder / "preview_plate.mp4", [index])
            hidden = area.full(index) > 0
            assert grey_difference(painted, scene)[~hidden].mean() < 2
            assert cv2.cvtColor(painted, cv2.COLOR_RGB2GRAY)[hidden & (scene.max(axis=2) > 0)].min() > 15


def test_a_clip_too_short_for_one_sample_is_refused(inputs: Path) -> None:
    with VideoWriter(inputs / "driving video.mp4", 192, 108, Fraction(60)) as writer:
        writer.write(np.zeros((108, 192, 3), np.uint8))
    with pytest.raises(MediaError, match="too short"):
        make(inputs)


def test_a_report_that_cancels_is_let_through(inputs: Path) -> None:
    class Cancelled(BaseException):
        pass

    def cancel(phase: str, done: int, total: int) -> None:
        if phase == "write the inputs" and done == 5:
            raise Cancelled

    job = Job(stages=(1,), video_path=inputs / "driving video.mp4", refer_path=inputs / "reference.jpg",
              resolution=(160, 96), retarget=False)  # fmt: skip
    with pytest.raises(Cancelled):
        stage1.make_inputs(job, inputs, cancel)
