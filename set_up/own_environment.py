"""Our own environment, ``.venv`` in the project's folder: made, filled, and gone to. Standard library only.

Set-up commands start on a machine that has nothing but Python and git, so this runs before anything is
installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
ENVIRONMENT: Final = ROOT / ".venv"
_OLDEST, _NEWEST = (3, 11), (3, 14)
_UNFINISHED: Final = "installing"
"""A file that lies in the environment while pip works on it."""


class OwnEnvironmentError(Exception):
    """Something that the user must change. The message says what."""


def check_python() -> None:
    """Refuse an interpreter for which the libraries have no wheels.

    Raises:
        OwnEnvironmentError: it is too old or too new.
    """
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        oldest, newest = (".".join(map(str, version)) for version in (_OLDEST, _NEWEST))
        found = ".".join(map(str, sys.version_info[:3]))
        raise OwnEnvironmentError(
            f"Python {oldest} to {newest} is needed; this is {found} ({sys.executable})."
        )


def make_environment() -> Path:
    """Create .venv unless it is there and works; its interpreter.

    One in which pip was killed half-way is made anew: pip takes a package for installed as soon as a part of
    it is there.

    Raises:
        OwnEnvironmentError: it cannot be made.
    """
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if _works(python) and not (ENVIRONMENT / _UNFINISHED).exists():
        return python
    _say(f"making the environment {ENVIRONMENT.name}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=False)
    if made.returncode or not _works(python):
        raise OwnEnvironmentError(
            f"{sys.executable} could not make a virtual environment. Debian and Ubuntu: install python3-venv."
        )
    return python


def install(python: Path, requirements: Sequence[str], *options: str) -> None:
    """Install requirement files, unless just these were installed before; options are pip's.

    Raises:
        OwnEnvironmentError: pip failed.
    """
    files = [ROOT / name for name in requirements]
    known = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
    stamp = _stamp(requirements)
    if stamp.is_file() and stamp.read_text() == known:
        return
    _say(f"installing {' and '.join(requirements)}")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *options]
    for path in files:
        command += ["-r", str(path)]
    (ENVIRONMENT / _UNFINISHED).touch()
    # Read by sam2 alone: its CUDA part is not needed, and building it takes a compiler and minutes.
    environment = {**os.environ, "SAM2_BUILD_CUDA": "0"}
    failed = subprocess.run(command, env=environment, check=False).returncode
    (ENVIRONMENT / _UNFINISHED).unlink(missing_ok=True)  # what fails by itself leaves no half packages
    if failed:
        raise OwnEnvironmentError("the requirements could not be installed; pip's message stands above.")
    stamp.write_text(known)


def go_on_there(requirements: Sequence[str], modules: Sequence[str], *, dry_run: bool) -> None:
    """Return where this interpreter has all the modules; else run this same command in .venv, and exit.

    Args:
        requirements: what .venv is given, names of files in the project's folder.
        dry_run: only print what would be made, where there is no .venv yet.
    """
    if all(importlib.util.find_spec(module) for module in modules):
        return
    try:
        check_python()
        if dry_run and not ENVIRONMENT.exists():
            files = " ".join(f"-r {name}" for name in requirements)
            print("First, an environment of our own (the rest is shown once it is there):")
            print(f"  $ {sys.executable} -m venv {ENVIRONMENT}")
            print(f"  $ {ENVIRONMENT}/bin/python -m pip install {files}")
            raise SystemExit(0)
        python = make_environment()
        install(python, requirements)
    except OwnEnvironmentError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to go on.", file=sys.stderr)
        raise SystemExit(130) from None
    if Path(sys.prefix).resolve() == ENVIRONMENT.resolve():
        missing = ", ".join(name for name in modules if importlib.util.find_spec(name) is None)
        print(
            f"error: {ENVIRONMENT} lacks {missing}. Delete that folder, and run this again.", file=sys.stderr
        )
        raise SystemExit(1)
    command = [str(python), *sys.argv]
    if os.name == "nt":  # where exec is a second process that nobody waits for
        raise SystemExit(subprocess.run(command, check=False).returncode)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606  no shell is what is wanted


def _works(python: Path) -> bool:
    """Whether an interpreter starts and has pip."""
    if not python.exists():
        return False
    command = [str(python), "-m", "pip", "--version"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _stamp(requirements: Sequence[str]) -> Path:
    return ENVIRONMENT / f"installed-{'+'.join(Path(name).stem for name in requirements)}"


def _say(text: str) -> None:
    print(f"set-up: {text} ...", flush=True)
