"""What SAM 2 is asked, piece by piece: which frames it gets, and where each object is pointed out in them.

The clip is gone through twice, in pieces, so that memory is bounded: once forwards from the first frame on
which an object is pointed out, and once backwards, the frames in reversed order, so that SAM 2 always tracks
"forwards". A piece after the first consists of

    reminders   for each object the nearest frame before on which it was pointed out, with those prompts
    the edge    the last frame of the piece before, with the mask that was found there
    new frames  the piece itself

The edge carries the object on; the reminder is what SAM 2 would still remember in an uncut run. With it an
object that is hidden at the edge can be found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from masks.prompts import MaskObject, Prompt

Placed = tuple[int, Prompt]
"""A prompt and the place of its frame in the piece."""


@dataclass(frozen=True)
class Track:
    """One object in one piece."""

    number: int
    """Which object, from 0."""
    start: int
    """Place in the piece from which on it is tracked."""
    handed_over: bool
    """Whether the mask that was found at the edge, its ``start``, goes with it. An empty one does not."""
    anchors: tuple[Placed, ...]
    """Prompts that find the object by themselves: known from the start."""
    corrections: tuple[Placed, ...]
    """Prompts that only say where it is not: given when the tracking has reached their frame."""


@dataclass(frozen=True)
class Piece:
    """What the worker holds at once."""

    frames: tuple[int, ...]
    """Frame number of the clip at each place."""
    first_new: int
    """Place of the first frame that no piece of this pass had before."""
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class Pass:
    """Going through the clip in one direction."""

    backwards: bool
    pieces: tuple[Piece, ...]

    @property
    def frames(self) -> tuple[int, ...]:
        """Every frame of the pass, in its order, each once."""
        return tuple(frame for piece in self.pieces for frame in piece.frames[piece.first_new :])


def is_anchor(prompt: Prompt) -> bool:
    """Whether a prompt finds its object by itself; negative points alone do not."""
    return prompt.box is not None or any(point.positive for point in prompt.points)


def first_anchor(thing: MaskObject) -> int:
    """Frame from which an object is tracked in both directions.

    Raises:
        ValueError: none of its prompts says where it is.
    """
    for prompt in thing.prompts:
        if is_anchor(prompt):
            return prompt.frame
    raise ValueError(f"{thing.name}: no prompt says where it is")


def plan_passes(objects: Sequence[MaskObject], frame_count: int, piece_length: int) -> list[Pass]:
    """The passes that cover every frame of every object: forwards, then backwards where there is anything.

    Args:
        piece_length: new frames of a piece at most. A piece holds one frame more, the edge, and up to one
            reminder for each object.

    Raises:
        ValueError: an object has no prompt that says where it is.
    """
    starts = [first_anchor(thing) for thing in objects]
    forwards = range(min(starts), frame_count)
    backwards = range(max(starts), -1, -1)
    passes = []
    for order, first in ((forwards, 0), (backwards, 1)):
        courses = [
            _course(number, thing, start, order)
            for number, (thing, start) in enumerate(zip(objects, starts, strict=True))
            if start >= first  # on frame 0 there is nothing before
        ]
        if courses:
            cuts = range(0, len(order), piece_length)
            pieces = tuple(
                _piece(courses, order, begin, min(begin + piece_length, len(order))) for begin in cuts
            )
            passes.append(Pass(order is backwards, pieces))
    return passes


@dataclass(frozen=True)
class _Course:
    """An object in one pass; positions count the frames in the order of the pass."""

    number: int
    start: int
    """Position from which on it is tracked."""
    prompts: tuple[tuple[int, Prompt], ...]
    """Position and prompt, from ``start`` on."""

    def nearest_anchor(self, end: int) -> int:
        """Position of the last prompt before ``end`` that finds the object by itself."""
        return max(position for position, prompt in self.prompts if position < end and is_anchor(prompt))


def _course(number: int, thing: MaskObject, first: int, order: range) -> _Course:
    start = order.index(first)
    placed = [(order.index(prompt.frame), prompt) for prompt in thing.prompts if prompt.frame in order]
    return _Course(
        number, start, tuple((position, prompt) for position, prompt in placed if position >= start)
    )


def _piece(courses: Sequence[_Course], order: range, begin: int, end: int) -> Piece:
    """Positions ``begin`` to ``end - 1`` as new frames, with the edge and the reminders before them."""
    edge = begin - 1
    nearest = {course.number: course.nearest_anchor(begin) for course in courses if course.start < begin}
    reminders = sorted(set(nearest.values()) - {edge})
    positions = [*reminders, *([edge] if nearest else []), *range(begin, end)]
    places = {position: place for place, position in enumerate(positions)}
    tracks = []
    for course in courses:
        if course.start < begin:
            tracks.append(_track(course, places, edge, {nearest[course.number], *range(begin, end)}))
        elif course.start < end:
            tracks.append(_track(course, places, course.start, set(range(course.start, end))))
    return Piece(tuple(order[position] for position in positions), places[begin], tuple(tracks))


def _track(course: _Course, places: dict[int, int], start: int, known: set[int]) -> Track:
    """An object from position ``start`` on, with its prompts at the positions in ``known``."""
    prompts = [(position, prompt) for position, prompt in course.prompts if position in known]
    return Track(
        number=course.number,
        start=places[start],
        handed_over=not any(position == start for position, _ in prompts),
        anchors=tuple((places[position], prompt) for position, prompt in prompts if is_anchor(prompt)),
        corrections=tuple(
            (places[position], prompt) for position, prompt in prompts if not is_anchor(prompt)
        ),
    )
