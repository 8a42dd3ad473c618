"""The pose program: writes beside its input, in a size of its own."""

import argparse
from pathlib import Path

import numpy as np
import standin_tool as tool

parser = argparse.ArgumentParser()
parser.add_argument("--video_path", type=str)
given = parser.parse_args()
tool.record(given=vars(given))
frames, rate = tool.read(given.video_path)
height, width = frames[0].shape[:2]
factor = 512 / min(width, height)
width, height = (round(side * factor) // 64 * 64 for side in (width, height))
path = Path(given.video_path)
made = [np.roll(np.zeros((height, width, 3), np.uint8), 1, 0) for _ in frames]
for number, frame in enumerate(made):
    frame[100 + number : 200 + number, 100:110] = 255
tool.write(path.with_name(f"{path.stem}_kps.mp4"), made, int(rate), is_result=False)
