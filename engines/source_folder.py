"""The folder between the stages: which files stage 1 leaves, and whether they are whole and fit together.

Every engine's stage 1 writes these names, so that one engine's stage 1 can feed another's stage 2.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from config import Job

REFERENCE, FACE, POSE = "src_ref.png", "src_face.mp4", "src_pose.mp4"
BACKGROUND, MASK = "src_bg.mp4", "src_mask.mp4"
TRACK, PLATE = "preview_track.npz", "preview_plate.mp4"
"""Written by the preview engine besides; other engines' stage 2 does not look at them."""
FACE_SIDE = 512

ALWAYS = (REFERENCE, FACE, POSE)
REPLACE_ONLY = (BACKGROUND, MASK)


def names(job: Job) -> tuple[str, ...]:
    """The files that stage 1 leaves in the job's mode."""
    return ALWAYS + REPLACE_ONLY if job.replace else ALWAYS


def obsolete(job: Job, outputs: Collection[Path]) -> tuple[Path, ...]:
    """Files of another mode or engine: beside the new outputs they would be taken for theirs."""
    candidates = (job.save_path / name for name in (*REPLACE_ONLY, TRACK, PLATE))
    return tuple(path for path in candidates if path not in outputs)


def videos(folder: Path, *, replace: bool) -> list[Path]:
    """The folder's video files in that mode."""
    return [folder / name for name in (FACE, POSE, *(REPLACE_ONLY if replace else ()))]


def disagreement(folder: Path, *, replace: bool, decode: bool = False) -> str | None:
    """What is wrong with the files, in a sentence with its remedy, or None.

    ``decode`` reads every frame of them; without it only their packets are read, which is quick. Frame
    counts and sizes are compared because upstream's stage 2 does not: it pads or cuts in silence.
    """
    import preprocess

    examine = preprocess.check_video if decode else preprocess.probe_video
    try:
        preprocess.read_picture(folder / REFERENCE)
        found = {path.name: examine(path) for path in videos(folder, replace=replace)}
    except preprocess.MediaError as error:
        return str(error)
    pose = found[POSE]
    for name, info in found.items():
        if info.frame_count != pose.frame_count:
            counts = f"{name} has {info.frame_count} frames and {POSE} has {pose.frame_count}"
            return f"{counts}. Run stage 1 again with --force."
        size = (FACE_SIDE, FACE_SIDE) if name == FACE else (pose.width, pose.height)
        if (info.width, info.height) != size:
            right = f"{size[0]}x{size[1]}"
            return (
                f"{name} is {info.width}x{info.height}; it must be {right}. Run stage 1 again with --force."
            )
    return None
