"""The official repository's installation, and this machine, thing by thing, without a job."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from config import DEFAULTS, GENERATION, PREPROCESSING, Job
from engines import machine
from engines.interface import Examined
from engines.wan22 import checkout, installation
from engines.wan22.flash_attention import INSTALL, flash_attention_findings
from engines.wan22.interpreter import Interpreter, InterpreterError, probe_interpreter
from engines.wan22.machine_check import machine_findings
from engines.wan22.weights import DOWNLOAD, weights_beyond, weights_in_folder

_TOLD: Final = ("torch", "numpy", "diffusers", "transformers", "onnxruntime-gpu", "onnxruntime", "sam2")
"""Packages whose versions are shown."""


def examine(job: Job) -> Iterator[Examined]:
    """Checkout, Python, packages, flash-attn, weights by what they are for, GPU, memory, disk."""
    job = replace(job, stages=(PREPROCESSING, GENERATION), replace=False)
    code = tuple(installation.code_findings(job))
    commit = checkout.commit_of(job.wan22_dir)
    yield Examined(
        area="checkout",
        fine=f"{job.wan22_dir}" + (f" at {commit[:7]}" if commit else ""),
        findings=code,
        mend=_command(installation.SET_UP, "--only repo", job, "wan22_dir"),
    )
    yield from _python(job)
    yield from _weights(job)
    yield from _machine(job)


# ----------------------------------------------------------------------------------- Python and packages


def _python(job: Job) -> Iterator[Examined]:
    mend = _command(installation.SET_UP, "--only env", job, "wan22_dir")
    found = tuple(installation.python_findings(job))
    try:
        python = None if found else probe_interpreter(job.wan22_python)
    except InterpreterError:  # it went away between the two
        python = None
    version = "" if python is None else ".".join(map(str, python.python))
    yield Examined(area="Python", fine=f"{version}, {job.wan22_python}", findings=found, mend=mend)
    if python is None:
        return
    own = job.wan22_python.is_relative_to(job.wan22_dir)  # else the findings' own commands are the right ones
    # Replace mode needs what animate mode needs, and SAM 2's own parts.
    packages = tuple(installation.packages_findings(replace(job, replace=True)))
    yield Examined(area="packages", fine=_versions(python), findings=packages, mend=mend if own else "")
    flash = tuple(flash_attention_findings(python))
    mend = f"{INSTALL} --python {job.wan22_python}"
    version = python.version_of("flash-attn") or ""
    yield Examined(area="flash-attn", fine=version, findings=flash, mend=mend)


def _versions(python: Interpreter) -> str:
    told = [f"{name} {python.packages[name]}" for name in _TOLD if name in python.packages]
    return ", ".join(told)


# ----------------------------------------------------------------------------------------------- weights


def _weights(job: Job) -> Iterator[Examined]:
    """What animate mode needs, then what each feature needs beside it."""
    base = weights_in_folder(job)
    mend = _command(DOWNLOAD, "", job, "ckpt_dir")
    yield Examined(area="weights", fine=f"{job.ckpt_dir}", findings=tuple(base), mend=mend)
    features: Sequence[tuple[str, str, Job]] = (
        ("weights for --replace", "replace", replace(job, replace=True)),
        ("weights for relighting", "relighting", replace(job, use_relighting_lora=True)),
        ("weights for --use_flux", "flux", replace(job, use_flux=True)),
    )
    for area, feature, asking in features:
        mend = _command(DOWNLOAD, f"--for {feature}", job, "ckpt_dir")
        more = tuple(weights_beyond(asking, job))
        yield Examined(area=area, fine="there", findings=more, mend=mend, needed=False)


# ----------------------------------------------------------------------------------------------- machine


def _machine(job: Job) -> Iterator[Examined]:
    found = list(machine_findings(job, None))
    host = tuple(finding for finding in found if finding.code.startswith("machine.host"))
    disk = tuple(finding for finding in found if finding.code.startswith("machine.disk"))
    gpu = tuple(finding for finding in found if finding not in (*host, *disk))
    names = ", ".join(f"{each.name} ({each.memory_total / 2**30:.0f} GiB)" for each in machine.gpus())
    yield Examined(area="GPU", fine=names, findings=gpu)
    memory = machine.host_memory()
    fine = f"{memory.available / 2**30:.0f} of {memory.total / 2**30:.0f} GiB free"
    yield Examined(area="memory", fine=fine, findings=host)
    try:
        _, free = machine.free_space(job.output_path.parent)
        fine = f"{free / 2**30:.0f} GiB free"
    except OSError:
        fine = "the disk does not tell"
    yield Examined(area="disk", fine=fine, findings=disk)


def _command(command: str, words: str, job: Job, setting: str) -> str:
    """With the folder where it is not the default one."""
    folder: Path = getattr(job, setting)
    if folder != Path.cwd() / DEFAULTS[setting]:
        words = f"{words} --{setting} {folder}".strip()
    return f"{command} {words}".strip()
