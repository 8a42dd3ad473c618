"""SadTalker: a face in a picture speaks with a voice (--audio). Read at commit cd4c0465."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from config import Job
from engines import machine
from engines.declared.engine import DeclaredEngine
from engines.declared.tool import (
    REFERENCE,
    SOUND,
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
_CROPS: Final = ("crop", "extcrop", "resize", "full", "extfull")


def _option(job: Job, name: str, default: str) -> str:
    return dict(job.tool_options).get(name, default)


def _words(call: Call) -> list[str]:
    words = ["inference.py", "--driven_audio", f"{{run}}/{SOUND}", "--source_image", f"{{run}}/{REFERENCE}"]
    words += ["--result_dir", "{run}/out"]
    for name, value in call.job.tool_options:
        if name not in ("still", "cpu"):
            words += [f"--{name}", value]
        elif value == "true":
            words.append(f"--{name}")
    return words


def _weights(job: Job) -> list[Weight]:
    # Without the .safetensors it falls back to an older set in silence, so that one is not enough.
    mapping = "mapping_00109" if _option(job, "preprocess", "crop").endswith("full") else "mapping_00229"
    return [
        Weight(f"checkpoints/SadTalker_V0.0.2_{_option(job, 'size', '256')}.safetensors", 1_000_000),
        Weight(f"checkpoints/{mapping}-model.pth.tar", 1_000_000),
        *(
            [Weight(f"gfpgan/weights/{name}", 1_000_000)]
            if (name := {"gfpgan": "GFPGANv1.4.pth"}.get(_option(job, "enhancer", "")))
            else []
        ),
    ]


def _checks(job: Job, frames: int) -> Iterator[Finding]:
    if _option(job, "still", "false") == "true" and not _option(job, "preprocess", "crop").endswith("full"):
        what = "--tool_options: still=true needs preprocess=full or extfull."
        yield STILL.found(what, "Add preprocess=full, or leave out still.")
    if not machine.gpus() and frames:
        what = f"There is no GPU to see; {frames} frames will take hours."
        yield SLOW.found(what, "Use a machine with a GPU, or a few seconds of sound.")


ENGINE = DeclaredEngine(
    Tool(
        name="sadtalker",
        title="SadTalker",
        url="https://github.com/OpenTalker/SadTalker",
        commands=(
            Command(
                name="generate",
                title="the face speaks with the voice",
                words=_words,
                takes={REFERENCE: f"{{run}}/{REFERENCE}", SOUND: f"{{run}}/{SOUND}"},
                finds="{run}/out/*.mp4",
                script="inference.py",
                phases={
                    "landmark Det": "finding the face",
                    "3DMM Extraction": "measuring the face",
                    "mel": "listening",
                    "audio2exp": "listening",
                    "Face Renderer": "rendering",
                    "seamlessClone": "pasting back",
                },
            ),
        ),
        code=("inference.py", "src"),
        weights=_weights,
        packages=(
            *map(Package, ("torch", "librosa", "face-alignment", "facexlib", "kornia")),
            Package("numpy", "1.24", "its alignment code uses np.float, which is gone"),
            Package("torchvision", "0.17", "basicsr imports functional_tensor, which is gone"),
        ),
        gpu_bytes=0,
        programs=("ffmpeg",),
        rate=Fraction(25),
        options={
            "preprocess": one_of(*_CROPS),
            "size": one_of("256", "512"),
            "still": SWITCH,
            "cpu": SWITCH,
            "pose_style": number(0, 45),
            "batch_size": number(1, 64),
            "expression_scale": number(0, 5),
            "enhancer": one_of("gfpgan", "RestoreFormer"),
        },
        size=lambda width, height, job: None,
        signs=(
            Sign(
                "no-face",
                r"Can't get the coeffs of the input",
                "SadTalker finds no face in the reference image, and reports success all the same. Give a "
                "picture with one real-looking human face.",
            ),
            Sign(
                "numpy",
                r"module 'numpy' has no attribute 'float'",
                'The tool\'s numpy is too new. Install "numpy<1.24" for its Python.',
            ),
        ),
        checks=_checks,
    )
)
