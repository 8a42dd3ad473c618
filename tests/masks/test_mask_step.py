"""The mask step from the drivers' side: between the stages, and alone, as often as one likes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

import preprocess
from masks import operations
from preprocess import Image, VideoWriter
from tests.media import numbered_frame, variable_times, write_clip
from tests.workplace import Workplace, copy_workplace, wait_until

FOLDER = "process_results"
BUILD = ("scripts/build_mask.py", "--src_root_path", FOLDER)
FRAMES = 12


def write_mask(path: Path, frame_count: int = FRAMES, size: tuple[int, int] = (160, 96)) -> Path:
    """A disc that wanders to the right; nothing in frame 3."""
    width, height = size
    with VideoWriter(path, width, height, Fraction(30), lossless=True) as writer:
        for number in range(frame_count):
            frame = np.zeros((height, width, 3), np.uint8)
            if number != 3:
                centre = (width // 4 + 3 * number, height // 2)
                cv2.circle(frame, centre, height // 6, (255, 255, 255), -1)
            writer.write(frame)
    return path


def frames(path: Path) -> list[Image]:
    return list(preprocess.read_frames(path))


def succeed(place: Workplace, *arguments: str, driver: str = "pipeline.py") -> str:
    done = place.run_here(driver, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stderr


def refused(place: Workplace, code: str, *flags: str, driver: str = BUILD[0]) -> str:
    """Exit code 2, with that code, and nothing has changed."""
    before = place.contents()
    shown = place.invoke(driver, *flags)
    said = " ".join(shown.output.split())
    assert shown.exit_code == 2 and f"[{code}]" in said, said
    assert place.contents() == before
    return said


@pytest.fixture
def masked(workplace: Workplace) -> Workplace:
    """A workplace with a finished mask for its clip."""
    write_mask(workplace / "mask.mp4")
    return workplace


@pytest.fixture(scope="module")
def _made(_untouched: Workplace, own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = copy_workplace(_untouched, tmp_path_factory.mktemp("workplace") / "made")
    write_mask(place / "mask.mp4")
    done = place.run("run_preprocessing.py", *place.inputs, "--replace")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def made(_made: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Stage 1 has run, with upstream's own mask."""
    place = copy_workplace(_made, tmp_path / "work")
    monkeypatch.chdir(place.folder)
    return place


def assert_follows(place: Workplace, mask_video: Path, grow: int = 10, block: int = 32) -> None:
    """Mask and background are those of the given mask, to the pixel."""
    folder = place / FOLDER
    given = [(frame[..., 0] >= 128).astype(np.uint8) for frame in frames(mask_video)]
    masks, backgrounds = frames(folder / "src_mask.mp4"), frames(folder / "src_bg.mp4")
    assert len(masks) == len(backgrounds) == len(given)
    for one, mask, background in zip(given, masks, backgrounds, strict=True):
        expected = operations.blockify(operations.grow(one, grow), block)
        assert np.array_equal(mask, np.repeat(expected[..., None] * 255, 3, axis=2))
        assert not background[expected == 1].any()
        assert expected.all() or background[expected == 0].any()


# ------------------------------------------------------------------------------------ between the stages


def test_a_mask_of_ones_own_goes_through_the_whole_pipeline(masked):
    flags = (*masked.inputs, "--replace", "--mask_video", "mask.mp4")
    said = succeed(masked, *flags)
    assert_follows(masked, masked / "mask.mp4")
    assert "empty in 1 of 12 frames" in said and ": 3." in said, "where nobody is, the run says so"
    command = json.loads((masked / FOLDER / ".understudy" / "preprocess.json").read_text())["argv"]
    assert "stage1_launcher.py" in " ".join(command) and command[command.index("--iterations") + 1] == "0"
    for name in ("mask_preview.mp4", "mask_contact_sheet.png"):
        assert (masked / FOLDER / name).stat().st_size
    assert succeed(masked, *flags).count("up to date") == 4
    record = json.loads((masked / "output_wanimate.json").read_text())
    assert [step["step"] for step in record["steps"]] == ["preprocess", "mask", "generate", "finish"]


def test_another_mask_costs_the_mask_and_what_follows_but_not_stage_1(masked):
    succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4")
    said = succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4", "--mask_grow", "4")
    assert "mask_grow changed from 10 to 4" in said and "the src_mask.mp4 changed" in said
    assert said.count("up to date") == 2, "stage 1; and the stand-in's result does not depend on the mask"
    assert_follows(masked, masked / "mask.mp4", grow=4)


def test_a_stage_1_with_its_own_mask_need_not_run_again_for_another_mask(made):
    pose = (made / FOLDER / "src_pose.mp4").stat().st_mtime_ns
    said = succeed(made, *made.inputs, "--replace", "--mask_video", "mask.mp4")
    assert said.count("up to date") == 1
    assert (made / FOLDER / "src_pose.mp4").stat().st_mtime_ns == pose
    assert_follows(made, made / "mask.mp4")


def test_without_the_mask_stage_1_makes_its_own_again(masked):
    succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4")
    succeed(masked, *masked.inputs, "--replace")
    folder = masked / FOLDER
    assert not (folder / "mask_preview.mp4").exists() and not (folder / ".understudy/mask.json").exists()
    assert (folder / "src_mask.mp4").is_file()


def test_a_mask_that_fails_after_stage_1_leaves_no_other_mask_for_stage_2(masked):
    succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4", driver="run_preprocessing.py")
    with VideoWriter(masked / "mask.mp4", 160, 96, Fraction(30), lossless=True) as writer:
        for _ in range(FRAMES):
            writer.write(np.zeros((96, 160, 3), np.uint8))
    write_clip(
        masked / masked.video, frame_count=12, rate=30, frame=lambda n, w, h: numbered_frame(n + 5, w, h)
    )
    flags = (*masked.inputs, "--replace", "--mask_video", "mask.mp4")
    failed = masked.run_here("run_preprocessing.py", *flags)
    assert failed.returncode == 1 and "empty in every frame" in failed.stderr
    assert not (masked / FOLDER / "src_mask.mp4").exists()
    generate = ("--src_root_path", FOLDER, "--replace")
    assert "mask step" in refused(masked, "source.mode", *generate, driver="run_generation.py")


def test_the_plan_shows_the_mask_step_and_starts_nothing(masked):
    before = masked.contents()
    shown = masked.invoke("pipeline.py", *masked.inputs, "--replace", "--mask_video", "mask.mp4", "--dry_run")
    assert shown.exit_code == 0 and "# mask:" in shown.output and "stage1_launcher.py" in shown.output
    assert masked.contents() == before


def test_a_clip_that_upstream_would_misread_is_masked_in_its_clean_copy(masked):
    write_clip(masked / masked.video, frame_count=20, times=variable_times((10, 15), (10, 30)))
    said = masked.invoke("pipeline.py", *masked.inputs, "--replace", "--check", "--json")
    frame_count = json.loads(said.stdout)["predicted"]["frames"]
    write_mask(masked / "mask.mp4", frame_count)
    succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4")
    assert (masked / FOLDER / "driving_video.mp4").is_file()
    assert_follows(masked, masked / "mask.mp4")
    succeed(masked, *BUILD[1:], "--mask_video", "mask.mp4", "--mask_grow", "2", driver=BUILD[0])
    assert_follows(masked, masked / "mask.mp4", grow=2)


def test_rerun_makes_the_mask_again_to_the_byte(masked):
    succeed(masked, *masked.inputs, "--replace", "--mask_video", "mask.mp4", "--mask_grow", "4")
    names = [f"{FOLDER}/src_mask.mp4", f"{FOLDER}/src_bg.mp4", "output_wanimate.mp4"]
    before = {name: masked.contents()[name] for name in names}
    for name in names:
        (masked / name).unlink()
    succeed(masked, "--rerun", "output_wanimate.json")
    assert {name: masked.contents()[name] for name in names} == before


# -------------------------------------------------------------------------------------------- alone


def test_the_mask_is_rebuilt_as_often_as_one_likes(made):
    names = [f"{FOLDER}/{name}" for name in ("src_pose.mp4", "src_face.mp4", "src_ref.png")]
    others = {name: made.contents()[name] for name in names}
    original = (made / FOLDER / "src_mask.mp4").read_bytes()
    for grow, block in ((10, 32), (0, 0), (3, 8)):
        flags = ("--mask_grow", str(grow), "--mask_blockify", str(block))
        succeed(made, *BUILD[1:], "--mask_video", "mask.mp4", *flags, driver=BUILD[0])
        assert_follows(made, made / "mask.mp4", grow, block)
        assert (made / FOLDER / "original_src_mask.mp4").read_bytes() == original
    assert {name: made.contents()[name] for name in names} == others
    succeed(made, "--src_root_path", FOLDER, "--replace", driver="run_generation.py")
    assert not list((made / FOLDER).glob("original_*")), "the job is done"


def test_clicks_without_any_model_follow_what_moves(made):
    """A bright block on noise, two clicks, the classic segmenter."""

    def frame(number: int, width: int, height: int) -> Image:
        picture = np.random.default_rng(7).integers(60, 110, (height, width, 3), np.uint8)
        picture[20:70, 40 + 2 * number : 90 + 2 * number] = (230, 40, 40)
        return picture

    write_clip(made / made.video, frame=frame)
    (made / "points.json").write_text(json.dumps([{"x": 55, "y": 30}, {"x": 70, "y": 50}]))
    flags = ("--segmenter", "classic", "--mask_points", "points.json", "--mask_blockify", "0")
    succeed(made, *made.inputs, "--replace", *flags, "--mask_grow", "0")
    masks = [picture[..., 0] > 0 for picture in frames(made / FOLDER / "src_mask.mp4")]
    assert all(mask.any() for mask in masks)
    centres = [float(np.nonzero(mask)[1].mean()) for mask in masks]
    assert centres[-1] > centres[0] + 10


def test_the_folder_is_as_it_was_when_it_is_killed_half_way(workplace):
    """A clip that takes a while, so that the signal strikes while the files are being written."""
    write_clip(workplace / workplace.video, frame_count=60, rate=30, size=(640, 352))
    inputs = (*workplace.inputs[:4], "--resolution", "640x352", "--replace")
    succeed(workplace, *inputs, driver="run_preprocessing.py")
    pose = preprocess.probe_video(workplace / FOLDER / "src_pose.mp4")
    write_mask(workplace / "mask.mp4", pose.frame_count, (pose.width, pose.height))
    before = workplace.contents(hidden=False)
    process = workplace.start(*BUILD, "--mask_video", "mask.mp4")

    def writes() -> bool:
        return any((folder / "src_bg.mp4").exists() for folder in workplace.scratch_folders())

    wait_until(lambda: writes() or process.poll() is not None, "the step to write")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGKILL
    left = {name: known for name, known in workplace.contents(hidden=False).items() if "scratch@" not in name}
    assert left == before
    succeed(workplace, *BUILD[1:], "--mask_video", "mask.mp4", driver=BUILD[0])
    assert_follows(workplace, workplace / "mask.mp4")
    assert not workplace.scratch_folders()


def test_the_folder_alone_knows_its_driving_video_also_when_it_was_moved(masked):
    succeed(masked, *masked.inputs, "--replace", driver="run_preprocessing.py")
    (masked / masked.video).rename(masked / "moved.mp4")
    assert "not there any more" in refused(
        masked, "mask.video-unknown", *BUILD[1:], "--mask_video", "mask.mp4"
    )
    succeed(masked, *BUILD[1:], "--mask_video", "mask.mp4", "--video_path", "moved.mp4", driver=BUILD[0])
    assert_follows(masked, masked / "mask.mp4")


# ------------------------------------------------------------------------------------------ bad input


def write(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("code", "flags"),
    [
        ("settings.mask-missing", ()),
        ("settings.several-masks", ("--mask_video", "mask.mp4", "--mask_box", "1 2 30 40")),
        ("settings.exclude-without-points", ("--mask_video", "mask.mp4", "--mask_exclude", "dog")),
        ("settings.value.mask_box", ("--mask_box", "30 2 1 40")),
        ("settings.value.mask_grow", ("--mask_video", "mask.mp4", "--mask_grow", "-1")),
        ("mask.other-video", ("--mask_video", "mask.mp4", "--video_path", "other.mp4")),
    ],
)
def test_a_request_that_must_fail_changes_nothing(made, code, flags):
    write_clip(made / "other.mp4", frame_count=10, frame=lambda n, w, h: numbered_frame(n + 7, w, h))
    refused(made, code, *BUILD[1:], *flags)


def test_a_mask_video_of_another_length_is_refused(made):
    write_mask(made / "short.mp4", frame_count=9)
    said = refused(made, "mask.video-length", *BUILD[1:], "--mask_video", "short.mp4")
    assert "9" in said and str(FRAMES) in said


def test_a_folder_of_animate_mode_is_refused(workplace):
    write_mask(workplace / "mask.mp4")
    succeed(workplace, *workplace.inputs, driver="run_preprocessing.py")
    assert "animate mode" in refused(workplace, "source.mode", *BUILD[1:], "--mask_video", "mask.mp4")


def test_a_mask_in_animate_mode_is_refused(masked):
    flags = (*masked.inputs, "--mask_video", "mask.mp4")
    refused(masked, "settings.mask-in-animate", *flags, driver="pipeline.py")
