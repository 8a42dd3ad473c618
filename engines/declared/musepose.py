"""MusePose: a whole figure follows the poses of a video, aligned to it first. Read at commit 61c52bd9."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config import Job
from engines.declared import tool
from engines.declared.animateanyone import FILES
from engines.declared.engine import DeclaredEngine
from engines.findings import Finding, kind

SLICE = kind(
    "media.musepose-slice",
    "note",
    "A clip shorter than a slice of MusePose",
    "It fills the clip up to a whole slice, computes that, and cuts it back.",
)
_SLICE, _OVERLAP = 48, 4
_SIDE: Final = 768
_WEIGHTS: Final = "pretrained_weights"
_BASE: Final = "sd-image-variations-diffusers"


def _align(call: tool.Call) -> list[str]:
    words = ["pose_align.py", "--imgfn_refer", "{run}/reference.png", "--vidfn", "{run}/driving.mp4"]
    words += ["--outfn_align_pose_video", f"{{run}}/{tool.POSE}", "--outfn", "{run}/demo.mp4"]
    return [*words, "--max_frame", str(call.frames)]


def _configuration(call: tool.Call) -> Mapping[str, Any]:
    models = {
        key: path.replace(f"{_WEIGHTS}/", f"{_WEIGHTS}/MusePose/") if path.endswith(".pth") else path
        for key, path in FILES.items()
    }
    models["pretrained_base_model_path"] = f"{_WEIGHTS}/{_BASE}"
    return {
        **models,
        "inference_config": "./configs/inference_v2.yaml",
        "weight_dtype": "fp16",
        "test_cases": {"{run}/{token}.png": [f"{{run}}/{tool.POSE}"]},
    }


def _words(call: tool.Call) -> list[str]:
    job = call.job
    words = ["test_stage_2.py", "--config", "{run}/stage_2.yaml", "-W", str(_SIDE), "-H", str(_SIDE)]
    words += ["-L", str(call.frames), "-S", str(_SLICE), "-O", str(_OVERLAP), "--seed", str(job.seed)]
    words += ["--cfg", str(3.5 if job.sample_guide_scale is None else job.sample_guide_scale)]
    # Its own default leaves out every second frame.
    return [*words, "--steps", str(job.sample_steps or 20), "--skip", "0"]


def _weights(job: Job) -> list[tool.Weight]:
    names = ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "motion_module.pth")
    configs = (f"{_BASE}/unet/config.json", "image_encoder/config.json", "sd-vae-ft-mse/config.json")
    return [
        *tool.weights_in(f"{_WEIGHTS}/MusePose", *names),
        *tool.weights_in(f"{_WEIGHTS}/dwpose", "dw-ll_ucoco_384.pth", "yolox_l_8x8_300e_coco.pth"),
        *tool.weights_in(_WEIGHTS, *configs, at_least=2),
    ]


def _checks(job: Job, frames: int) -> Iterator[Finding]:
    if 0 < frames < _SLICE:
        what = f"The clip has {frames} frames; MusePose computes {_SLICE} all the same."
        yield SLICE.found(what, "A longer clip costs no more, up to that length.")


ENGINE = DeclaredEngine(
    tool.Tool(
        name="musepose",
        title="MusePose",
        url="https://github.com/TMElyralab/MusePose",
        commands=(
            tool.Command(
                name="pose",
                title="the poses, aligned to the figure",
                words=_align,
                takes=tool.named(tool.REFERENCE, tool.DRIVING),
                finds=f"{{run}}/{tool.POSE}",
                script="pose_align.py",
                leaves=tool.POSE,
            ),
            tool.Command(
                name="generate",
                title="the figure follows the poses",
                words=_words,
                takes={tool.REFERENCE: "{run}/{token}.png", tool.POSE: f"{{run}}/{tool.POSE}"},
                configures={"{run}/stage_2.yaml": _configuration},
                finds="output/video-*/*/{token}_*.mp4",  # the grid's name is longer
                sweeps=("output/video-*/*/{token}_*",),
                script="test_stage_2.py",
            ),
        ),
        code=("test_stage_2.py", "pose_align.py", "musepose", "pose", "configs"),
        weights=_weights,
        packages=tool.packages("torch", "diffusers", "mmcv", "mmdet", "mmpose", "omegaconf", "opencv-python"),
        gpu_bytes=27 * 2**30,
        size=lambda width, height, job: (round(_SIDE * width / height / 2) * 2, _SIDE),
        sure_of_size=False,
        signs=(
            tool.Sign(
                "opencv",
                r"The function is not implemented|destroyAllWindows",
                "Its pose program needs OpenCV with windows: install opencv-python for its Python, without "
                "opencv-python-headless.",
            ),
        ),
        checks=_checks,
    )
)
