"""Write the record beside a result: once it has its name, never with the environment or anything secret."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import config
from execution.fingerprint import describe_file
from execution.record import HIDDEN_FOLDER, plain, read_record, record_path, write_json
from execution.result_record import (
    SCHEMA,
    SCHEMA_VERSION,
    RecordError,
    is_ours,
    read_result_record,
    result_record_path,
)

if TYPE_CHECKING:
    from execution.runner import Planned
    from execution.step import Step
    from execution.weights_hashes import Report

_LIBRARIES: Final = (
    *("numpy", "scipy", "opencv-python-headless", "av", "ai-edge-litert", "psutil", "nvidia-ml-py"),
    *("filelock", "c2pa-python", "click", "rich", "PyYAML"),
)
_OF_THE_MAKING: Final = (
    *("understudy", "created", "command", "findings", "predicted", "machine", "libraries", "attempts"),
)
"""What a run that had nothing to do must not replace: it is about the run that made the result."""
_STEP_FIELDS: Final = (
    *("step", "stage", "engine", "understudy", "argv", "settings", "started", "seconds", "peak_memory"),
    *("why", "facts", "code_sha256", "weights_sample_sha256"),
)


def write_result_record(
    result: Path,
    *,
    stages: Sequence[int],
    settings: Mapping[str, Any],
    steps: Sequence[Planned],
    video: Mapping[str, Any],
    command: Sequence[str],
    findings: Sequence[Mapping[str, Any]] = (),
    predicted: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
    attempts: Sequence[Any] = (),
    report: Report = lambda done, total: None,
) -> bool:
    """Write the record of a result that has just been published; returns whether that was needed.

    After a run that had nothing to do, what an earlier record says of the making stays.

    Args:
        stages, settings: the Job's stages and values, from which it can be made again.
        steps: what ``run_steps`` returned.
        video: ``frames``, ``width``, ``height``, ``rate`` (such as "24000/1001") and ``audio`` of the result.
        command: as it was typed.
        findings, predicted, machine, attempts: what the check found, what was expected, where it ran, and
            what was tried before for want of memory; plain data.
        report: progress of hashing the weights, (bytes done, bytes in all); it raises to cancel.

    Raises:
        RecordError: a file that is no record of ours has the record's name.
        OSError: a file cannot be read, or the record not be written.
    """
    path = result_record_path(result)
    if path.exists() and not is_ours(path):
        raise RecordError(
            f"{path} is not a record of ours, and is left as it is. Move it away and run the same command "
            "again: nothing is computed anew, only the record is written."
        )
    kept = [(entry.step, read_record(record_path(entry.step))) for entry in steps]
    record = plain(
        {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "understudy": config.VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": command,
            "stages": stages,
            "settings": settings,
            "result": _described_result(result, kept, video),
            **_files(result, kept),
            "earlier_steps": list(map(_described_step, _earlier_steps(kept))),
            "steps": [_described_step(step) for _, step in kept],
            "weights": _weights(kept, report),
            "findings": findings,
            "predicted": predicted,
            "machine": machine or {},
            "libraries": own_libraries(),
            "attempts": attempts,
        }
    )
    old = _read_if_usable(path)
    if old and old["steps"] == record["steps"]:
        record |= {name: old[name] for name in _OF_THE_MAKING if name in old}
    if record == old:
        return False
    write_json(path, record, by_way_of=path.parent / HIDDEN_FOLDER)
    return True


def own_libraries() -> dict[str, str]:
    """Versions of the Python, and of the installed libraries, that our own process works with."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


# --------------------------------------------------------------------------------------------- composing

_Kept = Sequence[tuple["Step", Mapping[str, Any]]]
"""Steps, each with its own record."""


def _described_result(result: Path, kept: _Kept, video: Mapping[str, Any]) -> dict[str, Any]:
    known = {path: file for step, record in kept for path, file in _outputs(step, record)}
    return {**_file(result, describe_file(result, known.get(result))), **video}


def _files(result: Path, kept: _Kept) -> dict[str, Any]:
    """What the steps read that none of them made, and what they made besides the result."""
    made = {
        path: {"step": step.name, **_file(path, file)}
        for step, record in kept
        for path, file in _outputs(step, record)
    }
    read: dict[Path, dict[str, Any]] = {}
    for step, record in kept:
        for name, path, file in _inputs(step, record):
            if path not in made:
                read.setdefault(path, {"name": name, **_file(path, file)})
    made.pop(result, None)
    return {"inputs": list(read.values()), "intermediates": list(made.values())}


def _inputs(step: Step, record: Mapping[str, Any]) -> list[tuple[str, Path, Mapping[str, Any]]]:
    """Where they are now: a moved input is the same input, and its step did not run for it."""
    return [(name, path, record["inputs"][name]) for name, path in step.inputs.items()]


def _outputs(step: Step, record: Mapping[str, Any]) -> list[tuple[Path, Mapping[str, Any]]]:
    return [(step.folder / name, file) for name, file in record["outputs"].items()]


def _file(path: Path, described: Mapping[str, Any]) -> dict[str, Any]:
    return {"path": str(path), "size": described["size"], "sha256": described["sha256"]}


def _described_step(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: record.get(name) for name in _STEP_FIELDS},
        "inputs": {name: file["sha256"] for name, file in record["inputs"].items()},
        "outputs": {name: file["sha256"] for name, file in record["outputs"].items()},
    }


def _earlier_steps(kept: _Kept) -> list[Mapping[str, Any]]:
    """Steps of earlier runs that made what these read: stage 1 and what came before it, where stage 2 ran
    alone.
    """
    own = {record_path(step) for step, _ in kept}
    read = {path: file["sha256"] for step, record in kept for _, path, file in _inputs(step, record)}
    found: dict[Path, Mapping[str, Any]] = {}
    while new := {
        path: record
        for folder in {path.parent for path in read}
        for path, record in _finished_steps(folder)
        if path not in own | found.keys() and _made_one_of(read, folder, record)
    }:
        found |= new
        read |= {
            Path(file["path"]): file["sha256"] for step in new.values() for file in step["inputs"].values()
        }
    return sorted(found.values(), key=lambda record: str(record.get("started")))


def _finished_steps(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    for path in (folder / HIDDEN_FOLDER).glob("*.json"):
        record = read_record(path)
        if record.get("state") == "done":
            yield path, record


def _made_one_of(read: Mapping[Path, str], folder: Path, record: Mapping[str, Any]) -> bool:
    return any(read.get(folder / name) == file["sha256"] for name, file in record["outputs"].items())


def _weights(kept: _Kept, report: Report) -> list[dict[str, Any]]:
    from execution.weights_hashes import hash_weights

    paths = dict.fromkeys(path for step, _ in kept for path in step.weights)
    return [file.as_data() for file in hash_weights(paths, report)]


def _read_if_usable(path: Path) -> dict[str, Any]:
    try:
        return read_result_record(path)
    except RecordError:
        return {}
