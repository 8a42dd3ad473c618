"""The last step: upstream's Python imports every module that upstream does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engines.wan22.packages import NEEDED
from set_up.environment.versions import SAM2, constraints_file, lines_of
from set_up.errors import SetUpError

if TYPE_CHECKING:
    from rich.table import Table

_SCRIPT: Final = Path(__file__).with_name("import_modules.py")
_DEEPER: Final = {
    "PIL": "PIL.Image",
    "diffusers": "diffusers:FluxKontextPipeline",
    "matplotlib": "matplotlib.pyplot",
    "moviepy": "moviepy.editor",
    "transformers": "transformers:AutoTokenizer",
}
"""What upstream asks of a module, where the module alone loads little."""
_BESIDES: Final = (
    *("torch", "torchaudio", "sam2.build_sam", "sam2.sam2_video_predictor", "tokenizers", "pandas"),
    *("scipy.stats", "packaging", "requests"),
)
"""Modules that upstream imports beside those of engines.wan22.packages."""


def modules_to_import() -> tuple[str, ...]:
    """What the last step imports; a name after a colon is asked of the module."""
    needed = [_DEEPER.get(package.module, package.module) for package in NEEDED]
    return tuple(dict.fromkeys((*_BESIDES[:1], *needed, *_BESIDES[1:])))


def import_command(python: Path) -> list[str]:
    """The command that imports them."""
    return [str(python), str(_SCRIPT), *modules_to_import()]


def read_outcomes(said: str, python: Path) -> dict[str, str]:
    """The version of each module, from what the command printed.

    Raises:
        SetUpError: some could not be imported; with each one's error.
    """
    outcomes = [json.loads(line) for line in said.splitlines() if line.startswith('{"module"')]
    seen = {outcome["module"] for outcome in outcomes}
    silent = [module for module in modules_to_import() if module not in seen]
    if silent:
        outcomes.append({"module": silent[0], "error": "the process ended without a word"})
    failed = [outcome for outcome in outcomes if "error" in outcome]
    if not failed:
        return {outcome["module"].partition(":")[0]: outcome["version"] for outcome in outcomes}
    errors = "\n".join(f"    {outcome['module']}: {outcome['error']}" for outcome in failed)
    names = " ".join(dict.fromkeys(_package_of(outcome["module"]) for outcome in failed))
    remedy = (
        f"Install again, then run this again: {python} -m pip install --force-reinstall --no-deps {names}"
    )
    if any("cannot open shared object file" in outcome["error"] for outcome in failed):
        remedy = (
            "A library of the system is missing, the one whose name ends in .so: install it with the "
            "system's package manager, then run this again."
        )
    raise SetUpError(f"Modules that upstream needs cannot be imported by {python}:\n{errors}\n", remedy)


def _package_of(module: str) -> str:
    """What brings a module, with our version."""
    top = module.partition(":")[0].partition(".")[0]
    names = {top, *(name for package in NEEDED if package.module == top for name in package.names)}
    pinned = (line.partition(";")[0].strip() for line in (*lines_of(constraints_file()), SAM2))
    return next((line for line in pinned if line.split("==")[0] in names), top)


def table_of(imported: Mapping[str, str]) -> Table:
    """The versions, for people."""
    from rich.table import Table

    table = Table("module", "version", title="Upstream's Python imports all that it needs")
    for module, version in imported.items():
        table.add_row(module, version)
    return table
