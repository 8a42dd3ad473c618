"""The pose program: 768 high, in the reference's shape."""

import argparse
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
for name in ("imgfn_refer", "vidfn", "outfn_align_pose_video", "outfn"):
    parser.add_argument(f"--{name}")
for name in ("align_frame", "max_frame", "detect_resolution", "image_resolution"):
    parser.add_argument(f"--{name}", type=int, default={"max_frame": 300}.get(name, 0))
given = parser.parse_args()
tool.record(given=vars(given))
frames, rate = tool.read(given.vidfn)
frames = frames[: given.max_frame]
width, height = tool.size_of(given.imgfn_refer)
width = round(768 * width / height / 2) * 2
made = [np.zeros((768, width, 3), np.uint8) for _ in frames]
for number, frame in enumerate(made):
    frame[100 + number : 200 + number, 100:110] = 255
tool.write(Path(given.outfn_align_pose_video), made, int(rate), is_result=False)
tool.write(Path(given.outfn), made, int(rate), is_result=False)
