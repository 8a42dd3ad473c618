"""``--look``: what the pictures themselves say against a run, before a GPU is paid for.

The preview engine's models look at about two frames of each second, on the CPU. What they cannot tell is
listed in docs/look.md. Nothing heavy is imported until a look is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from config import Job
from engines.findings import Finding, kind, registry
from engines.preview.reference_look import MOST_TURNED, reference_findings
from engines.preview.sampled_clip import SampledClip, sample_numbers

if TYPE_CHECKING:
    from engines.preview.observation import Sample
    from engines.preview.observer import Person
    from media.probe import VideoInfo

SMALLEST_FACE: Final = 51
"""Pixels. Upstream scales its crop of the face to 512x512: from less it is enlarged more than ten times."""

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
    "Upstream takes the whole frame for a person: the pose is made up, the face crop may fail, and in "
    "replace mode an empty mask ends stage 1 after all its work.",
)
PERSON_LEAVES = kind(
    "look.person-leaves",
    "warning",
    "The person leaves the frame",
    "Upstream makes up a pose where nobody is; in replace mode one frame with an empty mask ends stage 1 "
    "after all its work, unless --iterations is 0.",
)
NO_PERSON = kind(
    "look.no-person",
    "warning",
    "Single frames without a person",
    "The person is hidden, blurred or dark there: upstream makes up a pose, and in replace mode one empty "
    "mask ends stage 1 after all its work, unless --iterations is 0.",
)
SEVERAL_PEOPLE = kind(
    "look.several-people",
    "warning",
    "Several people of like size",
    "Upstream takes the largest person of each frame and follows nobody: pose, face and mask can jump from "
    "one to another.",
)
SMALL_FACE = kind(
    "look.small-face",
    "warning",
    "A face too small to drive the expression",
    f"Upstream scales its crop of the face to 512x512. From under {SMALLEST_FACE} pixels that is more than "
    "ten times, and hardly any expression is left.",
)
AVERTED_FACE = kind(
    "look.averted-face",
    "warning",
    "A face turned away, or not to be made out",
    "The expression comes from upstream's crop of the face, which is cut out without a test: hair or "
    "background make some expression too.",
)
FEET = kind(
    "look.feet-out-of-frame",
    "warning",
    "Feet out of the frame in replace mode",
    "Upstream tells SAM 2 where the person is by points that include both ankles, without a test: those out "
    "of the frame lie on the scene or beside the picture, and the mask may take in what is there.",
)
SCENE_CUT = kind(
    "look.scene-cut",
    "warning",
    "A cut to another shot",
    "Windows continue each other, and masks are carried from frame to frame: one shot would bleed into the "
    "next.",
)


def look_findings(job: Job, report: Callable[[str, int, int], None]) -> Iterator[Finding]:
    """Look at the driving video and the reference image of a job whose stages include the first.

    Args:
        report: is told what is being done, how many steps of it are done, and how many there are; it may
            raise to cancel.
    """
    from engines import media_checks  # noqa: F401 - registers what there is to say about media
    from engines.preview.models import ModelsMissing, check_models
    from media.errors import MediaError

    try:
        check_models()
    except ModelsMissing as missing:
        yield MODELS_MISSING.found(str(missing), "")
        return
    try:
        yield from _findings(job, report)
    except MediaError as error:  # a frame that is damaged shows only when it is decoded
        yield registry()[error.code].found(f"--video_path: {error.what}", error.remedy)


def _findings(job: Job, report: Callable[[str, int, int], None]) -> Iterator[Finding]:
    from engines.preview.observation import observe_clip
    from engines.preview.observer import Observer
    from media.probe import probe_video, timeline
    from preprocess import canvas_size, read_picture

    info, line = probe_video(job.video_path), timeline(job.video_path)
    picture = read_picture(job.refer_path)
    height, width = picture.shape[:2]
    shape: tuple[int, int] = (info.width, info.height) if job.replace else (width, height)
    canvas = canvas_size(*shape, job.resolution[0] * job.resolution[1])

    observer = Observer()
    count = _used_count(job, info)
    numbers = sample_numbers(count, count / float(info.rate))
    seen = observe_clip(observer, job.video_path, numbers, count, report)
    clip = SampledClip(job.video_path, line, count, seen)
    yield from driving_findings(job, clip, canvas[0] / info.width if job.replace else 1.0)

    report("look at the reference image", 0, 1)
    persons = observer.persons(picture)
    report("look at the reference image", 1, 1)
    scale = min(canvas[0] / width, canvas[1] / height)
    yield from reference_findings(job, persons, clip, scale)


def _used_count(job: Job, info: VideoInfo) -> int:
    """How many frames of the driving video the job uses: a draft uses its beginning."""
    if job.frame_limit is None:
        return info.frame_count
    from engines import normalising

    seconds = job.frame_limit / float(normalising.rate(job))
    return min(info.frame_count, max(1, round(seconds * float(info.rate))))


def driving_findings(job: Job, clip: SampledClip, scale: float) -> Iterator[Finding]:
    """About the driving video, which the canvas shows ``scale`` times as large as it is."""
    if not any(sample.persons for sample in clip.samples):
        what = f"--video_path: nobody is seen in any of {len(clip.samples)} sampled frames of {clip.path}."
        yield NOBODY.found(what, "Give a clip that shows one person, head and shoulders at least.")
    else:
        yield from _absence(job, clip)
        yield from _several_people(clip)
        yield from _face(clip, min(1.0, scale))
        if job.replace and job.engine == "wan22":
            yield from _feet(clip)
    yield from _cuts(clip)


def _absence(job: Job, clip: SampledClip) -> Iterator[Finding]:
    def is_empty(sample: Sample) -> bool:
        return not sample.persons

    stretches = clip.stretches(is_empty)
    if not stretches:
        return
    remedy = clip.part_without(is_empty)
    if job.replace and job.engine == "wan22" and job.iterations > 0:
        remedy += " Or add --iterations 0: empty masks then pass."
    ends = {clip.samples[0].number, clip.samples[-1].number}
    if any(first != last or first in ends for first, last in stretches):
        what = f"--video_path: the person is gone {clip.when(is_empty)}."
        yield PERSON_LEAVES.found(what, remedy)
    else:
        yield NO_PERSON.found(f"--video_path: nobody is seen {clip.when(is_empty)}.", remedy)


def _several_people(clip: SampledClip) -> Iterator[Finding]:
    def are_several(sample: Sample) -> bool:
        return len(_of_like_size(sample.persons, LIKE_SIZE)) > 1

    if sum(map(are_several, clip.samples)) >= _REPEATED:
        what = f"--video_path: several people of like size are seen {clip.when(are_several)}."
        remedy = f"{clip.part_without(are_several)} Or crop it, or paint the others out."
        yield SEVERAL_PEOPLE.found(what, remedy)


def _of_like_size(persons: tuple[Person, ...], share: float) -> tuple[Person, ...]:
    return tuple(person for person in persons if person.area >= share * persons[0].area)


def _face(clip: SampledClip, scale: float) -> Iterator[Finding]:
    def is_there(sample: Sample) -> bool:
        return bool(sample.persons)

    def is_small(sample: Sample) -> bool:
        side = sample.persons[0].face_side if sample.persons else None
        return side is not None and side * scale < SMALLEST_FACE

    def is_averted(sample: Sample) -> bool:
        if not sample.persons or is_small(sample):
            return False
        turn = sample.persons[0].face_turn
        return turn is None or turn > MOST_TURNED

    total = sum(map(is_there, clip.samples))
    enough = max(min(_REPEATED, total), _GOOD_PART * total)
    if sum(map(is_small, clip.samples)) >= enough:
        sides = [sample.persons[0].face_side or 0 for sample in clip.samples if is_small(sample)]
        what = (
            f"--video_path: the face that upstream would crop is under {SMALLEST_FACE} pixels (smallest: "
            f"{min(sides) * scale:.0f}) {clip.when(is_small, is_there)}."
        )
        remedy = "Take a clip that shows the person nearer."
        if min(sides) >= SMALLEST_FACE:  # it is the canvas that makes it small
            remedy = "Give a larger --resolution, or crop the clip round the person."
        yield SMALL_FACE.found(what, remedy)
    if sum(map(is_averted, clip.samples)) >= enough:
        what = (
            f"--video_path: no face, or one turned by more than {MOST_TURNED} degrees, is seen "
            f"{clip.when(is_averted, is_there)}."
        )
        remedy = f"{clip.part_without(is_averted)} The body's movement is not affected."
        yield AVERTED_FACE.found(what, remedy)


def _feet(clip: SampledClip) -> Iterator[Finding]:
    def are_cut_off(sample: Sample) -> bool:
        return bool(sample.persons) and not sample.persons[0].ankles

    count, total = sum(map(are_cut_off, clip.samples)), sum(bool(sample.persons) for sample in clip.samples)
    if count < min(_REPEATED, total):
        return
    what = (
        "--video_path: the feet are out of the frame, or hidden, "
        f"{clip.when(are_cut_off, lambda sample: bool(sample.persons))}."
    )
    remedy = "Run run_preprocessing.py alone, and look at src_mask.mp4 before stage 2 is started."
    if count < total:
        remedy = f"{clip.part_without(are_cut_off)} Or: {remedy[0].lower()}{remedy[1:]}"
    # A clip that shows no feet at all is common, and upstream's own example is one.
    yield FEET.found(what, remedy, level="note" if count == total else "warning")


def _cuts(clip: SampledClip) -> Iterator[Finding]:
    cuts = clip.seen.cuts
    if not cuts:
        return
    told = ", ".join(clip.moment(number) for number in cuts[:5])
    more = f", and {len(cuts) - 5} more times" if len(cuts) > 5 else ""
    longest = max(clip.shots(), key=lambda shot: shot[1] - shot[0])
    remedy = f"{clip.keep(longest)} Or run each shot by itself."
    yield SCENE_CUT.found(f"--video_path: the picture cuts to another shot at {told}{more}.", remedy)
