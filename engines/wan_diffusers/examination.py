"""What diffusers needs of the installation and the machine, thing by thing, without a job."""

from __future__ import annotations

from collections.abc import Iterator

from config import Job
from engines import machine
from engines.findings import Finding
from engines.interface import Examined
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan_diffusers import check, machine_check
from engines.wan_diffusers.model_folder import BrokenModel
from engines.wan_diffusers.plan import read_model_of

_TOLD = ("torch", "diffusers", "transformers", "peft", "gguf", "torchao")


def examine(job: Job) -> Iterator[Examined]:
    """Python and packages, the model, the GPU."""
    found = tuple(check.installation_findings(job))
    mend = f"{job.diffusers_python} -m pip install -r requirements-diffusers.txt"
    yield Examined(area="packages", fine=_versions(job), findings=found, mend=mend)
    model: tuple[Finding, ...] = ()
    machines: tuple[Finding, ...] = ()
    fine = str(job.diffusers_model)
    try:
        whole = read_model_of(job)
        parameters = sum(whole.parameters.values())
        fine = f"{job.diffusers_model} ({parameters / 1e9:.2f} billion parameters)"
        machines = tuple(machine_check.findings(job, whole, None))
    except BrokenModel as error:
        model = (check.model_finding(error),)
        if not machine.gpus() and not machine.gpu_files_exist():
            machines = (machine_check.NO_GPU.found("No NVIDIA GPU was found.", "Use --engine preview."),)
    yield Examined(area="model", fine=fine, findings=model)
    chosen = machine_check.CHOSEN.code
    wrong = tuple(finding for finding in machines if finding.code != chosen)
    words = "; ".join(finding.what for finding in machines if finding.code == chosen)
    yield Examined(area="GPU and memory", fine=words, findings=wrong)


def _versions(job: Job) -> str:
    try:
        python = probe_interpreter(job.diffusers_python)
    except InterpreterError:
        return ""
    return ", ".join(f"{name} {python.packages[name]}" for name in _TOLD if name in python.packages)
