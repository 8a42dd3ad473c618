"""Bad input: exit code 2, one message with cause and remedy, nothing started, nothing lost."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.media import write_clip, write_sound
from tests.standin.weights import write_safetensors
from tests.workplace import Workplace, copy_workplace

GENERATE = ("run_generation.py", "--src_root_path", "process_results")


def make_bad_files(place: Workplace) -> None:
    """Everything that people give by mistake."""
    (place / "text.mp4").write_text("this is not a video\n" * 50)
    (place / "text.png").write_text("this is not a picture\n")
    (place / "empty.mp4").touch()
    (place / "empty.png").touch()
    (place / "folder").mkdir()
    write_sound(place / "sound.mp4")
    clip = (place / place.video).read_bytes()
    (place / "cut.mp4").write_bytes(clip[: len(clip) * 2 // 3])
    faststart = write_clip(place / "faststart.mp4", container_options={"movflags": "+faststart"}).read_bytes()
    (place / "cut_faststart.mp4").write_bytes(faststart[: len(faststart) - 300])
    picture = (place / place.picture).read_bytes()
    (place / "cut.png").write_bytes(picture[:30])
    write_clip(place / "one_frame.mp4", frame_count=1, rate=60)
    write_clip(place / "moving.gif", codec="gif", rate=25)
    write_clip(place / "av1.mp4", codec="libsvtav1", options={"preset": "10"})
    (place / "unknown.yaml").write_text("video_pth: drive.mp4\n")
    (place / "wrong.yaml").write_text("fps: fast\n")
    (place / "broken.yaml").write_text("fps: [\n")


def with_video(name: str) -> tuple[str, ...]:
    return ("pipeline.py", "--video_path", name, "--refer_path", Workplace.picture)


def with_picture(name: str) -> tuple[str, ...]:
    return ("pipeline.py", "--video_path", Workplace.video, "--refer_path", name)


def with_flags(*flags: str) -> tuple[str, ...]:
    return ("pipeline.py", *Workplace.inputs, *flags)


CASES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    # name: (driver and flags, words of the message: cause first, then remedy)
    "video missing": (with_video("none.mp4"), ("none.mp4 does not exist", "Give the path")),
    "video a folder": (with_video("folder"), ("is a folder", "Give the path of the file")),
    "video text": (with_video("text.mp4"), ("is not a video", "export it again")),
    "video empty": (with_video("empty.mp4"), ("is empty (0 bytes)", "again")),
    "video sound only": (with_video("sound.mp4"), ("has no picture", "Give the video")),
    "video cut off": (
        with_video("cut.mp4"),
        ("is not a video that can be read", "cut off", "export it again"),
    ),
    "video cut off behind its index": (with_video("cut_faststart.mp4"), ("cut off", "again")),
    "video a picture": (with_video("character.png"), ("is a picture, not a video", "Give a video")),
    "video name too long": (with_video("x" * 300 + ".mp4"), ("cannot be read", "name")),
    "video too short": (with_video("one_frame.mp4"), ("1 frame", "--fps source")),
    "video gif": ((*with_video("moving.gif"), "--normalize", "never"), ("upstream", "GIF", "MP4")),
    "video av1": ((*with_video("av1.mp4"), "--normalize", "never"), ("upstream", "AV1", "MP4")),
    "picture missing": (with_picture("none.png"), ("none.png does not exist", "Give the path")),
    "picture text": (with_picture("text.png"), ("not a picture that can be decoded", "PNG or JPEG")),
    "picture empty": (with_picture("empty.png"), ("is empty", "again")),
    "picture cut off": (with_picture("cut.png"), ("not a picture that can be decoded", "PNG or JPEG")),
    "picture a video": (with_picture("drive.mp4"), ("not a picture that can be decoded", "PNG or JPEG")),
    "flux without retargeting": (with_flags("--use_flux", "--no_retarget"), ("--use_flux", "Leave out")),
    "flux in replace mode": (with_flags("--use_flux", "--replace"), ("--use_flux", "Leave out")),
    "retarget in replace mode": (with_flags("--retarget", "--replace"), ("--retarget", "Leave out")),
    "relighting in animate mode": (with_flags("--use_relighting_lora"), ("replace mode", "Add --replace")),
    "frame_num": (with_flags("--frame_num", "76"), ("--frame_num", "4n+1", "73 or 77")),
    "refert_num": (with_flags("--refert_num", "77"), ("--refert_num must be 1 or 5",)),
    "gpus not dividing 40": (with_flags("--multi_gpu", "--nproc_per_node", "6"), ("divide", "2, 4, 5, 8")),
    "gpus without multi_gpu": (with_flags("--nproc_per_node", "4"), ("--multi_gpu", "Add --multi_gpu")),
    "multi_gpu without gpus": (with_flags("--multi_gpu"), ("--nproc_per_node", "2, 4, 5, 8")),
    "resolution one number": (with_flags("--resolution", "1280"), ("--resolution", "two positive numbers")),
    "resolution zero": (with_flags("--resolution", "0x720"), ("--resolution", "two positive numbers")),
    "resolution words": (with_flags("--resolution", "full hd"), ("--resolution", "1280x720")),
    "resolution too small": (with_flags("--resolution", "8x8"), ("--resolution", "larger")),
    "fps fraction": (with_flags("--fps", "29.97"), ("--fps", "whole number", "source")),
    "save_path a file": (with_flags("--save_path", "drive.mp4"), ("is a file", "Choose another folder")),
    "save_path below a file": (with_flags("--save_path", "drive.mp4/x"), ("is a file", "Choose another")),
    "output_path a folder": (with_flags("--output_path", "folder.mp4"), ("is a folder", "name of the .mp4")),
    "output_path no mp4": (with_flags("--output_path", "out.mov"), ("--output_path must end in .mp4",)),
    "output_path below a file": (with_flags("--output_path", "text.png/o.mp4"), ("is a file", "Choose")),
    "output_path the video": (with_flags("--output_path", "drive.mp4"), ("inputs", "Choose another name")),
    "output_path a file between the stages": (
        with_flags("--output_path", "process_results/src_pose.mp4"),
        ("inputs", "Choose another name"),
    ),
    "engine unknown": (with_flags("--engine", "wan"), ("--engine wan", "wan22, preview")),
    "settings file unknown key": (
        with_flags("--config", "unknown.yaml"),
        ("unknown setting 'video_pth'", "did you mean 'video_path'"),
    ),
    "settings file wrong value": (with_flags("--config", "wrong.yaml"), ("wrong.yaml: fps", "whole number")),
    "settings file broken": (with_flags("--config", "broken.yaml"), ("is not a YAML file",)),
    "settings file missing": (with_flags("--config", "none.yaml"), ("none.yaml cannot be read",)),
    "nothing given": (("pipeline.py",), ("--video_path is missing", "--refer_path is missing")),
    "stage 2 on nothing": (("run_generation.py",), ("--src_root_path is missing",)),
    "stage 2 on no folder": (
        ("run_generation.py", "--src_root_path", "none"),
        ("none does not exist", "run_preprocessing.py"),
    ),
    "stage 2 on a file": (("run_generation.py", "--src_root_path", "drive.mp4"), ("is a file", "folder")),
    "stage 2 on an empty folder": (
        ("run_generation.py", "--src_root_path", "folder"),
        ("did not finish", "src_pose.mp4 missing", "Run stage 1"),
    ),
    "python no program": (with_flags("--wan22_python", "drive.mp4"), ("--wan22_python", "interpreter")),
}


@pytest.fixture(scope="module")
def _laid_out(_untouched: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = copy_workplace(_untouched, tmp_path_factory.mktemp("workplace") / "bad")
    make_bad_files(place)
    (place / "folder.mp4").mkdir()
    (place / "output_wanimate.mp4").write_text("what the user had before")
    (place / "process_results").mkdir()
    (place / "process_results" / "src_pose.mp4").write_text("and this")
    return place


@pytest.fixture
def place(_laid_out: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    place = copy_workplace(_laid_out, tmp_path / "work")
    monkeypatch.chdir(place.folder)
    return place


def assert_refused(place: Workplace, arguments: tuple[str, ...], words: tuple[str, ...]) -> str:
    before = place.contents()
    refused = place.invoke(*arguments)
    assert refused.exit_code == 2, refused.output
    said = " ".join(refused.output.split())
    for word in words:
        assert word in said, said
    assert said.count("error: ") == (2 if len(arguments) == 1 and arguments[0] == "pipeline.py" else 1)
    assert "Traceback" not in said
    assert place.contents() == before
    assert not list(place.folder.rglob(".understudy"))
    return said


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(place, case):
    assert_refused(place, *CASES[case])


def test_the_same_as_a_process(place):
    """Once for real: exit code, message on standard error, nothing on standard output."""
    refused = place.run("pipeline.py", "--video_path", "text.mp4", "--refer_path", "character.png")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "is not a video" in refused.stderr and "Nothing was started" in refused.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a file system that nobody can write to")
@pytest.mark.parametrize("flag", ["--save_path", "--output_path"])
def test_a_file_system_that_cannot_be_written_is_refused(place, flag):
    assert_refused(place, with_flags(flag, "/proc/made/x.mp4"), ("/proc cannot be written", "Choose another"))


# ------------------------------------------------------------------------------------- not yet installed


@pytest.mark.parametrize("driver", ["pipeline.py", "run_preprocessing.py"])
def test_without_wan22_the_error_names_both_ways_out(place, driver):
    shutil.rmtree(place / "Wan2.2")
    assert_refused(
        place, (driver, *place.inputs), ("is not installed", "scripts/setup_wan22.py", "--engine preview")
    )


@pytest.mark.parametrize(
    ("missing", "flags"),
    [
        ("process_checkpoint/det/yolov10m.onnx", ()),
        ("process_checkpoint/pose2d/vitpose_h_wholebody.onnx", ()),
        ("process_checkpoint/pose2d/vitpose_h_wholebody.onnx/end2end.onnx", ()),
        ("process_checkpoint/sam2/sam2_hiera_large.pt", ("--replace",)),
        ("process_checkpoint/FLUX.1-Kontext-dev", ("--use_flux",)),
        ("google/umt5-xxl", ()),
        ("xlm-roberta-large", ()),
        ("Wan2.1_VAE.pth", ()),
        ("config.json", ()),
        ("models_t5_umt5-xxl-enc-bf16.pth", ()),
        ("diffusion_pytorch_model-00002-of-00003.safetensors", ()),
        ("diffusion_pytorch_model.safetensors.index.json", ()),
        ("relighting_lora.ckpt", ("--replace", "--use_relighting_lora")),
    ],
)
def test_weights_that_are_not_there_are_named(place, missing, flags):
    target = place / "Wan2.2-Animate-14B" / missing
    if target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    words = ("weights are not complete", missing, "scripts/download_weights.py")
    assert_refused(place, with_flags(*flags), words)


def test_weights_that_this_job_does_not_load_may_be_missing(workplace):
    weights = workplace / "Wan2.2-Animate-14B"
    shutil.rmtree(weights / "process_checkpoint" / "sam2")
    shutil.rmtree(weights / "process_checkpoint" / "FLUX.1-Kontext-dev")
    (weights / "relighting_lora.ckpt").unlink()
    assert workplace.invoke("pipeline.py", *workplace.inputs, "--dry_run").exit_code == 0


def test_one_unsharded_model_file_would_do(workplace):
    weights = workplace / "Wan2.2-Animate-14B"
    for path in weights.glob("diffusion_pytorch_model*"):
        path.unlink()
    write_safetensors(weights / "diffusion_pytorch_model.safetensors", ["block.0"])
    assert workplace.invoke("pipeline.py", *workplace.inputs, "--dry_run").exit_code == 0


# --------------------------------------------------------------- what upstream would only notice at the end


@pytest.mark.parametrize(("count", "works"), [("2", True), ("4", True), ("5", False), ("8", False)])
def test_a_picture_whose_tokens_several_gpus_cannot_share_is_refused(workplace, count, works):
    """832x464 makes 21 x 52 x 29 tokens; upstream pads and dies in its first step, when all is loaded."""
    write_clip(workplace / "wide.mp4", size=(160, 90))
    flags = ("--replace", "--video_path", "wide.mp4", "--resolution", "832x480", "--frame_num", "77")
    refused = workplace.invoke(
        "pipeline.py", *workplace.inputs, *flags, "--multi_gpu", "--nproc_per_node", count, "--dry_run"
    )
    assert refused.exit_code == (0 if works else 2), refused.output
    if not works:
        said = " ".join(refused.output.split())
        assert "832x464" in said and f"{count} GPUs" in said and "2 or 4" in said and "--resolution" in said


def test_a_shape_that_no_number_of_gpus_can_share_is_refused_with_what_works(workplace):
    write_clip(workplace / "four_to_three.mp4", size=(160, 120))
    flags = ("--video_path", "four_to_three.mp4", "--replace", "--multi_gpu", "--nproc_per_node", "2")
    request = (*workplace.inputs, *flags, "--resolution", "1280x720", "--dry_run")
    refused = workplace.invoke("pipeline.py", *request, "--frame_num", "77")
    assert refused.exit_code == 2 and "1104x816" in refused.output
    said = " ".join(refused.output.split())
    assert "--frame_num auto" in said and '--resolution "1088 816"' in said and "or one GPU" in said
    for remedy in (("--frame_num", "73"), ("--frame_num", "77", "--resolution", "1088 816"), ()):
        assert workplace.invoke("pipeline.py", *request, *remedy).exit_code == 0, remedy


def test_the_rule_holds_for_stage_2_alone_too(finished):
    refused = finished.invoke(
        *GENERATE, "--multi_gpu", "--nproc_per_node", "4", "--frame_num", "77", "--dry_run"
    )
    assert refused.exit_code == 2 and "4 GPUs" in " ".join(refused.output.split())


@pytest.mark.parametrize(
    ("frame_count", "overlap", "works"), [(5, "5", False), (6, "5", True), (1, "1", False)]
)
def test_a_clip_no_longer_than_the_overlap_is_refused(workplace, frame_count, overlap, works):
    write_clip(workplace / "short.mp4", frame_count=frame_count)
    flags = (*workplace.inputs, "--video_path", "short.mp4", "--refert_num", overlap)
    refused = workplace.invoke("pipeline.py", *flags, "--dry_run")
    assert refused.exit_code == (0 if works else 2), refused.output
    if not works:
        assert "--refert_num" in refused.output and "longer clip" in " ".join(refused.output.split())


# -------------------------------------------------------------------------------- the folder of stage 1


def spoil(place: Workplace, name: str, how: str) -> None:
    path = place / "process_results" / name
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "shorter":
        write_clip(path, frame_count=9, size=(512, 512))
    elif how == "smaller":
        write_clip(path, frame_count=12, size=(256, 256))
    elif how == "publishing":
        record = place / "process_results" / ".understudy" / "preprocess.json"
        record.write_text(record.read_text().replace('"done"', '"publishing"'))


@pytest.mark.parametrize(
    ("name", "how", "words"),
    [
        ("src_face.mp4", "missing", ("did not finish", "src_face.mp4 missing", "Run stage 1 again")),
        ("src_ref.png", "missing", ("did not finish", "src_ref.png missing", "Run stage 1 again")),
        ("src_face.mp4", "cut", ("src_face.mp4", "Run stage 1 again")),
        ("src_face.mp4", "shorter", ("src_face.mp4 has 9 frames and src_pose.mp4 has 12", "Run stage 1")),
        ("src_face.mp4", "smaller", ("src_face.mp4 is 256x256; it must be 512x512", "Run stage 1")),
        ("src_pose.mp4", "publishing", ("left half-way", "Run stage 1 again")),
    ],
)
def test_stage_2_refuses_a_folder_that_stage_1_did_not_leave_so(finished, name, how, words):
    spoil(finished, name, how)
    before = finished.contents()
    refused = finished.invoke(*GENERATE, "--output_path", "other.mp4")
    assert refused.exit_code == 2
    said = " ".join(refused.output.split())
    assert all(word in said for word in words), said
    assert finished.contents() == before


def test_stage_2_refuses_a_folder_of_the_other_mode(finished):
    said = finished.invoke(*GENERATE, "--replace")
    assert said.exit_code == 2 and "made for animate mode" in " ".join(said.output.split())
    for name in ("src_bg.mp4", "src_mask.mp4"):
        shutil.copy(finished / "process_results" / "src_pose.mp4", finished / "process_results" / name)
    said = finished.invoke(*GENERATE)
    assert said.exit_code == 2 and "made for replace mode" in " ".join(said.output.split())
    assert "Add --replace" in " ".join(said.output.split())


def test_stage_2_of_another_job_left_half_way_does_not_condemn_the_folder(finished):
    """Its result lies beside stage 1's files; running the same command again must finish it."""
    beside = (*GENERATE, "--output_path", "process_results/result.mp4")
    assert finished.invoke(*beside).exit_code == 0
    record = finished / "process_results" / ".understudy" / "generate result.mp4.json"
    record.write_text(record.read_text().replace('"done"', '"publishing"'))
    again = finished.invoke(*beside)
    assert again.exit_code == 0, again.output
    assert "broken off" in " ".join(again.output.split())


def test_a_note_about_an_unused_setting_is_no_error(workplace):
    shown = workplace.invoke("pipeline.py", *workplace.inputs, "--convert_model_dtype", "--dry_run")
    assert shown.exit_code == 0 and "[settings.no-effect]" in " ".join(shown.output.split())


def test_a_home_folder_is_not_needed(workplace, monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    assert workplace.invoke("pipeline.py", *workplace.inputs, "--dry_run").exit_code == 0


def test_nothing_of_the_tests_lies_in_the_project(workplace):
    assert not workplace.folder.is_relative_to(Path(__file__).parents[1])
