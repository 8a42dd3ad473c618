"""Have a clip drawn by the worker, and write it: our own media code, a name only once the file is whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from engines.animatediff.checking import family_of
from engines.animatediff.clip import Clip
from engines.verification import verify_drawn
from execution.step import StepFailed, StepRun

WORKER: Final = Path(__file__).with_name("worker.py")
COMMENT: Final = "AnimateDiff, drawn from text"
_FRAMES: Final = "animatediff_frames.npy"


@dataclass(frozen=True)
class Drawn:
    """A clip that was drawn. ``seconds`` are those of each phase; the warm-up is none of the work."""

    path: Path
    clip: Clip
    seconds: Mapping[str, float]
    facts: Mapping[str, Any]

    @property
    def generation_time(self) -> float:
        """Seconds from the text to the last decoded frame: without loading, warm-up and encoding."""
        return self.seconds["denoising"] + self.seconds["decoding"]

    @property
    def duration(self) -> float:
        """Seconds that the clip plays."""
        return self.clip.frames / self.clip.fps

    @property
    def realtime_ratio(self) -> float:
        """Seconds of clip for each second of work."""
        return self.duration / self.generation_time

    def as_data(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            "path": str(self.path),
            "generation_time": self.generation_time,
            "duration": self.duration,
            "frames": self.clip.frames,
            "realtime_ratio": self.realtime_ratio,
            "phases": dict(self.seconds),
            **self.facts,
            "clip": self.clip.as_data(),
        }

    def as_text(self) -> str:
        """The report for people."""
        phases = ", ".join(f"{name.replace('_', '-')} {spent:.2f} s" for name, spent in self.seconds.items())
        lines = [
            f"path            {self.path}",
            f"generation_time {self.generation_time:.2f} s",
            f"duration        {self.duration:.2f} s",
            f"frames          {self.clip.frames}",
            f"realtime_ratio  {self.realtime_ratio:.4f}",
            f"phases          {phases}",
            f"device          {self.facts['device']}, {self.facts['precision']}, "
            f"attention by {self.facts['attention']}" + (", offloaded" if self.facts["offload"] else ""),
        ]
        return "\n".join([*lines, *(f"note            {note}" for note in self.facts["notes"])])


def draw(clip: Clip, target: Path, python: Path, run: StepRun) -> Drawn:
    """Draw the clip and write it to ``target``, in a folder that nobody reads yet.

    Raises:
        StepFailed: it could not be drawn or written.
        engines.animatediff.problems.Refused: the checkpoint's family cannot be told.
    """
    from execution.worker import run_in_worker

    clip = replace(clip, family=family_of(clip))
    frames = run.folder / _FRAMES
    try:
        facts = dict(
            run_in_worker(
                "animatediff",
                (str(python), str(WORKER)),
                {**clip.as_data(), "frames_path": str(frames)},
                run,
            )
        )
        seconds = dict(facts.pop("seconds"))
        start = time.perf_counter()
        _encode(frames, clip, target, run)
        seconds["encoding"] = time.perf_counter() - start
    finally:
        frames.unlink(missing_ok=True)
    return Drawn(target, clip, seconds, facts)


def _encode(frames: Path, clip: Clip, target: Path, run: StepRun) -> None:
    import numpy as np

    import preprocess

    try:
        pixels = np.load(frames, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise StepFailed(f"The worker left no frames: {error}") from error
    if pixels.shape != (clip.frames, clip.height, clip.width, 3):
        raise StepFailed(
            f"The worker drew {pixels.shape}, not {clip.frames} frames of {clip.width}x{clip.height}."
        )
    try:
        rate = Fraction(clip.fps)
        with preprocess.VideoWriter(
            target, clip.width, clip.height, rate, metadata={"comment": COMMENT}
        ) as writer:
            for number, picture in enumerate(pixels):
                writer.write(picture)
                run.report("encoding", number + 1, clip.frames)
    except OSError as error:
        raise StepFailed(f"{target} cannot be written ({error.strerror}).") from error


def verify(path: Path, clip: Clip) -> None:
    """Decode the file from end to end, and look at it.

    Raises:
        StepFailed: it is not whole, or not what was asked for.
    """
    import preprocess

    verify_drawn(path, frame_count=clip.frames, size=(clip.width, clip.height))
    rate = preprocess.probe_video(path).rate
    if rate != clip.fps:
        raise StepFailed(f"{path} plays at {rate} frames a second; {clip.fps} was asked for.")
