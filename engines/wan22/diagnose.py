"""What the log of a failed command says, in plain words: upstream's errors and those of its libraries.

The table is in ``signatures_machine.py`` and ``signatures_upstream.py``. It is read from the top, so that the
most specific cause is found first.
"""

from __future__ import annotations

import re
from typing import Final

from engines.wan22.packages import NEEDED
from engines.wan22.signatures_machine import GPU, INSTALLATION, MEMORY, PROCESSES, SAVING
from engines.wan22.signatures_upstream import LOADING, STAGE_1, STAGE_2
from execution.step import Diagnosis

SIGNATURES: Final = (*MEMORY, *SAVING, *INSTALLATION, *GPU, *LOADING, *STAGE_1, *STAGE_2, *PROCESSES)

_RANK = re.compile(r"^\[(?:rank|default)\d+\]:\s?", re.MULTILINE)
_MISSING = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)
_OWN_MODULES = (
    "wan",
    "pose2d",
    "process_pipepline",
    "sam_utils",
    "video_predictor",
    "retarget_pose",
    "utils",
)
_INSTALLERS = {package.module: package.install_as or package.names[0] for package in NEEDED} | {
    "sam2": "--no-deps --no-build-isolation sam2==1.1.0",
    "onnx": "onnx",
    "yaml": "PyYAML",
    "iopath": "iopath",
    "google": "protobuf",
}


def diagnose(log: str) -> Diagnosis | None:
    """What a failed command died of, with the remedy; None when its log is not understood.

    Args:
        log: the end of its output, both streams together. Any text can come.
    """
    text = _RANK.sub("", log.replace("\r", "\n"))  # progress bars return the carriage; torchrun names ranks
    for signature in SIGNATURES:
        if match := signature.pattern.search(text):
            found = {name: (value or "").strip() for name, value in match.groupdict().items()}
            return Diagnosis(signature.cause, signature.text.format(**found))
    if match := _MISSING.search(text):
        return _missing_module(match[1])
    return None


def _missing_module(name: str) -> Diagnosis:
    package = name.partition(".")[0]
    if package in _OWN_MODULES:
        return Diagnosis(
            "checkout",
            f"Upstream does not find its own module {name}: its checkout is not whole. Clone it again at the "
            "pinned commit, and give its folder with --wan22_dir.",
        )
    if package != name and package in _INSTALLERS:
        return Diagnosis(
            "module-version",
            f"The {package} of upstream's Python has no {name}: its version does not fit the others. "
            f"Install the one that upstream asks for: <its python> -m pip install {_requirement(package)}",
        )
    return Diagnosis(
        "module-missing",
        f"Upstream's Python lacks the module {name}. Install it for that Python (see --wan22_python): "
        f"<its python> -m pip install {_requirement(package)}",
    )


def _requirement(package: str) -> str:
    requirement = _INSTALLERS.get(package, package)
    return f'"{requirement}"' if "<" in requirement or ">" in requirement else requirement
