"""LivePortrait: a face in a picture follows the face in a driving video. Read at commit 1986663b."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from config import Job
from engines.declared.engine import DeclaredEngine
from engines.declared.tool import (
    DRIVING,
    REFERENCE,
    SWITCH,
    Call,
    Command,
    Package,
    Sign,
    Tool,
    Weight,
    number,
    one_of,
)
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
_LARGEST: Final = 1280
_MODELS: Final = "pretrained_weights/liveportrait"


def _words(call: Call) -> list[str]:
    words = ["inference.py", "-s", f"{{run}}/{REFERENCE}", "-d", f"{{run}}/{DRIVING}", "-o", "{run}/out"]
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
    pasted = all(
        dict(job.tool_options).get(name, "true") == "true"
        for name in ("flag_stitching", "flag_do_crop", "flag_pasteback")
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
    Tool(
        name="liveportrait",
        title="LivePortrait",
        url="https://github.com/KwaiVGI/LivePortrait",
        commands=(
            Command(
                name="generate",
                title="the face follows the driving video",
                words=_words,
                takes={REFERENCE: f"{{run}}/{REFERENCE}", DRIVING: f"{{run}}/{DRIVING}"},
                finds="{run}/out/reference--driving.mp4",
                script="inference.py",
                phases={
                    "Load appearance": "loading models",
                    "Making motion templates": "reading the motion",
                    "Animating": "animating",
                    "Concatenating": "writing",
                    "Writing": "writing",
                },
            ),
        ),
        code=("inference.py", "src"),
        weights=lambda job: (
            *(
                Weight(f"pretrained_weights/insightface/models/buffalo_l/{name}.onnx", 1_000_000)
                for name in ("2d106det", "det_10g")
            ),
            *(
                Weight(f"{_MODELS}/base_models/{name}.pth", 1_000_000)
                for name in (
                    "appearance_feature_extractor",
                    "motion_extractor",
                    "spade_generator",
                    "warping_module",
                )
            ),
            Weight(f"{_MODELS}/landmark.onnx", 1_000_000),
            Weight(f"{_MODELS}/retargeting_models/stitching_retargeting_module.pth", 100_000),
        ),
        packages=tuple(
            map(
                Package,
                ("torch", "onnxruntime-gpu|onnxruntime|onnxruntime-silicon", "tyro", "pykalman", "numpy"),
            )
        ),
        gpu_bytes=0,
        programs=("ffmpeg", "ffprobe"),
        options={
            **dict.fromkeys(_SWITCHES, SWITCH),
            "driving_option": one_of("expression-friendly", "pose-friendly"),
            "driving_multiplier": number(0, 10),
            "animation_region": one_of("all", "exp", "pose", "lip", "eyes"),
            "scale": number(1, 5),
        },
        size=_size,
        signs=(
            Sign(
                "no-face",
                r"No face detected in the source image",
                "LivePortrait finds no face in the reference image. Give a picture with one clear face.",
            ),
            Sign(
                "no-face",
                r"No face detected in the driving|[Nn]o face .*driving",
                "LivePortrait finds no face in the driving video. Give a clip with one from its first frame.",
            ),
        ),
        checks=_checks,
    )
)
