"""A stand-in for upstream's environment: a real interpreter whose packages exist by their metadata only.

It is a virtual environment of the Python that runs the tests, inside the checkout, where the defaults look
for it. Of the tests' own packages it finds the three that the stand-in's scripts import, and sees no
metadata of them, so that what the environment claims to hold is what is laid out here.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

PACKAGES = {
    "accelerate": "1.15.0", "dashscope": "2.0.2", "decord": "0.6.0", "diffusers": "0.39.0",
    "easydict": "1.14", "einops": "0.8.2", "flash-attn": "2.8.3", "ftfy": "6.3.1", "hydra-core": "1.3.8",
    "imageio": "2.38.1", "imageio-ffmpeg": "0.6.0", "librosa": "0.11.0", "loguru": "0.7.3",
    "matplotlib": "3.10.8", "moviepy": "1.0.3", "numpy": "1.26.4", "omegaconf": "2.3.1",
    "onnxruntime-gpu": "1.23.2", "opencv-python": "4.11.0.86", "pandas": "2.3.3", "peft": "0.18.0",
    "pillow": "12.0.0", "regex": "2025.11.3", "safetensors": "0.7.0", "sam2": "1.1.0",
    "sentencepiece": "0.2.1", "tokenizers": "0.21.4", "torch": "2.8.0+cu128", "torchaudio": "2.8.0+cu128",
    "torchvision": "0.23.0+cu128", "tqdm": "4.67.1", "transformers": "4.51.3",
}  # fmt: skip
"""moviepy's version is the one after whose frame counts the stand-in's stage 1 writes."""

_FINDER = '''
import sys
from importlib.machinery import PathFinder

class Beside:
    """Finds what the stand-in's scripts import in the environment of the tests, and nothing else."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return PathFinder.find_spec(name, {folders!r}, target) if name in {modules!r} else None

sys.meta_path.append(Beside)
'''
_MODULES = ("av", "cv2", "numpy")


class _Bare(venv.EnvBuilder):
    """Without the scripts that people use in a shell."""

    def setup_scripts(self, context: SimpleNamespace) -> None:
        pass


def make_environment(checkout: Path) -> Path:
    """Lay out the environment `checkout/.venv` with PACKAGES; its interpreter."""
    folder = checkout / ".venv"
    _Bare(symlinks=os.name != "nt", with_pip=False).create(folder)
    packages = site_packages(checkout)
    specs = [spec for name in _MODULES if (spec := find_spec(name)) is not None]
    folders = sorted({str(Path(spec.origin).parents[1]) for spec in specs if spec.origin})
    (packages / "beside.py").write_text(_FINDER.format(folders=folders, modules=_MODULES), encoding="utf-8")
    (packages / "beside.pth").write_text("import beside\n", encoding="utf-8")
    for name, version in PACKAGES.items():
        set_version(checkout, name, version)
    (packages / f"flash_attn_2_cuda{sysconfig.get_config_var('EXT_SUFFIX')}").touch()
    return interpreter(checkout)


def interpreter(checkout: Path) -> Path:
    """The environment's Python."""
    return checkout / ".venv" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def site_packages(checkout: Path) -> Path:
    """Where the environment's packages lie."""
    if sys.platform == "win32":
        return checkout / ".venv" / "Lib" / "site-packages"
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return checkout / ".venv" / "lib" / version / "site-packages"


def set_version(checkout: Path, name: str, version: str) -> Path:
    """Install a package, or replace it by another version; its metadata."""
    remove_package(checkout, name)
    folder = site_packages(checkout) / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (folder / "METADATA").write_text(text, encoding="utf-8")
    return folder


def remove_package(checkout: Path, name: str) -> None:
    """Uninstall a package. One that is not there is no error."""
    for folder in site_packages(checkout).glob(f"{name.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(folder)
