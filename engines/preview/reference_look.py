"""What the models see in the reference image, and how it fits the driving video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING, Final

from config import Job
from engines.findings import Finding, kind

if TYPE_CHECKING:
    from engines.preview.observer import Person
    from engines.preview.sampled_clip import SampledClip

SMALLEST_FACE: Final = 64
"""Pixels on the canvas. The model's tokens are 16x16 pixels: a smaller face has fewer than four across."""

MOST_TURNED: Final = 50
"""Degrees by which the face may be turned from the camera."""

_COMPANION: Final = 0.2
"""Area of another person, of the largest one's, from which it counts."""

_SHOWN: Final = ("no knees", "the knees", "the feet")

NOBODY = kind(
    "look.reference-no-person",
    "warning",
    "No person in the reference image",
    "Models made for people do not recognise the character; retargeting would take its proportions from "
    "points that mean nothing.",
)
SEVERAL_PEOPLE = kind(
    "look.reference-several-people",
    "warning",
    "Several people in the reference image",
    "The model is given the whole picture, and may mix them or move the wrong one.",
)
SMALL_FACE = kind(
    "look.reference-small-face",
    "warning",
    "A small face in the reference image",
    f"The model works in blocks of 16 pixels. A face of under {SMALLEST_FACE} pixels has fewer than four of "
    "them across, and will not look like the character.",
)
AVERTED = kind(
    "look.reference-averted",
    "warning",
    "The face in the reference image is turned away, or not to be made out",
    "What the picture does not show is made up, and retargeting needs a person who faces the camera.",
)
CROPPED = kind(
    "look.reference-cropped",
    "warning",
    "The reference image shows less of the body than the driving video",
    "What is missing is made up, and retargeting has no proportions for it.",
)


def reference_findings(
    job: Job, persons: Sequence[Person], clip: SampledClip, scale: float
) -> Iterator[Finding]:
    """About the reference image, which the canvas shows ``scale`` times as large as it is."""
    flag = f"--refer_path: {job.refer_path}"
    if not persons:
        remedy = (
            "If it is a person, give a picture that shows it larger, from the front, on a calm background."
        )
        yield NOBODY.found(f"{flag}: nobody is seen in it.", remedy)
        return
    character = persons[0]
    count = sum(person.area >= _COMPANION * character.area for person in persons)
    if count > 1:
        what = f"{flag}: {count} people are seen in it."
        yield SEVERAL_PEOPLE.found(what, "Crop it to the one, or paint the others out.")
    side = None if character.face_side is None else character.face_side * scale
    if side is not None and side < SMALLEST_FACE:
        what = f"{flag}: the face is only {side:.0f} pixels large on the canvas (under {SMALLEST_FACE})."
        yield SMALL_FACE.found(what, "Crop it closer to the character, or give a larger --resolution.")
    elif character.face_turn is None or character.face_turn > MOST_TURNED:
        seen = "no face is made out"
        if character.face_turn is not None:
            seen = f"the face is turned by {character.face_turn:.0f} degrees (more than {MOST_TURNED})"
        yield AVERTED.found(f"{flag}: {seen}.", "Give a picture that shows the character from the front.")
    driving = [_shown(sample.persons[0]) for sample in clip.samples if sample.persons]
    usual = int(median(driving)) if driving else 0
    if _shown(character) < usual:
        what = (
            f"{flag}: it shows {_SHOWN[_shown(character)]}, and most of the driving video shows "
            f"{_SHOWN[usual]}."
        )
        remedy = "Give a picture that shows as much of the character, or crop the driving video."
        yield CROPPED.found(what, remedy)


def _shown(person: Person) -> int:
    """How far down the picture shows a person: an index of ``_SHOWN``."""
    return 2 if person.knees and person.ankles else int(person.knees)
