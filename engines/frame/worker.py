"""Runs a model in a process of its own: what a package brings, torch for one, never gets into ours.

Started by ``engines.frame.remote``, in the Python of ``--frame_python``. The model stays for the next job.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from worker_harness import GPU_MEMORY, HOST_MEMORY, OTHER, Cancelled, Tell, WorkerError, serve

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def handle(job: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Render one clip; the answer is the record's facts."""
    import preprocess
    from engines.frame import runner
    from engines.frame.configuration import FrameConfiguration
    from engines.frame.model import ModelError
    from engines.timing import Timing

    def report(phase: str, done: int, total: int) -> None:
        if tell.cancelled:
            raise Cancelled
        tell.progress(phase, done / total, f"{done} of {total}")

    given, timed, made = job["configuration"], job["timing"], runner.Made()
    path, video = given.pop("model_path"), timed["sampled_video"]
    configuration = FrameConfiguration(model_path=None if path is None else Path(path), **given)
    timing = Timing(
        rate=Fraction(timed["rate"]),
        sampled_video=None if video is None else Path(video),
        fps=timed["fps"],
    )
    folder, output = Path(job["folder"]), Path(job["output"])
    try:
        runner.render(configuration, folder, output, timing, report, replace=job["replace"], made=made)
    except (ModelError, preprocess.MediaError) as error:
        raise WorkerError(_kind(error), str(error)) from error
    tell.saved(output)
    return made.facts


def _kind(error: Exception) -> str:
    from engines.frame.tuning import ran_out_of_memory

    if not ran_out_of_memory(error):
        return OTHER
    return GPU_MEMORY if "OutOfMemory" in type(error.__cause__).__name__ else HOST_MEMORY


if __name__ == "__main__":
    serve(handle)
