"""Upstream's environment, made with the real venv and the real pip from small wheels."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from engines.wan22.interpreter import probe_interpreter
from set_up.environment import making
from set_up.environment.half_installed import remove_half_installed
from set_up.environment.imports import modules_to_import, read_outcomes
from set_up.environment.making import (
    EnvironmentRequest,
    environment_in_place,
    interpreter_of,
    make_environment,
)
from set_up.environment.marker import FILE_NAME, STEPS, Marker
from set_up.environment.python import NEWEST, OLDEST, site_packages_in
from set_up.environment.space import check_space
from set_up.environment.torch_choice import TORCH_VERSIONS
from set_up.errors import WRONG_REQUEST, SetUpError
from set_up.session import Session
from tests.set_up.made_wheels import make_wheel, make_wheelhouse
from tests.standin import MACHINE

ROOT: Final = Path(__file__).parents[2]
_HAS_PYTHON: Final = OLDEST <= sys.version_info[:2] <= NEWEST
pytestmark = pytest.mark.skipif(not _HAS_PYTHON, reason="upstream's environment is of Python 3.10 to 3.12")


class Recorder:
    """A session whose words and commands are kept."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self._text = io.StringIO()
        self.session = Session(console=Console(file=self._text, width=200), dry_run=dry_run)

    @property
    def text(self) -> str:
        return self._text.getvalue()

    @property
    def commands(self) -> list[str]:
        return [line.strip()[2:] for line in self.text.splitlines() if line.startswith("  $ ")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_wheelhouse(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="module", autouse=True)
def no_network(wheels: Path) -> Iterator[None]:
    """pip takes everything from the folder of wheels, and the GPUs are the stand-in's: for CUDA 12.8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_FIND_LINKS", str(wheels))
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("PIP_NO_COMPILE", "1")
        patch.syspath_prepend(MACHINE)
        patch.delitem(sys.modules, "pynvml", raising=False)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, no_network: None) -> tuple[EnvironmentRequest, Recorder]:
    """An environment as the set-up makes it. Tests that change it mend it."""
    request = EnvironmentRequest(wan22_dir=tmp_path_factory.mktemp("checkout"))
    recorder = Recorder()
    make_environment(request, recorder.session)
    return request, recorder


def remembered(request: EnvironmentRequest) -> dict[str, object]:
    content = json.loads((request.wan22_dir / ".venv" / FILE_NAME).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content


def pip(request: EnvironmentRequest, *words: str) -> None:
    command = [str(interpreter_of(request.wan22_dir)), "-m", "pip", *words]
    subprocess.run(command, check=True, capture_output=True)


def test_everything_that_upstream_imports_is_there_in_our_versions(made) -> None:
    request, recorder = made
    packages = probe_interpreter(interpreter_of(request.wan22_dir)).packages
    assert packages["torch"] == "2.8.0+cu128"
    assert packages["torchvision"] == "0.23.0+cu128"
    assert packages["numpy"] == "1.26.4"
    assert packages["transformers"] == "4.51.3"
    assert packages["onnxruntime-gpu"] == "1.23.2" and "onnxruntime" not in packages
    assert packages["sam2"] == "1.1.0"
    assert "flash-attn" not in packages
    for module in modules_to_import():
        assert module.partition(":")[0] in recorder.text, "the table of versions names it"


def test_steps_are_remembered_and_the_order_is_torch_packages_sam2(made) -> None:
    request, recorder = made
    content = remembered(request)
    assert content["torch"] == {"tag": "cu128", "index": None, "cpu": False}
    assert isinstance(content["steps"], dict) and list(content["steps"]) == list(STEPS)
    order = [
        "-m venv",
        "torch==2.8.0+cu128",
        "setuptools wheel",
        "packages.txt",
        "sam2==1.1.0",
        "import_",
    ]
    assert len(recorder.commands) == len(order)
    for command, part in zip(recorder.commands, order, strict=True):
        assert part in command
    assert recorder.commands[4].startswith("SAM2_BUILD_CUDA=0 ")


def test_a_second_run_asks_nothing_of_pip(made) -> None:
    request, _ = made
    again = Recorder()
    assert environment_in_place(request)
    assert make_environment(request, again.session) == interpreter_of(request.wan22_dir)
    assert again.commands == []


def test_after_an_interruption_half_installed_packages_are_looked_for_first(made, monkeypatch) -> None:
    """What they are, and that they are mended, is in test_half_installed and in the long tests below."""
    request, _ = made
    looked: list[Path] = []

    def look(site_packages: Path) -> list[str]:
        looked.append(site_packages)
        return []

    monkeypatch.setattr(making, "remove_half_installed", look)
    make_environment(request, Recorder().session)
    assert looked == []
    Marker(request.wan22_dir / ".venv").forget("imports")
    make_environment(request, Recorder().session)
    (folder,) = looked
    assert (folder / "numpy.py").is_file() or (folder / "numpy").is_dir()
    assert environment_in_place(request)


@pytest.mark.long
def test_other_versions_than_were_installed_are_named_and_put_right(made, wheels) -> None:
    request, _ = made
    make_wheel(wheels, "einops", "0.1.0")
    try:
        pip(request, "install", "einops==0.1.0")
    finally:
        (wheels / "einops-0.1.0-py3-none-any.whl").unlink()
    assert not environment_in_place(request)
    again = Recorder()
    make_environment(request, again.session)
    assert "einops was installed as" in again.text and "now is 0.1.0" in again.text
    assert not any("torch==" in command for command in again.commands), "torch is as it was"
    assert environment_in_place(request)


def test_a_dry_run_names_each_command_and_changes_nothing(tmp_path) -> None:
    recorder = Recorder(dry_run=True)
    python = make_environment(EnvironmentRequest(wan22_dir=tmp_path), recorder.session)
    assert python == interpreter_of(tmp_path)
    assert [command.split(" install")[0].split()[-1] for command in recorder.commands[1:5]] == ["pip"] * 4
    assert all(str(python) in command for command in recorder.commands[1:])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path) -> None:
    mine = tmp_path / ".venv" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(SetUpError, match="does not start or is missing"):
        make_environment(EnvironmentRequest(wan22_dir=tmp_path), Recorder().session)
    assert mine.read_text() == "mine"
    assert not environment_in_place(EnvironmentRequest(wan22_dir=tmp_path))


def test_a_file_in_its_place_is_said(tmp_path) -> None:
    (tmp_path / ".venv").write_text("")
    with pytest.raises(SetUpError, match="is a file"):
        make_environment(EnvironmentRequest(wan22_dir=tmp_path), Recorder().session)


def fake_python(path: Path, version: tuple[int, int], *, has_venv: bool = True) -> Path:
    """A program that answers as a Python of that version does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = {
        "python": [*version, 1],
        "platform": "linux",
        "prefix": "/usr",
        "suffix": ".so",
        "distributions": {},
        "modules": {},
    }
    answer = "echo yes" if has_venv else "echo No module named ensurepip >&2; exit 1"
    path.write_text(f"#!/bin/sh\ncase $1 in -c) {answer};; *) echo '{json.dumps(facts)}';; esac\n")
    path.chmod(0o755)
    return path


needs_sh = pytest.mark.skipif(os.name == "nt", reason="its stand-ins are shell scripts")


@needs_sh
@pytest.mark.parametrize("version", [(3, 9), (3, 13)])
def test_a_python_that_upstream_cannot_use_is_refused(tmp_path, version) -> None:
    python = fake_python(tmp_path / "python", version)
    with pytest.raises(SetUpError, match=r"3\.10 to 3\.12") as failure:
        make_environment(EnvironmentRequest(wan22_dir=tmp_path, python=python), Recorder().session)
    assert failure.value.exit_code == WRONG_REQUEST
    assert "uv python install" in failure.value.remedy


@needs_sh
def test_the_newest_suitable_python_on_the_path_is_found(tmp_path, monkeypatch) -> None:
    fake_python(tmp_path / "bin" / "python3.11", (3, 11))
    fake_python(tmp_path / "bin" / "python3.12", (3, 12), has_venv=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(sys, "_base_executable", str(fake_python(tmp_path / "ours", (3, 13))))
    recorder = Recorder(dry_run=True)
    make_environment(EnvironmentRequest(wan22_dir=tmp_path), recorder.session)
    assert recorder.commands[0].startswith(f"{tmp_path / 'bin' / 'python3.11'} -m venv ")


@needs_sh
def test_no_suitable_python_says_how_to_get_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "_base_executable", str(fake_python(tmp_path / "ours", (3, 13))))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetUpError, match=r"No Python 3\.10 to 3\.12 was found.*apt install"):
        make_environment(EnvironmentRequest(wan22_dir=tmp_path), Recorder().session)


@needs_sh
def test_debians_missing_venv_has_its_own_message(tmp_path, monkeypatch) -> None:
    fake_python(tmp_path / "python3.11", (3, 11), has_venv=False)
    monkeypatch.setattr(sys, "_base_executable", str(fake_python(tmp_path / "ours", (3, 13))))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetUpError, match=r"apt install python3\.11-venv") as failure:
        make_environment(EnvironmentRequest(wan22_dir=tmp_path), Recorder().session)
    assert failure.value.exit_code == WRONG_REQUEST


@pytest.mark.parametrize(
    ("cpu", "free", "enough"), [(False, 19, True), (False, 17, False), (True, 5, True), (True, 4, False)]
)
def test_room_is_checked_before_anything_is_fetched(tmp_path, monkeypatch, cpu, free, enough) -> None:
    monkeypatch.setattr("set_up.environment.space.free_space", lambda folder: (1, free * 10**9))
    session = Recorder().session
    if enough:
        check_space(tmp_path, cpu=cpu, session=session)
        return
    with pytest.raises(SetUpError, match=rf"Too little room.*{tmp_path}.*{free}\.0 GB are free.*TMPDIR"):
        check_space(tmp_path, cpu=cpu, session=session)


def test_room_that_the_environment_has_taken_already_is_not_asked_for_again(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("set_up.environment.space.free_space", lambda folder: (1, 4 * 10**9))
    with (tmp_path / "library.so").open("wb") as file:
        file.truncate(10**9)  # a hole: it takes no room here
    check_space(tmp_path, cpu=True, session=Recorder().session)


def test_a_module_that_ends_the_process_in_silence_is_no_success() -> None:
    first, second, *_ = modules_to_import()
    said = json.dumps({"module": first, "version": "1"}) + "\n" + json.dumps({"importing": second})
    with pytest.raises(SetUpError, match=f"{second}: the process ended"):
        read_outcomes(said, Path("python"))


def test_each_disk_is_looked_at_for_what_goes_there(tmp_path, monkeypatch) -> None:
    def disks(folder: Path) -> tuple[int, int]:
        return (1, 10 * 10**9) if folder == tmp_path else (2, 10**9)

    monkeypatch.setattr("set_up.environment.space.free_space", disks)
    with pytest.raises(SetUpError, match=r"temporary files.*1\.0 GB are free") as failure:
        check_space(tmp_path, cpu=False, session=Recorder().session)
    assert str(tmp_path) not in failure.value.what


# ------------------------------------------------------------------------------------------------- long ones


@pytest.mark.long
def test_from_cuda_to_cpu_and_back(tmp_path) -> None:
    for cpu, torch, onnx in ((False, "cu128", "onnxruntime-gpu"), (True, "cpu", "onnxruntime")) * 2:
        request = EnvironmentRequest(wan22_dir=tmp_path, cpu=cpu)
        assert not environment_in_place(request)
        packages = probe_interpreter(make_environment(request, Recorder().session)).packages
        assert packages["torch"] == f"2.8.0+{torch}"
        assert {name for name in packages if name.startswith("onnxruntime")} == {onnx}
        assert environment_in_place(request)


@pytest.mark.long
def test_a_folder_of_ones_own_for_torch_is_remembered(tmp_path) -> None:
    folder = tmp_path / "torches"
    folder.mkdir()
    for name, version in TORCH_VERSIONS.items():
        make_wheel(folder, name, f"{version}+own")
    request = EnvironmentRequest(wan22_dir=tmp_path, torch_index=str(folder))
    packages = probe_interpreter(make_environment(request, Recorder().session)).packages
    assert packages["torch"] == "2.8.0+own"
    shutil.rmtree(folder)
    unnamed = EnvironmentRequest(wan22_dir=tmp_path)
    assert environment_in_place(unnamed)
    again = Recorder()
    make_environment(unnamed, again.session)
    assert again.commands == []
    with pytest.raises(SetUpError, match="neither"):
        make_environment(request, Recorder().session)


@pytest.mark.long
def test_a_package_that_is_not_to_be_had_fails_and_later_only_the_rest_is_done(
    tmp_path, wheels, monkeypatch
) -> None:
    request = EnvironmentRequest(wan22_dir=tmp_path)
    less = make_wheelhouse(tmp_path / "less", leave_out=["ftfy"])
    with monkeypatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(less))
        with pytest.raises(SetUpError, match="ftfy"):
            make_environment(request, Recorder().session)
    steps = remembered(request)["steps"]
    assert isinstance(steps, dict) and list(steps) == ["python", "torch"]
    again = Recorder()
    make_environment(request, again.session)
    assert not any("torch==" in command or "venv" in command.split()[2] for command in again.commands)
    assert environment_in_place(request)


@pytest.mark.long
def test_a_module_that_does_not_import_is_named_with_its_error(tmp_path, wheels, monkeypatch) -> None:
    broken = make_wheelhouse(tmp_path / "broken", leave_out=["ftfy"])
    make_wheel(broken, "ftfy", "6.3.1", {"ftfy": "raise OSError('no such thing')"})
    request = EnvironmentRequest(wan22_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(broken))
        with pytest.raises(SetUpError, match="ftfy: OSError: no such thing") as failure:
            make_environment(request, Recorder().session)
    assert "--force-reinstall --no-deps ftfy==6.3.1" in failure.value.remedy
    assert not environment_in_place(request)
    pip(request, *failure.value.remedy.split(" -m pip ")[1].split())
    again = Recorder()
    make_environment(request, again.session)
    assert len(again.commands) == 1, "nothing is left to do but the imports"
    assert environment_in_place(request)


@pytest.mark.long
def test_what_pip_left_half_done_is_installed_again(tmp_path) -> None:
    request = EnvironmentRequest(wan22_dir=tmp_path)
    python = make_environment(request, Recorder().session)
    information = probe_interpreter(python).metadata["ftfy"]
    (information / "RECORD").unlink()
    (information.parent / "ftfy" / "__init__.py").unlink()
    content = remembered(request)
    assert isinstance(content["steps"], dict)
    del content["steps"]["imports"], content["steps"]["sam2"], content["steps"]["packages"]  # killed there
    (tmp_path / ".venv" / FILE_NAME).write_text(json.dumps(content))
    again = Recorder()
    make_environment(request, again.session)
    assert "half-installed, to be installed again: ftfy" in again.text
    assert (information.parent / "ftfy" / "__init__.py").is_file()


@pytest.mark.long
def test_an_environment_that_somebody_else_made_is_completed_and_never_removed(tmp_path, wheels) -> None:
    request = EnvironmentRequest(wan22_dir=tmp_path)
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / ".venv")], check=True)
    make_wheel(wheels, "mine", "1.0")
    pip(request, "install", "mine")
    (wheels / "mine-1.0-py3-none-any.whl").unlink()
    recorder = Recorder()
    make_environment(request, recorder.session)
    assert "was not made by this set-up" in recorder.text
    assert "mine" in probe_interpreter(interpreter_of(tmp_path)).packages
    for name in interpreter_of(tmp_path).parent.glob("python*"):
        name.unlink()
    with pytest.raises(SetUpError, match="does not start or is missing"):
        make_environment(request, Recorder().session)
    assert list((tmp_path / ".venv").glob("**/mine/__init__.py"))


@pytest.mark.long
def test_another_python_than_that_of_the_environment_is_said(tmp_path) -> None:
    python = fake_python(tmp_path / "python", (3, 10) if sys.version_info[:2] != (3, 10) else (3, 11))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / ".venv")], check=True)
    with pytest.raises(SetUpError, match="not that of --python"):
        make_environment(EnvironmentRequest(wan22_dir=tmp_path, python=python), Recorder().session)


_CHILD: Final = """
import sys
from pathlib import Path
from rich.console import Console
from set_up.environment.making import EnvironmentRequest, make_environment
from set_up.session import Session
make_environment(EnvironmentRequest(wan22_dir=Path(sys.argv[1])), Session(console=Console(stderr=True)))
"""


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_it_still_comes_to_its_end(tmp_path, seed) -> None:
    chance = random.Random(seed)
    request = EnvironmentRequest(wan22_dir=tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(MACHINE), str(ROOT)))}
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    killed = 0
    for _ in range(6):
        child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        try:
            child.wait(chance.uniform(0.3, 3.5))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            killed += 1
    assert killed > 1
    python = make_environment(request, Recorder().session)
    assert environment_in_place(request)
    assert remove_half_installed(site_packages_in(tmp_path / ".venv", probe_interpreter(python))) == []
