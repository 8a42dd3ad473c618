"""What a killed pip leaves, and that pip alone would leave it so."""

from __future__ import annotations

import ensurepip
import os
import subprocess
import venv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

from set_up.environment.half_installed import remove_half_installed
from set_up.environment.python import interpreter_in
from tests.set_up.made_wheels import make_wheel


def without_list(site: Path) -> None:
    (site / "first-1.0.dist-info" / "RECORD").unlink()
    (site / "first" / "part.py").unlink()


def without_file(site: Path) -> None:
    (site / "second" / "part.py").unlink()


def cut_file(site: Path) -> None:
    (site / "third" / "part.py").write_text("VALUE =")


def zeroed_list(site: Path) -> None:
    record = site / "fourth-1.0.dist-info" / "RECORD"
    record.write_bytes(bytes(record.stat().st_size))
    (site / "fourth" / "part.py").write_text("")


DAMAGES: Final[dict[str, Callable[[Path], None]]] = {
    "first": without_list,
    "second": without_file,
    "third": cut_file,
    "fourth": zeroed_list,
}


def a_pip() -> Path:
    """The pip of the Python that runs the tests, else the one inside Python, which is slower."""
    spec = find_spec("pip")
    if spec is not None and spec.origin:
        return Path(spec.origin).parent
    return next((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")) / "pip"


class Environment:
    """A virtual environment, a real pip that works on it, and a folder of wheels for it."""

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        venv.create(folder / "environment", with_pip=False, symlinks=os.name != "nt")
        self.python = interpreter_in(folder / "environment")
        self.site = next((folder / "environment").glob("**/site-packages"))
        self._pip = [str(self.python), str(a_pip()), "install", "--no-index", "--find-links"]

    def install(self, *names: str) -> str:
        command = [*self._pip, str(self.wheels), "--disable-pip-version-check", "--no-compile", *names]
        environment = {**os.environ, "PIP_CONFIG_FILE": os.devnull}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout + done.stderr

    def value_of(self, name: str) -> str:
        code = f"from {name}.part import VALUE; print(VALUE)"
        done = subprocess.run(
            [str(self.python), "-B", "-c", code], capture_output=True, text=True, check=False, cwd=self.site
        )
        return done.stdout.strip()


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def test_what_pip_takes_for_installed_is_found_and_mended(environment: Environment) -> None:
    for name in (*DAMAGES, "whole"):
        make_wheel(environment.wheels, name, "1.0", {name: "", f"{name}/part.py": f"VALUE = {name!r}\n"})
    environment.install(*DAMAGES, "whole")
    assert remove_half_installed(environment.site) == []
    for damage in DAMAGES.values():
        damage(environment.site)
    assert [environment.value_of(name) for name in DAMAGES] == ["", "", "", ""]

    said = environment.install(*DAMAGES, "whole")
    assert said.count("Requirement already satisfied") == len(DAMAGES) + 1, said
    assert environment.value_of("second") == "", "pip alone leaves it broken"

    assert remove_half_installed(environment.site) == sorted(DAMAGES)
    environment.install(*DAMAGES, "whole")
    assert [environment.value_of(name) for name in (*DAMAGES, "whole")] == [*DAMAGES, "whole"]
    assert remove_half_installed(environment.site) == []


def test_what_pip_renamed_to_remove_it_is_removed(tmp_path: Path) -> None:
    for name in ("~emo", "~emo-1.0.dist-info"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "RECORD").write_text("")
    (tmp_path / "~ingle.py").write_text("")
    (tmp_path / "other.py").write_text("")
    assert remove_half_installed(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["other.py"]


def test_a_removal_that_is_killed_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    information = tmp_path / "demo-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("")
    (information / "RECORD").write_text("demo/__init__.py,sha256=x,3\n")

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("shutil.rmtree", killed)
        remove_half_installed(tmp_path)
    assert remove_half_installed(tmp_path) == ["demo"]
    assert not information.exists()


@pytest.mark.parametrize(
    "line",
    [
        "demo/__pycache__/a.cpython-311.pyc,,",
        "demo/__pycache__/a.cpython-311.pyc,sha256=x,3",  # NumPy 1.26.4 brings some; pip makes them anew
        "demo-1.0.dist-info/RECORD,,",
        "demo-1.0.dist-info/top_level.txt,sha256=x,17",  # decord 0.6.0 has it wrong
        '"demo/with, comma.py",sha256=x,2',
    ],
    ids=["compiled", "compiled-by-its-makers", "itself", "its-metadata", "quoted"],
)
def test_lists_as_pip_writes_them_are_whole(tmp_path: Path, line: str) -> None:
    information = tmp_path / "demo-1.0.dist-info"
    information.mkdir()
    (information / "RECORD").write_text(f"{line}\n")
    (information / "top_level.txt").write_text("demo")
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "with, comma.py").write_bytes(b"ok")
    assert remove_half_installed(tmp_path) == []


def test_a_file_that_is_listed_outside_is_looked_for_there(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "site-packages"
    information = site / "demo-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "RECORD").write_text("../../bin/demo,sha256=x,2\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "demo").write_bytes(b"ok")
    assert remove_half_installed(site) == []
    (tmp_path / "bin" / "demo").unlink()
    assert remove_half_installed(site) == ["demo"]
