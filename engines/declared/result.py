"""Whether what a tool left is whole: decoded to the end, as long and large as it must be, and not black."""

from __future__ import annotations

from pathlib import Path

from engines import verification
from engines.declared.tool import Tool
from execution.step import StepFailed

_SOUND_SLACK = 1
"""Frames by which a tool that follows a sound may round."""


def verify(
    tool: Tool, name: Path, frames: int, size: tuple[int, int] | None, is_result: bool, folder: Path
) -> None:
    """Decode the video ``folder / name``, and look at it.

    Args:
        frames: that it must have.
        size: width and height that it must have; None where only the tool knows them.
        is_result: it is the generated video, not a drawing on black.

    Raises:
        StepFailed: it is not whole, or shows nothing.
    """
    import preprocess

    made = folder / name
    try:
        info = preprocess.check_video(made, size=size)
    except preprocess.MediaError as error:
        raise StepFailed(f"{error} Run it again with --force.") from error
    slack = _SOUND_SLACK if tool.is_driven_by_sound() else 0
    if abs(info.frame_count - frames) > slack:
        raise StepFailed(
            f"{made} has {info.frame_count} frames; {frames} were expected. {tool.title} leaves out "
            "frames in which it finds nobody: give a clip with face and body in view throughout."
        )
    if is_result:
        verification.verify_picture(made, info.frame_count)
