"""The engine from end to end: stage 1's folder, a model, the finished result; and requests that must fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import preprocess
from config import Job
from engines.frame import making, runner
from engines.frame.configuration import FrameConfiguration
from engines.frame.model import Image
from engines.preview import stage1, stage2
from engines.preview.track import Track
from engines.timing import Timing
from execution.worker import close_workers
from tests.frame.made_models import write_model
from tests.frame.test_registry import install
from tests.preview.made_up_track import made_up_track
from tests.preview.puppet_figure import drawn_figure
from tests.preview.test_stage2 import source as source
from tests.workplace import Workplace

FLAGS = ("--engine", "frame", "--frame_config", "model.yaml")
ONNX = (
    "animation:\n  model: onnx\n  model_path: m.onnx\n  batch_size: 4\n"
    "  onnx: {threads: 1, providers: [CPUExecutionProvider], inputs: {landmarks: {space: signed}}}\n"
)


@pytest.fixture(autouse=True)
def _no_model_is_kept() -> Iterator[None]:
    yield
    close_workers()
    making.forget_model()


@pytest.fixture
def place(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace whose driving video shows a made-up person, with a YAML file that names the puppet."""

    def video(
        forward: Any, backward: Any, indices: Sequence[int], size: tuple[int, int], report: Any
    ) -> Track:
        track = made_up_track(len(indices), *size, size=0.6, centre=(0.3, 0.5), step=(2.0, 1.0))
        track.face_score[3] = 0
        return track

    monkeypatch.setattr(stage1, "analyse_video", video)
    monkeypatch.setattr(
        stage1, "analyse_picture", lambda image: made_up_track(1, image.shape[1], image.shape[0])
    )
    (workplace / "model.yaml").write_text("animation: {model: puppet}\n")
    return workplace


def checked(place: Workplace, *flags: str) -> list[str]:
    """The codes of a request's errors."""
    shown = place.invoke("pipeline.py", *place.inputs, *FLAGS, *flags, "--check", "--json")
    findings = json.loads(shown.stdout)["findings"]
    errors = [finding for finding in findings if finding["level"] == "error"]
    assert all(finding["what"] and finding["why"] and finding["remedy"] for finding in errors)
    assert shown.exit_code == (2 if errors else 0)
    return [finding["code"] for finding in errors]


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_described_model_animates_the_picture_from_video_to_result(place: Workplace) -> None:
    write_model(place / "m.onnx", size=(32, 48))
    (place / "model.yaml").write_text(ONNX)
    done = place.run_here("pipeline.py", *place.inputs, *FLAGS)
    assert done.returncode == 0, done.stderr
    pose = preprocess.probe_video(place / "process_results/src_pose.mp4")
    made = preprocess.check_video(place / "output_wanimate.mp4", frame_count=pose.frame_count)
    assert (made.width, made.height) == (pose.width, pose.height)
    record = json.loads((place / "output_wanimate.json").read_text("utf-8"))
    facts = next(step["facts"] for step in record["steps"] if step["step"] == "generate")
    assert facts["frame_model"]["provider"] == "CPUExecutionProvider"
    assert (facts["batch_size"], facts["frames_without_face"]) == (4, 1)
    again = place.run_here("pipeline.py", *place.inputs, *FLAGS)
    assert "Stage 2" in again.stderr and again.stderr.count("up to date") == 3
    (place / "model.yaml").write_text(ONNX.replace("signed", "unit"))
    changed = place.run_here("pipeline.py", *place.inputs, *FLAGS)
    assert "model configuration" in changed.stderr and changed.stderr.count("up to date") == 1


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_result_is_made_again_from_its_record(place: Workplace) -> None:
    write_model(place / "m.onnx")
    (place / "model.yaml").write_text(ONNX)
    assert place.run_here("pipeline.py", *place.inputs, *FLAGS).returncode == 0
    flags = ("--rerun", "output_wanimate.json", "--output_path", "again.mp4")
    again = place.run_here("pipeline.py", *flags)
    assert again.returncode == 0, again.stderr
    names = ("output_wanimate", "again")
    pairs = zip(*(preprocess.read_frames(place / f"{name}.mp4") for name in names), strict=True)
    assert all(np.abs(one.astype(int) - other).mean() < 1 for one, other in pairs)


@pytest.mark.parametrize("how", ["this Python", "another"])
def test_a_model_of_a_users_package_runs_in_a_process_of_its_own_and_its_version_is_recorded(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    site = install(place / "site", "mine = my_models:Mine")
    flags: tuple[str, ...] = FLAGS
    if how == "another":
        if sys.platform == "win32":
            pytest.skip("a POSIX shell script stands for the interpreter")
        flags = (*FLAGS, "--frame_python", str(python_with(place / "python", site)))
    else:
        monkeypatch.setenv("PYTHONPATH", str(site))
        monkeypatch.syspath_prepend(site)
    (place / "model.yaml").write_text("animation: {model: mine, mine: {strength: 2.0}}\n")
    done = place.run_here("pipeline.py", *place.inputs, *flags)
    assert done.returncode == 0, done.stderr
    assert "my_models" not in sys.modules
    first, *_, last = preprocess.read_frames(place / "output_wanimate.mp4")
    assert last[:20].mean() > first[:20].mean() + 20
    record = json.loads((place / "output_wanimate.json").read_text("utf-8"))
    step = next(step for step in record["steps"] if step["step"] == "generate")
    assert step["settings"]["frame_model_of"] == "my-models 1.5"
    assert step["facts"]["frame_model"]["name"] == "mine"
    (place / "model.yaml").write_text("animation: {model: mine, mine: {strenth: 2.0}}\n")
    wrong = place.run_here("pipeline.py", *place.inputs, *flags)
    assert wrong.returncode == 1 and "no key 'strenth'" in " ".join(wrong.stderr.split())


def python_with(path: Path, *site: Path) -> Path:
    """This interpreter, with folders that it finds modules in besides."""
    folders = ":".join(map(str, site))
    path.write_text(f'#!/bin/sh\nexport PYTHONPATH="{folders}:$PYTHONPATH"\nexec "{sys.executable}" "$@"\n')
    path.chmod(0o755)
    return path


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell script stands for the interpreter")
def test_a_python_that_cannot_run_a_model_is_refused(place: Workplace) -> None:
    assert checked(place, "--frame_python", str(place / "none")) == ["frame.python"]
    no_python = place / "no_python"
    no_python.write_text("#!/bin/sh\necho hello\n")
    no_python.chmod(0o755)
    assert checked(place, "--frame_python", str(no_python)) == ["frame.python"]
    bare = place / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    assert checked(place, "--frame_python", str(bare)) == ["frame.python"]
    assert checked(place, "--frame_python", str(python_with(place / "python"))) == []


@pytest.mark.parametrize("replace_mode", [False, True])
def test_the_puppet_as_a_model_draws_what_the_preview_engine_draws(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace_mode: bool
) -> None:
    monkeypatch.setattr("engines.preview.models.check_models", lambda: None)
    written: list[Image] = []
    write = preprocess.VideoWriter.write

    def listen(writer: preprocess.VideoWriter, image: Image) -> None:
        written.append(image.copy())
        write(writer, image)

    monkeypatch.setattr(preprocess.VideoWriter, "write", listen)

    class Mode:
        replace = replace_mode

    stage2.render(cast(Job, Mode), source, tmp_path / "old.mp4", lambda *values: None)
    drawn = written.copy()
    written.clear()
    rate = preprocess.probe_video(source / "src_pose.mp4").rate
    configuration = FrameConfiguration(model="puppet")
    new = tmp_path / "new.mp4"
    runner.render(configuration, source, new, Timing(rate), lambda *values: None, replace=replace_mode)
    assert len(drawn) == preprocess.probe_video(new).frame_count
    assert all(np.array_equal(one, other) for one, other in zip(written, drawn, strict=True))


def test_the_puppet_says_what_the_preview_says_where_nobody_is_seen(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from engines.frame.model import ModelError

    _, track = drawn_figure(160, 208)
    nobody = replace(track, person_score=np.zeros(1, np.float32))
    monkeypatch.setattr("engines.preview.models.check_models", lambda: None)
    monkeypatch.setattr(stage2, "analyse_picture", lambda image: nobody)
    from fractions import Fraction

    with pytest.raises(ModelError, match="Choose a reference image with one figure"):
        runner.render(
            FrameConfiguration(model="puppet"),
            source,
            tmp_path / "new.mp4",
            Timing(Fraction(30)),
            lambda *values: None,
            replace=False,
        )


def test_the_driving_pictures_travel_with_the_landmarks_and_a_model_that_needs_them_says_when_they_are_gone(
    place: Workplace,
) -> None:
    from engines.frame import registry
    from engines.frame.model import Capabilities
    from tests.frame.test_runner import Numbering

    class Mirror(Numbering):
        given = Capabilities(needs_landmarks=False, needs_frame=True, output="own")

        def animate(
            self, source_image: Any, driving_landmarks: Any, return_intermediate: bool = False
        ) -> Image:
            frame: Image = driving_landmarks["frame"]
            assert frame.shape[:2] == driving_landmarks["size"]
            return frame

    registry.register("mirror", Mirror)
    try:
        (place / "model.yaml").write_text("animation: {model: mirror}\n")
        done = place.run_here("pipeline.py", *place.inputs, *FLAGS, "--no_audio")
        assert done.returncode == 0, done.stderr
        made = [frame.mean() for frame in preprocess.read_frames(place / "output_wanimate.mp4")]
        driving = [frame.mean() for frame in preprocess.read_frames(place / place.video)]
        assert np.corrcoef(made, driving)[0, 1] > 0.99
        (place / place.video).unlink()
        flags = ("--src_root_path", "process_results", *FLAGS, "--no_audio", "--force")
        gone = place.run_here("run_generation.py", *flags)
        assert gone.returncode == 1 and "needs the driving pictures" in " ".join(gone.stderr.split())
    finally:
        registry.unregister("mirror")


def test_a_good_request_has_no_errors(place: Workplace) -> None:
    assert checked(place) == [] and checked(place, "--replace") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "frame.config-unreadable"),
        ("animation: {model: puppet, gpu: 1}", "frame.config-broken"),
        ("animation: {model: puppet, puppet: {size: 3}}", "frame.config-broken"),
        ("animation: {model: onnx}", "frame.config-broken"),
        ("animation: {model: pupet}", "frame.unknown-model"),
        ("animation: {model: onnx, model_path: none.onnx}", "frame.model-file"),
        ("animation: {model: puppet, batch_size: 2}", "frame.batch-size"),
    ],
)
def test_a_doomed_request_is_refused_with_its_code(place: Workplace, text: str | None, code: str) -> None:
    if text is None:
        (place / "model.yaml").unlink()
    else:
        (place / "model.yaml").write_text(text)
    assert checked(place) == [code]


def test_no_configuration_is_refused(place: Workplace) -> None:
    assert checked(place, "--frame_config", "model.yaml") == []
    shown = place.invoke("pipeline.py", *place.inputs, "--engine", "frame", "--check", "--json")
    codes = [each["code"] for each in json.loads(shown.stdout)["findings"] if each["level"] == "error"]
    assert shown.exit_code == 2 and codes == ["frame.config-missing"]


def test_two_packages_with_a_model_of_one_name_are_refused(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(install(place / "one", "mine = my_models:Mine"))
    monkeypatch.syspath_prepend(install(place / "two", "mine = my_models:Mine", package="other-models"))
    assert checked(place) == ["frame.duplicate-model"]


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
@pytest.mark.parametrize(
    ("change", "flags", "code"),
    [
        (("space: signed", "space: screen"), (), "frame.onnx-description"),
        (("threads: 1", "threads: many"), (), "frame.onnx-description"),
        (("batch_size: 4", "batch_size: 5"), (), "frame.batch-size"),
        (("", ""), ("--replace",), "frame.no-replace"),
    ],
)
def test_an_onnx_model_that_cannot_do_the_job_is_refused(
    place: Workplace, change: tuple[str, str], flags: tuple[str, ...], code: str
) -> None:
    write_model(place / "m.onnx", batch=4)
    (place / "model.yaml").write_text(ONNX)
    assert checked(place) == []
    (place / "model.yaml").write_text(ONNX.replace(*change) if change[0] else ONNX)
    assert checked(place, *flags) == [code]


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_a_model_file_that_is_none_or_lacks_its_weights_is_refused(place: Workplace) -> None:
    (place / "model.yaml").write_text(ONNX.replace("batch_size: 4", "batch_size: 1"))
    (place / "m.onnx").write_text("<!DOCTYPE html><html>Sign in</html>")
    assert checked(place) == ["frame.model-file"]
    write_model(place / "m.onnx", external="m.weights")
    assert checked(place) == []
    (place / "m.weights").unlink()
    assert checked(place) == ["frame.model-file"]


@pytest.mark.needs("onnx")
def test_onnxruntime_that_is_missing_or_there_twice_is_refused(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    from engines.frame import check

    write_model(place / "m.onnx")
    (place / "model.yaml").write_text(ONNX)
    real = importlib.util.find_spec
    monkeypatch.setattr(check, "_is_installed", lambda package: package != "onnxruntime-directml")
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: real("json") if name == "onnxruntime" else real(name, *rest),
    )
    assert checked(place) == ["install.onnxruntime-twice"]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else real(name, *rest)
    )
    assert checked(place) == ["install.onnxruntime"]


def test_the_doctor_tells_the_models_and_what_onnx_models_need(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from config import job_without_media
    from engines import load_engine
    from engines.frame import check

    monkeypatch.syspath_prepend(install(workplace / "one", "mine = my_models:Mine"))
    monkeypatch.setattr(check, "onnxruntime_findings", lambda: iter(()))
    things = {thing.area: thing for thing in load_engine("frame").examine(job_without_media({}))}
    assert "mine (my-models 1.5)" in things["frame models"].fine and "puppet" in things["frame models"].fine
    assert {"libraries", "models", "onnxruntime"} <= set(things) and not things["onnxruntime"].needed
    monkeypatch.syspath_prepend(install(workplace / "two", "mine = my_models:Mine", package="other-models"))
    again = {thing.area: thing for thing in load_engine("frame").examine(job_without_media({}))}
    assert again["frame models"].state == "missing"
