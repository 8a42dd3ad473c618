"""What all tests share: an environment without the developer's own variables, and places to run drivers."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standin import MACHINE
from tests.workplace import Workplace, copy_workplace, make_workplace

_STEERING = ("STANDIN_", "TQDM_", "HF_", "CUDA_", "RANK", "WORLD_SIZE", "LOCAL_RANK")
_STEERING_NAMES = (
    *("PYTHONPATH", "PYTHONSAFEPATH", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONWARNINGS"),
    *("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES", "TERM"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--skip-nothing", action="store_true", help="a missing extra fails instead of skipping")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked ``needs("torch")`` needs a heavy module from requirements-extras.txt."""
    for mark in item.iter_markers("needs"):
        if importlib.util.find_spec(mark.args[0]) is None:
            message = f"needs {mark.args[0]}; python scripts/quickstart.py --test --all installs it"
            if item.config.getoption("--skip-nothing"):
                pytest.fail(message)
            pytest.skip(message)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the runs of the tests teach is not for the developer's own cache; its models are used, though."""
    from engines.preview.models import models_folder

    models, folder = models_folder(), tmp_path_factory.mktemp("cache")
    (folder / "models").symlink_to(models, target_is_directory=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNDERSTUDY_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine steers what is under test."""
    for name in list(os.environ):
        if name.startswith(_STEERING) or name in _STEERING_NAMES:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def standin_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's GPUs are those of `tests/standin/machine/`, whatever this machine has."""
    monkeypatch.syspath_prepend(MACHINE)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)


@pytest.fixture(scope="session")
def _untouched(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    return make_workplace(tmp_path_factory.mktemp("workplace") / "untouched")


@pytest.fixture(scope="session")
def _finished(_untouched: Workplace, own_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    place = copy_workplace(_untouched, tmp_path_factory.mktemp("workplace") / "finished")
    done = place.run("pipeline.py", *place.inputs)
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def workplace(_untouched: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A fresh workplace, which is the current folder: nothing has run yet."""
    place = copy_workplace(_untouched, tmp_path / "work")
    monkeypatch.chdir(place.folder)
    return place


@pytest.fixture
def finished(_finished: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace, which is the current folder, where pipeline.py has run in animate mode."""
    place = copy_workplace(_finished, tmp_path / "work")
    monkeypatch.chdir(place.folder)
    return place
