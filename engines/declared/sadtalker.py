"""SadTalker: a face in a picture speaks with a voice (--audio). Read at commit cd4c0465."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from config import Job
from engines import machine
from engines.declared import tool
from engines.declared.engine import DeclaredEngine
from engines.findings import Finding, kind

STILL = kind(
    "settings.sadtalker-still",
    "error",
    "SadTalker's still without the whole picture",
    "still is meant for preprocess=full: with a crop the head would hang beside its place.",
)
SLOW = kind(
    "machine.sadtalker-slow",
    "warning",
    "SadTalker without a GPU",
    "Half a minute for two frames is on record: hours for a minute of sound.",
)


def _option(job: Job, name: str, default: str) -> str:
    return dict(job.tool_options).get(name, default)


def _words(call: tool.Call) -> list[str]:
    words = ["inference.py", "--driven_audio", "{run}/sound.wav", "--source_image", "{run}/reference.png"]
    words += ["--result_dir", "{run}/out"]
    for name, value in call.job.tool_options:
        if name not in ("still", "cpu"):
            words += [f"--{name}", value]
        elif value == "true":
            words.append(f"--{name}")
    return words


def _size(width: int, height: int, job: Job) -> tuple[int, int]:
    side = int(_option(job, "size", "256"))
    return (width, height) if _option(job, "preprocess", "crop").endswith("full") else (side, side)


def _weights(job: Job) -> list[tool.Weight]:
    # Without the .safetensors it falls back to an older set in silence, so that one is not enough.
    mapping = "mapping_00109" if _option(job, "preprocess", "crop").endswith("full") else "mapping_00229"
    names = (f"SadTalker_V0.0.2_{_option(job, 'size', '256')}.safetensors", f"{mapping}-model.pth.tar")
    return tool.weights_in("checkpoints", *names)


def _checks(job: Job, frames: int) -> Iterator[Finding]:
    if _option(job, "still", "false") == "true" and not _option(job, "preprocess", "crop").endswith("full"):
        what = "--tool_options: still=true needs preprocess=full or extfull."
        yield STILL.found(what, "Add preprocess=full, or leave out still.")
    if not machine.gpus() and frames:
        what = f"There is no GPU to see; {frames} frames will take hours."
        yield SLOW.found(what, "Use a machine with a GPU, or a few seconds of sound.")


ENGINE = DeclaredEngine(
    tool.Tool(
        name="sadtalker",
        title="SadTalker",
        url="https://github.com/OpenTalker/SadTalker",
        commands=(
            tool.Command(
                name="generate",
                title="the face speaks with the voice",
                words=_words,
                takes=tool.named(tool.REFERENCE, tool.SOUND),
                finds="{run}/out/*.mp4",
                script="inference.py",
                phases={"landmark Det": "finding the face", "mel": "listening", "Face Renderer": "rendering"},
            ),
        ),
        code=("inference.py", "src"),
        weights=_weights,
        packages=(
            *tool.packages("torch", "librosa", "face-alignment", "facexlib", "kornia"),
            tool.Package("numpy", "1.24", "its alignment code uses np.float, which is gone"),
            tool.Package("torchvision", "0.17", "basicsr imports functional_tensor, which is gone"),
        ),
        gpu_bytes=0,
        programs=("ffmpeg",),
        rate=Fraction(25),
        options={
            "preprocess": tool.one_of("crop", "extcrop", "resize", "full", "extfull"),
            "size": tool.one_of("256", "512"),
            "still": tool.SWITCH,
            "cpu": tool.SWITCH,
            "pose_style": tool.number(0, 45),
            "batch_size": tool.number(1, 64),
            "expression_scale": tool.number(0, 5),
        },
        size=_size,
        sure_of_size=False,
        signs=(
            tool.Sign(
                "no-face",
                r"Can't get the coeffs of the input|can not detect the landmark",
                "SadTalker finds no face in the reference image, and reports success all the same. Give a "
                "picture with one real-looking human face.",
            ),
        ),
        checks=_checks,
    )
)
