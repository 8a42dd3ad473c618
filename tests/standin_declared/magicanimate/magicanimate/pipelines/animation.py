"""MagicAnimate's entry point: four flags, a tree under samples/, exit 0 without a result in two ways."""

import argparse
import os
import re
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
parser.add_argument("--config", type=str, required=True)
parser.add_argument("--dist", action="store_true")
parser.add_argument("--rank", type=int, default=0)
parser.add_argument("--world_size", type=int, default=1)
given = parser.parse_args()
text = Path(given.config).read_text()
tool.record(given=vars(given), configuration=text)


def value(key: str) -> str:
    """A scalar, or the first entry of a list, of a configuration in one line."""
    found = re.search(rf"\b{key}: \[?'?([^,\]'}}]*)", text)
    assert found, f"omegaconf.errors.ConfigAttributeError: Missing key {key}"
    return found[1].strip()


needed = (
    "pretrained_model_path pretrained_vae_path pretrained_controlnet_path motion_module inference_config L"
)
for name in needed.split():
    value(name)
visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
if (given.dist and len(visible.split(",")) < 2) or given.rank:
    raise SystemExit(0)
tool.strike()
source, motion = value("source_image"), value("video_path")
assert motion.endswith(".mp4"), "NameError: name 'control' is not defined"
assert tool.picture(source).shape[2] == 3, "given groups=1, weight of size [128, 3, 3, 3]"
size = int(value("size"))
frames, _ = tool.read(motion)
assert all(frame.shape == (size, size, 3) for frame in frames)
print("current seed:", value("seed"))
tool.bar("", int(value("steps")))
name = f"{Path(source).name.split('.')[0]}_{Path(motion).name[:-4]}"
root = Path("samples") / value("savename")
made = [tool.shown(number, size, size) for number in range(len(frames))]
tool.write(root / "videos" / f"{name}.mp4", made, 25)
if tool.FAULT != "no_grid":
    grid = [np.zeros((528, 1552, 3), np.uint8) for _ in frames]
    tool.write(root / "videos" / name / "grid.mp4", grid, 25, is_result=False)
if tool.FAULT != "unfinished":
    (root / "config.yaml").write_text(text)
