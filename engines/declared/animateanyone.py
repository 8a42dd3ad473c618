"""Moore-AnimateAnyone: a whole figure in a picture follows the poses of a video. Read at commit a914ef38."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from config import Job
from engines.declared import tool
from engines.declared.engine import DeclaredEngine

_WEIGHTS: Final = "pretrained_weights"
_SHORT, _DIVISOR = 512, 64
"""What its pose program brings every video to: shorter side and divisor of both."""
_BORDER: Final = 2
"""Pixels between the tiles of its grid."""
FILES: Final[Mapping[str, str]] = {
    "pretrained_base_model_path": f"{_WEIGHTS}/stable-diffusion-v1-5/",
    "pretrained_vae_path": f"{_WEIGHTS}/sd-vae-ft-mse",
    "image_encoder_path": f"{_WEIGHTS}/image_encoder",
    "denoising_unet_path": f"{_WEIGHTS}/denoising_unet.pth",
    "reference_unet_path": f"{_WEIGHTS}/reference_unet.pth",
    "pose_guider_path": f"{_WEIGHTS}/pose_guider.pth",
    "motion_module_path": f"{_WEIGHTS}/motion_module.pth",
}


def canvas(width: int, height: int) -> tuple[int, int]:
    """The size nearest to the picture's shape that its pose program leaves as it is."""
    factor = _SHORT / min(width, height)
    long = max(_SHORT, round(max(width, height) * factor / _DIVISOR) * _DIVISOR)
    return (_SHORT, long) if height >= width else (long, _SHORT)


def _configuration(call: tool.Call) -> Mapping[str, Any]:
    return {
        **FILES,
        "inference_config": "./configs/inference/inference_v2.yaml",
        "weight_dtype": "fp16",
        "test_cases": {"{run}/{token}.png": ["{run}/pose_kps.mp4"]},
    }


def _words(call: tool.Call) -> list[str]:
    job = call.job
    words = ["-m", "scripts.pose2vid", "--config", "{run}/animation.yaml", "-W", str(call.width)]
    words += ["-H", str(call.height), "-L", str(call.frames), "--seed", str(job.seed)]
    words += ["--cfg", str(3.5 if job.sample_guide_scale is None else job.sample_guide_scale)]
    return [*words, "--steps", str(job.sample_steps or 30)]


def _tile(call: tool.Call) -> tuple[int, int, int, int]:
    """The third of reference, pose and result side by side."""
    return 2 * (call.width + _BORDER) + _BORDER, _BORDER, call.width, call.height


def _weights(job: Job) -> list[tool.Weight]:
    models = ("denoising_unet.pth", "reference_unet.pth", "pose_guider.pth", "motion_module.pth")
    poses = tool.weights_in(f"{_WEIGHTS}/DWPose", "dw-ll_ucoco_384.onnx", "yolox_l.onnx")
    folders = ("stable-diffusion-v1-5/unet", "image_encoder", "sd-vae-ft-mse")
    configs = tool.weights_in(_WEIGHTS, *(f"{folder}/config.json" for folder in folders), at_least=2)
    return [*tool.weights_in(_WEIGHTS, *models), *poses, *configs]


ENGINE = DeclaredEngine(
    tool.Tool(
        name="animateanyone",
        title="Moore-AnimateAnyone",
        url="https://github.com/MooreThreads/Moore-AnimateAnyone",
        commands=(
            tool.Command(
                name="pose",
                title="the poses of the driving video",
                words=lambda call: ["-m", "tools.vid2pose", "--video_path", "{run}/driving.mp4"],
                takes=tool.named(tool.DRIVING),
                finds="{run}/driving_kps.mp4",
                script="tools/vid2pose.py",
                leaves=tool.POSE,
            ),
            tool.Command(
                name="generate",
                title="the figure follows the poses",
                words=_words,
                takes={tool.REFERENCE: "{run}/{token}.png", tool.POSE: "{run}/pose_kps.mp4"},
                configures={"{run}/animation.yaml": _configuration},
                finds="output/*/*/{token}_*.mp4",
                sweeps=("output/*/*/{token}_*",),
                script="scripts/pose2vid.py",
            ),
        ),
        code=("scripts", "src", "tools", "configs"),
        weights=_weights,
        packages=tool.packages("torch", "diffusers", "onnxruntime-gpu", "omegaconf", "einops", "av"),
        gpu_bytes=15 * 2**30,
        canvas=canvas,
        tile=_tile,
        signs=(
            tool.Sign(
                "lengths",
                r"Sizes of tensors must match|stack expects each tensor to be equal size",
                "Its stacks of pictures differ in length: the pose video has other frames than were "
                "asked for. Run it again with --force.",
            ),
        ),
    )
)
