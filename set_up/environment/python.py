"""The Python of upstream's environment: which one it is made of, and the bare environment itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engines.wan22.interpreter import Interpreter, InterpreterError, probe_interpreter
from set_up.environment.marker import FILE_NAME, Marker
from set_up.errors import SetUpError
from set_up.session import Session

OLDEST: Final = (3, 10)
NEWEST: Final = (3, 12)
"""NumPy 1.26, which upstream needs, has no ready-made package for a later one."""
_RANGE: Final = "Python 3.10 to 3.12"
_HOW_TO_GET: Final = (
    "Install one, and name it with --python if it is not found: sudo apt install python3.11 python3.11-venv; "
    "or uv python install 3.11; or pyenv install 3.11; on Windows: winget install Python.Python.3.11."
)
_PATIENCE: Final = 60.0


def interpreter_in(environment: Path) -> Path:
    """The Python of a virtual environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages_in(environment: Path, python: Interpreter) -> Path:
    """Where the packages of a virtual environment lie."""
    if python.platform == "win32":
        return environment / "Lib" / "site-packages"
    return environment / "lib" / f"python{python.python[0]}.{python.python[1]}" / "site-packages"


def choose_python(asked: Path | None) -> Interpreter:
    """The Python to make the environment of: the one asked for, else ours, else one on the PATH.

    Raises:
        SetUpError: none is suitable, or the one asked for is not.
    """
    if asked is not None:
        return _the_one_asked_for(asked)
    without_venv = None
    for path in _candidates():
        try:
            python = probe_interpreter(path)
        except InterpreterError:
            continue
        if not is_suitable(python):
            continue
        if _can_make_environments(path):
            return python
        without_venv = without_venv or python
    if without_venv is not None:
        raise _no_venv(without_venv)
    raise SetUpError(f"No {_RANGE} was found.", _HOW_TO_GET, wrong_request=True)


def is_suitable(python: Interpreter) -> bool:
    """Whether upstream's packages exist for this version."""
    return OLDEST <= python.python[:2] <= NEWEST


def make_bare_environment(
    environment: Path, asked: Path | None, marker: Marker, session: Session
) -> Interpreter:
    """Make the environment, with pip and nothing else, where there is none that works; its Python.

    What a set-up of ours left half-made is made anew; what somebody else made is never removed. In a dry run
    the Python that is returned is the one that it would be made of.

    Raises:
        SetUpError: there is something else at its place, or it cannot be made.
    """
    there = _working(environment)
    is_half_made = marker.exists and not marker.was_taken_over and not marker.has("python")
    if there is None or is_half_made:
        _clear(environment, marker, session)
        return _create(environment, choose_python(asked), marker, session)
    if not is_suitable(there):
        raise SetUpError(
            f"{environment} has Python {_version(there)}; upstream needs {_RANGE}.", _delete(environment)
        )
    if asked is not None and _the_one_asked_for(asked).python[:2] != there.python[:2]:
        raise SetUpError(
            f"{environment} has Python {_version(there)}, not that of --python {asked}.",
            _delete(environment),
            wrong_request=True,
        )
    if _has_pip(there.path):
        if not marker.exists:
            session.warn(f"{environment} is there already and was not made by this set-up; it is completed.")
            if not session.dry_run:
                marker.begin(taken_over=True)
        return there
    command = [str(there.path), "-m", "ensurepip", "--upgrade", "--default-pip"]
    session.run(command, doing="Installing pip", remedy=_delete(environment))
    return there


def _create(environment: Path, base: Interpreter, marker: Marker, session: Session) -> Interpreter:
    session.say(f"Python {_version(base)}: {base.path}")
    if not session.dry_run:
        marker.begin(taken_over=False)
    command = [str(base.path), "-m", "venv", str(environment)]
    session.run(command, doing="Making the virtual environment", remedy=f"Is {environment.parent} writable?")
    if session.dry_run:
        return base
    made = _working(environment)
    if made is None or not _has_pip(made.path):
        raise SetUpError(f"The new virtual environment {environment} has no working pip.", _HOW_TO_GET)
    return made


def _clear(environment: Path, marker: Marker, session: Session) -> None:
    """Remove what a killed set-up left. The marker, which says that it is ours, stays."""
    entries = [path for path in environment.glob("*") if not path.name.startswith(f".{FILE_NAME}.")]
    if environment.exists() and not environment.is_dir():
        raise SetUpError(f"{environment} is a file, not a virtual environment.", _delete(environment))
    if not entries:
        return
    if not marker.exists or marker.was_taken_over:
        raise SetUpError(
            f"{environment} is there, but its Python does not start or is missing.", _delete(environment)
        )
    session.say(f"{environment} was left half-made; it is made anew.")
    for entry in () if session.dry_run else entries:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != marker.path:
            entry.unlink()


def _working(environment: Path) -> Interpreter | None:
    if not (environment / "pyvenv.cfg").is_file():
        return None
    try:
        return probe_interpreter(interpreter_in(environment))
    except InterpreterError:
        return None


def _candidates() -> Iterator[Path]:
    yield Path(getattr(sys, "_base_executable", sys.executable))
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        if sys.platform == "win32":
            asked = _output("py", f"-3.{minor}", "-c", "import sys; print(sys.executable)")
            if asked:
                yield Path(asked)
        elif found := shutil.which(f"python3.{minor}"):
            yield Path(found)


def _the_one_asked_for(path: Path) -> Interpreter:
    found = shutil.which(path)
    try:
        python = probe_interpreter(Path(found or path).absolute())
    except InterpreterError as error:
        raise SetUpError(f"--python: {path} {error}.", _HOW_TO_GET, wrong_request=True) from error
    if not is_suitable(python):
        what = f"--python: {path} is Python {_version(python)}; upstream needs {_RANGE}."
        raise SetUpError(what, _HOW_TO_GET, wrong_request=True)
    if not _can_make_environments(python.path):
        raise _no_venv(python)
    return python


def _can_make_environments(path: Path) -> bool:
    """Debian and Ubuntu leave these two out of their Python."""
    return _output(str(path), "-c", "import venv, ensurepip; print('yes')") == "yes"


def _has_pip(path: Path) -> bool:
    return _output(str(path), "-m", "pip", "--version").startswith("pip ")


def _output(*command: str) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE, check=False, text=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _no_venv(python: Interpreter) -> SetUpError:
    name = f"python{python.python[0]}.{python.python[1]}"
    return SetUpError(
        f"{python.path} cannot make virtual environments: its modules venv and ensurepip are missing, as "
        "Debian and Ubuntu leave them out.",
        f"Install them: sudo apt install {name}-venv; or name another Python with --python.",
        wrong_request=True,
    )


def _delete(environment: Path) -> str:
    return f"Move {environment} away or delete it, then run this again: it is made anew."


def _version(python: Interpreter) -> str:
    return ".".join(map(str, python.python))
