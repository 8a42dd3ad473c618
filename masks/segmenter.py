"""What every segmenter offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from masks.clip import Clip
from masks.prompts import MaskObject
from masks.store import MaskStore

Report = Callable[[str, int, int], None]
"""(phase, done, total). It raises to cancel; let the exception through, and stop what was started."""


class Segmenter(Protocol):
    """Finds the prompted objects in every frame of a clip."""

    name: str

    def segment(self, clip: Clip, objects: Sequence[MaskObject], store: MaskStore, report: Report) -> None:
        """Put the mask of every object in every frame into the store.

        Forwards and backwards from each prompted frame. A frame in which an object is not seen gets nothing.

        Args:
            objects: prompts in pixels of the clip's canvas, inside it, on frames that it has.

        Raises:
            MaskError: it cannot be done.
            preprocess.MediaError: the video cannot be read.
        """
