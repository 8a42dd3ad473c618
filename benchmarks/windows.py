"""How many frames are generated and thrown away, and what that costs: the chosen window length against 77.

Every clip length of 2 to 30 seconds, frame by frame, at four rates; 1280x720, overlap 1. Arithmetic alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.row import Row
from engines.wan22.windows import UPSTREAM_FRAME_NUM, choose_frame_num, clip_cost, windows_of

RATES = (16, 24, 25, 30)
CANVAS = (1280, 720)


def rows() -> Iterator[Row]:
    """Share of generated frames that are thrown away, ours against 77; and the ratio of the work."""
    for rate in RATES:
        surplus, generated, cost = [0, 0], [0, 0], [0, 0]
        for frames in range(2 * rate, 30 * rate + 1):
            chosen = choose_frame_num(frames, 1, *CANVAS, shortest=61, longest=77)
            for which, length in enumerate((chosen, UPSTREAM_FRAME_NUM)):
                windows = windows_of(frames, length, 1)
                surplus[which] += windows.surplus_frames
                generated[which] += windows.generated_frames
                cost[which] += clip_cost(windows, *CANVAS)
        ours, fixed = (surplus[which] / generated[which] for which in (0, 1))
        figure = f"{ours:.1%} against {fixed:.1%}; work {cost[0] / cost[1]:.2f}x"
        yield Row(f"surplus frames, 2-30 s at {rate}", figure, "less than with 77", ours < fixed)
