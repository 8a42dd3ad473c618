"""``--look``: what the pictures themselves say against a run, before a GPU is paid for.

The preview engine's models look at about two frames of each second, on the CPU. What they cannot tell is
listed in docs/look.md. Only the standard library is imported until a look is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from config import Job
from engines.findings import Finding, kind, registry
from engines.preview.sampled_clip import SampledClip, sample_numbers

if TYPE_CHECKING:
    from engines.preview.observation import Observer, Person, Sample

SMALLEST_FACE: Final = 51
"""Pixels. Upstream scales its crop of the face to 512x512: from less it is enlarged more than ten times."""

SMALLEST_REFERENCE_FACE: Final = 64
"""Pixels on the canvas. The model's tokens are 16x16 pixels: a smaller face has fewer than four across."""

MOST_TURNED: Final = 50
"""Degrees by which a face may be turned from the camera."""

LIKE_SIZE: Final = 0.5
"""Area of another person, of the largest one's, from which upstream's choice may jump."""

_GOOD_PART: Final = 0.25
"""Share of the sampled frames from which a face is worth a finding."""

_REPEATED: Final = 2
"""Sampled frames that must agree on what a single one may have wrong."""

MODELS_MISSING = kind(
    "look.models-missing",
    "error",
    "The models that look are not there",
    "--look was asked for, and nothing can be said about the pictures without them.",
)
NOBODY = kind(
    "look.nobody",
    "error",
    "Nobody in the driving video",
    "Upstream takes the whole frame for a person: the pose is made up, the face crop may fail, and in replace "
    "mode an empty mask ends stage 1 after all its work.",
)
PERSON_LEAVES = kind(
    "look.person-leaves",
    "warning",
    "The person leaves the frame",
    "Upstream makes up a pose where nobody is; in replace mode a single frame with an empty mask ends stage 1 "
    "after all its work, unless --iterations is 0.",
)
NO_PERSON = kind(
    "look.no-person",
    "warning",
    "Single frames without a person",
    "The person is hidden, blurred or too dark there: upstream makes up a pose, and in replace mode may get "
    "an empty mask, which ends stage 1 after all its work.",
)
SEVERAL_PEOPLE = kind(
    "look.several-people",
    "warning",
    "Several people of like size",
    "Upstream takes the largest person of each frame without tracking anybody: pose, face and mask can jump "
    "from one to another.",
)
SMALL_FACE = kind(
    "look.small-face",
    "warning",
    "A face too small to drive the expression",
    f"Upstream scales its crop of the face to 512x512. From under {SMALLEST_FACE} pixels that is more than ten "
    "times, and hardly any expression is left.",
)
AVERTED_FACE = kind(
    "look.averted-face",
    "warning",
    "A face turned away, or not to be made out",
    "The expression is driven by upstream's crop of the face, which is cut out without any test: of hair or "
    "background some expression is made all the same.",
)
FEET = kind(
    "look.feet-out-of-frame",
    "warning",
    "Feet out of the frame in replace mode",
    "Upstream shows SAM 2 where the person is by points that include both ankles, without testing them: out "
    "of the frame these lie on the scene or beside the picture, and the mask may take in what is there.",
)
SCENE_CUT = kind(
    "look.scene-cut",
    "warning",
    "A cut to another shot",
    "Windows continue each other, and masks are carried from frame to frame: across a cut one shot bleeds into "
    "the next.",
)
REFERENCE_NOBODY = kind(
    "look.reference-no-person",
    "warning",
    "No person in the reference image",
    "The models for persons do not recognise the character. Upstream's retargeting then takes proportions "
    "from points that mean nothing.",
)
REFERENCE_SEVERAL = kind(
    "look.reference-several-people",
    "warning",
    "Several people in the reference image",
    "The model is given the whole picture: it may mix them, or make the wrong one move.",
)
REFERENCE_SMALL_FACE = kind(
    "look.reference-small-face",
    "warning",
    "A small face in the reference image",
    f"The model works in blocks of 16 pixels. A face of under {SMALLEST_REFERENCE_FACE} pixels on the canvas has "
    "fewer than four across: the result will not look like the character.",
)
REFERENCE_AVERTED = kind(
    "look.reference-averted",
    "warning",
    "The reference image does not show the face from the front",
    "What the picture does not show is made up. Retargeting takes the proportions from this one picture and "
    "needs a person who faces the camera.",
)
REFERENCE_CROPPED = kind(
    "look.reference-cropped",
    "warning",
    "The reference image shows less of the body than the driving video",
    "The missing part is made up, and retargeting has no lengths for it.",
)


def look_findings(job: Job, report: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Look at the driving video and the reference image of a job whose stages include the first.

    Args:
        report: is told what is being done, how many steps of it are done, and how many there are; it may
            raise to cancel.
    """
    from engines import media_checks  # noqa: F401 - registers what is said about media
    from engines.preview.models import ModelsMissing, check_models
    from media.errors import MediaError

    try:
        check_models()
    except ModelsMissing as missing:
        yield MODELS_MISSING.found(str(missing), "")
        return
    try:
        yield from _findings(job, report)
    except MediaError as error:  # only decoding the whole clip shows a frame that is damaged
        yield registry()[error.code].found(f"--video_path: {error.what}", error.remedy)


def _findings(job: Job, report: Callable[[str, int, int], None]) -> Iterator[Finding]:
    from engines.preview.observation import Observer, observe_clip
    from preprocess import canvas_size, probe_video, read_picture
    from media.probe import timeline

    info = probe_video(job.video_path)
    picture = read_picture(job.refer_path)
    count = _used_count(job)
    observer = Observer()
    seen = observe_clip(observer, job.video_path, sample_numbers(count, info.duration * count / info.frame_count), count, report)
    clip = SampledClip(job.video_path, timeline(job.video_path), seen.samples, seen.cuts, count)
    report("look at the reference image", 0, 1)
    persons = observer.persons(picture)
    report("look at the reference image", 1, 1)
    shape = (info.width, info.height) if job.replace else (picture.shape[1], picture.shape[0])
    canvas = canvas_size(*shape, job.resolution[0] * job.resolution[1])
    yield from driving_findings(job, clip, canvas[0] / info.width if job.replace else 1.0)
    scale = min(canvas[0] / picture.shape[1], canvas[1] / picture.shape[0])
    yield from reference_findings(job, persons, clip, scale)
