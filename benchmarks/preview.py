"""The preview engine: time a frame at 1280x720, and whether memory grows with the clip's length."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import preprocess
from benchmarks.row import ROOT, Row, python, seconds

DEMO = ROOT / "scripts" / "demo"
WIDTH, HEIGHT = 1280, 720
LONG = 10


def rows() -> Iterator[Row]:
    """A 720p clip made of the demo, once and ten times as long, both stages, replace mode."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once, long = folder / "once.mp4", folder / "long.mp4"
        frame_count = write_clip(once, repeats=1)
        write_clip(long, repeats=LONG)
        runs = [run_job(once, folder / name) for name in ("a", "b", "c")]
        took, peak = statistics.median(run[0] for run in runs), max(run[1] for run in runs)
        _, long_peak = run_job(long, folder / "long")
        per_frame = took / frame_count * 1000
        growth = long_peak / peak
        yield Row(
            "preview, both stages, a frame of 1280x720", f"{per_frame:.0f} ms", "<= 150 ms", per_frame <= 150
        )
        yield Row("preview, peak memory", f"{peak:.0f} MB", "< 1000 MB", peak < 1000)
        yield Row(
            f"preview, peak memory of a clip {LONG}x as long", f"{growth:.2f}x", "<= 1.15x", growth <= 1.15
        )


def write_clip(path: Path, repeats: int) -> int:
    """The demo figure in the middle of a 1280x720 picture, forwards and backwards by turns; frames in all."""
    info = preprocess.probe_video(DEMO / "driving_video.mp4")
    order = list(range(info.frame_count))
    with preprocess.VideoWriter(path, WIDTH, HEIGHT, Fraction(30)) as writer:
        for turn in range(repeats):
            read = preprocess.read_frames if turn % 2 == 0 else preprocess.read_frames_backwards
            for frame in read(info.path, order if turn % 2 == 0 else order[::-1]):
                writer.write(preprocess.fit_to_canvas(frame, WIDTH, HEIGHT))
        return writer.frame_count


def run_job(clip: Path, folder: Path) -> tuple[float, float]:
    """Seconds and peak resident megabytes of one whole job, measured in a process of its own."""
    report = folder.with_suffix(".txt")
    command = python(
        "-m", "benchmarks.preview", str(report), "pipeline.py", "--engine", "preview", "--replace",
        "--video_path", str(clip), "--refer_path", str(DEMO / "reference.jpg"),
        "--save_path", str(folder / "source"), "--output_path", str(folder / "result.mp4"), "--quiet",
    )  # fmt: skip
    took = seconds(command)
    return took, float(report.read_text())


def _measure() -> None:
    """Run a command and write the peak memory of that one child, in megabytes."""
    report, *command = sys.argv[1:]
    seconds(python(*command))
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    Path(report).write_text(str(kilobytes / (1024 if sys.platform == "linux" else 1024**2)))


if __name__ == "__main__":
    _measure()
