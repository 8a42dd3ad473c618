"""Read upstream's output: which phase it is in, and how far.

Stage 1 prints a few lines and tqdm bars; its longest part, pose estimation, is silent. Stage 2 prints log
lines and one bar without a label for each window. With several GPUs every rank draws that bar.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from execution.step import Progress

_SAM_CHUNK = 400
# Lengths are bounded: an expression that may run on is slow on a long line, and int() refuses long numbers.
_BAR = re.compile(r"(?:([\w .-]{1,40}):\s{1,4})?\d{1,3}%\|[^|]{0,200}\|\s{0,4}(\d{1,9})/(\d{1,9})\s{1,4}\[")
_TARGET = re.compile(r"^target_num: (\d{1,9})\b")
_WRITING = re.compile(r"[Mm]ovie[Pp]y - Writing video (.+?)\s*$")
_FRAMES = re.compile(r"real frames: (\d{1,9}) target frames: (\d{1,9})\b")
_LOADING = re.compile(r"INFO: loading (.+?)\s*$")
_LARGEST_JUMP = 5


def _bars(line: str) -> list[tuple[str, str, str]]:
    """(label, done, total) of every tqdm bar in a line: those of two ranks can share one."""
    # Most lines hold none, and the expression is slow on long lines without a bar.
    return _BAR.findall(line) if "%|" in line else []


class PreprocessReader:
    """Progress of stage 1."""

    def __init__(self, *, replace: bool) -> None:
        self._file_count = 4 if replace else 2
        self._frame_count = 0
        self._chunks_done = 0
        self._chunk_position = 0
        self._files_begun = 0
        self._file = ""

    def read(self, line: str) -> Progress | None:
        """See :class:`execution.step.ProgressReader`."""
        if line.startswith("{'ckpt_path'"):
            return Progress("loading models")
        if match := _TARGET.match(line):
            self._frame_count = int(match[1])
            return Progress("finding poses", detail=f"{self._frame_count} frames")
        if "Processing pose meta" in line:
            return Progress(
                "finding poses", detail=f"{self._frame_count} frames" if self._frame_count else ""
            )
        if match := _WRITING.search(line):
            self._files_begun += 1
            self._file = PurePath(match[1]).name.removesuffix(".")
            return self._writing(0, 1)
        bars = _bars(line)
        return self._bar(bars[-1][0].strip(), int(bars[-1][1]), int(bars[-1][2])) if bars else None

    def _bar(self, label: str, done: int, total: int) -> Progress | None:
        if not total:
            return None
        if label == "propagate in video":
            if done < self._chunk_position:
                self._chunks_done += 1  # a new bar; the full one is drawn once or twice
            self._chunk_position = done
            chunks = self._frame_count // _SAM_CHUNK + 1
            share = min(1.0, (self._chunks_done + done / total) / chunks)
            return Progress("following the person", share, f"frame {done} of {total}")
        if label in ("t", "frame_index"):
            return self._writing(done, total)
        if label == "":
            phase = "retargeting" if total == self._frame_count else "editing the pictures with FLUX"
            return Progress(phase, min(1.0, done / total), f"{done} of {total}")
        return None

    def _writing(self, done: int, total: int) -> Progress:
        share = (max(0, self._files_begun - 1) + done / total) / self._file_count
        return Progress("writing", min(1.0, share), self._file)


class GenerateReader:
    """Progress of stage 2: window i of n, step j of m.

    Args:
        frame_num: length of a window; refert_num: overlap of windows; both give the number of windows.
        ranks: processes that draw a bar each.
    """

    def __init__(self, *, frame_num: int, refert_num: int, ranks: int) -> None:
        self._stride = frame_num - refert_num
        self._overlap = refert_num
        self._ranks = ranks
        self._windows = 0
        self._bars_begun = 0
        self._step = 0
        self._saving = False

    def read(self, line: str) -> Progress | None:
        """See :class:`execution.step.ProgressReader`."""
        if match := _FRAMES.search(line):
            self._windows = max(1, (int(match[2]) - self._overlap) // self._stride)
            return Progress("generating", 0.0, f"window 1 of {self._windows}")
        if "Creating Wan" in line:
            return Progress("loading models")
        if match := _LOADING.search(line):
            return Progress("loading models", detail=PurePath(match[1]).name)
        if "Generating video ..." in line:
            return Progress("reading inputs")
        if "Saving generated video to" in line:
            self._saving = True
            return Progress("saving")
        if not self._windows or self._saving:
            return None
        moved = [self._bar(int(done), int(total)) for label, done, total in _bars(line) if not label]
        return next((progress for progress in reversed(moved) if progress), None)

    def _bar(self, done: int, total: int) -> Progress | None:
        if not total:
            return None
        if done == 0:
            self._bars_begun += 1
            if (self._bars_begun - 1) % self._ranks == 0:
                self._step = 0
        elif done < self._step:
            return None  # a slower rank
        elif self._bars_begun % self._ranks and done - self._step > _LARGEST_JUMP:
            return None  # not all ranks have begun this window: one still draws its bar of the last
        self._step = done if done else self._step
        window = min(self._windows, max(0, self._bars_begun - 1) // self._ranks + 1)
        share = min(1.0, (window - 1 + self._step / total) / self._windows)
        return Progress(
            "generating", share, f"window {window} of {self._windows}, step {self._step} of {total}"
        )
