"""The model files: what is fetched is checked, what is damaged is fetched again, what is missing is said."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engines.preview import models
from engines.preview.models import ModelFile, ModelsMissing, fetch_models, model_path

PAYLOAD = {"body": b"body model " * 100, "face": b"face model " * 50}
LICENCE = b"licence text"


@pytest.fixture(autouse=True)
def small_models(monkeypatch):
    """Two tiny models in place of the real four, so that no test here needs the network."""
    listed = {
        name: ModelFile(f"pkg/{name}.tflite", len(data), hashlib.sha256(data).hexdigest())
        for name, data in PAYLOAD.items()
    }
    monkeypatch.setattr(models, "MODELS", listed)
    monkeypatch.setattr(models, "_LICENCE_SHA256", hashlib.sha256(LICENCE).hexdigest())


def make_wheel(path: Path, **changed: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (PAYLOAD | changed).items():
            archive.writestr(f"pkg/{name}.tflite", data)
        archive.writestr(models._LICENCE_MEMBER, LICENCE)
        archive.writestr("pkg/other.tflite", b"not asked for")
    return path


@pytest.fixture
def wheel(tmp_path):
    return make_wheel(tmp_path / "a.whl")


def test_exactly_the_listed_files_come_with_licence_and_notice(tmp_path, wheel):
    folder = tmp_path / "cache" / "models"
    fetch_models(folder, wheel)
    names = {path.name for path in folder.iterdir()}
    assert names == {"body.tflite", "face.tflite", "LICENSE", "NOTICE"}
    assert model_path("body", folder).read_bytes() == PAYLOAD["body"]
    assert "MediaPipe" in (folder / "NOTICE").read_text()


def test_what_is_right_is_not_fetched_again(tmp_path, wheel):
    folder = tmp_path / "models"
    fetch_models(folder, wheel)
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert fetch_models(folder, tmp_path / "no such wheel") == []
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_a_damaged_file_is_fetched_again_even_if_its_size_is_right(tmp_path, wheel):
    folder = tmp_path / "models"
    fetch_models(folder, wheel)
    damaged = folder / "face.tflite"
    damaged.write_bytes(PAYLOAD["face"][::-1])
    assert fetch_models(folder, wheel) == [damaged]
    assert damaged.read_bytes() == PAYLOAD["face"]


def test_a_wheel_with_other_bytes_is_refused_and_leaves_what_was_there(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "body.tflite").write_bytes(b"old")
    wrong = make_wheel(tmp_path / "wrong.whl", face=b"face model?" * 50)
    with pytest.raises(ModelsMissing, match="SHA-256 differs"):
        fetch_models(folder, wrong)
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("body.tflite", b"old")]


@pytest.mark.parametrize("content", [b"", b"not a wheel at all"])
def test_a_wheel_that_is_none_is_a_clear_error(tmp_path, content):
    broken = tmp_path / "broken.whl"
    broken.write_bytes(content)
    with pytest.raises(ModelsMissing, match=r"broken\.whl"):
        fetch_models(tmp_path / "models", broken)


def test_a_write_that_fails_leaves_no_partial_file(tmp_path, wheel, monkeypatch):
    folder = tmp_path / "models"

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(ModelsMissing, match=r"No space left.*UNDERSTUDY_CACHE"):
        fetch_models(folder, wheel)
    assert list(folder.iterdir()) == []


def test_a_missing_model_names_the_command_that_fetches_it(tmp_path):
    with pytest.raises(ModelsMissing, match=r"missing.*python scripts/fetch_preview_models\.py"):
        model_path("body", tmp_path)


def test_a_model_of_the_wrong_size_is_not_used(tmp_path, wheel):
    fetch_models(tmp_path, wheel)
    (tmp_path / "body.tflite").write_bytes(PAYLOAD["body"][:-1])
    with pytest.raises(ModelsMissing, match="damaged"):
        models.check_models(tmp_path)


def test_pip_is_asked_for_the_one_wheel_and_nothing_else(tmp_path, monkeypatch):
    asked = []

    def pip(command, **options):
        asked.append(command)
        make_wheel(Path(command[command.index("--dest") + 1]) / "mediapipe.whl")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("subprocess.run", pip)
    fetch_models(tmp_path / "models")
    (command,) = asked
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "mediapipe==0.10.21"} <= set(command)
    assert command[command.index("--platform") + 1] == "manylinux_2_28_x86_64"
    assert command[command.index("--python-version") + 1] == "3.12"


def test_a_failing_pip_shows_its_last_words(tmp_path, monkeypatch):
    def pip(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no route to host\n")

    monkeypatch.setattr("subprocess.run", pip)
    with pytest.raises(ModelsMissing, match="no route to host"):
        fetch_models(tmp_path / "models")


def test_the_cache_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path))
    assert models.models_folder() == tmp_path / "models"


def test_the_cache_folder_is_the_users_own(tmp_path, monkeypatch):
    monkeypatch.delenv("UNDERSTUDY_CACHE", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.models_folder() == tmp_path / "understudy" / "models"
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    assert models.models_folder() == tmp_path / "Local" / "understudy" / "models"
    monkeypatch.setattr("sys.platform", "darwin")
    assert models.models_folder() == Path.home() / "Library" / "Caches" / "understudy" / "models"


def test_set_up_needs_the_standard_library_alone():
    script = Path(models.__file__).parents[2] / "scripts" / "fetch_preview_models.py"
    command = [sys.executable, "-S", "-E", str(script), "--help"]  # -S: no site-packages
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
