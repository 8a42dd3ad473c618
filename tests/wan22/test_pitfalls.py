"""Every pitfall of the official repository that is known, one test each: how it is absorbed.

A pitfall is refused before anything starts, made to work, or, where only the run can tell, told with cause
and remedy. First those of the table of pitfalls, in its order, then odd inputs.
"""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import preprocess
from engines import source_folder
from engines.wan22.plan import LAUNCHER
from engines.wan22.progress import GenerateReader
from preprocess import write_picture
from tests.media import numbered_frame, variable_times, write_clip
from tests.standin import make_checkpoints, read_record, remove_package, set_version
from tests.workplace import Workplace, wait_until

LOGS = Path(__file__).parents[1] / "data/upstream_logs"
GENERATE = ("run_generation.py", "--src_root_path", "process_results")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="measured there")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="the stand-in's faults are POSIX signals")


def pipeline(place: Workplace, *flags: str) -> tuple[str, ...]:
    return ("pipeline.py", *place.inputs, *flags)


def checked(place: Workplace, driver: str, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and data of --check."""
    shown = place.invoke(driver, *arguments, "--check", "--json")
    return shown.exit_code, json.loads(shown.stdout)


def refused(place: Workplace, code: str, driver: str, *arguments: str) -> str:
    """Refused before anything starts, with this code; cause and remedy."""
    exit_code, data = checked(place, driver, *arguments)
    found = {finding["code"]: finding for finding in data["findings"] if finding["level"] == "error"}
    assert exit_code == 2 and code in found, data["findings"]
    assert found[code]["why"]
    return f"{found[code]['what']} {found[code]['remedy']}"


def warned(place: Workplace, code: str, driver: str, *arguments: str) -> str:
    """Not refused; this is said."""
    exit_code, data = checked(place, driver, *arguments)
    found = {finding["code"]: finding for finding in data["findings"]}
    assert exit_code == 0 and code in found, data["findings"]
    return f"{found[code]['what']} {found[code]['why']} {found[code]['remedy']}"


def planned(place: Workplace, driver: str, *arguments: str) -> dict[str, dict[str, Any]]:
    """The planned steps by name."""
    shown = place.invoke(driver, *arguments, "--dry_run", "--json")
    assert shown.exit_code == 0, shown.output
    return {step["name"]: step for step in json.loads(shown.stdout)["steps"]}


def failed(place: Workplace, fault: str, *command: str) -> str:
    """A run with this fault ends with 1, nothing visible is changed, and it is said why."""
    before = place.contents(hidden=False)
    with steered(STANDIN_FAULT=fault):
        done = place.invoke(*command, "--force")
    assert done.exit_code == 1, done.output
    assert place.contents(hidden=False) == before
    return done.output


def succeed(place: Workplace, *command: str, record: Path | None = None) -> None:
    with steered(STANDIN_RECORD="" if record is None else str(record)):
        done = place.invoke(*command)
    assert done.exit_code == 0, done.output


@contextmanager
def steered(**variables: str) -> Iterator[None]:
    """The environment of the stand-in's processes."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def rate_of(path: Path) -> Fraction:
    return preprocess.probe_video(path).rate


# ----------------------------------------------------------------------------------- the table of pitfalls


def test_refert_num_default_77(workplace):
    argv = planned(workplace, *pipeline(workplace))["generate"]["argv"]
    assert argv[argv.index("--refert_num") + 1] == "1"
    said = refused(workplace, "settings.value.refert_num", *pipeline(workplace, "--refert_num", "77"))
    assert "1" in said and "5" in said


@pytest.mark.parametrize("path", ["nowhere", "drive.mp4"])
def test_type_error_on_none_path_after_loading(workplace, path):
    assert path in refused(workplace, "source.missing", "run_generation.py", "--src_root_path", path)
    argv = planned(workplace, *pipeline(workplace))["generate"]["argv"]
    assert argv[argv.index("--src_root_path") + 1] == str(workplace / "process_results")


@linux_only
@pytest.mark.needs("decord")
def test_png_reference_after_decord(tmp_path):
    """The real decord and OpenCV in one process: in upstream's order, and through our launcher."""
    write_picture(tmp_path / "reference.png", numbered_frame(0, 64, 48))
    script = tmp_path / "script.py"
    script.write_text(
        "import decord, cv2, sys\npicture = cv2.imread(sys.argv[1])\n"
        "print('broken' if picture is None else picture.shape)\n"
    )
    (tmp_path / "torch.py").write_text("def set_float32_matmul_precision(precision): pass\n")

    def run(*command: str) -> str:
        words = [sys.executable, *command, str(tmp_path / "reference.png")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run(str(script)) == "broken", "upstream's order still breaks PNG, so the launcher is needed"
    assert run(str(LAUNCHER), str(script)) == "(48, 64, 3)"


def test_png_reference(workplace):
    """The stand-in dies of it as upstream does, unless OpenCV came first."""
    assert workplace.picture.endswith(".png")
    succeed(workplace, *pipeline(workplace))
    assert (workplace / "process_results/src_ref.png").read_bytes().startswith(b"\x89PNG")


@posix_only
def test_png_reference_that_breaks_all_the_same_is_diagnosed(finished):
    assert "Save the reference image as JPEG" in failed(finished, "generate:libpng", *GENERATE)


def test_unreadable_image_in_stage_1(workplace):
    (workplace / "image.png").write_bytes(b"neither PNG nor JPEG")
    flags = ("--video_path", workplace.video, "--refer_path", "image.png")
    assert "image.png" in refused(workplace, "reference.unreadable", "pipeline.py", *flags)


@posix_only
def test_save_errors_swallowed(finished):
    said = failed(finished, "generate:save_failed", *GENERATE)
    assert "was not written" in said and "hid the error: [Errno 28] No space left on device" in said


def test_save_into_a_folder_that_does_not_exist(finished):
    succeed(finished, *GENERATE, "--output_path", "new/deep/out.mp4")
    assert preprocess.check_video(finished / "new/deep/out.mp4").frame_count == 12


def test_save_under_a_name_without_suffix(workplace):
    refused(workplace, "settings.output-suffix", *pipeline(workplace, "--output_path", "out"))


@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001)], ids=str)
def test_output_rate_fixed_at_30(workplace, rate):
    write_clip(workplace / workplace.video, frame_count=24, rate=rate)
    succeed(workplace, *pipeline(workplace, "--fps", "source"))
    assert rate_of(workplace / "output_wanimate.mp4") == rate
    (generated,) = (workplace / ".understudy").glob("*.generated.mp4")
    assert rate_of(generated) == 30, "upstream's own is what it always is"


def test_one_frame_more_or_less(workplace):
    """moviepy's float sums add or lose a frame at some lengths: the files count, not the arithmetic."""
    write_clip(workplace / workplace.video, frame_count=41, rate=25)
    succeed(workplace, *pipeline(workplace, "--fps", "source"))
    pose = preprocess.check_video(workplace / "process_results/src_pose.mp4")
    result = preprocess.check_video(workplace / "output_wanimate.mp4")
    assert result.frame_count == pose.frame_count


def test_own_background_or_mask_desynchronised(finished):
    succeed(finished, "pipeline.py", *finished.inputs, "--replace")
    write_clip(finished / "process_results/src_mask.mp4", frame_count=11)
    said = refused(finished, "source.files", *GENERATE, "--replace")
    assert "src_mask.mp4 has 11 frames and src_pose.mp4 has 12" in said


@posix_only
def test_zero_size_array_in_an_empty_mask(workplace):
    assert "Try --iterations 0" in failed(
        workplace, "preprocess:empty_mask", *pipeline(workplace, "--replace")
    )


@posix_only
def test_range_arg_3_must_not_be_zero(workplace):
    assert "smaller --w_len and --h_len" in failed(
        workplace, "preprocess:thin_mask", *pipeline(workplace, "--replace")
    )


@posix_only
@pytest.mark.parametrize(
    ("fault", "words"),
    [("mask_full", "covers the whole picture"), ("mask_empty", "nobody was found who could be replaced")],
)
def test_mask_swallows_background(workplace, fault, words):
    assert words in failed(workplace, f"preprocess:{fault}", *pipeline(workplace, "--replace"))


def test_replace_flag_forgotten_in_stage_2(finished):
    succeed(finished, "run_preprocessing.py", *finished.inputs, "--replace")
    assert "Add --replace" in refused(finished, "source.mode", *GENERATE)
    argv = planned(finished, *GENERATE, "--replace")["generate"]["argv"]
    assert "--replace_flag" in argv


def test_stale_files_of_the_other_mode(finished):
    succeed(finished, "run_preprocessing.py", *finished.inputs, "--replace")
    succeed(finished, "run_preprocessing.py", *finished.inputs)
    left = {path.name for path in (finished / "process_results").glob("src_*")}
    assert left == set(source_folder.ALWAYS)


def test_einops_cannot_divide_axis_on_several_gpus(workplace):
    flags = (
        "--resolution",
        "320x176",
        "--replace",
        "--multi_gpu",
        "--nproc_per_node",
        "2",
        "--frame_num",
        "77",
    )
    write_clip(workplace / workplace.video, size=(320, 180))
    said = refused(workplace, "gpus.sharing", *pipeline(workplace, *flags))
    assert re.search(r"\d+x\d+|--nproc_per_node", said)


@posix_only
def test_einops_error_is_diagnosed(finished):
    assert "cannot be shared out over this number of GPUs" in failed(finished, "generate:einops", *GENERATE)


@pytest.mark.parametrize("frame_num", ["76", "78", "1", "2"])
def test_zero_division_and_shape_errors_of_frame_num(workplace, frame_num):
    exit_code, data = checked(workplace, *pipeline(workplace, "--frame_num", frame_num))
    assert exit_code == 2
    assert {finding["code"] for finding in data["findings"]} <= {
        "settings.value.frame_num", "settings.window-too-short",
    }  # fmt: skip


def test_frame_num_as_long_as_the_overlap(workplace):
    refused(
        workplace, "settings.window-too-short", *pipeline(workplace, "--frame_num", "5", "--refert_num", "5")
    )


@pytest.mark.parametrize(("frame_count", "overlap"), [(1, "1"), (5, "5"), (3, "5")])
def test_empty_concatenation_of_too_few_frames(workplace, frame_count, overlap):
    write_clip(workplace / workplace.video, frame_count=frame_count)
    flags = ("--refert_num", overlap)
    refused(workplace, "media.shorter-than-overlap", *pipeline(workplace, *flags))


def test_empty_concatenation_in_stage_2_alone(workplace):
    write_clip(workplace / workplace.video, frame_count=4)
    succeed(workplace, "run_preprocessing.py", *workplace.inputs)
    refused(workplace, "media.shorter-than-overlap", *GENERATE, "--refert_num", "5")


def test_output_aspect_unexpected(workplace):
    """It follows the reference image in animate mode, the driving video in replace mode; both are told."""
    write_picture(workplace / workplace.picture, numbered_frame(0, 90, 160))
    for flags in ((), ("--replace",)):
        _, data = checked(workplace, *pipeline(workplace, *flags))
        succeed(workplace, *pipeline(workplace, *flags))
        made = preprocess.probe_video(workplace / "output_wanimate.mp4")
        assert (made.width, made.height) == (data["predicted"]["width"], data["predicted"]["height"])
        assert (made.width > made.height) == bool(flags)


@pytest.mark.parametrize("prompt", ["a person dances", "- starts with a dash, 跳舞"])
def test_prompt_has_no_effect(finished, tmp_path, prompt):
    """It has: the text arrives where upstream encodes it."""
    record = tmp_path / "record"
    succeed(finished, *GENERATE, "--prompt", prompt, record=record)
    assert [entry["prompt"] for entry in read_record(record) if entry["event"] == "encode"] == [prompt]


def test_without_a_prompt_upstreams_own_is_encoded(finished, tmp_path):
    record = tmp_path / "record"
    succeed(finished, *GENERATE, "--seed", "1", record=record)
    (encoded,) = [entry["prompt"] for entry in read_record(record) if entry["event"] == "encode"]
    assert encoded == "视频中的人在做动作"


def test_size_refused_or_without_effect(workplace):
    assert workplace.invoke(*pipeline(workplace, "--size", "832*480")).exit_code == 2
    assert "--size" not in planned(workplace, *pipeline(workplace))["generate"]["argv"]


def test_assertion_error_without_text(workplace):
    remove_package(workplace / "Wan2.2", "flash-attn")
    assert "flash-attn" in refused(workplace, "install.flash-attn", *pipeline(workplace))


@posix_only
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("flash_attn_missing", "flash-attn 2 is missing"),
        ("flash_attn_other_torch", "built for another torch"),
    ],
)
def test_assertion_error_without_text_is_diagnosed(finished, fault, words):
    assert words in failed(finished, f"generate:{fault}", *GENERATE)


def test_stage_1_very_slow_on_cpu_onnx_runtime(workplace):
    remove_package(workplace / "Wan2.2", "onnxruntime-gpu")
    set_version(workplace / "Wan2.2", "onnxruntime", "1.23.2")
    said = warned(workplace, "install.onnxruntime-cpu", *pipeline(workplace))
    assert "CPU" in said and "onnxruntime-gpu" in said


@posix_only
@pytest.mark.parametrize("fault", ["preprocess:host_memory", "generate:host_memory"])
def test_host_out_of_memory(workplace, fault):
    with steered(STANDIN_FAULT=fault):
        done = workplace.invoke(*pipeline(workplace))
    assert done.exit_code == 1
    assert "The machine's memory (not the GPU's) ran out" in done.output and "shorter clip" in done.output


@posix_only
def test_host_out_of_memory_ends_in_a_kill(finished):
    assert "lack of memory" in failed(finished, "generate:killed", *GENERATE)


@posix_only
def test_gpu_out_of_memory(finished):
    said = failed(finished, "generate:out_of_memory", *GENERATE)
    assert "The GPU ran out of memory" in said and "--t5_cpu" in said and "--on_oom" in said


@posix_only
def test_gpu_out_of_memory_with_retry_goes_down_the_ladder(finished):
    said = failed(finished, "generate:out_of_memory", *GENERATE, "--on_oom", "retry")
    assert "trying again with --t5_cpu" in said and "--frame_num 45" in said


def test_gpu_out_of_memory_seen_before(workplace, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x0.3")  # GB: the stand-in's weights are tiny
    refused(workplace, "machine.gpu-memory", *pipeline(workplace))


def test_colour_drift_after_twenty_seconds(workplace):
    write_clip(workplace / workplace.video, frame_count=30 * 26, size=(96, 96))
    assert "drift" in warned(workplace, "media.long", *pipeline(workplace, "--resolution", "96x96"))


def test_vfr_video_is_normalised(workplace):
    """Half at 30 and half at 10 frames a second: 3 s, of which sampling by number would make others."""
    write_clip(workplace / workplace.video, times=variable_times((30, 30), (20, 10)))
    steps = planned(workplace, *pipeline(workplace))
    assert next(iter(steps)) == "normalise"
    argv = steps["preprocess"]["argv"]
    assert argv[argv.index("--video_path") + 1] == str(workplace / "process_results/driving_video.mp4")
    exit_code, data = checked(workplace, *pipeline(workplace, "--normalize", "never"))
    assert exit_code == 2 and "media.variable-rate" in {finding["code"] for finding in data["findings"]}


def test_rotated_video_keeps_its_shape(workplace):
    """decord turns it as players do; so the canvas is upright."""
    write_clip(workplace / workplace.video, rotation=90)
    _, data = checked(workplace, *pipeline(workplace, "--replace"))
    assert data["predicted"]["height"] > data["predicted"]["width"]


def test_no_log_output_until_the_end(workplace, tmp_path):
    record = tmp_path / "record"
    succeed(workplace, "run_preprocessing.py", *workplace.inputs, record=record)
    (started,) = [entry for entry in read_record(record) if entry["event"] == "start"]
    assert started["env"]["PYTHONUNBUFFERED"] == "1"


def test_bars_jumbled_with_several_gpus():
    """Both ranks draw every bar: their shares add up to the whole, and never run back or beyond."""
    reader = GenerateReader(frame_num=77, refert_num=1, ranks=2)
    lines = re.split(r"[\r\n]+", (LOGS / "generate_two_ranks.txt").read_text(encoding="utf-8"))
    told = [
        progress.fraction
        for line in lines
        if (progress := reader.read(line)) and progress.fraction is not None
    ]
    assert told == sorted(told) and told[0] >= 0 and 0.9 <= told[-1] <= 1


def test_hub_or_network_error_on_load(workplace):
    for path in (workplace / "Wan2.2-Animate-14B/google/umt5-xxl").iterdir():
        path.unlink()
    assert "umt5-xxl" in refused(workplace, "install.weights", *pipeline(workplace))
    assert (
        planned(finished_again(workplace), *pipeline(workplace))["generate"]["env"]["HF_HUB_OFFLINE"] == "1"
    )


def finished_again(place: Workplace) -> Workplace:
    make_checkpoints(place / "Wan2.2-Animate-14B")
    return place


@posix_only
def test_hub_error_is_diagnosed(finished):
    said = failed(finished, "generate:hub", *GENERATE)
    assert "A tokenizer folder is missing" in said and "google/umt5-xxl" in said


def test_two_runs_on_one_port(finished):
    argv = planned(finished, *GENERATE, "--multi_gpu", "--nproc_per_node", "2")["generate"]["argv"]
    assert "--standalone" in argv and "--master_port" not in argv


@posix_only
def test_two_runs_on_one_port_are_diagnosed(finished):
    assert "the same network port" in failed(finished, "generate:port_in_use", *GENERATE)


@posix_only
def test_two_runs_in_one_folder(finished, tmp_path):
    record = tmp_path / "record"
    first = finished.start(*GENERATE, "--force", STANDIN_FAULT="generate:hang", STANDIN_RECORD=str(record))
    try:
        wait_until(lambda: any(entry["event"] == "hang" for entry in read_record(record)), "the first works")
        refused(finished, "machine.folder-in-use", *GENERATE)
        assert finished.invoke(*GENERATE, "--force").exit_code == 2
    finally:
        first.terminate()
        first.communicate()


# ------------------------------------------------------------------------------------------------ odd inputs


def test_odd_input_one_frame(workplace):
    write_clip(workplace / workplace.video, frame_count=1)
    exit_code, data = checked(workplace, *pipeline(workplace))
    assert exit_code == 2
    assert {finding["code"] for finding in data["findings"]} & {
        "media.shorter-than-overlap",
        "media.too-short",
    }


def test_odd_input_one_frame_that_sampling_loses(workplace):
    write_clip(workplace / workplace.video, frame_count=1, rate=60)
    refused(workplace, "media.too-short", *pipeline(workplace))


def test_odd_input_fewer_than_five_sampled_frames(workplace):
    write_clip(workplace / workplace.video, frame_count=4)
    succeed(workplace, *pipeline(workplace))
    assert preprocess.check_video(workplace / "output_wanimate.mp4").frame_count == 4


@posix_only
@pytest.mark.parametrize("fault", ["face_lost", "empty_mask"])
def test_odd_input_no_person(workplace, fault):
    assert "--look" in failed(workplace, f"preprocess:{fault}", *pipeline(workplace, "--replace"))


@pytest.mark.parametrize("kind", ["heic", "avif"])
def test_odd_input_heic_and_avif(workplace, kind):
    brand = kind.encode()
    (workplace / "image.png").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(4) + b"mif1" + brand + bytes(200))
    flags = ("--video_path", workplace.video, "--refer_path", "image.png")
    assert "JPEG" in refused(workplace, f"reference.{kind}", "pipeline.py", *flags)


def test_odd_input_transparent_png(workplace):
    """The colours hidden under what is transparent would be seen."""
    picture = np.dstack([numbered_frame(0, 160, 90), np.zeros((90, 160), np.uint8)])
    cv2.imwrite(str(workplace / workplace.picture), picture)
    assert "transparent" in warned(workplace, "reference.hidden-colours", *pipeline(workplace)).lower()


def test_odd_input_exif_rotation(workplace):
    """OpenCV turns the picture in both stages, so the canvas stands upright."""
    jpeg = cv2.imencode(".jpg", numbered_frame(0, 160, 90))[1].tobytes()
    orientation = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x0112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(orientation) + 2) + orientation
    (workplace / "turned.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:])
    flags = ("--video_path", workplace.video, "--refer_path", "turned.jpg", "--resolution", "160x96")
    _, data = checked(workplace, "pipeline.py", *flags)
    assert data["predicted"]["height"] > data["predicted"]["width"]


def test_odd_input_audio_ignored(workplace):
    """Upstream ignores the sound; the result has it."""
    write_clip(workplace / workplace.video, frame_count=30, sound=True)
    succeed(workplace, *pipeline(workplace))
    assert preprocess.probe_video(workplace / "output_wanimate.mp4").has_audio
    assert not preprocess.probe_video(workplace / "process_results/src_pose.mp4").has_audio
