"""Requests that must fail are refused before anything starts, each with its own code and a remedy.

The table below holds one request for every error that there is; a new kind of error needs a row.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engines import load_all_findings
from tests import doomed_files as files
from tests.doomed_files import Request
from tests.doomed_masks import MASK_REQUESTS
from tests.media import write_clip, write_sound
from tests.standin import remove_package, set_version
from tests.standin.weights import write_safetensors
from tests.workplace import ROOT, Workplace

WEIGHTS = "Wan2.2-Animate-14B"
VAE = f"{WEIGHTS}/Wan2.1_VAE.pth"
FOLDER = ("--src_root_path", "made")
POSIX_ONLY = {"path.letters", "path.unusable", "output.not-writable", "install.sam2-extension"}


def video(name: str, *flags: str, spoil: Callable[[Path], object] = lambda path: None) -> Request:
    return Request(("--video_path", name, *flags), lambda place: spoil(place / name))


def picture(name: str, spoil: Callable[[Path], object]) -> Request:
    return Request(("--refer_path", name), lambda place: spoil(place / name))


def package(name: str, version: str | None = None) -> Request:
    def spoil(place: Workplace) -> None:
        if version is None:
            remove_package(place / "Wan2.2", name)
        else:
            set_version(place / "Wan2.2", name, version)

    return Request(spoil=spoil)


def weights(spoil: Callable[[Path], object], *flags: str) -> Request:
    return Request(flags, lambda place: spoil(place / WEIGHTS))


def made_before(spoil: Callable[[Path], object], *flags: str) -> Request:
    """Stage 2 on a folder that stage 1 made well, and that was spoiled afterwards."""

    def make(place: Workplace) -> None:
        made = place.run_here("run_preprocessing.py", *place.inputs, "--save_path", "made")
        assert made.returncode == 0, made.stderr
        spoil(place / "made")

    return Request((*FOLDER, *flags), make, driver="run_generation.py")


REQUESTS: dict[str, Request] = {
    # ------------------------------------------------------------------------------------- the request
    "settings.value.fps": Request(("--fps", "29.97")),
    "settings.value.resolution": Request(("--resolution", "1280")),
    "settings.value.frame_num": Request(("--frame_num", "76")),
    "settings.value.refert_num": Request(("--refert_num", "77")),
    "settings.value.seed": Request(("--seed", "-1")),
    "settings.value.sample_solver": Request(("--sample_solver", "euler")),
    "settings.missing.src_root_path": Request(driver="run_generation.py"),
    "settings.engine": Request(("--engine", "wan")),
    "settings.no-stage-1": Request(
        ("--engine", "animatediff"), lambda place: None, driver="run_preprocessing.py"
    ),
    "settings.unknown": Request(
        ("--config", "run.yaml"), lambda place: (place / "run.yaml").write_text("fsp: 3")
    ),
    "settings.file-broken": Request(
        ("--config", "run.yaml"), lambda place: (place / "run.yaml").write_text("fps: [")
    ),
    "settings.file-unreadable": Request(("--config", "none.yaml")),
    "settings.retarget-with-replace": Request(("--retarget", "--replace")),
    "settings.flux-with-replace": Request(("--use_flux", "--replace")),
    "settings.flux-without-retarget": Request(("--use_flux", "--no_retarget")),
    "settings.relighting-in-animate": Request(("--use_relighting_lora",)),
    "settings.window-too-short": Request(("--frame_num", "9", "--refert_num", "5")),
    "settings.window-bounds": Request(("--frame_num_min", "81")),
    "settings.gpus-without-multi-gpu": Request(("--nproc_per_node", "2")),
    "settings.multi-gpu-without-gpus": Request(("--multi_gpu",)),
    "settings.gpus-and-heads": Request(("--multi_gpu", "--nproc_per_node", "3")),
    "settings.output-suffix": Request(("--output_path", "out.mov")),
    "settings.audio-and-no-audio": Request(("--no_audio", "--audio", "drive.mp4")),
    "settings.ignore-unknown": Request(("--ignore", "media.typo")),
    "record.unreadable": Request(("--rerun", "none.json")),
    "path.letters": Request(
        ("--video_path", os.fsdecode(b"latin \xe9.mp4")),
        lambda place: shutil.copy(place / place.video, place / os.fsdecode(b"latin \xe9.mp4")),
    ),
    # -------------------------------------------------------------------------------- the driving video
    "media.missing": video("none.mp4"),
    "media.empty": video("v.mp4", spoil=Path.touch),
    "media.a-folder": video("v.mp4", spoil=Path.mkdir),
    "media.not-a-video": video("v.mp4", spoil=lambda path: path.write_text("text " * 99)),
    "media.a-picture": video("character.png"),
    "media.no-video-stream": video("v.mp4", spoil=write_sound),
    "media.cut-off": video("v.mp4", spoil=files.write_cut_off),
    "media.damaged": video("v.mp4", spoil=files.write_damaged),
    "media.too-short": video("v.mp4", spoil=lambda path: write_clip(path, frame_count=1, rate=60)),
    "media.shorter-than-overlap": video(
        "v.mp4", "--refert_num", "5", spoil=lambda path: write_clip(path, frame_count=4)
    ),
    "media.too-small": video("v.mp4", spoil=lambda path: write_clip(path, size=(64, 48))),
    "media.canvas": Request(("--resolution", "8x8")),
    "media.gif": video(
        "v.gif", "--normalize", "never", spoil=lambda path: write_clip(path, codec="gif", rate=25)
    ),
    "media.av1": video(
        "v.mp4",
        *("--normalize", "never"),
        spoil=lambda path: write_clip(path, codec="libsvtav1", options={"preset": "10"}),
    ),
    # ----------------------------------------------------------------------------- the reference image
    "reference.missing": Request(("--refer_path", "none.png")),
    "reference.empty": picture("p.png", Path.touch),
    "reference.unreadable": picture("p.png", lambda path: path.write_text("no picture")),
    "reference.heic": picture("p.heic", files.write_heic),
    "reference.avif": picture("p.avif", files.write_avif),
    "reference.a-folder": picture("p.png", Path.mkdir),
    # -------------------------------------------------------------------------------- where things go
    "output.not-a-folder": Request(("--save_path", "drive.mp4")),
    "output.not-writable": Request(("--save_path", "/proc/made")),
    "output.is-a-folder": Request(("--output_path", "out.mp4"), lambda place: (place / "out.mp4").mkdir()),
    "output.is-an-input": Request(("--output_path", "drive.mp4")),
    "output.record-name": Request(spoil=lambda place: (place / "output_wanimate.json").write_text("[1, 2]")),
    # ------------------------------------------------------------------------ the folder between the stages
    "source.missing": Request(("--src_root_path", "none"), driver="run_generation.py"),
    "source.unfinished": made_before(lambda folder: (folder / "src_pose.mp4").unlink()),
    "source.mode": made_before(lambda folder: None, "--replace"),
    "source.files": made_before(
        lambda folder: write_clip(folder / "src_face.mp4", frame_count=9, size=(512, 512))
    ),
    "source.engine": made_before(lambda folder: None, "--engine", "preview"),
    # ------------------------------------------------------------------------------------------ the finish
    "finish.audio": Request(("--audio", "character.png")),
    "finish.credentials": Request(("--credentials", "none.pem", "none.key")),
    "finish.no-driving-video": made_before(files.forget_the_driving_video, "--side_by_side", "--no_audio"),
    # ------------------------------------------------------------------------------------ the installation
    "install.checkout": Request(spoil=lambda place: shutil.rmtree(place / "Wan2.2")),
    "install.python": Request(("--wan22_python", "drive.mp4")),
    "install.numpy": package("numpy", "2.1.0"),
    "install.diffusers": package("diffusers", "0.34.0"),
    "install.modules": package("moviepy"),
    "install.sam2": package("sam2"),
    "install.torch": package("torch"),
    "install.torch-cpu": package("torch", "2.8.0+cpu"),
    "install.flash-attn": package("flash-attn"),
    "install.weights": weights(lambda folder: (folder / "Wan2.1_VAE.pth").unlink()),
    "install.weights-damaged": weights(lambda folder: files.cut(folder / "Wan2.1_VAE.pth")),
    "install.weights-index": weights(
        lambda folder: write_safetensors(
            folder / "diffusion_pytorch_model-00002-of-00003.safetensors", ["other"]
        )
    ),
    "install.weights-tensors": weights(
        lambda folder: (folder / "process_checkpoint/pose2d/vitpose_h_wholebody.onnx/head.weight").unlink()
    ),
    "install.weights-lfs-pointer": weights(files.write_lfs_pointer),
    "install.weights-web-page": weights(
        lambda folder: (folder / "Wan2.1_VAE.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    ),
    # ----------------------------------------------------------------------------------------- the machine
    "machine.no-gpu": Request(environment={"STANDIN_GPUS": ""}),
    "machine.too-few-gpus": Request(
        ("--multi_gpu", "--nproc_per_node", "4", "--resolution", "256x256"),
        environment={"STANDIN_GPUS": "2x80"},
    ),
    "machine.gpu-too-old": Request(environment={"STANDIN_GPU_GENERATION": "7.5"}),
    "gpus.sharing": Request(
        ("--multi_gpu", "--nproc_per_node", "8", "--resolution", "160x96", "--frame_num", "77")
    ),
    **MASK_REQUESTS,
}
"""The code that must be found, and the request."""


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    (workplace / "output_wanimate.mp4").write_text("what the user had before")
    return workplace


@pytest.mark.parametrize("code", REQUESTS)
def test_a_doomed_request_is_refused_with_its_code_and_a_remedy(place, code, monkeypatch):
    if code in POSIX_ONLY and sys.platform == "win32":
        pytest.skip("POSIX only")
    request = REQUESTS[code]
    request.spoil(place)
    for name, value in request.environment.items():
        monkeypatch.setenv(name, value)
    before = place.contents()
    inputs = place.inputs if request.driver == "pipeline.py" else ()
    shown = place.invoke(request.driver, *inputs, *request.flags, "--check", "--json")
    assert shown.exit_code == 2, shown.output
    findings = json.loads(shown.stdout)["findings"]
    errors = [finding for finding in findings if finding["level"] == "error"]
    assert [finding["code"] for finding in errors] == [code], errors
    assert errors[0]["what"] and errors[0]["why"]
    assert errors[0]["remedy"] or code.startswith(("settings.ignore", "record.")), errors
    assert place.contents() == before


def test_there_are_enough_and_every_error_has_its_request_or_a_test_of_its_own():
    assert len(REQUESTS) >= 60
    errors = {code for code, kind in load_all_findings().items() if kind.level == "error"}
    assert set(REQUESTS) <= set(load_all_findings())
    without = {
        code
        for code in errors - set(REQUESTS)
        if not code.startswith(("settings.value.", "settings.missing.", "look."))
    }
    assert without <= ELSEWHERE, "a new error needs a request in the table"


def test_every_cause_for_which_the_mask_step_is_refused_is_a_finding_of_its_own():
    """An error whose code is no finding would end the check in a traceback."""
    checked = [ROOT / "masks" / f"{name}.py" for name in ("mask_video", "sam2_checkpoint", "comfyui_graph")]
    checked += [*(ROOT / "masks").glob("points_*.py"), *(ROOT / "masks").glob("embedded_*.py")]
    checked += (ROOT / "engines").glob("mask_*.py")
    raised = {code for path in checked for code in re.findall(r'code="([^"]+)"', path.read_text("utf-8"))}
    assert len(raised) >= 25 and raised <= set(load_all_findings())


ELSEWHERE = {
    # Each has a test of its own: it needs more than a spoiled file.
    # Those of AnimateDiff are in tests/animatediff: they need no driving video.
    *("animatediff.config", "animatediff.prompt-file", "animatediff.checkpoint", "animatediff.adapter"),
    *("animatediff.family", "animatediff.pipeline-config", "animatediff.lora", "animatediff.control"),
    *("animatediff.frames", "animatediff.value", "animatediff.packages", "animatediff.device"),
    "animatediff.exists",
    *("settings.json-alone", "path.unusable", "machine.folder-in-use"),
    *("machine.disk-full", "machine.gpu-memory", "machine.host-memory"),
    *("install.environment", "install.python-old", "install.preview-models", "install.sam2-extension"),
    "install.preview-libraries",
    # tests/frame/test_frame_engine.py
    *("frame.config-missing", "frame.config-unreadable", "frame.config-broken", "frame.unknown-model"),
    *("frame.duplicate-model", "frame.model-file", "frame.onnx-description", "frame.no-replace"),
    *("frame.batch-size", "frame.python", "install.onnxruntime", "install.onnxruntime-twice"),
    *("install.flash-attn-compiled", "install.flash-attn-torch", "install.flash-attn-version"),
    *("install.weights-unfinished", "media.not-a-file", "media.no-frames"),
    *("media.variable-rate", "media.edit-list", "media.10-bit", "media.hdr", "media.mirrored"),
    *("media.interlaced", "media.non-square-pixels", "media.unreadable", "media.not-readable"),
    *("reference.not-a-file", "reference.not-readable", "reference.too-large"),
    *("reference.gif", "reference.turned-tiff"),
    # In tests/declared/, beside the tools that they are about.
    *("install.tool-checkout", "install.tool-python", "install.tool-packages", "install.tool-version"),
    *("install.tool-weights", "install.tool-weights-cut", "install.tool-program", "machine.tool-no-gpu"),
    *("machine.tool-gpu-memory", "settings.tool-option", "settings.no-driving-sound", "settings.no-stage-1"),
    *("settings.no-replace", "settings.sadtalker-still", "settings.densepose-missing"),
    *("install.densepose-folder", "media.densepose-colours", "gpus.magicanimate"),
    *(f"diffusers.{name}" for name in ("python", "packages", "model", "lora", "gguf", "size", "no-gpu")),
    *(f"animate2.{name}" for name in ("replace", "side-by-side", "short", "memory")),
    *("diffusers.shorter-than-overlap", "diffusers.memory-on-cpu", "diffusers.host-memory"),
    "settings.magicanimate-seed",
}
