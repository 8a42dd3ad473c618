"""Whether a stage left what it should: decoded to the end, whole, and looked at.

Stage 1's videos must be of one length and size, with a mask that masks something and a background that is
black there; stage 2's must have the pose video's length and size, and be neither black nor frozen. Each file
is decoded once, and looked at while it is counted.

Where the bounds come from: thirteen pairs of mask and background that upstream's own functions made and its
own writer (moviepy 1.0.3) coded, of its replace example as it is, with noise and brightened, at 1280x720 to
160x96, with and without growing the mask; and seven pairs of our own engine's. 4 px inside the mask's edge
the brightest frame of upstream's was 0.05 of 255 on average, and at most 0.01 % of its pixels were above 32;
of our own none was above 10. One still picture, coded as upstream codes results, differed from itself by 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engines import source_folder
from execution.step import StepFailed

if TYPE_CHECKING:
    from media.luminance import Luminance

MASKED_FROM: Final = 128
"""Brightness of the mask from which a pixel counts as masked."""
COVERED: Final = 0.999
"""Share of masked pixels from which a frame counts as wholly masked: coding may spoil a few."""
RIM: Final = 4
"""Pixels inside the mask's edge that are not judged: lossy coding smears the scene into them."""
ENOUGH: Final = 16
"""Looked-at pixels inside the rim that a frame needs to be judged."""
LOSSY_MEAN, LOSSY_BRIGHT, LOSSY_SHARE = 2.0, 32, 0.01
"""Upstream's background under the mask: its mean, and the share of pixels that may be above the level."""
EXACT_BRIGHT: Final = 24
"""Our own background under the mask: no pixel is brighter."""
BLACK_LEVEL, BLACK_SHARE = 32, 0.0005
"""A frame is black when no more of its pixels than the share are brighter than the level."""
STILL_LEVEL: Final = 8
"""A video is frozen when no pixel of it ever differs by more from its first frame."""
MOVING_LEVEL, MOVING_SHARE = 16, 0.001
"""A pose video moves when more of its pixels than the share differ by more from its first frame."""

_AGAIN: Final = "Run stage 1 again with --force."


def verify_source(folder: Path, *, replace: bool, exact_background: bool) -> None:
    """Decode every file of a folder that stage 1 just wrote, and look at it.

    Args:
        replace: the folder is of a job in replace mode.
        exact_background: the mask is coded without loss and the background nearly so, as by our own engine;
            otherwise as by upstream.

    Raises:
        StepFailed: a file is not whole, they do not fit together, or mask and background cannot be used.
    """
    import preprocess

    if wrong := source_folder.disagreement(folder, replace=replace):
        raise StepFailed(wrong)
    try:
        frame_count = preprocess.probe_video(folder / source_folder.POSE).frame_count
        for name in (source_folder.POSE, source_folder.FACE):
            for _ in _frames(folder / name, frame_count):
                pass
        if replace:
            _verify_mask_and_background(folder, frame_count, exact=exact_background)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def verify_generated(folder: Path, *, name: str, pose: Path) -> None:
    """Decode the result that stage 2 just wrote into ``folder``, and look at it.

    It must have as many frames as the pose video, of its size. It must not be black, nor frozen unless the
    pose video is frozen too: a driving video that stands still gives a result that stands still.

    Raises:
        StepFailed: it is not whole, or shows nothing.
    """
    import preprocess

    made = folder / name
    try:
        expected, info = preprocess.probe_video(pose), preprocess.probe_video(made)
        if (info.width, info.height) != (expected.width, expected.height):
            size, right = f"{info.width}x{info.height}", f"{expected.width}x{expected.height}"
            raise StepFailed(f"{made} is {size}; {right} was expected. Run it again with --force.")
        if info.frame_count != expected.frame_count:
            counts = f"{info.frame_count} frames; {expected.frame_count} were expected"
            raise StepFailed(f"{made} has {counts}. Run it again with --force.")
        look = _watch(made, info.frame_count)
        if look.black_frames * 2 > info.frame_count:
            raise StepFailed(_black(made, look.black_frames, info.frame_count))
        if look.is_frozen and info.frame_count > 1 and _watch(pose, expected.frame_count).moves:
            raise StepFailed(
                f"{made} is one frozen picture, though {source_folder.POSE} moves. The model did not follow "
                "the pose: check that the weights are whole and belong together, then run it again."
            )
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def verify_drawn(made: Path, *, frame_count: int, size: tuple[int, int]) -> None:
    """Decode a clip that was drawn from a text, and look at it: whole, of that size, and not black.

    Raises:
        StepFailed: it is not.
    """
    import preprocess

    try:
        info = preprocess.probe_video(made)
        if (info.frame_count, info.width, info.height) != (frame_count, *size):
            found = f"{info.frame_count} frames of {info.width}x{info.height}"
            raise StepFailed(f"{made} has {found}; {frame_count} of {size[0]}x{size[1]} were expected.")
        look = _watch(made, frame_count)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
    if look.black_frames * 2 > frame_count:
        raise StepFailed(_black(made, look.black_frames, frame_count))


def _black(made: Path, black_frames: int, frame_count: int) -> str:
    how = "is black from its first frame to its last" if black_frames == frame_count else "is mostly black"
    return (
        f"{made} {how} ({black_frames} of {frame_count} frames). The model computed no valid numbers: check "
        "that the weights are whole, and that torch, flash-attn and the driver fit this GPU."
    )


def verify_picture(made: Path, frame_count: int) -> None:
    """Decode a result of any engine, and see that it is not mostly black.

    Raises:
        StepFailed: it is, or does not decode.
    """
    import preprocess

    try:
        look = _watch(made, frame_count)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
    if look.black_frames * 2 > frame_count:
        raise StepFailed(_black(made, look.black_frames, frame_count))


# ---------------------------------------------------------------------------------------- looking at a video


@dataclass(frozen=True)
class _Look:
    """What one pass over a video saw."""

    black_frames: int
    is_frozen: bool
    moves: bool


def _watch(path: Path, frame_count: int) -> _Look:
    """Decode a video, and compare every frame with the first."""
    import cv2
    import numpy as np

    first: Luminance | None = None
    black_frames, is_frozen, moves = 0, True, False
    for frame in _frames(path, frame_count):
        black_frames += _share_above(frame, BLACK_LEVEL) <= BLACK_SHARE
        if first is None:
            first = frame
        elif is_frozen or not moves:
            difference = np.asarray(cv2.absdiff(frame, first), np.uint8)
            is_frozen = is_frozen and int(difference.max()) <= STILL_LEVEL
            moves = moves or _share_above(difference, MOVING_LEVEL) > MOVING_SHARE
    return _Look(black_frames, is_frozen, moves)


def _frames(path: Path, frame_count: int) -> Iterator[Luminance]:
    """Every frame's brightness; a MediaError unless as many decode as the file says it has."""
    import preprocess
    from media.luminance import read_luminance

    decoded = 0
    for frame in read_luminance(path):
        decoded += 1
        yield frame
    if decoded != frame_count:
        raise preprocess.MediaError(
            f"{path} is damaged: {decoded} of {frame_count} frames decode. Make or copy the file again."
        )


def _share_above(image: Luminance, level: int) -> float:
    import numpy as np

    return int(np.count_nonzero(image > level)) / image.size


# --------------------------------------------------------------------------------------- mask and background


def _verify_mask_and_background(folder: Path, frame_count: int, *, exact: bool) -> None:
    mask_path, background_path = folder / source_folder.MASK, folder / source_folder.BACKGROUND
    empty_frames = covered_frames = 0
    pairs = zip(_frames(mask_path, frame_count), _frames(background_path, frame_count), strict=True)
    for number, (mask, background) in enumerate(pairs):
        share = _share_above(mask, MASKED_FROM - 1)
        empty_frames += share == 0
        covered_frames += share >= COVERED
        if exact and not ((mask == 0) | (mask == 255)).all():
            raise StepFailed(
                f"{mask_path} has grey pixels in frame {number}; it must be black and white only. {_AGAIN}"
            )
        if fault := _shows_through(mask, background, exact=exact):
            raise StepFailed(
                f"{background_path} is not black where {source_folder.MASK} is: frame {number} {fault}. The "
                "person to be replaced would shine through; the two files are of different runs, or out of "
                f"step. {_AGAIN}"
            )
    if empty_frames == frame_count:
        raise StepFailed(
            f"{mask_path} is empty in every frame: nobody was found who could be replaced. Use a driving "
            "video that shows the person whole and large; --check --look says what is seen in it."
        )
    if covered_frames == frame_count:
        raise StepFailed(
            f"{mask_path} covers the whole picture in every frame: nothing of the scene would be left. Try "
            "smaller cells (--w_len 10 --h_len 20), --iterations 0, or a clip with one person in it."
        )


def _shows_through(mask: Luminance, background: Luminance, *, exact: bool) -> str | None:
    """What is bright inside the mask, in words, or None."""
    import cv2
    import numpy as np

    from media.luminance import STEP

    masked = (mask >= MASKED_FROM).astype(np.uint8)
    side = 2 * -(-RIM // STEP) + 1
    under = background[cv2.erode(masked, np.ones((side, side), np.uint8)) > 0]
    if under.size < ENOUGH:
        return None
    if exact:
        brightest = int(under.max())
        return f"is up to {brightest} of 255 bright there" if brightest > EXACT_BRIGHT else None
    mean, share = float(under.mean()), float((under > LOSSY_BRIGHT).mean())
    if mean > LOSSY_MEAN or share > LOSSY_SHARE:
        return f"is {mean:.1f} of 255 bright there on average, {share:.1%} of it clearly so"
    return None
