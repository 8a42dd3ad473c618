"""What the stand-in's scripts share: progress bars, records, and small videos in upstream's formats.

Everything is steered by environment variables, so that the command under test stays word for word upstream's:

STANDIN_RECORD=FILE    every process appends JSON objects, one a line, of these kinds (`event`): `start`, how
                       it was started; `encode`, the text that stage 2 encodes; `generate`, the values that
                       its model was called with; `hang`, that it hangs
STANDIN_SECONDS=S      spread the work over about S seconds (default 0; 3 with the fault `slow`)
STANDIN_FAULT=STAGE:MODE[,...]  misbehave; `standin_faults.py` lists the modes
STANDIN_TORCHRUN_GRACE=S   how long the launcher of ranks waits after SIGTERM (default 30, as torchrun)
"""

from __future__ import annotations

import json
import os
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np


def record(**facts: Any) -> None:
    """Append one line to STANDIN_RECORD; one write, so that several ranks cannot mix their lines."""
    target = os.environ.get("STANDIN_RECORD")
    if target:
        rank = int(os.environ.get("RANK", "0"))
        line = json.dumps({"pid": os.getpid(), "rank": rank, **facts}) + "\n"
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def record_start(script: str, modules: list[str], precision: str | None = None) -> None:
    """Record how this process was started.

    `modules`: top-level modules in the order of their import, before the script's own first one.
    `precision`: torch.get_float32_matmul_precision(), None where the script imports no torch.
    """
    record(
        event="start", script=script, argv=sys.argv, orig_argv=sys.orig_argv, executable=sys.executable,
        cwd=str(Path.cwd()), env=dict(os.environ), modules=modules, cv2_first="cv2" in modules,
        float32_matmul_precision=precision, parent=os.getppid(),
        session=os.getsid(0) if hasattr(os, "getsid") else None,
    )  # fmt: skip


def seconds(fault: str) -> float:
    """How long the work is asked to take."""
    return float(os.environ.get("STANDIN_SECONDS", "3" if fault == "slow" else "0"))


def _clock(value: float) -> str:
    minutes, rest = divmod(int(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


class Bar:
    """A progress bar on stderr with the bytes of tqdm's: carriage returns, ten cells, TQDM_* heeded."""

    def __init__(self, total: int, label: str = "", postfix: str = "", *, leave: bool = True) -> None:
        self.total, self.done, self.leave, self.postfix = total, 0, leave, postfix
        self.prefix = f"{label}: " if label else ""
        self.interval = float(os.environ.get("TQDM_MININTERVAL", "0.1"))
        self.silent = os.environ.get("TQDM_DISABLE", "") not in ("", "0")
        self.cells = " ▏▎▍▌▋▊▉█" if (sys.stderr.encoding or "").lower().startswith("utf") else " 123456789#"
        self.started = self.drawn = time.monotonic()
        self.width = 0
        self._draw()

    def _text(self) -> str:
        elapsed = time.monotonic() - self.started
        rate = self.done / elapsed if self.done and elapsed else 0.0
        left = _clock((self.total - self.done) / rate) if rate else "?"
        speed = "?it/s" if not rate else f"{1 / rate:5.2f}s/it" if rate < 1 else f"{rate:5.2f}it/s"
        levels = len(self.cells) - 1
        full, part = divmod(int(self.done / self.total * 10 * levels), levels)
        cells = (self.cells[-1] * full + (self.cells[part] if full < 10 else "")).ljust(10)
        percent = self.done / self.total * 100
        return (
            f"{self.prefix}{percent:3.0f}%|{cells}| {self.done}/{self.total} "
            f"[{_clock(elapsed)}<{left}, {speed}{self.postfix}]"
        )

    def _draw(self) -> None:
        if not self.silent:
            text = self._text()
            sys.stderr.write("\r" + text.ljust(self.width))
            sys.stderr.flush()
            self.width = len(text)
        self.drawn = time.monotonic()

    def step(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self.drawn >= self.interval:
            self._draw()

    def close(self) -> None:
        if self.silent:
            return
        if self.leave:
            self._draw()
            sys.stderr.write("\n")
        else:
            sys.stderr.write("\r" + " " * self.width + "\r")
        sys.stderr.flush()

    def __iter__(self) -> Iterator[int]:
        for index in range(self.total):
            yield index
            self.step()
        self.close()


def walk(bar: Bar, duration: float, midway: Callable[[], None] | None = None) -> None:
    """Run a bar to its end in about `duration` seconds; `midway` is called before the middle step counts."""
    for index in bar:
        if midway and index == bar.total // 2:
            midway()
        if duration:
            time.sleep(duration / bar.total)


def plane(
    width: int, height: int, level: int, box: tuple[int, int, int, int] | None, box_level: int
) -> np.ndarray:
    """A grey yuv420p picture, [height * 3 / 2, width] uint8: `level`, `box_level` in box (x0, y0, x1, y1)."""
    import numpy as np

    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    picture[:height] = level
    if box:
        x0, y0, x1, y1 = box
        picture[y0:y1, x0:x1] = box_level
    return picture


def write_video(
    path: Path, pictures: list[np.ndarray], frame_count: int, rate: Fraction, crf: int = 23
) -> None:
    """Write `frame_count` frames, going round `pictures` (yuv420p planes as `plane` makes), as upstream does:
    H.264 High, yuv420p, no sound, the index at the file's end, in place."""
    import av

    height, width = pictures[0].shape[0] * 2 // 3, pictures[0].shape[1]
    # The fastest preset, with the two tools that make it profile High switched on again.
    options = {"crf": str(crf), "preset": "ultrafast", "x264-params": "8x8dct=1:cabac=1"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for index in range(frame_count):
            frame = av.VideoFrame.from_ndarray(pictures[index % len(pictures)], format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def probe(path: str) -> tuple[int, int, int, float]:
    """(frames, width, height as shown, average rate) as decord gives them.

    Raises RuntimeError in decord's words for a file that it cannot open."""
    import av

    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            rate = float(stream.average_rate or 0)
            frame_count = sum(1 for packet in container.demux(stream) if packet.size)
        with av.open(path) as container:
            first = next(container.decode(video=0))
    except (OSError, IndexError, StopIteration, av.error.FFmpegError):
        raise RuntimeError("Error reading " + path + "...") from None
    width, height = first.width, first.height
    return (frame_count, height, width, rate) if first.rotation % 180 else (frame_count, width, height, rate)
