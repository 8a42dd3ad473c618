"""Stand-ins for the repositories of declared tools: the same flags, the same tree, misbehaviour on request.

They are laid out where the defaults look for them, each with a Python whose packages exist by metadata only.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from config import TOOLS, job_without_media
from engines import load_engine
from engines.declared.engine import DeclaredEngine
from engines.declared.tool import Tool
from tests.standin.python import make_environment, set_version

TEMPLATES = Path(__file__).parent
_VERSIONS = {"sadtalker": {"numpy": "1.23.4", "torchvision": "0.13.1", "torch": "1.12.1+cu113"}}


def tool_of(name: str) -> Tool:
    """What is declared of the tool of that name."""
    engine = load_engine(name)
    assert isinstance(engine, DeclaredEngine)
    return engine.tool


def make_tool(name: str, folder: Path) -> Path:
    """Lay out the stand-in of a tool in ``folder``: its scripts, its Python, files of weights that weigh."""
    tool, checkout = tool_of(name), folder / TOOLS[name]
    shutil.copytree(TEMPLATES / name, checkout, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TEMPLATES / "standin_tool.py", checkout)
    make_environment(checkout)
    for package in tool.packages:
        set_version(checkout, package.name.partition("|")[0], "1.0")
    for package_name, version in _VERSIONS.get(name, {}).items():
        set_version(checkout, package_name, version)
    for weight in tool.weights(replace(job_without_media({}), engine=name, tool_dir=checkout)):
        path = checkout / weight.path
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(weight.at_least)
    return checkout
