"""The generator: only a grid of three tiles comes out, named by the minute."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
parser.add_argument("--config")
for name, value in (("-W", 512), ("-H", 784), ("-L", 24), ("--seed", 42), ("--steps", 30), ("--fps", None)):
    parser.add_argument(name, type=int, default=value)
parser.add_argument("--cfg", type=float, default=3.5)
given = parser.parse_args()
text = Path(given.config).read_text()
tool.record(given=vars(given), configuration=text)
for key in ("pretrained_vae_path", "motion_module_path", "inference_config", "weight_dtype"):
    assert key in text, key
reference, pose = tool.test_case(text)
frames, rate = tool.read(pose)
if len(frames) < given.L:
    raise RuntimeError(f"stack expects each tensor to be equal size, but got [{given.L}] and [{len(frames)}]")
tool.strike()
tool.bar("", given.steps)
width, height = given.W, given.H
border, made = 2, []
for number in range(given.L):
    grid = np.zeros((height + 2 * border, 3 * (width + border) + border, 3), np.uint8)
    for tile, content in enumerate((90, 20, None)):
        left = border + tile * (width + border)
        shown = tool.shown(number, width, height) if content is None else content
        grid[border : border + height, left : left + width] = shown
    made.append(grid)
minute = time.strftime("%H%M")
folder = Path("output") / time.strftime("%Y%m%d") / f"{minute}--seed_{given.seed}-{width}x{height}"
name = Path(pose).stem.replace("_kps", "")
made_name = f"{Path(reference).stem}_{name}_{height}x{width}_{int(given.cfg)}_{minute}.mp4"
tool.write(folder / made_name, made, int(rate))
print(json.dumps({"done": made_name}))
