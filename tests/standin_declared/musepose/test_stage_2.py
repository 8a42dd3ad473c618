"""The generator: every second frame unless told otherwise, the result, and a grid of a longer name."""

import argparse
import time
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
parser.add_argument("--config")
for name, value in (("-W", 768), ("-H", 768), ("-L", 300), ("-S", 48), ("-O", 4), ("--seed", 99)):
    parser.add_argument(name, type=int, default=value)
for name, value in (("--steps", 20), ("--skip", 1), ("--fps", None)):
    parser.add_argument(name, type=int, default=value)
parser.add_argument("--cfg", type=float, default=3.5)
given = parser.parse_args()
text = Path(given.config).read_text()
tool.record(given=vars(given), configuration=text)
assert "sd-image-variations-diffusers" in text
reference, pose = tool.test_case(text)
frames, rate = tool.read(pose)
taken = frames[: given.L : given.skip + 1]
tool.strike()
tool.bar("", given.steps)
height, width = frames[0].shape[:2]
made = [tool.shown(number, width, height) for number in range(len(taken))]
folder = Path("output") / f"video-{time.strftime('%Y%m%d')}" / f"{time.strftime('%H%M')}-{given.cfg}--"
name = f"{Path(reference).stem}_{Path(pose).stem}_{given.cfg}_{given.steps}_{given.skip}"
rate = int(rate // (given.skip + 1))
tool.write(
    folder / f"{name}_pose_guider_motion.mp4",
    [np.concatenate([f] * 3, 1) for f in made],
    rate,
    is_result=False,
)
tool.write(folder / f"{name}.mp4", made, rate)
