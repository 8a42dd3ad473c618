"""Print, as one line of JSON, which wheels of compiled packages fit the interpreter that runs this.

    <upstream's python> describe_torch.py

It imports torch, for torch alone knows which C++ interface it was built with. In any Python from 3.7 on.
"""

from __future__ import annotations

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  as describe_python.py
sys.path = [entry for entry in sys.path if entry and os.path.abspath(entry) != _HERE]  # noqa: PTH100

import importlib  # noqa: E402  not from this folder
import json  # noqa: E402
import platform  # noqa: E402
import sysconfig  # noqa: E402


def describe() -> dict[str, object]:
    """The facts; torch's are missing where it cannot be imported, with the reason."""
    name, version = platform.libc_ver()
    threads = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
    implementation = {"cpython": "cp", "pypy": "pp"}.get(sys.implementation.name, "other")
    facts: dict[str, object] = {
        "python": "{}{}{}{}".format(implementation, *sys.version_info[:2], threads),
        "platform": sysconfig.get_platform().replace("-", "_").replace(".", "_"),
        "glibc": version if name == "glibc" else None,
    }
    try:
        torch = importlib.import_module("torch")
        facts["torch"] = str(torch.__version__)
        facts["cuda"] = torch.version.cuda
        facts["hip"] = getattr(torch.version, "hip", None)
        facts["cxx11abi"] = bool(getattr(torch._C, "_GLIBCXX_USE_CXX11_ABI", False))
    except Exception as error:  # whatever a broken torch raises
        facts["error"] = f"{type(error).__name__}: {error}"
    return facts


if __name__ == "__main__":
    print(json.dumps(describe()))
