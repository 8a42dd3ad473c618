"""The virtual environment that upstream's scripts run in: made in steps, each remembered once it is done.

flash-attn is not among them: it goes in last, by ``flash_attn.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.wan22.interpreter import Interpreter, InterpreterError, normalised, probe_interpreter
from engines.wan22.packages import OPENCV
from set_up.environment.half_installed import remove_half_installed
from set_up.environment.imports import import_command, modules_to_import, read_outcomes, table_of
from set_up.environment.marker import Marker, key_of
from set_up.environment.python import (
    interpreter_in,
    make_bare_environment,
    site_packages_in,
)
from set_up.environment.space import check_space
from set_up.environment.torch_choice import TORCH_VERSIONS, TorchChoice, choice_from, choose_torch
from set_up.environment.versions import SAM2, constraints_file, lines_of, packages_file, pinned_names
from set_up.errors import SetUpError
from set_up.session import Session

_PIP: Final = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--timeout", "60")
_NO_COMPILER: Final = {"SAM2_BUILD_CUDA": "0"}
_BUILDS_OF_THE_SAME: Final = (("onnxruntime", "onnxruntime-gpu"), OPENCV)
"""Packages that write the same files: two of them at once are neither."""
_AGAIN: Final = (
    "Is the network there? Then run the same command again: what is done is not done twice. A mirror of the "
    "package index is set with: pip config set global.index-url ADDRESS."
)


@dataclass(frozen=True, kw_only=True)
class EnvironmentRequest:
    """What the environment is to be."""

    wan22_dir: Path
    """Upstream's checkout; the environment is its folder .venv."""
    python: Path | None = None
    """The Python to make it of, 3.10 to 3.12; None for one that is found."""
    torch_index: str | None = None
    """Address of a package index, or a folder of wheels, for torch; None for PyTorch's own."""
    cpu: bool = False
    """A torch without CUDA."""


def interpreter_of(wan22_dir: Path) -> Path:
    """The Python of upstream's environment, whether it is there or not."""
    return interpreter_in(_folder(wan22_dir))


def environment_in_place(request: EnvironmentRequest) -> bool:
    """Whether everything is done, and the versions are still those of then. Nothing is imported."""
    marker = Marker(_folder(request.wan22_dir))
    try:
        python = probe_interpreter(interpreter_of(request.wan22_dir))
        plan = _Plan(request, python, _torch(request, marker))
    except (InterpreterError, SetUpError):
        return False
    return all(marker.is_done(step, key) for step, key in plan.keys.items()) and not _changed(marker, python)


def make_environment(request: EnvironmentRequest, session: Session) -> Path:
    """Make the environment, or what is missing of it; its Python.

    Raises:
        SetUpError: it cannot be made here, or a step fails. Run again, it goes on with that step.
        OSError: the folder cannot be written.
    """
    folder = _folder(request.wan22_dir)
    marker = Marker(folder)
    torch = _torch(request, marker)
    python = make_bare_environment(folder, request.python, marker, session)
    plan = _Plan(request, python, torch)
    if session.dry_run:
        _dry_run(plan, session)
        return interpreter_of(request.wan22_dir)
    if not marker.has("python"):
        marker.done("python", plan.keys["python"])
    _forget_what_changed(marker, python, session)
    if all(marker.is_done(step, key) for step, key in plan.keys.items()):
        session.say(f"in place: {len(marker.module_versions)} modules, torch {python.version_of('torch')}")
        return python.path
    _repair(marker, site_packages_in(folder, python), session)
    _Work(plan, marker, session).do()
    return python.path


def _folder(wan22_dir: Path) -> Path:
    return wan22_dir.absolute() / ".venv"


def _torch(request: EnvironmentRequest, marker: Marker) -> TorchChoice:
    """The build that was asked for; without a word of where from, the place of the last time is kept."""
    if request.torch_index is None and (place := marker.torch_index(cpu=request.cpu)):
        return choice_from(place, cpu=request.cpu)
    return choose_torch(index=request.torch_index, cpu=request.cpu, installed=marker.torch_tag)


class _Plan:
    """The commands of each step, and the keys by which the steps are remembered."""

    def __init__(self, request: EnvironmentRequest, python: Interpreter, torch: TorchChoice) -> None:
        self.torch = torch
        self.cpu = request.cpu
        self.folder = _folder(request.wan22_dir)
        self.python = interpreter_in(self.folder)
        self._pip = (str(self.python), "-m", "pip")
        self.onnx = "onnxruntime" if request.cpu else "onnxruntime-gpu"
        version = python.python[:2]
        lines = [lines_of(packages_file()), lines_of(constraints_file()), self.onnx]
        self.keys = {
            "python": key_of(version),
            "torch": key_of(version, torch.requirements, torch.options),
            "packages": key_of(version, torch.requirements, lines),
            "sam2": key_of(version, SAM2),
            "imports": key_of(version, torch.requirements, lines, SAM2, modules_to_import()),
        }

    def remove(self, names: Sequence[str]) -> list[str]:
        return [*self._pip, "uninstall", "--yes", "--disable-pip-version-check", *names]

    def tools(self) -> list[str]:
        """What packages without a ready-made wheel are built with: pure Python, all of them."""
        return self._install("--constraint", str(constraints_file()), "setuptools", "wheel")

    def torch_itself(self) -> list[str]:
        return self._install(*self.torch.requirements, *self.torch.options)

    def packages(self) -> list[str]:
        files = ("--requirement", str(packages_file()), "--constraint", str(constraints_file()))
        return self._install("--no-build-isolation", *files, self.onnx)

    def sam2(self) -> list[str]:
        return self._install("--no-deps", "--no-build-isolation", SAM2)

    def _install(self, *what: str) -> list[str]:
        return [*self._pip, "install", *_PIP, *what]


class _Work:
    """Doing the steps that are not done."""

    def __init__(self, plan: _Plan, marker: Marker, session: Session) -> None:
        self._plan = plan
        self._marker = marker
        self._session = session

    def do(self) -> None:
        """All steps, in order."""
        self._step("torch", self._install_torch)
        self._step("packages", self._install_packages)
        self._step("sam2", self._install_sam2)
        self._step("imports", self._import_all)

    def _step(self, name: str, work: Callable[[], Mapping[str, object]]) -> None:
        key = self._plan.keys[name]
        if self._marker.is_done(name, key):
            return
        self._marker.forget(name)
        self._marker.done(name, key, **work())

    def _install_torch(self) -> Mapping[str, object]:
        torch = self._plan.torch
        _say_torch(torch, self._session)
        check_space(self._plan.folder, cpu=self._plan.cpu, session=self._session)
        self._remove(TORCH_VERSIONS)
        self._session.run(
            self._plan.torch_itself(), doing="Installing torch", remedy=f"{_AGAIN} For torch: --torch_index."
        )
        return {"torch": {"tag": torch.tag, "index": torch.index, "cpu": self._plan.cpu}}

    def _install_packages(self) -> Mapping[str, object]:
        self._session.run(self._plan.tools(), doing="Installing setuptools", remedy=_AGAIN)
        self._remove_other_builds()
        self._session.run(self._plan.packages(), doing="Installing upstream's packages", remedy=_AGAIN)
        return {}

    def _install_sam2(self) -> Mapping[str, object]:
        self._session.run(
            self._plan.sam2(), doing="Installing SAM 2", environment=_NO_COMPILER, remedy=_AGAIN
        )
        return {}

    def _import_all(self) -> Mapping[str, object]:
        said = self._session.run(
            import_command(self._plan.python),
            doing="Importing upstream's modules",
            remedy="The module that was named last ended its Python.",
        )
        imported = read_outcomes(said, self._plan.python)
        self._session.console.print(table_of(imported))
        return {"imported": imported, "versions": _pinned(probe_interpreter(self._plan.python))}

    def _remove(self, names: Sequence[str] | Mapping[str, str]) -> None:
        packages = probe_interpreter(self._plan.python).packages
        if there := [name for name in names if name in packages]:
            self._session.run(self._plan.remove(there), doing=f"Removing {', '.join(there)}")

    def _remove_other_builds(self) -> None:
        """Two builds of one library share their files: both go, so that the right one is whole."""
        packages = probe_interpreter(self._plan.python).packages
        wanted = {self._plan.onnx, "opencv-python-headless"}
        for builds in _BUILDS_OF_THE_SAME:
            if any(name in packages for name in builds if name not in wanted):
                self._remove(builds)


# ------------------------------------------------------------------------------------------ the steps' parts


def _dry_run(plan: _Plan, session: Session) -> None:
    _say_torch(plan.torch, session)
    for command in (plan.torch_itself(), plan.tools(), plan.packages()):
        session.run(command, doing="")
    session.run(plan.sam2(), doing="", environment=_NO_COMPILER)
    session.run(import_command(plan.python), doing="")
    session.say(f"Python of the environment: {plan.python}")


def _say_torch(torch: TorchChoice, session: Session) -> None:
    session.say(f"torch {TORCH_VERSIONS['torch']}{f' ({torch.tag})' if torch.tag else ''}: {torch.why}")
    for note in torch.notes:
        session.note(note)


def _repair(marker: Marker, site_packages: Path, session: Session) -> None:
    """An earlier run may have been killed while pip worked, and pip takes what it left for installed."""
    damaged = remove_half_installed(site_packages)
    if damaged:
        session.say(f"half-installed, to be installed again: {', '.join(damaged)}")
        names = {normalised(name) for name in damaged}
        marker.forget("torch" if names & set(TORCH_VERSIONS) else "packages")


def _forget_what_changed(marker: Marker, python: Interpreter, session: Session) -> None:
    changed = _changed(marker, python)
    for name, (then, now) in changed.items():
        session.warn(f"{name} was installed as {then}, and now is {now or 'missing'}; it is installed again.")
    if changed:
        marker.forget("torch" if set(changed) & set(TORCH_VERSIONS) else "packages")


def _changed(marker: Marker, python: Interpreter) -> dict[str, tuple[str, str | None]]:
    """Packages whose version is not the one that was installed: then, and now."""
    return {
        name: (version, python.packages.get(name))
        for name, version in marker.versions.items()
        if python.packages.get(name) != version
    }


def _pinned(python: Interpreter) -> dict[str, str]:
    """The version of each package that this set-up installs, as it is installed now."""
    names = pinned_names()
    return {name: version for name, version in sorted(python.packages.items()) if name in names}
