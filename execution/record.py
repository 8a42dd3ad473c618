"""What the last good run of a step had, whether that still holds, and if not, why.

The record is a JSON file in the hidden folder ``.understudy`` inside the step's folder, beside the log. It is
written twice: marked ``publishing`` before outputs get their final names, and ``done`` after. A folder whose
record says ``publishing`` was left half-way by a kill, and is never taken for finished.
"""

from __future__ import annotations

import enum
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import config
from execution.fingerprint import describe_file, digest_of_code, digest_of_weights
from execution.secrecy import without_secrets
from execution.step import Step
from execution.words import duration

HIDDEN_FOLDER = ".understudy"
_SCHEMA = 1


class Reason(enum.StrEnum):
    """Why a step runs."""

    NEW = "new"
    FORCED = "forced"
    UNFINISHED = "unfinished"
    INPUT = "input"
    SETTING = "setting"
    CODE = "code"
    WEIGHTS = "weights"
    OUTPUT = "output"
    EARLIER_STEP = "earlier step"


@dataclass(frozen=True)
class Why:
    """One reason, with the words for people."""

    reason: Reason
    text: str


def log_path(step: Step) -> Path:
    """Where the whole output of the step's last run is kept."""
    return step.folder / HIDDEN_FOLDER / f"{step.file_name}.log"


def record_path(step: Step) -> Path:
    """Where the step's record is kept."""
    return step.folder / HIDDEN_FOLDER / f"{step.file_name}.json"


def reasons_to_run(step: Step, *, made_anew: Mapping[Path, str] | None = None) -> tuple[Why, ...]:
    """Why the step must run; empty when the last good run still stands.

    Args:
        made_anew: files that an earlier step of the same plan will write, with that step's title.
    """
    made_anew = made_anew or {}
    record = read_record(record_path(step))
    if not record:
        return (Why(Reason.NEW, "it has not run before"),)
    if record["state"] != "done":
        return (Why(Reason.UNFINISHED, "its last run was broken off while it published its files"),)
    for path in step.inputs.values():
        if path in made_anew:
            return (Why(Reason.EARLIER_STEP, f"{made_anew[path]} runs before it"),)
    return (
        *_changed_outputs(step, record),
        *_changed_inputs(step, record),
        *_changed_settings(step, record),
        *_changed_code(step, record),
    )


def is_current(step: Step) -> bool:
    """Whether the step's outputs stand, so that what follows can be planned by them."""
    try:
        return not reasons_to_run(step)
    except OSError:
        return False


def describe(step: Step) -> dict[str, Any]:
    """What the step is about to run with; becomes its record when it ends well."""
    known = read_record(record_path(step)).get("inputs", {})
    return {
        "schema": _SCHEMA,
        "understudy": config.VERSION,
        "step": step.name,
        "stage": step.stage,
        "engine": step.engine,
        "settings": plain(step.settings),
        "argv": None if step.argv is None else without_secrets(step.command()),
        "inputs": {name: describe_file(path, known.get(name)) for name, path in step.inputs.items()},
        "code_sha256": digest_of_code(step.code),
        "weights_sample_sha256": digest_of_weights(step.weights) if step.weights else None,
    }


def publish(step: Step, scratch: Path, described: Mapping[str, Any], run: Mapping[str, Any]) -> None:
    """Give the outputs their final names, remove what is obsolete, and write the record.

    Args:
        described: what ``describe`` gave.
        run: what is known of the run: started, seconds, peak memory, why, facts. Records of earlier versions
            lack it; they count all the same.
    """
    described = {**described, **plain(run)}
    path = record_path(step)
    write_json(path, {**described, "state": "publishing"})
    for output in step.outputs:
        made = scratch / output.relative_to(step.folder)
        _flush(made)
        output.parent.mkdir(parents=True, exist_ok=True)
        made.replace(output)
    for leftover in step.obsolete:
        leftover.unlink(missing_ok=True)
    outputs = {str(output.relative_to(step.folder)): describe_file(output) for output in step.outputs}
    write_json(path, {**described, "outputs": outputs, "state": "done"})


def last_run_in_words(step: Step) -> str:
    """When the step last ran, and how long it took, as far as its record says."""
    path = record_path(step)
    record = read_record(path)
    seconds = record.get("seconds")
    try:
        since = datetime.fromisoformat(record["started"]) + timedelta(seconds=seconds or 0)
    except (KeyError, TypeError, ValueError):  # a record of an earlier version
        since = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    words = f"made on {since.astimezone():%Y-%m-%d at %H:%M:%S}"
    return words if not isinstance(seconds, (int, float)) else f"{words} in {duration(seconds)}"


def half_published(folder: Path, stage: int) -> str | None:
    """Name of a step of that stage that was broken off while it published into ``folder``, if any."""
    for path in sorted((folder / HIDDEN_FOLDER).glob("*.json")):
        record = read_record(path)
        if record.get("stage") == stage and record["state"] != "done":
            return str(record.get("step", path.stem))
    return None


def read_record(path: Path) -> dict[str, Any]:
    """The record, or an empty dict when there is none that can be used."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    usable = isinstance(record, dict) and record.get("schema") == _SCHEMA and "state" in record
    return record if usable else {}


def _changed_outputs(step: Step, record: Mapping[str, Any]) -> Sequence[Why]:
    known = record.get("outputs", {})
    found = []
    for output in step.outputs:
        name = str(output.relative_to(step.folder))
        if not output.is_file():
            found.append(Why(Reason.OUTPUT, f"{output.name} is missing"))
        elif describe_file(output, known.get(name))["sha256"] != known.get(name, {}).get("sha256"):
            found.append(Why(Reason.OUTPUT, f"{output.name} is not as the step left it"))
    return found


def _changed_inputs(step: Step, record: Mapping[str, Any]) -> Sequence[Why]:
    known = record.get("inputs", {})
    found = []
    for name, path in step.inputs.items():
        if not path.is_file():
            found.append(Why(Reason.INPUT, f"the {name} is missing"))
        elif describe_file(path, known.get(name))["sha256"] != known.get(name, {}).get("sha256"):
            found.append(Why(Reason.INPUT, f"the {name} changed" if name in known else f"the {name} is new"))
    gone = [name for name in known if name not in step.inputs]
    return [*found, *(Why(Reason.INPUT, f"the {name} is no longer asked for") for name in gone)]


def _changed_settings(step: Step, record: Mapping[str, Any]) -> Sequence[Why]:
    before, now = record.get("settings", {}), plain(step.settings)
    found = [] if record.get("engine") == step.engine else [Why(Reason.SETTING, "the engine is another")]
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            found.append(
                Why(Reason.SETTING, f"{name} changed from {before.get(name)!r} to {now.get(name)!r}")
            )
    return found


def _changed_code(step: Step, record: Mapping[str, Any]) -> Sequence[Why]:
    found = []
    if digest_of_code(step.code) != record.get("code_sha256"):
        found.append(Why(Reason.CODE, "the code of the step changed"))
    weights = digest_of_weights(step.weights) if step.weights else None
    if weights != record.get("weights_sample_sha256"):
        found.append(Why(Reason.WEIGHTS, "the model's weights changed"))
    return found


def _flush(path: Path) -> None:
    # Reading is enough to flush on POSIX, and a file can be read-only: upstream copies permissions.
    with path.open("rb" if os.name == "posix" else "rb+") as file:
        os.fsync(file.fileno())


def plain(content: Mapping[str, Any]) -> dict[str, Any]:
    """As a record holds it: what JSON knows, and nothing secret."""
    plain: dict[str, Any] = without_secrets(json.loads(json.dumps(content, default=str)))
    return plain


def write_json(path: Path, content: Mapping[str, Any], *, by_way_of: Path | None = None) -> None:
    """Write a file that is there whole or not at all, also when the machine stops in the midst of it.

    It is written in the folder ``by_way_of`` (its own unless one is given, on the same file system) and
    renamed.
    """
    folder = by_way_of or path.parent
    folder.mkdir(parents=True, exist_ok=True)
    # Threads write too: two that share one temporary file would mix their contents.
    temporary = folder / f".{path.name}.{os.getpid()}-{threading.get_ident()}"
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)  # in ASCII: file names need not be valid Unicode
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
