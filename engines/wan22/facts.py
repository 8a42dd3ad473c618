"""What the record of a finished step says about upstream: plain data, nothing secret."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from config import Job
from engines import source_folder
from engines.timing import timing_of
from engines.wan22 import checkout
from engines.wan22.interpreter import InterpreterError, probe_interpreter

_SEED: Final = re.compile(r"\bbase_seed=(\d{1,20})\b")
_FRAMES: Final = re.compile(r"real frames: (\d{1,9}) target frames: (\d{1,9})")


def of_preprocessing(job: Job, log: str) -> Mapping[str, Any]:
    """Facts of stage 1: which upstream, and when the frames belong."""
    return {**of_upstream(job), "timing": timing_of(job).as_facts()}


def of_generation(job: Job, frame_num: int, log: str) -> Mapping[str, Any]:
    """Facts of stage 2: which upstream, the seed really used, the windows that ran.

    ``log`` is the end of upstream's output; what stood before that is taken from the job.
    """
    import preprocess
    from engines.wan22.windows import tokens, windows_of

    pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
    windows = windows_of(pose.frame_count, frame_num, job.refert_num)
    seed = _SEED.search(log)
    return {
        **of_upstream(job),
        "seed": int(seed[1]) if seed else job.seed,
        "frame_num": frame_num,
        "overlap": job.refert_num,
        "windows": windows.windows,
        "frames": pose.frame_count,
        "surplus_frames": windows.surplus_frames,
        "width": pose.width,
        "height": pose.height,
        "tokens": tokens(frame_num, pose.width, pose.height),
    }


def of_upstream(job: Job) -> dict[str, Any]:
    """Which upstream: commit, Python, packages."""
    commit = checkout.commit_of(job.wan22_dir)
    try:
        interpreter = probe_interpreter(job.wan22_python)
    except InterpreterError:
        return {"upstream_commit": commit}
    return {
        "upstream_commit": commit,
        "upstream_python": ".".join(map(str, interpreter.python)),
        "upstream_packages": dict(sorted(interpreter.packages.items())),
    }
