"""What is no longer as a result's record says: files that changed, and another machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import config
from execution.record import plain
from execution.secrecy import has_removed_secret
from execution.weights_hashes import Report, hash_files, hash_weights


@dataclass(frozen=True)
class Difference:
    """One file that is not as it was recorded."""

    kind: Literal["missing", "changed", "unreadable"]
    role: str
    """What it is for people, such as "the result" or "the driving video"."""
    path: Path
    text: str
    """The whole sentence."""

    def as_data(self) -> dict[str, str]:
        """As plain data."""
        return {**asdict(self), "path": str(self.path)}


def verify_result_record(
    record: Mapping[str, Any], folder: Path | None = None, report: Report = lambda done, total: None
) -> list[Difference]:
    """Hash the result, the inputs, the intermediates and the weights again, from end to end.

    Args:
        record: from ``read_result_record``.
        folder: the record's; a result that lies there counts, though it was recorded elsewhere.
        report: progress, (bytes done, bytes in all); it raises to cancel.
    """
    recorded = [("the result", _beside(record["result"], folder)), *_inputs(record)]
    recorded += [(f"a file of the step {file['step']}", file) for file in record["intermediates"]]
    recorded += [(_weights_role(file), file) for file in record["weights"]]
    return _compare(recorded, report)


def differences_from(
    record: Mapping[str, Any], now: Mapping[str, Any], report: Report = lambda done, total: None
) -> list[str]:
    """What is not as it was when the result was made, one sentence each: why a rerun may differ.

    Inputs are hashed from end to end; of weights, what the cache knows is not read again.

    Args:
        record: from ``read_result_record``.
        now: facts of today, by the names that the record has for them: ``understudy``, ``libraries``,
            ``machine``, and those that the steps kept as ``facts``. What it does not name is not compared.
        report: as for ``verify_result_record``.
    """
    then = {name: record[name] for name in ("understudy", "libraries", "machine")}
    for step in (*record["earlier_steps"], *record["steps"]):
        then |= step.get("facts") or {}
    return [
        *_settings_that_are_lost(record["settings"]),
        *_changed_facts({name: then.get(name) for name in now}, plain(now)),
        *(difference.text for difference in _compare(_inputs(record), lambda done, total: None)),
        *_changed_weights(record["weights"], report),
    ]


def _beside(result: Mapping[str, Any], folder: Path | None) -> Mapping[str, Any]:
    beside = folder / Path(result["path"]).name if folder else None
    return {**result, "path": str(beside)} if beside and beside.is_file() else result


def _inputs(record: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"the {file['name']}", file) for file in record["inputs"]]


def _compare(recorded: Sequence[tuple[str, Mapping[str, Any]]], report: Report) -> list[Difference]:
    """Files that differ. What has another size is not read."""
    found: dict[int, Difference] = {}
    to_read: dict[Path, list[int]] = {}
    for number, (role, file) in enumerate(recorded):
        path = Path(file["path"])
        try:
            size = path.stat().st_size
            with path.open("rb"):
                pass
        except FileNotFoundError:
            found[number] = Difference("missing", role, path, f"{_named(role, path)} is missing.")
        except OSError as error:
            text = f"{_named(role, path)} cannot be read ({error.strerror})."
            found[number] = Difference("unreadable", role, path, text)
        else:
            if size == file["size"]:
                to_read.setdefault(path, []).append(number)
            else:
                what = f"changed: it has {size} bytes, and had {file['size']}"
                found[number] = Difference("changed", role, path, f"{_named(role, path)} {what}.")
    for path, sha256 in hash_files(list(to_read), report).items():
        for number in to_read[path]:
            role, file = recorded[number]
            if sha256 != file["sha256"]:
                text = f"{_named(role, path)} changed: its size is the same, its content is not."
                found[number] = Difference("changed", role, path, text)
    return [found[number] for number in sorted(found)]


def _named(role: str, path: Path) -> str:
    return f"{role[0].upper()}{role[1:]} ({path})"


def _changed_weights(weights: Sequence[Mapping[str, Any]], report: Report) -> Iterator[str]:
    there = {}
    for file in weights:
        path = Path(file["path"])
        if path.is_file():
            there[path] = file
        else:
            yield f"{_named(_weights_role(file), path)} is missing."
    for found in hash_weights(there, report):
        file = there[found.path]
        if found.sha256 != file["sha256"]:
            yield f"{_named(_weights_role(file), found.path)} changed."


def _weights_role(file: Mapping[str, Any]) -> str:
    return f"the weights file {file['name']}"


def _settings_that_are_lost(settings: Mapping[str, Any]) -> Iterator[str]:
    for name, value in settings.items():
        if has_removed_secret(value):
            yield f"A secret was taken out of the setting {name}, so it is not used: give --{name} again."
        elif name not in config.SETTINGS and value is not None:
            yield f"This version does not know the setting {name}, which was {_shown(value)}."


def _changed_facts(then: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    for name in dict.fromkeys([*then, *now]):
        before, after = then.get(name), now.get(name)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from _changed_facts(before, after, f"{within}{name.replace('_', ' ')}: ")
        elif before != after:
            whole_name = f"{within}{name}" if within else name.replace("_", " ")
            yield f"{whole_name} was {_shown(before)} and is {_shown(after)}."


def _shown(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
