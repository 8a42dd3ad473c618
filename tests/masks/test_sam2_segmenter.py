"""The sam2 segmenter against a stand-in for torch and sam2 that finds things by colour, to the pixel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from masks.clip import Clip
from masks.errors import MaskError
from masks.prompts import Box, MaskObject, Point, Prompt
from masks.sam2_process import WORKER, Sam2Process, find_python
from masks.sam2_segmenter import Sam2Segmenter
from masks.store import MaskStore
from tests.masks.sam2_files import write_sam2

FAKE = Path(__file__).with_name("fake_sam2")
WIDTH, HEIGHT, FRAMES = 64, 48, 40


@dataclass(frozen=True)
class Square:
    """A square whose colour drifts: it is known from one frame to the next, but not for long."""

    top: int
    tint: tuple[int, int, int]
    hidden: range = range(0)
    drift: int = 3

    def box(self, number: int) -> tuple[int, int, int, int]:
        left = 4 + number
        return left, self.top, left + 12, self.top + 10

    def draw(self, frame: np.ndarray, number: int) -> None:
        if number not in self.hidden:
            left, top, right, bottom = self.box(number)
            frame[top:bottom, left:right] = np.add(self.tint, self.drift * number)

    def mask(self, number: int) -> np.ndarray:
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.draw(frame, number)
        return frame[..., 0].astype(bool)

    def click(self, number: int) -> Point:
        left, top, _, _ = self.box(number)
        return Point(left + 3.5, top + 3.5)


ONE = Square(4, (100, 20, 30))
TWO = Square(26, (20, 100, 60))


class MadeUpClip(Clip):
    """A clip without a video."""

    things: tuple[Square, ...]

    def __init__(self, things: tuple[Square, ...]) -> None:
        super().__init__(Path("made up"), tuple(range(FRAMES)), WIDTH, HEIGHT)
        object.__setattr__(self, "things", things)

    def picture(self, number):
        frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for thing in self.things:
            thing.draw(frame, number)
        return frame

    def frames(self, first=0, end=None):
        return map(self.picture, self.numbers[first:end])

    def frames_backwards(self, first=0, end=None):
        return map(self.picture, self.numbers[first:end][::-1])


def clicked(name: str, thing: Square, *numbers: int, excluded: bool = False) -> MaskObject:
    return MaskObject(name, tuple(Prompt(number, (thing.click(number),)) for number in numbers), excluded)


@pytest.fixture
def checkpoint(tmp_path):
    return write_sam2(tmp_path / "sam2_hiera_tiny.safetensors")


@pytest.fixture
def behave(monkeypatch):
    """Let the worker find the stand-in, behaving in one way."""

    def say(how: str = "") -> None:
        monkeypatch.setenv("PYTHONPATH", str(FAKE))
        monkeypatch.setenv("FAKE_SAM2", how)

    say()
    return say


@pytest.fixture
def masks_of(behave, checkpoint, tmp_path):
    """Run the segmenter; gives bool [frames, height, width]."""

    def run(things, objects, *, report=lambda *_: None, **settings):
        store = MaskStore(tmp_path / "masks", FRAMES, WIDTH, HEIGHT)
        segmenter = Sam2Segmenter(Path(sys.executable), checkpoint, image_size=96, **settings)
        segmenter.segment(MadeUpClip(things), objects, store, report)
        return np.array([store.mask(number) for number in range(FRAMES)], bool)

    return run


def everywhere(thing: Square) -> np.ndarray:
    return np.array([thing.mask(number) for number in range(FRAMES)])


@pytest.mark.parametrize(
    ("number", "piece", "version"),
    [
        *((0, 240, ""), (0, 6, ""), (5, 1, ""), (17, 6, ""), (17, 13, ""), (17, 240, ""), (39, 13, "")),
        *((0, 6, "old cuda"), (17, 6, "old cuda"), (39, 240, "old cuda")),
    ],
)
def test_one_click_anywhere_masks_every_frame_whatever_the_pieces(behave, masks_of, number, piece, version):
    behave(f"{version} limit={piece + 2}")
    found = masks_of((ONE,), [clicked("one", ONE, number)], piece=piece)
    assert (found == everywhere(ONE)).all()


@pytest.mark.parametrize("version", ["", "old cuda"])
@pytest.mark.parametrize("piece", [6, 240])
def test_objects_that_start_on_different_frames_are_united_and_excluded_ones_taken_out(
    behave, masks_of, piece, version
):
    behave(version)
    both = [clicked("one", ONE, 8), clicked("two", TWO, 21, 30)]
    assert (masks_of((ONE, TWO), both, piece=piece) == everywhere(ONE) | everywhere(TWO)).all()
    overlapping = replace(TWO, top=9)
    apart = [clicked("one", ONE, 8), clicked("two", overlapping, 21, excluded=True)]
    expected = everywhere(ONE) & ~everywhere(overlapping)
    assert (masks_of((ONE, overlapping), apart, piece=piece) == expected).all()


@pytest.mark.parametrize(("piece", "version"), [(6, ""), (240, "old cuda")])
def test_a_box_is_enough(behave, masks_of, piece, version):
    behave(version)
    left, top, right, bottom = ONE.box(9)
    boxed = MaskObject("one", (Prompt(9, box=Box(left, top, right, bottom)),))
    assert (masks_of((ONE,), [boxed], piece=piece) == everywhere(ONE)).all()


@pytest.mark.parametrize("hidden", [range(10, 14), range(11, 13), range(5, 18)])
def test_what_is_hidden_where_pieces_meet_is_found_again_by_its_prompt(masks_of, hidden):
    """At the edge, frame 11, nothing is seen: only the reminder still knows what it looks like."""
    thing = replace(ONE, drift=0, hidden=hidden)
    found = masks_of((thing,), [clicked("one", thing, 0)], piece=6)
    assert (found == everywhere(thing)).all()
    assert not found[hidden.start : hidden.stop].any()


@pytest.mark.parametrize(
    ("number", "piece", "version"),
    [(14, 6, ""), (15, 6, ""), (18, 6, "old cuda"), (18, 240, ""), (39, 240, "old cuda")],
)
def test_a_negative_point_on_a_later_frame_corrects_from_there_on(behave, masks_of, number, piece, version):
    behave(version)
    likeness = replace(TWO, tint=(104, 24, 34))
    corrected = replace(
        clicked("one", ONE, 3),
        prompts=(
            *clicked("one", ONE, 3).prompts,
            Prompt(number, (replace(likeness.click(number), positive=False),)),
        ),
    )
    found = masks_of((ONE, likeness), [corrected], piece=piece)
    before = everywhere(ONE) | everywhere(likeness)
    assert (found[:number] == before[:number]).all()
    assert not (found[number] & likeness.mask(number)).any()


@pytest.mark.parametrize("piece", [1, 6])
def test_every_frame_of_every_object_is_stored_once(behave, checkpoint, tmp_path, monkeypatch, piece):
    given: list[tuple[int, bool]] = []
    monkeypatch.setattr(MaskStore, "add", lambda _, frame, mask, excluded: given.append((frame, excluded)))
    objects = [clicked("one", ONE, 8, 23), clicked("two", TWO, 21, excluded=True)]
    store = MaskStore(tmp_path / "masks", FRAMES, WIDTH, HEIGHT)
    segmenter = Sam2Segmenter(Path(sys.executable), checkpoint, image_size=96, piece=piece)
    segmenter.segment(MadeUpClip((ONE, TWO)), objects, store, lambda *_: None)
    assert sorted(given) == [(frame, excluded) for frame in range(FRAMES) for excluded in (False, True)]


def test_progress_counts_every_frame_of_every_object_once(masks_of):
    seen = []
    objects = [clicked("one", ONE, 8), clicked("two", TWO, 21)]
    masks_of((ONE, TWO), objects, piece=6, report=lambda *state: seen.append(state))
    assert seen[0] == ("loading SAM 2.0 tiny", 0, 1)
    done = [state[1] for state in seen if state[0] == "masking with SAM 2"]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, 2 * FRAMES)


def test_on_the_cpu_the_time_is_told_in_advance_and_on_a_gpu_not(behave, masks_of):
    told: list[str] = []
    masks_of((ONE,), [clicked("one", ONE, 0)], notice=told.append)
    assert len(told) == 1
    assert "CPU" in told[0]
    assert f"{FRAMES} frames" in told[0]
    behave("cuda")
    masks_of((ONE,), [clicked("one", ONE, 0)], notice=told.append)
    assert len(told) == 1


class Cancelled(Exception):
    """As the display raises it."""


@pytest.mark.parametrize("phase", ["loading SAM 2.0 tiny", "masking with SAM 2"])
def test_cancelling_leaves_no_process_even_while_it_computes(behave, masks_of, phase):
    behave("hang")
    calls = 0

    def report(now, done, total):
        nonlocal calls
        calls += now == phase
        # After the frames are sent, only the wait for the first mask reports, and that never comes.
        if calls > (0 if phase.startswith("loading") else FRAMES + 1):
            raise Cancelled

    with pytest.raises(Cancelled):
        masks_of((ONE,), [clicked("one", ONE, 0)], report=report)
    assert workers() == []


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_the_worker_ends_when_who_started_it_is_killed(behave, checkpoint, tmp_path):
    behave("hang")
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from tests.masks import test_sam2_segmenter as t\n"
        "store = t.MaskStore(Path(sys.argv[3]), t.FRAMES, t.WIDTH, t.HEIGHT)\n"
        "segmenter = t.Sam2Segmenter(Path(sys.executable), Path(sys.argv[2]), image_size=96)\n"
        "segmenter.segment(t.MadeUpClip((t.ONE,)), [t.clicked('one', t.ONE, 0)], store,\n"
        "    lambda phase, done, total: print(phase, flush=True))\n"
    )
    command = [sys.executable, "-c", script, str(WORKER.parents[1]), str(checkpoint), str(tmp_path / "masks")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        for _ in range(FRAMES + 3):  # it has loaded, all frames are sent, and it hangs
            assert parent.stdout.readline()
        (worker,) = workers(parent.pid)
        parent.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs([worker], timeout=30)
    assert (len(gone), alive) == (1, [])


def workers(pid: int | None = None) -> list[psutil.Process]:
    """Workers that this process, or another, has started."""
    deadline = time.monotonic() + 10
    while True:
        found = [child for child in psutil.Process(pid).children() if str(WORKER) in child.cmdline()]
        if not found or pid is not None or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "code", "says"),
    [
        ("crash", "mask.sam2-failed", "exit code 3; it said: .*Fatal: the driver is gone"),
        ("killed", "mask.sam2-memory", "killed"),
        ("memory", "mask.sam2-memory", "CUDA out of memory"),
        ("skips", "mask.sam2-failed", "no answer for one on frame 3"),
        ("limit=3", "mask.sam2-failed", "40 frames at once"),
        ("old", "mask.sam2-old", "July 2024"),
    ],
)
def test_a_failure_names_its_cause(behave, masks_of, how, code, says):
    behave(how)
    with pytest.raises(MaskError, match=says) as caught:
        masks_of((ONE,), [clicked("one", ONE, 0)])
    assert caught.value.code == code
    assert workers() == []


def test_a_checkpoint_of_2_1_needs_a_package_that_knows_it(behave, masks_of, checkpoint):
    behave("old cuda")
    write_sam2(checkpoint, version="2.1")
    with pytest.raises(MaskError, match=r"no config configs/sam2\.1/sam2\.1_hiera_t\.yaml") as caught:
        masks_of((ONE,), [clicked("one", ONE, 0)])
    assert caught.value.code == "mask.sam2-old"


def test_tensors_that_do_not_fit_are_the_checkpoint_s_fault(masks_of, checkpoint):
    write_sam2(checkpoint, extra=["unknown"])
    with pytest.raises(MaskError, match=r"do not fit sam2_hiera_t\.yaml") as caught:
        masks_of((ONE,), [clicked("one", ONE, 0)])
    assert caught.value.code == "mask.checkpoint-not-sam2"


def test_negative_points_alone_are_refused_before_anything_starts(masks_of):
    nowhere = MaskObject("cup", (Prompt(2, (Point(3, 4, positive=False),)),))
    with pytest.raises(MaskError, match='"cup" has negative points only') as caught:
        masks_of((ONE,), [nowhere])
    assert caught.value.code == "mask.points-no-positive"


@pytest.mark.parametrize("name", ["absent/python", "."])
def test_an_interpreter_that_cannot_be_started_is_named(tmp_path, name):
    with pytest.raises(MaskError, match="cannot be started") as caught, Sam2Process(tmp_path / name):
        pass
    assert caught.value.code == "mask.sam2-python"


def test_an_interpreter_that_is_no_python_is_told_by_what_it_says(tmp_path, checkpoint):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho no such library >&2\nexit 7\n")
    program.chmod(0o755)
    segmenter = Sam2Segmenter(program, checkpoint)
    store = MaskStore(tmp_path / "masks", FRAMES, WIDTH, HEIGHT)
    with pytest.raises(MaskError, match="exit code 7; it said: no such library"):
        segmenter.segment(MadeUpClip((ONE,)), [clicked("one", ONE, 0)], store, lambda *_: None)


def test_sam2_is_looked_for_in_our_interpreter_and_then_in_upstreams(behave, monkeypatch, tmp_path):
    monkeypatch.setattr("masks.sam2_process._MODULES", ("sam2_of_the_tests", "numpy"))
    assert find_python(Path(sys.executable)) is None
    assert find_python(tmp_path / "absent") is None
    (tmp_path / "sam2_of_the_tests.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    assert find_python(other) == other
    monkeypatch.syspath_prepend(tmp_path)
    assert find_python(tmp_path / "absent") == Path(sys.executable)
