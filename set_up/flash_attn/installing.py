"""flash-attn 2 for upstream's Python: the ready-made wheel that fits its torch, installed and imported."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Final

from engines.wan22.flash_attention import flash_attention_findings
from engines.wan22.interpreter import Interpreter, InterpreterError, probe_interpreter
from set_up.errors import SetUpError
from set_up.flash_attn.wheels import Choice, Machine, NoWheel, choose
from set_up.flash_attn.where import by_hand, failed_download, failed_import, from_elsewhere
from set_up.session import Session

_SCRIPT: Final = Path(__file__).with_name("describe_torch.py")
_PATIENCE: Final = 300.0
"""Seconds for an import of torch: minutes from a cold network disk."""
_OLDEST_GENERATION: Final = (8, 0)
_TEST: Final = "import flash_attn, flash_attn_2_cuda; print(flash_attn.__version__)"
_LATER: Final = ("flash-attn-3", "flash-attn-4")
_PATTERN: Final = "flash_attn-2.8.3+cu{CUDA}torch{TORCH}cxx11abi{TRUE|FALSE}-{PYTHON}-{PYTHON}-{PLATFORM}.whl"
_MAKE_ENVIRONMENT: Final = "Make upstream's environment first: python scripts/setup_wan22.py --only env"


def flash_attn_in_place(python: Path) -> bool:
    """Whether version 2 is there, whole, and by its name built for this Python and its torch.

    Nothing is imported: the interpreter is asked for names and versions alone.
    """
    try:
        found = probe_interpreter(python)
    except InterpreterError:
        return False
    return _in_place(found)


def install_flash_attn(
    python: Path, session: Session, *, wheels_from: str | None = None, community: bool = False
) -> None:
    """Install the ready-made wheel of flash-attn 2 for an interpreter, unless it is there, and import it.

    Args:
        python: upstream's interpreter, with torch.
        wheels_from: another place with wheels of the same names, an address or a folder.
        community: take a wheel that others built where flash-attn's authors have none. Where they have none
            for the whole platform (Windows), it is taken in any case, and said.

    Raises:
        SetUpError: there is no wheel for it; it cannot be had; it does not work.
    """
    found = _asked(python, session)
    if found is None:
        return
    if _in_place(found):
        session.say(
            f"flash-attn {found.version_of('flash-attn')} is there, for torch {found.version_of('torch')}"
        )
        return
    _say_what_is_there(found, session)
    _check_gpus()
    machine = torch_machine(python)
    wheel, name = _where(machine, wheels_from, session, community=community)
    force = ["--force-reinstall"] if "flash-attn" in found.packages or "flash_attn" in found.modules else []
    command = [str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", *force, wheel]
    try:
        session.run(command, doing="installing flash-attn")
    except SetUpError as error:
        raise failed_download(error, wheel, name, python) from error
    _import(python, machine, name, session)


def torch_machine(python: Path) -> Machine:
    """What decides on the wheel, asked of the interpreter itself, which imports its torch for it.

    Raises:
        SetUpError: it cannot be asked, or it has no torch that can be imported.
    """
    try:
        done = subprocess.run(
            [str(python), str(_SCRIPT)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONWARNINGS": "ignore"},
            timeout=_PATIENCE,
            check=False,
        )
        # The last line is ours: what .pth files and libraries print comes before.
        facts = json.loads(done.stdout.decode("utf-8", "replace").strip().splitlines()[-1])
        if "error" in facts:
            raise SetUpError(f"torch cannot be imported by {python} ({facts['error']}).", _MAKE_ENVIRONMENT)
        if facts["hip"]:
            what = f"torch {facts['torch']} of {python} is a build for AMD GPUs; upstream asks for CUDA."
            raise SetUpError(what, _MAKE_ENVIRONMENT, wrong_request=True)
        glibc = tuple(map(int, facts["glibc"].split(".")[:2])) if facts["glibc"] else None
        return Machine(
            python=facts["python"],
            platform=facts["platform"],
            torch=facts["torch"],
            cuda=facts["cuda"],
            cxx11abi=facts["cxx11abi"],
            glibc=glibc if glibc is None or len(glibc) == 2 else None,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SetUpError(f"{python} does not answer ({error}).", _MAKE_ENVIRONMENT) from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = said[-1][:200] if said else f"exit code {done.returncode}"
        raise SetUpError(f"{python} cannot tell which torch it has ({reason}).", _MAKE_ENVIRONMENT) from error


def _in_place(found: Interpreter) -> bool:
    metadata = found.metadata.get("flash-attn")
    if metadata is None or "torch" not in found.packages or any(flash_attention_findings(found)):
        return False
    return metadata.suffix != ".dist-info" or _is_whole(metadata)


def _is_whole(metadata: Path) -> bool:
    """Whether the installer came to its end: last it lists the files, and among them its own, INSTALLER."""
    try:
        return "/INSTALLER," in (metadata / "RECORD").read_text(encoding="utf-8").replace("\\", "/")
    except (OSError, ValueError):
        return False


def _asked(python: Path, session: Session) -> Interpreter | None:
    """The interpreter's own answer; None if this is a dry run in which there is none yet."""
    try:
        found = probe_interpreter(python)
        if "torch" in found.packages or "torch" in found.modules:
            return found
        what = f"{python} has no torch, and flash-attn's wheel is chosen by it."
    except InterpreterError as error:
        what = f"{python} {error}."
    if not session.dry_run:
        raise SetUpError(what, _MAKE_ENVIRONMENT)
    session.say("the wheel is chosen when torch is there; its name will be of this form:")
    session.run(
        [str(python), "-m", "pip", "install", "--no-deps", "--no-build-isolation", _PATTERN],
        doing="installing flash-attn",
    )
    return None


def _say_what_is_there(found: Interpreter, session: Session) -> None:
    later = next((name for name in _LATER if name in found.packages), None)
    if later is not None and "flash-attn" not in found.packages:
        session.note(
            f"{later} {found.packages[later]} is there, but upstream needs version 2: its CLIP encoder and "
            "its face adapter ask for that. It is installed beside it."
        )
    for finding in flash_attention_findings(found) if "flash-attn" in found.packages else ():
        session.say(f"{finding.what} It is replaced.")


def _check_gpus() -> None:
    """Refuse a machine whose GPUs are all too old. None at all is well: it may be set up for another."""
    from engines.machine import gpus

    seen = gpus()
    if seen and all(gpu.generation < _OLDEST_GENERATION for gpu in seen):
        generation = ".".join(map(str, seen[0].generation))
        raise SetUpError(
            f"{seen[0].name} has compute capability {generation}; flash-attn 2 needs 8.0 (Ampere) or later.",
            "Use an Ampere GPU or a later one; the preview engine needs none.",
            wrong_request=True,
        )


def _where(
    machine: Machine, wheels_from: str | None, session: Session, *, community: bool
) -> tuple[str, str]:
    """What pip is given, an address or a file, and the wheel's name."""
    chosen = choose(machine, community=community)
    if machine.cuda is None:
        assert isinstance(chosen, NoWheel)  # noqa: S101  by its contract
        raise SetUpError(chosen.why, _without_cuda(machine), wrong_request=True)
    session.say(
        f"Python {machine.python}, torch {machine.torch}, CUDA {machine.cuda}, "
        f"cxx11abi{str(machine.cxx11abi).upper()}, {machine.platform}"
    )
    if wheels_from is not None:
        return from_elsewhere(wheels_from, machine, chosen, session)
    if isinstance(chosen, Choice):
        for note in chosen.notes:
            session.note(note)
        return chosen.wheel.address, str(chosen.wheel.name)
    raise SetUpError(chosen.why, by_hand(chosen), wrong_request=True)


def _without_cuda(machine: Machine) -> str:
    if machine.platform.startswith("macosx"):
        return "macOS has no CUDA: use --engine preview here, and the official model on Linux or Windows."
    return (
        "On a machine with an NVIDIA GPU install a CUDA build of torch; this chooses it by the driver: "
        "python scripts/setup_wan22.py --only env"
    )


def _import(python: Path, machine: Machine, name: str, session: Session) -> None:
    """Import it as upstream does; what does not load is taken out again, so that none takes it for done."""
    try:
        said = session.run([str(python), "-c", _TEST], doing="importing flash-attn")
    except SetUpError as error:
        session.run(
            [str(python), "-m", "pip", "uninstall", "--yes", "flash-attn"], doing="taking it out again"
        )
        raise failed_import(error, name, machine) from error
    if not session.dry_run:
        version = said.strip().splitlines()[-1] if said.strip() else "2"
        session.say(f"flash-attn {version} can be imported with torch {machine.torch}")
