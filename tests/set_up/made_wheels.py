"""Real wheels, small ones, of every package that the set-up installs: for the real pip, without the network.

Each has the name and the version of ours, a module that knows its version, and nothing else. pip takes them
from their folder when PIP_NO_INDEX=1 and PIP_FIND_LINKS=FOLDER are in its environment.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from set_up.environment.imports import modules_to_import
from set_up.environment.torch_choice import TORCH_VERSIONS
from set_up.environment.versions import constraints_file

MODULES: Final = {
    "antlr4-python3-runtime": "antlr4", "dashscope": "dashscope", "flash-attn": "flash_attn",
    "hydra-core": "hydra", "imageio-ffmpeg": "imageio_ffmpeg", "onnxruntime-gpu": "onnxruntime",
    "opencv-python-headless": "cv2", "pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn",
}  # fmt: skip
"""The module of a package, where it is not the package's own name."""
EXTRAS: Final = {"imageio": ("ffmpeg",)}
CUDA_OF_TAG: Final = {"cu126": "12.6", "cu128": "12.8", "cu129": "12.9", "cpu": None}
FLASH_ATTN: Final = "2.8.3+cu12torch2.8cxx11abiTRUE"
SAM2: Final = "1.1.0"
_TORCH: Final = {
    "torch": (
        "from torch import _C, cuda, version\n__version__ = version.__version__\n"
        "def compiled_with_cxx11_abi():\n    return _C._GLIBCXX_USE_CXX11_ABI\n"
    ),
    "torch/_C.py": "_GLIBCXX_USE_CXX11_ABI = True\n",
    "torch/cuda.py": "def is_available():\n    return False\n",
}


def make_wheelhouse(folder: Path, *, leave_out: Sequence[str] = ()) -> Path:
    """Fill a folder with wheels of all that the set-up installs, with each build of torch; the folder.

    Args:
        leave_out: packages of which there shall be none, by name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, version in (*pinned_versions(), ("sam2", SAM2)):
        if name not in {*leave_out, *TORCH_VERSIONS}:
            make_wheel(folder, name, version, extras=EXTRAS.get(name, ()))
    for name, version in TORCH_VERSIONS.items():
        for tag in CUDA_OF_TAG:
            if name not in leave_out:
                modules = _torch(version, tag) if name == "torch" else None
                make_wheel(folder, name, f"{version}+{tag}", modules)
    return folder


def make_flash_attn(folder: Path, python_tag: str) -> Path:
    """A wheel named as the official ones of flash-attn 2 for this Python (cp311); no compiled code."""
    modules = {"flash_attn": '__version__ = "2.8.3"\n', "flash_attn_2_cuda": ""}
    tag = f"{python_tag}-{python_tag}-linux_x86_64"
    return make_wheel(folder, "flash-attn", FLASH_ATTN, modules=modules, tag=tag)


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    modules: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
    *,
    extras: Sequence[str] = (),
    requires: Sequence[str] = (),
) -> Path:
    """One wheel.

    Args:
        modules: what is in them, by name (``cv2``) or by file name (``cv2/version.py``); without them, one
            module that knows its version.
    """
    if modules is None:
        modules = _modules(name, version)
    distribution = re.sub(r"[-_.]+", "_", name)
    information = f"{distribution}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Provides-Extra: {extra}" for extra in extras]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    files = {_file_name(module): text for module, text in modules.items()}
    files[f"{information}/METADATA"] = "\n".join(metadata) + "\n"
    files[f"{information}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    )
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in files.items())
    files[f"{information}/RECORD"] = f"{record}{information}/RECORD,,\n"
    wheel = folder / f"{distribution}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return wheel


def pinned_versions() -> list[tuple[str, str]]:
    """Name and version of each line of our constraints, for whatever Python or system it is."""
    text = constraints_file().read_text(encoding="utf-8")
    return re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)


def _modules(name: str, version: str) -> dict[str, str]:
    """A module that knows its version, with the parts that the set-up imports of it."""
    top = MODULES.get(name, name.replace("-", "_").replace(".", "_"))
    modules = {top: f"__version__ = {version!r}\n"}
    for wanted in modules_to_import():
        module, _, attribute = wanted.partition(":")
        if module.partition(".")[0] == top:
            modules.setdefault(module, "")
            modules[module] += f"{attribute} = object()\n" if attribute else ""
    return modules


def _torch(version: str, tag: str) -> dict[str, str]:
    text = f"__version__ = '{version}+{tag}'\ncuda = {CUDA_OF_TAG[tag]!r}\nhip = None\n"
    return {**_TORCH, "torch/version.py": text}


def _file_name(module: str) -> str:
    return module if module.endswith(".py") else f"{module.replace('.', '/')}/__init__.py"


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
