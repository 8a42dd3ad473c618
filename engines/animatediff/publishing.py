"""From a clip to its file: drawn in a folder of its own, decoded from end to end, then renamed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from engines.animatediff import running
from engines.animatediff.checking import clip_findings
from engines.animatediff.clip import Clip
from engines.animatediff.interpreter import device_findings, package_findings
from engines.animatediff.problems import EXISTS, VALUE
from engines.animatediff.running import Drawn
from engines.checks import IS_A_FOLDER, writable
from engines.findings import Finding
from execution.step import StepFailed, StepRun

_SCRATCH: Final = ".animatediff-"


def result_path(clip: Clip, folder: Path, basename: str) -> Path:
    """Where a clip goes: the same values, the same name."""
    return folder / f"{basename}_{clip.file_name}.mp4"


def all_findings(
    clip: Clip, python: Path, target: Path, basename: str, *, overwrite: bool
) -> Iterator[Finding]:
    """Everything that stands in the way, in the order in which it would be met."""
    if not basename or basename in (".", "..") or set(basename) & set("/\\:\0") or basename.startswith("."):
        yield VALUE.found(
            f"The output's base name '{basename}' is no plain name.", "Give a word, without a folder."
        )
        return
    yield from clip_findings(clip)
    yield from writable("output_dir", target.parent)
    if target.is_dir():
        yield IS_A_FOLDER.found(f"{target} is a folder.", "Choose another base name.")
    elif not overwrite:
        for path in (target, target.with_suffix(".json")):
            if path.exists():
                yield EXISTS.found(f"{path} exists already.", "Say --overwrite, or give --output-basename.")
                break
    yield from package_findings(python, with_loras=bool(clip.loras or clip.domain_adapter))
    yield from device_findings(clip.device)


def make(
    clip: Clip, python: Path, target: Path, report: Callable[[str, int, int], None], *, overwrite: bool
) -> Drawn:
    """Draw, verify and publish a clip and its report (the .json beside it).

    Raises:
        StepFailed: it failed; nothing has the result's name.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=target.parent) as folder:
            made = Path(folder) / target.name
            drawn = running.draw(clip, made, python, StepRun(folder=Path(folder), report=report))
            running.verify(made, clip)
            drawn = Drawn(target, drawn.clip, drawn.seconds, drawn.facts)
            text = json.dumps(drawn.as_data(), indent=2, ensure_ascii=False) + "\n"
            described = made.with_suffix(".json")
            described.write_text(text, encoding="utf-8")
            for source, final in ((made, target), (described, target.with_suffix(".json"))):
                if final.exists() and not overwrite:
                    raise StepFailed(f"{final} appeared meanwhile; it is left as it is.")
                os.replace(source, final)  # noqa: PTH105  over an older one, at once
    except OSError as error:
        raise StepFailed(f"{error.filename or target} cannot be written ({error.strerror}).") from error
    return drawn
