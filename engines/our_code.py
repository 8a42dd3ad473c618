"""Files of ours whose change makes what they made stale."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


def _media(*names: str) -> tuple[Path, ...]:
    return tuple(ROOT / "media" / f"{name}.py" for name in names)


READING: Final = (ROOT / "preprocess.py", *_media("probe", "orientation", "pictures", "picture_headers"))
"""How videos and pictures are read and written."""
NORMALISING: Final = (*READING, *_media("normalise", "dynamic_range"))
FINISHING: Final = _media("finish", "sound", "labels", "credentials")
SIDE_BY_SIDE: Final = (*READING, *FINISHING, *_media("side_by_side"))
MASKING: Final = (
    *READING,
    *sorted((ROOT / "masks").glob("*.py")),
    *(ROOT / "engines" / name for name in ("masking.py", "mask_sources.py", "body_mask.py")),
)
