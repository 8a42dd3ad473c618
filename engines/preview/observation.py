"""What is seen in a clip: the persons in frames sampled from it, and its cuts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engines.preview.analysis import read_ahead
from engines.preview.network import Region
from engines.preview.observer import Observer, Person
from engines.preview.scene_cuts import find_cuts, thumbnail
from engines.preview.track import Image
from media.errors import MediaError
from media.orientation import orientation_of, turn_upright
from media.probe import decode, open_video
from preprocess import read_frames

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Sample:
    """A frame of the clip by its number, and the persons in it, the largest first."""

    number: int
    persons: tuple[Person, ...]


@dataclass(frozen=True)
class Observation:
    """What is seen in a clip: the sampled frames in order, and the frames with which new shots begin."""

    samples: tuple[Sample, ...]
    cuts: tuple[int, ...]


def observe_clip(
    observer: Observer, path: Path, numbers: Sequence[int], end: int, report: Report
) -> Observation:
    """Look at the frames `numbers` (increasing) of a clip, and for cuts among its first `end` frames.

    The clip is decoded once, and the frames where nobody was found a second time.

    Raises:
        MediaError: a frame is damaged.
    """
    thumbnails: list[Image] = []
    samples: list[Sample] = []
    images = read_ahead(_images(path, numbers, end, thumbnails))
    for image, number in zip(images, numbers, strict=True):
        samples.append(Sample(number, observer.persons(image)))
        report("look at the driving video", len(samples), len(numbers))
    samples = _looked_again(observer, path, samples)
    return Observation(tuple(samples), tuple(find_cuts(np.array(thumbnails))))


def _looked_again(observer: Observer, path: Path, samples: list[Sample]) -> list[Sample]:
    """The samples; those without anybody were looked at again where persons are just before and after."""
    empty = [place for place, sample in enumerate(samples) if not sample.persons]
    near = {samples[place].number: _neighbours(samples, place) for place in empty}
    again = [number for number, regions in near.items() if regions]
    images = read_frames(path, again)
    found = {
        number: observer.persons_near(image, near[number])
        for number, image in zip(again, images, strict=True)
    }
    return [replace(sample, persons=found.get(sample.number, sample.persons)) for sample in samples]


def _neighbours(samples: Sequence[Sample], place: int) -> list[Region]:
    around = (*samples[max(0, place - 1) : place], *samples[place + 1 : place + 2])
    return [sample.persons[0].region for sample in around if sample.persons]


def _images(path: Path, numbers: Sequence[int], end: int, thumbnails: list[Image]) -> Iterator[Image]:
    """The frames `numbers` upright, uint8 RGB; thumbnails of the first `end` frames are put into the list."""
    wanted = set(numbers)
    with open_video(path) as (container, stream):
        stream.thread_type = "AUTO"
        orientation = None
        for number, frame in enumerate(decode(path, container, stream)):
            if number >= end:
                return
            orientation = orientation or orientation_of(frame)
            thumbnails.append(thumbnail(frame))
            if number in wanted:
                pixels = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                yield turn_upright(pixels, orientation)
    if len(thumbnails) < end:
        what = f"{path} is damaged: {len(thumbnails)} of {end} frames decode."
        raise MediaError(what, "Export or download it again.", code="media.damaged")
