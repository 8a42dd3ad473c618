"""MagicAnimate as a declared tool. Read at commit d2bc3bc3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from config import NO_PATH, SOURCE_FPS, Job
from engines.declared.tool import REFERENCE, Call, Command, Package, Sign, Tool, Weight

if TYPE_CHECKING:
    from engines.declared.clip import Clip

SIDE: Final = 512
"""Pixels of its square."""
MOTION: Final = "motion.mp4"
"""The DensePose video in that square."""
DENSEPOSE: Final = "densepose.mp4"
GPU_BASE: Final = 10 * 2**30
GPU_PER_FRAME: Final = 13_400_000
"""Bytes: its control signals of all frames stay on the GPU, whatever the window."""
_MODELS: Final = "pretrained_models"
_OWN: Final = f"{_MODELS}/MagicAnimate"


def _configuration(call: Call) -> Mapping[str, Any]:
    """Every key that it reads: a missing one is an error, or None, at some later point."""
    job = call.job
    return {
        "pretrained_model_path": f"{_MODELS}/stable-diffusion-v1-5",
        "pretrained_vae_path": f"{_MODELS}/sd-vae-ft-mse",
        "pretrained_controlnet_path": f"{_OWN}/densepose_controlnet",
        "pretrained_appearance_encoder_path": f"{_OWN}/appearance_encoder",
        "pretrained_unet_path": "",
        "motion_module": f"{_OWN}/temporal_attention/temporal_attention.ckpt",
        "inference_config": "configs/inference/inference.yaml",
        "source_image": [f"{{run}}/{REFERENCE}"],
        "video_path": [f"{{run}}/{MOTION}"],
        "seed": [job.seed],
        "steps": job.sample_steps or 25,
        "guidance_scale": 7.5 if job.sample_guide_scale is None else job.sample_guide_scale,
        "size": SIDE,
        "S": 1,
        "I": 0,
        "L": 16,
        "clip": 0,
        "offset": 0,
        "max_length": None,
        "video_type": "condition",
        "invert_video": False,
        "save_individual_videos": False,
        "fusion_blocks": "midup",
        "savename": "{token}",
    }


def _words(call: Call) -> list[str]:
    words = ["-m", "magicanimate.pipelines.animation", "--config", "{run}/animation.yaml"]
    return [*words, "--dist"] if call.job.multi_gpu else words


def _weights(job: Job) -> list[Weight]:
    appearance = f"{_OWN}/appearance_encoder"
    nested = f"{appearance}/appearance_encoder"  # it looks in either place
    if (job.tool_dir / nested / "config.json").is_file():
        appearance = nested
    models = (appearance, f"{_OWN}/densepose_controlnet", f"{_MODELS}/sd-vae-ft-mse")
    return [
        *(Weight(f"{folder}/config.json", 2) for folder in models),
        *(Weight(f"{folder}/diffusion_pytorch_model.safetensors", 1_000_000) for folder in models),
        Weight(f"{_OWN}/temporal_attention/temporal_attention.ckpt", 1_000_000),
        *(
            Weight(f"{_MODELS}/stable-diffusion-v1-5/{name}", 2)
            for name in ("tokenizer/vocab.json", "text_encoder/config.json", "unet/config.json")
        ),
    ]


def clip_of(job: Job) -> Clip:
    """The job's clip: its motion is the DensePose video where one is given, else the driving video.

    Raises:
        preprocess.MediaError: its media cannot be read.
    """
    import preprocess
    from engines.declared.clip import Clip
    from engines.declared.staging import content_box
    from engines.timing import Timing, timing_of, unrounded
    from media.normalise import normalised_frame_count, normalised_rate, normalised_size
    from media.pictures import describe_picture

    describe_picture(job.refer_path)
    driving = preprocess.probe_video(job.video_path)
    timing, motion = timing_of(job), driving
    if job.densepose_path != NO_PATH:
        motion = preprocess.probe_video(job.densepose_path)
        rate = normalised_rate(motion, job.fps)
        rate = unrounded(rate) if job.fps == SOURCE_FPS else rate
        timing = Timing(rate=rate, driving_video=job.video_path, start=driving.start)
    frames = normalised_frame_count(motion.path, timing.rate, job.frame_limit)
    box = content_box(*normalised_size(motion), (SIDE, SIDE))
    return Clip(timing, frames, (SIDE, SIDE), (box[2], box[3]))


TOOL: Final = Tool(
    name="magicanimate",
    title="MagicAnimate",
    url="https://github.com/magic-research/magic-animate",
    commands=(
        Command(
            name="generate",
            title="the figure follows the DensePose video",
            words=_words,
            takes={REFERENCE: f"{{run}}/{REFERENCE}", MOTION: f"{{run}}/{MOTION}"},
            configures={"{run}/animation.yaml": _configuration},
            finds="samples/{token}/videos/*.mp4",
            requires=("samples/{token}/config.yaml",),
            sweeps=("samples/{token}",),
            script="magicanimate/pipelines/animation.py",
            phases={"current seed": "generating"},
        ),
    ),
    code=("magicanimate", "configs"),
    weights=_weights,
    packages=tuple(
        map(
            Package,
            ("torch", "xformers", "diffusers", "transformers", "omegaconf", "einops", "av", "imageio"),
        )
    ),
    gpu_bytes=GPU_BASE,
    tile=lambda call: (0, 0, call.width, call.height),
    clip=clip_of,
    signs=(
        Sign(
            "motion-kind",
            r"NameError: name 'control'|UnboundLocalError: .*'control'",
            "MagicAnimate read no motion: it takes .mp4 only. Run it again with --force.",
        ),
        Sign(
            "xformers",
            r"No module named 'xformers'|xformers is not available|No operator found for `memory_efficient",
            "MagicAnimate needs xformers that fits the torch of its Python (0.0.22 with torch 2.0.1).",
        ),
    ),
)
