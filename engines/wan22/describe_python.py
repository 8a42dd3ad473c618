"""Print, as one line of JSON, what the interpreter that runs this is and has. Run by upstream's Python.

    <upstream's python> describe_python.py module ...

It imports none of the packages: names and versions are read from the folders that installers leave beside
them (``numpy-1.26.4.dist-info``); the first on the import path wins, as it does for an import. Of the
modules that are named it looks for the file only. It runs in any Python from 3.7 on, so that a wrong one can
be named.
"""

# Every interpreter has loaded os when it starts, and pathlib not.
# ruff: noqa: PTH100, PTH112, PTH113, PTH118, PTH120, PTH122, PTH123, PTH208

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path = [entry for entry in sys.path if entry and os.path.abspath(entry) != _HERE]

import importlib.util  # noqa: E402  not from this folder
import json  # noqa: E402
import sysconfig  # noqa: E402


def distributions() -> dict[str, list[str]]:
    """Version and metadata path of each package, by name as written."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for folder in sys.path:
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            continue  # a zip file, or an entry that does not exist
        for name in names:
            stem, extension = os.path.splitext(name)
            if extension not in (".dist-info", ".egg-info") or name.startswith("~"):
                continue  # pip marks what it could not remove with ~
            path = os.path.join(folder, name)
            project, version = _name_and_version(path, stem)
            key = project.lower().replace("_", "-").replace(".", "-")
            if version and key not in seen:
                seen.add(key)
                found[project] = [version, path]
    return found


def _name_and_version(path: str, stem: str) -> tuple[str, str]:
    """By the folder's name, where it tells; an editable install of old tools has only the name there."""
    parts = stem.split("-")
    is_wheel = path.endswith(".dist-info")
    if is_wheel and not os.path.isfile(os.path.join(path, "METADATA")):
        return parts[0], ""
    if len(parts) >= 2 and parts[1][:1].isdigit():
        return parts[0], parts[1]
    metadata = os.path.join(path, "METADATA" if is_wheel else "PKG-INFO")
    try:
        with open(metadata if os.path.isdir(path) else path, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("Version:"):
                    return parts[0], line.split(":", 1)[1].strip()
                if not line.strip():
                    break
    except OSError:
        pass
    return parts[0], ""


def places(modules: list[str]) -> dict[str, str]:
    """Where the top-level modules of these names lie, those that can be found. Nothing is imported."""
    found = {}
    for name in modules:
        try:
            spec = importlib.util.find_spec(name)
        except Exception:  # noqa: S112  another package's import hook may do anything
            continue
        if spec is not None:
            locations = list(spec.submodule_search_locations or [])
            found[name] = locations[0] if locations else str(spec.origin)
    return found


if __name__ == "__main__":
    facts = {
        "python": list(sys.version_info[:3]),
        "platform": sys.platform,
        "prefix": sys.prefix,
        "suffix": sysconfig.get_config_var("EXT_SUFFIX") or "",
        "distributions": distributions(),
        "modules": places(sys.argv[1:]),
    }
    print(json.dumps(facts))
