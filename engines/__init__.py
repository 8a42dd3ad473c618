"""The engines: one module or folder for each upstream system. A new engine is one line here.

Only names are known at import; an engine is imported when it is chosen, so ``--help`` stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from config import ALL_ENGINES, Problem, SettingsError

if TYPE_CHECKING:
    from engines.interface import Engine


def load_engine(name: str) -> Engine:
    """The engine of that name.

    Raises:
        SettingsError: there is none; the message names those there are.
    """
    if name not in ALL_ENGINES:
        known = ", ".join(ALL_ENGINES)
        what = f"--engine {name}: there is no such engine (there are {known})."
        raise SettingsError([Problem("settings.engine", what, "Give one of these names.")])
    engine: Engine = importlib.import_module(f"engines.{name}").ENGINE
    return engine
