"""What --look sees: clips made of the bundled demo that a run would fail on, or be wasted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

import config
import preprocess
from engines.findings import Finding
from engines.preview import look
from engines.preview.look import look_findings
from engines.preview.network import Region
from engines.preview.observation import Observation, Sample
from engines.preview.observer import Person
from engines.preview.sampled_clip import SampledClip, sample_numbers
from engines.preview.track import Image
from media.probe import Timeline, timeline
from tests.media import write_clip
from tests.workplace import ROOT, Workplace

DEMO = ROOT / "scripts" / "demo"
VIDEO, REFERENCE = DEMO / "driving_video.mp4", DEMO / "reference.jpg"
REAL = ROOT.parent / "shared" / "data" / "wan_animate"

Job = config.Job
MakeClip = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("preview_models")


@pytest.fixture(scope="module")
def person() -> list[Image]:
    """Four frames of the demo, 480x832: one person, whole, from the front."""
    return list(preprocess.read_frames(VIDEO, [0, 24, 48, 83]))


@pytest.fixture(scope="module")
def character() -> Image:
    return preprocess.read_picture(REFERENCE)


@pytest.fixture
def clip(tmp_path: Path) -> MakeClip:
    """Writes frames as a clip of two frames a second: every one of them is looked at."""

    def write(frames: Sequence[Image], **options: Any) -> Path:
        height, width = frames[0].shape[:2]
        settings = {"rate": 2, "frame_count": len(frames), "size": (width, height), **options}
        return write_clip(tmp_path / "clip.mp4", frame=lambda number, *size: frames[number], **settings)

    return write


def findings(video: Path, reference: Path = REFERENCE, **settings: Any) -> dict[str, Finding]:
    """What a look finds, by code: every code comes once."""
    job = make_job(video, reference, **settings)
    found = list(look_findings(job, lambda phase, done, total: None))
    assert len({finding.code for finding in found}) == len(found)
    return {finding.code: finding for finding in found}


def make_job(video: Path, reference: Path = REFERENCE, **settings: Any) -> Job:
    return config.load_job((1, 2, 3), {"video_path": video, "refer_path": reference, **settings})


def black(like: Image) -> Image:
    return np.zeros_like(like)


def resized(image: Image, width: int, height: int) -> Image:
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def shrunk(image: Image, factor: float, size: tuple[int, int]) -> Image:
    """The picture smaller, on a grey canvas of (width, height), in the middle of its foot."""
    width, height = size
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    canvas = np.full((height, width, 3), 150, np.uint8)
    left = (width - small.shape[1]) // 2
    canvas[height - small.shape[0] :, left : left + small.shape[1]] = small
    return canvas


def without_face(image: Image, size: float) -> Image:
    """The face painted over with hair: as good as seen from behind. ``size`` is the paint's, in faces."""
    painted = image.copy()
    x, y, side = place_of_face(image)
    axes = round(side * size * 0.8), round(side * size)
    cv2.ellipse(painted, (x, y), axes, 0, 0, 360, (52, 34, 26), -1)
    return painted


def place_of_face(image: Image) -> tuple[int, int, int]:
    """Centre and side of the face of the person in a picture."""
    from engines.preview.analysis import analyse_picture

    points = analyse_picture(image).face[0, :, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    return (
        round(float(low[0] + high[0]) / 2),
        round(float(low[1] + high[1]) / 2),
        round(float(np.ptp(points))),
    )


# ------------------------------------------------------------------------------------------- nothing is wrong


def test_the_demo_gives_no_finding() -> None:
    assert findings(VIDEO, replace=True) == {}  # animate mode asks for less


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips do not lie beside this checkout")
@pytest.mark.parametrize(
    ("mode", "expected"), [("animate", {}), ("replace", {"look.feet-out-of-frame": "note"})]
)
def test_upstreams_own_examples_give_no_more_than_is_true(mode: str, expected: dict[str, str]) -> None:
    folder = REAL / mode
    found = findings(folder / "video.mp4", folder / "image.jpeg", replace=mode == "replace")
    assert {code: finding.level for code, finding in found.items()} == expected


# -------------------------------------------------------------------------------------------- who is there


@pytest.mark.parametrize("kind", ["black", "a wall"])
def test_nobody_at_all_is_an_error(clip: MakeClip, person: list[Image], kind: str) -> None:
    nothing = black(person[0]) if kind == "black" else cv2.resize(person[0][:120, :150], (480, 832))
    found = findings(clip([nothing] * 4))
    assert list(found) == ["look.nobody"]
    assert found["look.nobody"].level == "error"
    assert "4 sampled frames" in found["look.nobody"].what


def test_a_person_who_leaves_is_found_with_frame_time_and_what_to_keep(
    clip: MakeClip, person: list[Image]
) -> None:
    gone = black(person[0])
    leaves = findings(clip([person[0], gone, gone, *person]), replace=True)["look.person-leaves"]
    assert leaves.level == "warning"
    assert "in 2 of 7 sampled frames: from 00:00.5 (frame 1) to 00:01.0 (frame 2)" in leaves.what
    assert "Keep only seconds 1.50 to 3.50" in leaves.remedy


def test_two_people_of_like_size_are_several(clip: MakeClip, person: list[Image]) -> None:
    pairs = [np.hstack([image, image[:, ::-1]]) for image in person[:3]]
    found = findings(clip([*pairs, *(np.hstack([image, black(image)]) for image in person[:2])]))
    several = found["look.several-people"]
    assert "in 3 of 5 sampled frames: from 00:00.0 (frame 0) to 00:01.0 (frame 2)" in several.what
    assert "Keep only seconds 1.50 to 2.50" in several.remedy


def test_a_small_figure_in_the_background_is_nobody_to_jump_to(clip: MakeClip, person: list[Image]) -> None:
    pairs = [np.hstack([image, shrunk(image, 0.4, (480, 832))]) for image in person[:2]]
    assert "look.several-people" not in findings(clip(pairs))


def test_a_small_figure_in_a_wide_picture_is_somebody(clip: MakeClip, person: list[Image]) -> None:
    found = findings(clip([shrunk(image, 0.3, (1664, 832)) for image in person[:1]]))
    assert list(found) == ["look.small-face"]


def test_a_person_missed_in_a_dark_frame_is_looked_for_where_the_next_frames_show_one(
    clip: MakeClip, person: list[Image]
) -> None:
    dark = np.asarray(person[1] * 0.03, np.uint8)
    assert findings(clip([person[0], dark, *person[2:]])) == {}
    assert list(findings(clip([dark]))) == ["look.nobody"]


def test_a_clip_that_players_turn_is_looked_at_upright(clip: MakeClip, person: list[Image]) -> None:
    lying = [np.ascontiguousarray(np.rot90(image, -1)) for image in person[:2]]
    assert findings(clip(lying, rotation=90)) == {}


# --------------------------------------------------------------------------------------------- face and feet


def test_a_small_face_is_found_with_its_size(clip: MakeClip, person: list[Image]) -> None:
    small = findings(clip([shrunk(image, 0.5, (480, 832)) for image in person]))["look.small-face"]
    assert "under 51 pixels" in small.what
    assert "in 4 of 4 sampled frames" in small.what


def test_a_face_that_is_not_to_be_seen_is_averted(clip: MakeClip, person: list[Image]) -> None:
    turned = [without_face(image, 0.6) for image in person[:2]]
    averted = findings(clip([*turned, *person[:2]]))["look.averted-face"]
    assert "in 2 of 4 sampled frames: from 00:00.0 (frame 0) to 00:00.5 (frame 1)" in averted.what
    assert "Keep only seconds 1.00 to 2.00" in averted.remedy


def test_feet_that_leave_the_picture_are_found(clip: MakeClip, person: list[Image]) -> None:
    lowered = [np.vstack([np.repeat(image[:1], 232, axis=0), image[:600]]) for image in person[:2]]
    feet = findings(clip([*person[:3], *lowered]), replace=True)["look.feet-out-of-frame"]
    assert "from 00:01.5 (frame 3) to 00:02.0 (frame 4)" in feet.what
    assert "Keep only seconds 0.00 to 1.50" in feet.remedy


# -------------------------------------------------------------------------- what follows from what is seen

SEEN = Person(
    area=50_000.0, face_side=80.0, face_turn=5.0, knees=True, ankles=True, region=Region(0, 0, 500, 0)
)


def judged(*frames: Sequence[Person], scale: float = 1.0, **settings: Any) -> dict[str, Finding]:
    """Findings about a clip of two frames a second, in which these persons are seen."""
    samples = tuple(Sample(number, tuple(persons)) for number, persons in enumerate(frames))
    line = Timeline(tuple(range(len(frames))), len(frames), Fraction(1, 2), (0,), has_times=True)
    sampled = SampledClip(VIDEO, line, len(frames), Observation(samples, ()))
    found = look.driving_findings(make_job(VIDEO, **settings), sampled, scale)
    return {finding.code: finding for finding in found}


def test_a_clip_in_which_all_is_well_gives_no_finding() -> None:
    assert judged([SEEN], [SEEN], [SEEN], replace=True) == {}


def test_the_switch_that_lets_empty_masks_pass_is_named_where_there_are_masks() -> None:
    frames: tuple[list[Person], ...] = ([SEEN], [], [], [SEEN])
    assert "--iterations 0" in judged(*frames, replace=True)["look.person-leaves"].remedy
    for settings in ({}, {"replace": True, "iterations": 0}, {"replace": True, "engine": "preview"}):
        assert "--iterations 0" not in judged(*frames, **settings)["look.person-leaves"].remedy


def test_a_single_frame_without_a_person_is_told_apart_except_at_the_ends() -> None:
    between = judged([SEEN], [SEEN], [], [SEEN])
    assert "in 1 of 4 sampled frames: at 00:01.0 (frame 2)" in between["look.no-person"].what
    assert list(judged([], [SEEN], [SEEN])) == list(judged([SEEN], [SEEN], [])) == ["look.person-leaves"]


def test_another_person_counts_from_half_the_area_and_twice() -> None:
    near, far = replace(SEEN, area=25_000.0), replace(SEEN, area=24_000.0)
    assert list(judged([SEEN, near], [SEEN, near], [SEEN])) == ["look.several-people"]
    assert judged([SEEN, near], [SEEN], [SEEN, far]) == {}


def test_a_canvas_that_makes_the_face_small_is_told_apart() -> None:
    assert "--resolution" in judged(*[[SEEN]] * 4, scale=0.5, replace=True)["look.small-face"].remedy
    small = replace(SEEN, face_side=30.0)
    assert "nearer" in judged(*[[small]] * 4, scale=0.5, replace=True)["look.small-face"].remedy
    assert "smallest: 30" in judged(*[[small]] * 4, scale=3.0)["look.small-face"].what, (
        "enlarging adds nothing"
    )


def test_a_small_face_is_not_called_averted_too() -> None:
    assert list(judged(*[[replace(SEEN, face_side=30.0, face_turn=None)]] * 4)) == ["look.small-face"]


@pytest.mark.parametrize("turn", [None, 51.0])
def test_a_face_that_is_averted_in_a_good_part_of_the_frames_is_told(turn: float | None) -> None:
    averted = replace(SEEN, face_turn=turn)
    assert list(judged(*[[averted]] * 2, *[[SEEN]] * 6)) == ["look.averted-face"]
    assert judged(*[[averted]] * 2, *[[SEEN]] * 7) == {}
    assert judged([averted], [SEEN], [SEEN]) == {}


def test_feet_matter_where_upstream_clicks_them() -> None:
    cut_off = replace(SEEN, ankles=False)
    clip = ([SEEN], [SEEN], [cut_off], [cut_off])
    assert judged(*clip, replace=True)["look.feet-out-of-frame"].level == "warning"
    assert judged(*clip) == judged(*clip, replace=True, engine="preview") == {}
    throughout = judged(*[[cut_off]] * 4, replace=True)["look.feet-out-of-frame"]
    assert throughout.level == "note"
    assert throughout.remedy.startswith("Run run_preprocessing.py alone")


def test_a_clip_of_which_too_little_is_left_is_not_to_be_trimmed() -> None:
    assert judged([SEEN], [], [], [SEEN])["look.person-leaves"].remedy == "Take another clip."


def test_no_more_than_three_stretches_are_told_one_by_one() -> None:
    what = judged(*[[SEEN], [], []] * 5)["look.person-leaves"].what
    assert what.count(" from ") == 3
    assert "and 2 more times" in what


# --------------------------------------------------------------------------------------------------- cuts


def test_a_cut_to_another_scene_is_found_at_its_frame(
    clip: MakeClip, person: list[Image], character: Image
) -> None:
    other = resized(character, 480, 832)
    found = findings(clip([*person[:2], other, other, other]))
    assert list(found) == ["look.scene-cut"]
    assert "00:01.0 (frame 2)" in found["look.scene-cut"].what
    assert "Keep only seconds 1.00 to 2.50" in found["look.scene-cut"].remedy


# ----------------------------------------------------------------------------------------- reference image


def reference_findings(tmp_path: Path, image: Image, video: Path, **settings: Any) -> dict[str, Finding]:
    preprocess.write_picture(tmp_path / "reference.png", image)
    return findings(video, tmp_path / "reference.png", **settings)


def test_a_reference_without_a_person_is_told(
    tmp_path: Path, clip: MakeClip, person: list[Image], character: Image
) -> None:
    found = reference_findings(tmp_path, black(character), clip(person[:2]))
    assert list(found) == ["look.reference-no-person"]


def test_a_reference_with_two_people_is_told(
    tmp_path: Path, clip: MakeClip, person: list[Image], character: Image
) -> None:
    pair = np.hstack([character, character])
    found = reference_findings(tmp_path, pair, clip(person[:2]))
    assert "2 people" in found["look.reference-several-people"].what


def test_a_small_face_in_the_reference_is_told_with_its_size_on_the_canvas(
    tmp_path: Path, clip: MakeClip, person: list[Image], character: Image
) -> None:
    video = clip(person[:1])
    found = reference_findings(tmp_path, shrunk(character, 0.5, (720, 1080)), video)
    assert list(found) == ["look.reference-small-face"]
    assert "under 64" in found["look.reference-small-face"].what
    # The canvas counts, not the file: a small picture of the same framing is enlarged, a large budget helps.
    assert reference_findings(tmp_path, resized(character, 360, 540), video) == {}
    assert "look.reference-small-face" in reference_findings(tmp_path, character, video, resolution="640x360")


def test_a_reference_without_a_face_is_told(
    tmp_path: Path, clip: MakeClip, person: list[Image], character: Image
) -> None:
    found = reference_findings(tmp_path, without_face(character, 0.45), clip(person[:2]))
    assert list(found) == ["look.reference-averted"]


def test_a_reference_that_shows_less_than_the_clip_is_told(
    tmp_path: Path, clip: MakeClip, person: list[Image], character: Image
) -> None:
    half = character[:560]
    found = reference_findings(tmp_path, half, clip(person[:2]))
    assert list(found) == ["look.reference-cropped"]
    assert "shows no knees" in found["look.reference-cropped"].what
    assert reference_findings(tmp_path, half, clip([image[:400] for image in person[:2]])) == {}


# ------------------------------------------------------------------------------------- what it is asked for


def test_missing_models_are_one_finding_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path))
    found = findings(VIDEO)
    assert list(found) == ["look.models-missing"]
    assert "python scripts/fetch_preview_models.py" in found["look.models-missing"].what


def test_a_frame_that_does_not_decode_is_the_finding_of_a_damaged_clip(
    clip: MakeClip, person: list[Image]
) -> None:
    path = clip(person)
    with av.open(str(path)) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = packets[2]
    data = bytearray(path.read_bytes())
    data[place : place + size] = b"\xff" * size
    path.write_bytes(data)
    found = findings(path)
    assert list(found) == ["media.damaged"]
    assert found["media.damaged"].level == "error"


def test_a_draft_is_judged_by_the_frames_that_it_uses(clip: MakeClip, person: list[Image]) -> None:
    video = clip([*person, *[black(person[0])] * 3])
    assert "look.person-leaves" in findings(video)
    assert findings(video, draft=True, frame_num=61, resolution="2560x1440") == {}


def test_progress_counts_up_to_its_total_and_may_cancel(clip: MakeClip, person: list[Image]) -> None:
    job = make_job(clip(person))
    told: list[tuple[str, int, int]] = []
    list(look_findings(job, lambda *progress: told.append(progress)))
    driving = [(done, total) for phase, done, total in told if "driving" in phase]
    assert driving == [(count, 4) for count in range(1, 5)]
    assert told[-1][1] == told[-1][2]

    def cancel(phase: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(look_findings(job, cancel))


def test_the_drivers_look_when_asked_to(workplace: Workplace) -> None:
    asked = workplace.invoke("pipeline.py", *workplace.inputs, "--check", "--look")
    assert asked.exit_code == 2
    assert "look.nobody" in asked.output
    assert "look.nobody" not in workplace.invoke("pipeline.py", *workplace.inputs, "--check").output


# ------------------------------------------------------------------------------------------------ in words


@pytest.mark.parametrize("frame_count", [1, 2, 3, 7, 30, 61, 900, 100_000])
@pytest.mark.parametrize("rate", [5, 24, 60])
def test_samples_are_spread_evenly_from_the_first_frame_to_the_last(frame_count: int, rate: int) -> None:
    numbers = sample_numbers(frame_count, frame_count / rate)
    assert numbers[0] == 0
    assert numbers[-1] == frame_count - 1
    assert len(numbers) <= 60
    steps = [after - before for before, after in pairwise(numbers)]
    assert all(step >= 1 for step in steps)
    assert not steps or max(steps) - min(steps) <= 1
    assert not steps or frame_count / rate > 29 or max(steps) <= max(1, -(-rate * 6 // 10))


def test_moments_follow_the_time_stamps(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 2), Fraction(5996, 100), Fraction(70)]
    path = write_clip(tmp_path / "clip.mp4", times=times)
    sampled = SampledClip(path, timeline(path), 4, Observation((), ()))
    assert [sampled.moment(number) for number in range(4)] == [
        "00:00.0 (frame 0)",
        "00:00.5 (frame 1)",
        "01:00.0 (frame 2)",
        "01:10.0 (frame 3)",
    ]


def test_thresholds_are_those_that_the_document_states() -> None:
    text = (ROOT / "docs" / "look.md").read_text(encoding="utf-8")
    from engines.preview import reference_look

    for code in ("nobody", "person-leaves", "scene-cut", "reference-cropped"):
        assert f"`look.{code}`" in text
    for number in (look.SMALLEST_FACE, reference_look.MOST_TURNED, reference_look.SMALLEST_FACE):
        assert f"{number} " in text
