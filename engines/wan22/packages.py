"""The packages that upstream needs, held against what is installed for its Python, by metadata alone.

Their versions: see ``package_versions.py``; flash-attn: see ``flash_attention.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from config import GENERATION, PREPROCESSING, Job
from engines.findings import Finding, kind
from engines.wan22.interpreter import Interpreter

_AT_START = "Upstream's script ends while it imports, or in the middle of its work."

MODULES = kind("install.modules", "error", "Packages that upstream imports are missing", _AT_START)
TORCH = kind("install.torch", "error", "torch is missing", _AT_START)
TORCH_CPU = kind(
    "install.torch-cpu",
    "error",
    "A torch that knows no GPU",
    "Upstream asks for the GPU while it imports: Torch not compiled with CUDA enabled.",
)
SAM2 = kind(
    "install.sam2",
    "error",
    "SAM 2 is missing",
    "Stage 1 imports it in every mode, also where no mask is made.",
)
SAM2_EXTENSION = kind(
    "install.sam2-extension",
    "error",
    "SAM 2 without its compiled part",
    "This version of SAM 2 needs it to clean its masks: an ImportError after all frames were segmented.",
)
ONNX_ON_CPU = kind(
    "install.onnxruntime-cpu",
    "warning",
    "ONNX Runtime without GPU",
    "Stage 1 finds people and poses on the CPU then, in silence: seconds for each frame.",
)
ONNX_TWICE = kind(
    "install.onnxruntime-both",
    "warning",
    "Two builds of ONNX Runtime",
    "They overwrite each other's files: which one is used, the GPU's or the CPU's, is chance.",
)


@dataclass(frozen=True)
class Package:
    """One module that upstream imports, and the packages that bring it; the first is what to install."""

    module: str
    names: tuple[str, ...]
    stages: tuple[int, ...]
    only_flux: bool = False
    install_as: str = ""
    """What pip is told, where it is more than the name."""


_ONE, _TWO, _BOTH = (PREPROCESSING,), (GENERATION,), (PREPROCESSING, GENERATION)
OPENCV: Final = tuple(
    f"opencv-{kind}" for kind in ("python", "python-headless", "contrib-python", "contrib-python-headless")
)
NEEDED: Final = (
    Package("numpy", ("numpy",), _BOTH, install_as="numpy<2"),
    Package("cv2", OPENCV, _BOTH),
    Package("decord", ("decord", "eva-decord"), _BOTH),
    Package("PIL", ("pillow",), _BOTH),
    Package("tqdm", ("tqdm",), _BOTH),
    Package("diffusers", ("diffusers",), _BOTH, install_as="diffusers>=0.35"),
    Package("onnxruntime", ("onnxruntime-gpu", "onnxruntime"), _ONE),
    Package("moviepy", ("moviepy",), _ONE),
    Package("loguru", ("loguru",), _ONE),
    Package("matplotlib", ("matplotlib",), _ONE),
    Package("hydra", ("hydra-core",), _ONE),
    Package("omegaconf", ("omegaconf",), _ONE),
    Package("transformers", ("transformers",), _ONE, only_flux=True, install_as="transformers<=4.51.3"),
    Package("accelerate", ("accelerate",), _ONE, only_flux=True),
    Package("sentencepiece", ("sentencepiece",), _ONE, only_flux=True),
    Package("transformers", ("transformers",), _TWO, install_as="transformers<=4.51.3"),
    Package("accelerate", ("accelerate",), _TWO),
    Package("torchvision", ("torchvision",), _TWO),
    Package("peft", ("peft",), _TWO),
    Package("safetensors", ("safetensors",), _TWO),
    Package("imageio", ("imageio",), _TWO),
    Package("imageio_ffmpeg", ("imageio-ffmpeg",), _TWO),
    Package("easydict", ("easydict",), _TWO),
    Package("ftfy", ("ftfy",), _TWO),
    Package("regex", ("regex",), _TWO),
    Package("einops", ("einops",), _TWO),
    Package("dashscope", ("dashscope",), _TWO),
    Package("librosa", ("librosa",), _TWO),
)


def is_upstreams(python: Interpreter) -> bool:
    """Whether anything of upstream's is installed there, so that it may be meant for upstream."""
    return any(_is_there(python, name) for name in ("torch", "diffusers", "decord"))


def package_findings(job: Job, python: Interpreter) -> Iterator[Finding]:
    """Packages that are missing, or builds that cannot do the job."""
    yield from _missing(job, python)
    yield from _torch(job, python)
    if PREPROCESSING in job.stages:
        yield from _of_stage_1(job, python)


def install_command(python: Interpreter, *requirements: str) -> str:
    """The command that installs these for upstream's Python, as it is typed."""
    words = [f'"{word}"' if set(word) & set("<>=* ") else word for word in requirements]
    return f"{python.path} -m pip install {' '.join(words)}"


def release(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare: 2.8.0+cu128 is (2, 8, 0)."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _is_there(python: Interpreter, module: str, names: tuple[str, ...] = ()) -> bool:
    """By metadata; a module that some other installer put there counts as well."""
    return python.version_of(*(names or (module,))) is not None or module in python.modules


def _missing(job: Job, python: Interpreter) -> Iterator[Finding]:
    missing = [
        package.install_as or package.names[0]
        for package in NEEDED
        if set(package.stages) & set(job.stages)
        and (job.use_flux or not package.only_flux)
        and not _is_there(python, package.module, package.names)
    ]
    missing = list(dict.fromkeys(missing))
    if missing:
        names = ", ".join(re.split("[<>=]", word)[0] for word in missing)
        what = f"Upstream's Python, {python.path}, lacks {names}."
        yield MODULES.found(what, f"Install: {install_command(python, *missing)}")


def _torch(job: Job, python: Interpreter) -> Iterator[Finding]:
    if not _is_there(python, "torch"):
        what = f"Upstream's Python, {python.path}, lacks torch."
        remedy = f"Install: {install_command(python, 'torch==2.8.*', 'torchvision', 'torchaudio')}"
        yield TORCH.found(what, remedy)
        return
    if needs_gpu(job) and torch_cuda(python) == "":
        what = f"The torch {python.version_of('torch')} of {python.path} is a build for CPUs."
        remedy = "Install a CUDA build from pytorch.org, torch 2.8 for choice: flash-attn has wheels for it."
        yield TORCH_CPU.found(what, remedy)


def needs_gpu(job: Job) -> bool:
    """Whether a stage of the job ends without a GPU; stage 1 in animate mode is only slow."""
    return GENERATION in job.stages or job.masks_in_stage_1 or job.use_flux


def torch_cuda(python: Interpreter) -> str | None:
    """The CUDA version for which torch was built, such as 12.8; empty for a CPU build, None if unknown.

    Taken from the file that torch's own build writes, beside its metadata; else from the version's tag.
    """
    version = python.version_of("torch")
    if version is None:
        return None
    written = python.metadata["torch"].parent / "torch" / "version.py"
    try:
        text = written.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if match := re.search(r"^cuda\b[^=\n]*=\s*(?:'([\d.]+)'|None)", text, re.MULTILINE):
        is_amd = re.search(r"^hip\b[^=\n]*=\s*'", text, re.MULTILINE)
        return match[1] or (None if is_amd else "")
    tag = version.partition("+")[2]
    if match := re.fullmatch(r"cu(\d+)(\d)", tag):
        return f"{match[1]}.{match[2]}"
    on_index = python.platform != "linux" and not tag  # the package index has CPU builds for these
    return "" if tag == "cpu" or on_index else None


def _of_stage_1(job: Job, python: Interpreter) -> Iterator[Finding]:
    yield from _sam2(job, python)
    builds = {name for name in ("onnxruntime", "onnxruntime-gpu") if name in python.packages}
    if len(builds) == 2:
        what = f"{python.path} has both onnxruntime and onnxruntime-gpu."
        remedy = (
            f"Uninstall both ({python.path} -m pip uninstall onnxruntime onnxruntime-gpu), "
            "then install onnxruntime-gpu."
        )
        yield ONNX_TWICE.found(what, remedy)
    elif builds == {"onnxruntime"}:
        what = f"The onnxruntime of {python.path} is the CPU's build, though upstream's list names it."
        remedy = (
            f"Put the GPU's in its place: {python.path} -m pip uninstall onnxruntime, "
            f"then {install_command(python, 'onnxruntime-gpu')}"
        )
        yield ONNX_ON_CPU.found(what, remedy)


def _sam2(job: Job, python: Interpreter) -> Iterator[Finding]:
    version = python.version_of("sam2", "sam-2")
    if version is None and "sam2" not in python.modules:
        what = f"Upstream's Python, {python.path}, lacks SAM 2."
        yield SAM2.found(what, f"Install: {_install_sam2(python)}")
        return
    folder = python.modules.get("sam2")
    is_old = version is not None and release(version) < (1, 1)
    if job.masks_in_stage_1 and is_old and folder is not None and not any(folder.glob("_C*")):
        what = f"SAM 2 {version} in {folder} was installed without its compiled part, sam2._C."
        remedy = f"Install a newer one, which works without it: {_install_sam2(python)}"
        yield SAM2_EXTENSION.found(what, remedy)


def _install_sam2(python: Interpreter) -> str:
    """Without its compiled part, which takes a compiler, and without a second torch to build it with."""
    command = f"{python.path} -m pip install --no-deps --no-build-isolation sam2==1.1.0"
    return command if python.platform == "win32" else f"SAM2_BUILD_CUDA=0 {command}"
