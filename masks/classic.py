"""A segmenter without weights of its own: clicks, GrabCut, optical flow and, if there is one, a body mask.

What it is not: SAM 2. It does not know an object again that was hidden or away, but by a body in the place
where it was lost.

**Which prompt counts where.** Every frame is reached once, from the nearer of the prompted frames to its
left and right; if the object is lost on that way, from the other one. Nothing is blended: two masks of one
thing differ in their outlines, and a mean of them has neither's. A prompt stands by itself: it must show the
whole object anew. One with negative clicks alone corrects the mask that comes to its frame.

**Away.** The object is lost when what is left of it is next to nothing, or when the picture at its place
changes altogether (a cut). From there on frames get no mask, until a body of like colours covers the place
where the object was last, or a prompted frame comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, takewhile

from masks.classic_clicks import Clicks, scaled_clicks
from masks.classic_trail import BodyMask, Canvas, Trail
from masks.clip import Clip
from masks.prompts import MaskObject, Prompt
from masks.segmenter import Report
from masks.store import Mask, MaskStore

Found = tuple[int, Mask | None]
"""Number of a frame and the object's mask in it, in the working size; None where it is not seen."""


class ClassicSegmenter:
    """See :class:`masks.segmenter.Segmenter`."""

    name = "classic"

    def __init__(self, body_mask: BodyMask | None = None) -> None:
        """Without `body_mask` it goes by clicks, colours and motion alone."""
        self._body_mask = body_mask

    def segment(self, clip: Clip, objects: Sequence[MaskObject], store: MaskStore, report: Report) -> None:
        """See :class:`masks.segmenter.Segmenter`. Holds a few frames at a time."""
        canvas, total, done = Canvas(clip.width, clip.height), clip.frame_count * len(objects), 0
        for thing in objects:
            for frame, mask in _Search(clip, canvas, thing, self._body_mask).found():
                if mask is not None:
                    store.add(frame, canvas.up(mask), excluded=thing.excluded)
                done = min(done + 1, total)  # a stretch where the object was lost is walked from both sides
                report("mask", done, total)


class _Search:
    """One object in all frames of a clip."""

    def __init__(self, clip: Clip, canvas: Canvas, thing: MaskObject, body_mask: BodyMask | None) -> None:
        self._clip, self._canvas, self._body_mask = clip, canvas, body_mask
        self._clicks = {
            prompt.frame: scaled_clicks(prompt.points, prompt.box, canvas.scale) for prompt in thing.prompts
        }
        self._anchors = [prompt.frame for prompt in thing.prompts if _shows(prompt)]

    def found(self) -> Iterator[Found]:
        """The frames, in no order."""
        before: tuple[int, Trail] | None = None
        for anchor in self._anchors:
            trail = self._start(anchor)
            yield anchor, trail.mask
            if before is None:
                yield from self._walk(trail, anchor, 0)
            else:
                yield from self._between(before, (anchor, trail))
            before = anchor, trail
        if before is not None:
            anchor, trail = before
            yield from self._walk(trail, anchor, self._clip.frame_count - 1)

    def _start(self, anchor: int) -> Trail:
        trail = Trail(self._canvas, self._body_mask)
        trail.start(next(self._clip.frames(anchor, anchor + 1)), self._clicks[anchor])
        return trail

    def _between(self, left: tuple[int, Trail], right: tuple[int, Trail]) -> Iterator[Found]:
        """Both ways to the middle, and past it where the other way lost the object."""
        middle = (left[0] + right[0]) // 2
        seen_from_left, seen_from_right = left[0], right[0]
        onwards = self._walk(left[1], left[0], right[0] - 1)
        for frame, mask in islice(onwards, middle - left[0]):
            yield frame, mask
            seen_from_left = frame if mask is not None else seen_from_left
        for frame, mask in self._walk(right[1], right[0], seen_from_left + 1):
            yield frame, mask
            seen_from_right = frame if mask is not None else seen_from_right
        if seen_from_left == middle:
            yield from takewhile(lambda found: found[0] < seen_from_right, onwards)

    def _walk(self, start: Trail, anchor: int, last: int) -> Iterator[Found]:
        """From the frame after (or before) the anchor to frame `last` inclusive."""
        if anchor == last:
            return
        trail, given = start.copy(), None
        onwards = last > anchor
        numbers = range(anchor, last + 1) if onwards else range(anchor, last - 1, -1)
        read = self._clip.frames if onwards else self._clip.frames_backwards
        frames = read(min(anchor, last), max(anchor, last) + 1)
        for number, frame in zip(numbers, frames, strict=True):
            clicks = self._clicks.get(number, Clicks())
            if number != anchor and (frame is not given or clicks.points):
                trail.advance(frame, clicks)
            given = frame
            if number != anchor:
                yield number, trail.mask


def _shows(prompt: Prompt) -> bool:
    """Whether a prompt says where the object is, and not only where it is not."""
    return prompt.box is not None or any(point.positive for point in prompt.points)
