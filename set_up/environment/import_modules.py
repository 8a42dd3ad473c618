"""Import modules one after another and print what became of each, as lines of JSON. Run by upstream's Python.

    <upstream's python> import_modules.py torch moviepy.editor diffusers:FluxKontextPipeline ...

A name after a colon is asked of the module, as libraries load some of theirs only then. Before each import a
line names it, so that one that ends the whole process is known.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  nothing is imported before the modules
sys.path = [entry for entry in sys.path if entry and os.path.abspath(entry) != _HERE]  # noqa: PTH100


def version_of(module: str) -> str:
    """What the package of a module says of itself; empty if it says nothing."""
    said = getattr(sys.modules[module.partition(".")[0]], "__version__", "")
    return said if isinstance(said, str) else ""


def outcome(wanted: str) -> dict[str, str]:
    """Import one; its version, or the error in one line."""
    module, _, name = wanted.partition(":")
    try:
        imported = importlib.import_module(module)
        if name:
            getattr(imported, name)
    except BaseException as error:  # a module may end the process, which is an error like any other
        lines = str(error).strip().splitlines()
        return {"module": wanted, "error": f"{type(error).__name__}: {lines[0] if lines else ''}"}
    return {"module": wanted, "version": version_of(module)}


if __name__ == "__main__":
    for asked in sys.argv[1:]:
        print(json.dumps({"importing": asked}), flush=True)
        print(json.dumps(outcome(asked)), flush=True)
