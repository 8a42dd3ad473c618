"""Stand-in for the package that stage 2 imports: the model's checks, its lines and bars, and its video."""

from __future__ import annotations

import json
import logging
import os
import sys
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from standin_faults import LOADING, MIDDLE, fault_of, spoil, strike
from standin_support import Bar, plane, probe, record, seconds, walk, write_video

if TYPE_CHECKING:
    import numpy as np

# This package imports decord; an OpenCV that comes after it cannot decode PNG.
CV2_CAME_FIRST = "cv2" in sys.modules

# The settings that upstream prints; the names and values are facts of its task animate-14B.
CONFIG: dict[str, Any] = {
    "__name__": "Config: Wan animate 14B", "t5_model": "umt5_xxl", "text_len": 512,
    "num_train_timesteps": 1000,
    "sample_fps": 30, "sample_neg_prompt": "色调艳丽，过曝，静态", "frame_num": 77,
    "t5_checkpoint": "models_t5_umt5-xxl-enc-bf16.pth", "t5_tokenizer": "google/umt5-xxl",
    "clip_checkpoint": "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    "clip_tokenizer": "xlm-roberta-large", "lora_checkpoint": "relighting_lora.ckpt",
    "vae_checkpoint": "Wan2.1_VAE.pth", "vae_stride": (4, 8, 8), "patch_size": (1, 2, 2), "num_heads": 40,
    "sample_shift": 5.0, "sample_steps": 20, "sample_guide_scale": 1.0, "prompt": "视频中的人在做动作",
}  # fmt: skip
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Video:
    """What a generation returns: how many frames of which size, and how bright they are."""

    width: int
    height: int
    frame_count: int
    level: int


def load_weights(folder: Path, name: str) -> None:
    """Log and open one weight file. Raises FileNotFoundError."""
    logging.info(f"loading {folder / name}")
    (folder / name).open("rb").close()


def load_tokenizer(folder: Path, name: str) -> None:
    """A missing tokenizer folder is not reported as one: the loader takes the string for a hub name."""
    if not (folder / name).is_dir():
        raise OSError(
            f"Repo id must be in the form 'repo_name' or 'namespace/repo_name': '{folder / name}'. "
            "Use `repo_type` argument if needed."
        )


class WanAnimate:
    """Upstream's model object, with its signatures: loading in the constructor, windows in `generate`."""

    def __init__(
        self, config: dict[str, Any], checkpoint_dir: str, device_id: int = 0, rank: int = 0,
        t5_fsdp: bool = False, dit_fsdp: bool = False, use_sp: bool = False, t5_cpu: bool = False,
        init_on_cpu: bool = True, convert_model_dtype: bool = False, use_relighting_lora: bool = False,
    ) -> None:  # fmt: skip
        self.fault = fault_of("generate")
        self.sample_prompt = config["prompt"]
        self.ranks = int(os.getenv("WORLD_SIZE", "1")) if use_sp else 1
        folder = Path(checkpoint_dir)
        load_weights(folder, config["t5_checkpoint"])
        strike(self.fault, LOADING)
        load_tokenizer(folder, config["t5_tokenizer"])
        load_weights(folder, config["clip_checkpoint"])
        load_tokenizer(folder, config["clip_tokenizer"])
        load_weights(folder, config["vae_checkpoint"])
        logging.info(f"Creating WanAnimate from {checkpoint_dir}")
        self._load_shards(folder)
        if use_relighting_lora:
            logging.info("Loading Relighting Lora. ")
            (folder / config["lora_checkpoint"]).open("rb").close()

    @staticmethod
    def _load_shards(folder: Path) -> None:
        """diffusers' loading of a sharded model, with its bar on stderr."""
        if not (folder / "config.json").is_file():
            raise OSError(f"Error no file named config.json found in directory {folder}.")
        index = json.loads((folder / "diffusion_pytorch_model.safetensors.index.json").read_text())
        shards = sorted(set(index["weight_map"].values()))
        for name in shards:
            if not (folder / name).is_file():
                raise FileNotFoundError(f"{folder} does not appear to have a file named {name}")
        walk(Bar(len(shards), "Loading checkpoint shards"), 0)

    def generate(
        self, src_root_path: str, replace_flag: bool = False, clip_len: int = 77, refert_num: int = 1,
        shift: float = 5.0, sample_solver: str = "dpm++", sampling_steps: int = 20, guide_scale: float = 1,
        input_prompt: str = "", n_prompt: str = "", seed: int = -1, offload_model: bool = True,
    ) -> Video:  # fmt: skip
        """Read the inputs, encode the text, run every window, and return what to save."""
        assert refert_num in (1, 5), "refert_num should be 1 or 5."
        text = input_prompt or self.sample_prompt
        if src_root_path is None:
            raise TypeError("expected str, bytes or os.PathLike object, not NoneType")
        folder = Path(src_root_path)
        frame_count, width, height, _ = probe(str(folder / "src_pose.mp4"))
        probe(str(folder / "src_face.mp4"))
        self._read_reference(folder / "src_ref.png")
        record(event="encode", prompt=text)
        record(
            event="generate", seed=seed, frame_num=clip_len, refert_num=refert_num, replace=replace_flag,
            steps=sampling_steps, shift=shift, solver=sample_solver, guide_scale=guide_scale,
            offload_model=offload_model,
        )  # fmt: skip
        stride = clip_len - refert_num
        rest = (frame_count - refert_num) % stride  # ZeroDivisionError for window = overlap, as upstream
        target = frame_count if rest == 0 else frame_count + stride - rest
        logging.info(f"real frames: {frame_count} target frames: {target}")
        if replace_flag:
            probe(str(folder / "src_bg.mp4"))
            probe(str(folder / "src_mask.mp4"))
        window_count = len(range(0, target - refert_num, stride))
        if window_count == 0:
            raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
        self._check_shapes(clip_len, replace_flag, width, height)
        for index in range(window_count):
            self._run_window(index, window_count, sampling_steps)
        return Video(width, height, frame_count, 40 + zlib.crc32(f"{text} {seed}".encode()) % 80)

    @staticmethod
    def _read_reference(path: Path) -> None:
        if path.read_bytes()[:8] == PNG_SIGNATURE and not CV2_CAME_FIRST:
            print("libpng error: bad parameters to zlib", file=sys.stderr)
            raise TypeError("'NoneType' object is not subscriptable")

    def _check_shapes(self, window: int, replace: bool, width: int, height: int) -> None:
        """The size errors of the first step: a window not of 4n + 1 frames, tokens no ranks can share."""
        if window % 4 == 0:
            raise RuntimeError(
                "Sizes of tensors must match except in dimension 0. "
                f"Expected size {window // 4 + 1} but got size {window // 4} for tensor number 1 in the list."
            )
        if window % 4 != 1 and replace:
            raise RuntimeError(f"shape '[1, {window // 4 + 1}, 4]' is invalid for input of size {window + 3}")
        latent_frames = window // 4 + 2
        tokens = latent_frames * (width // 16) * (height // 16)
        if tokens % self.ranks:
            padded = -(-tokens // self.ranks) * self.ranks
            raise RuntimeError(f"can't divide axis of length {padded} in chunks of {latent_frames}")

    def _run_window(self, index: int, window_count: int, steps: int) -> None:
        """One bar of sampling steps; a fault strikes in the last window, after some work."""
        last = index == window_count - 1
        duration = seconds(self.fault) / window_count
        walk(Bar(steps), duration, lambda: strike(self.fault, MIDDLE) if last else None)


def save_video(video: Video, save_file: str, fault: str) -> None:
    """Write the video at 30 frames a second whatever stage 1 used; every failure is swallowed."""
    if fault == "exit0_no_file":
        return
    try:
        if fault == "save_failed":
            raise OSError(28, "No space left on device")
        if Path(save_file).suffix != ".mp4":
            Path(save_file).touch()
            raise ValueError(f"Could not find a format to write the specified file in mode '{save_file}'")
        if not Path(save_file).absolute().parent.is_dir():
            raise FileNotFoundError(2, f"The directory does not exist: '{Path(save_file).absolute().parent}'")
        count = video.frame_count - (3 if fault == "wrong_frame_count" else 0)
        write_video(Path(save_file), _pictures(video, fault), count, Fraction(CONFIG["sample_fps"]), crf=10)
        spoil(Path(save_file), fault)
    except Exception as error:  # the trap that the orchestrator must see through
        logging.info(f"save_video failed, error: {error}")


def _pictures(video: Video, fault: str) -> list[np.ndarray]:
    """What goes round: a bright box that wanders over the brightness of this seed and text."""
    width = video.width + (16 if fault == "wrong_size" else 0)
    black = plane(width, video.height, 16, None, 16)
    boxes = [(video.width // 4 + 8 * step, video.height // 4) for step in range(8)]
    moving = [
        plane(width, video.height, video.level, (x, y, x + video.width // 4, y + video.height // 2), 180)
        for x, y in boxes
    ]
    if fault == "black_video":
        return [black]
    if fault == "half_black_video":
        shown = max(1, video.frame_count // 3)
        return [moving[index % 8] for index in range(shown)] + [black] * (video.frame_count - shown)
    return moving[:1] if fault == "frozen_video" else moving
