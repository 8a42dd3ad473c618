"""The engines: one module or folder for each upstream system. A new engine is one line here.

Only names are known at import; an engine is imported when it is chosen, so ``--help`` stays quick.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from config import ALL_ENGINES, MASKING, Job, Problem, SettingsError

if TYPE_CHECKING:
    from engines.findings import Kind
    from engines.interface import Engine


_DECLARED = tuple(path.stem for path in (Path(__file__).parent / "declared").glob("*.py"))
"""Engines that are one file: what a tool needs, reads and leaves, for the adapter beside it."""


def load_engine(name: str) -> Engine:
    """The engine of that name.

    Raises:
        SettingsError: there is none; the message names those there are.
    """
    if name not in ALL_ENGINES:
        known = ", ".join(ALL_ENGINES)
        what = f"--engine {name}: there is no such engine (there are {known})."
        raise SettingsError([Problem("settings.engine", what, "Give one of these names.")])
    place = "engines.declared" if name in _DECLARED else "engines"
    engine: Engine = importlib.import_module(f"{place}.{name}").ENGINE
    return engine


def engine_of(job: Job) -> Engine:
    """What does the job's work. The mask step alone is the same for all engines and needs none of them.

    Raises:
        SettingsError: the job names an engine that does not exist.
    """
    if job.stages == (MASKING,):
        from engines.masking import MASK_STEP

        return MASK_STEP
    return load_engine(job.engine)


def load_all_findings() -> Mapping[str, Kind]:
    """Every kind of finding that there is, by code: imports all modules that report some."""
    from engines.findings import registry

    for module in _WITH_FINDINGS:
        importlib.import_module(module)
    return registry()


_WITH_FINDINGS = (
    "engines.request",
    "engines.media_checks",
    "engines.checks",
    "engines.finishing",
    "engines.mask_check",
    "engines.wan22.machine_check",
    "engines.preview.check",
    "engines.preview.look",
    "engines.frame.check",
    "engines.animatediff.problems",
    "engines.wan22.installation",
    "engines.wan22.weights",
    "engines.wan22.check",
    "engines.declared.check",
    "engines.declared.liveportrait",
    "engines.declared.sadtalker",
    "engines.declared.animateanyone",
    "engines.declared.musepose",
    "engines.magicanimate.check",
    "engines.wan_diffusers.check",
    "engines.wan_diffusers.machine_check",
    "engines.wan_animate_2.check",
)
