"""LivePortrait: a face in a picture follows the face in a driving video. Read at commit 1986663b."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config import Job
from engines.declared import tool
from engines.declared.engine import DeclaredEngine
from engines.findings import Finding, kind

NOT_SQUARE = kind(
    "media.liveportrait-not-square",
    "note",
    "A driving video that is not square",
    "LivePortrait then crops it to the face by itself; it needs the face in view in every frame.",
)
_SWITCHES: Final = (
    *("flag_normalize_lip", "flag_stitching", "flag_relative_motion", "flag_pasteback", "flag_do_crop"),
    *("flag_use_half_precision", "flag_crop_driving_video", "flag_force_cpu"),
)
_NO_FACE, _GIVE = "LivePortrait finds no face in", "give one that shows a clear one"
_LARGEST: Final = 1280
_MODELS: Final = "pretrained_weights/liveportrait"
_NETWORKS: Final = ("appearance_feature_extractor", "motion_extractor", "spade_generator", "warping_module")
_WEIGHTS: Final = (
    *tool.weights_in("pretrained_weights/insightface/models/buffalo_l", "2d106det.onnx", "det_10g.onnx"),
    *tool.weights_in(f"{_MODELS}/base_models", *(f"{name}.pth" for name in _NETWORKS)),
    *tool.weights_in(_MODELS, "landmark.onnx"),
    *tool.weights_in(f"{_MODELS}/retargeting_models", "stitching_retargeting_module.pth", at_least=100_000),
)


def _words(call: tool.Call) -> list[str]:
    words = ["inference.py", "-s", "{run}/reference.png", "-d", "{run}/driving.mp4", "-o", "{run}/out"]
    for name, value in call.job.tool_options:
        flag = name.replace("_", "-")
        if name in _SWITCHES:  # a value after a switch is an error of its parser
            words.append(f"--{flag}" if value == "true" else f"--no-{flag}")
        else:
            words += [f"--{flag}", value]
    if call.option("flag_force_cpu") == "true" and call.option("flag_use_half_precision") is None:
        words.append("--no-flag-use-half-precision")
    return words


def _size(width: int, height: int, job: Job) -> tuple[int, int] | None:
    given = dict(job.tool_options)
    pasted = all(
        given.get(f"flag_{name}", "true") == "true" for name in ("stitching", "do_crop", "pasteback")
    )
    return (width, height) if pasted and max(width, height) <= _LARGEST else None


def _checks(job: Job, frames: int) -> Iterator[Finding]:
    import preprocess

    if not frames:
        return
    info = preprocess.probe_video(job.video_path)
    if info.width != info.height:
        what = f"--video_path: {job.video_path} is {info.width}x{info.height}; LivePortrait crops it."
        yield NOT_SQUARE.found(what, "Best is a square clip of the head that begins frontal and neutral.")


ENGINE = DeclaredEngine(
    tool.Tool(
        name="liveportrait",
        title="LivePortrait",
        url="https://github.com/KwaiVGI/LivePortrait",
        commands=(
            tool.Command(
                name="generate",
                title="the face follows the driving video",
                words=_words,
                takes=tool.named(tool.REFERENCE, tool.DRIVING),
                finds="{run}/out/reference--driving.mp4",
                script="inference.py",
                phases={"Making motion": "reading", "Animating": "animating", "Writing": "writing"},
            ),
        ),
        code=("inference.py", "src"),
        weights=lambda job: _WEIGHTS,
        packages=tool.packages("torch", "onnxruntime-gpu|onnxruntime", "tyro", "pykalman"),
        gpu_bytes=0,
        programs=("ffmpeg", "ffprobe"),
        options={
            **dict.fromkeys(_SWITCHES, tool.SWITCH),
            "driving_option": tool.one_of("expression-friendly", "pose-friendly"),
            "driving_multiplier": tool.number(0, 10),
            "animation_region": tool.one_of("all", "exp", "pose", "lip", "eyes"),
            "scale": tool.number(1, 5),
        },
        size=_size,
        signs=(
            tool.Sign(
                "no-face", r"No face detected in the source", f"{_NO_FACE} the reference image: {_GIVE}."
            ),
            tool.Sign("no-face", r"No face detected", f"{_NO_FACE} the driving video: {_GIVE}."),
        ),
        checks=_checks,
    )
)
