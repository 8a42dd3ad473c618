"""The sampled frames of a clip in words: when and how often something is so, and what part is free of it.

Only the standard library is imported: it is on the way of the list of all findings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from engines.preview.observation import Observation, Sample
    from media.probe import Timeline

_A_SECOND: Final = 2
_FEWEST: Final = 4
_MOST: Final = 60
_SHORTEST_PART: Final = 1.0
"""Seconds from which a part of a clip is worth keeping."""
_TOLD: Final = 3
"""Stretches that are named one by one."""

Stretch = tuple[int, int]
"""Numbers of the first and the last frame."""


def sample_numbers(frame_count: int, seconds: float) -> list[int]:
    """Frames to look at: about two of each second, 4 to 60 in all, evenly, with the first and the last."""
    count = min(max(round(_A_SECOND * seconds) + 1, _FEWEST), _MOST, frame_count)
    if count < 2:
        return [0]
    return [round(step * (frame_count - 1) / (count - 1)) for step in range(count)]


@dataclass(frozen=True)
class SampledClip:
    """What was seen in the first ``frame_count`` frames of a clip, and when each frame is shown."""

    path: Path
    timeline: Timeline
    frame_count: int
    seen: Observation

    @property
    def samples(self) -> Sequence[Sample]:
        """The frames that were looked at, in order."""
        return self.seen.samples

    def seconds(self, number: int) -> float:
        """When a frame is shown, the first at 0; for the number after the last, when the clip ends."""
        times = self.timeline.times
        time = times[number] if number < len(times) else self.timeline.end
        return float((time - times[0]) * self.timeline.tick)

    def moment(self, number: int) -> str:
        """A frame by time and number: ``00:01.5 (frame 36)``."""
        minutes, tenths = divmod(round(self.seconds(number) * 10), 600)
        return f"{minutes:02d}:{tenths // 10:02d}.{tenths % 10} (frame {number})"

    def stretches(self, is_so: Callable[[Sample], bool]) -> list[Stretch]:
        """The runs of neighbouring samples of which something is so."""
        runs = groupby(self.samples, key=is_so)
        numbers = [[sample.number for sample in run] for so, run in runs if so]
        return [(run[0], run[-1]) for run in numbers]

    def when(self, is_so: Callable[[Sample], bool], among: Callable[[Sample], bool] | None = None) -> str:
        """How many of the samples (or of those ``among`` holds for), and the first stretches."""
        total = sum(among is None or among(sample) for sample in self.samples)
        count = sum(map(is_so, self.samples))
        stretches = self.stretches(is_so)
        told = [self._in_words(stretch) for stretch in stretches[:_TOLD]]
        more = f", and {len(stretches) - _TOLD} more times" if len(stretches) > _TOLD else ""
        return f"in {count} of {total} sampled frames: {', '.join(told)}{more}"

    def _in_words(self, stretch: Stretch) -> str:
        first, last = stretch
        if first == last:
            return f"at {self.moment(first)}"
        lasting = self.seconds(last) - self.seconds(first)
        return f"from {self.moment(first)} to {self.moment(last)}, {lasting:.1f} s"

    def part_without(self, is_so: Callable[[Sample], bool]) -> str:
        """A sentence: which seconds of the clip to keep to be rid of something, if that leaves enough."""
        stretches = self.stretches(lambda sample: not is_so(sample))
        parts = [(self.seconds(first), self._end_after(last)) for first, last in stretches]
        return self.keep(max(parts, key=lambda part: part[1] - part[0], default=(0.0, 0.0)))

    def keep(self, part: tuple[float, float]) -> str:
        """A sentence that says to keep a part (start and end in seconds) of the clip."""
        start, end = part
        if end - start < _SHORTEST_PART:
            return "Take another clip."
        return f"Keep only seconds {start:.2f} to {end:.2f} of the clip, or take another."

    def _end_after(self, number: int) -> float:
        """The end of what is known to be as in a sampled frame: the frame's own, or the clip's."""
        return self.seconds(number + 1)

    def shots(self) -> list[tuple[float, float]]:
        """Start and end of each shot in seconds."""
        edges = [0, *self.seen.cuts, self.frame_count]
        return [(self.seconds(first), self.seconds(end)) for first, end in pairwise(edges)]
