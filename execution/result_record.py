"""The record beside a result: what it is, and reading it.

It tells everything that made the result, in one file that can make it again; ``docs/record.md`` describes the
fields, and ``result_writing`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import config
from execution.secrecy import has_removed_secret

SCHEMA: Final = "understudy.result"
SCHEMA_VERSION: Final = 1
_STAGES: Final = (config.PREPROCESSING, config.MASKING, config.GENERATION, config.FINISHING)
_LARGEST_BYTES: Final = 2**26


class RecordError(Exception):
    """A result's record cannot be used, or not be written. The message says why, and what to do."""


def result_record_path(result: Path) -> Path:
    """``clip.json`` for ``clip.mp4``."""
    return result.with_suffix(".json")


def is_ours(path: Path) -> bool:
    """Whether the file is a result's record of any version of ours, which may be written anew."""
    try:
        return path.stat().st_size <= _LARGEST_BYTES and _loaded(path).get("schema") == SCHEMA
    except (RecordError, OSError):
        return False


def read_result_record(path: Path) -> dict[str, Any]:
    """A result's record, with every field that the functions here rely on.

    Raises:
        RecordError: it cannot be read, is none of ours, of a newer schema, or damaged.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise RecordError(f"{path} is too large for a record. Give the .json file beside a result.")
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}). Check the name.") from error
    record = _loaded(path)
    if record.get("schema") != SCHEMA:
        raise RecordError(f"{path} is not a record of a result. Give the .json file beside a result.")
    version = record.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RecordError(
            f"{path} was written by a newer Understudy ({record.get('understudy')}): its schema is version "
            f"{version}, and this one knows {SCHEMA_VERSION}. Update Understudy."
        )
    if wrong := next(_mistakes(record), None):
        raise RecordError(f"{path} is damaged: {wrong}. Fetch it again, or run the job again.")
    return record


def settings_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded settings, as ``config.load_job`` takes them.

    What this version does not know, and what was taken out as secret, is left out;
    ``differences.differences_from`` tells of both.
    """
    return {
        name: value
        for name, value in record["settings"].items()
        if name in config.SETTINGS and value is not None and not has_removed_secret(value)
    }


def _loaded(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}). Check the name.") from error
    except (ValueError, RecursionError) as error:
        what = f"{path} is not a JSON file ({error})."
        raise RecordError(f"{what} Give the .json file beside a result.") from error
    return content if isinstance(content, dict) else {}


_FILE: Final = {"path": str, "size": int, "sha256": str}
_TOP: Final[Mapping[str, type]] = {
    **dict.fromkeys(("understudy", "created"), str),
    **dict.fromkeys(("settings", "result", "machine", "libraries"), dict),
    **dict.fromkeys(("command", "stages", "inputs", "intermediates", "earlier_steps", "steps"), list),
    **dict.fromkeys(("weights", "findings", "attempts"), list),
    "schema_version": int,
}
_LISTED: Final[Mapping[str, Mapping[str, type]]] = {
    "inputs": {"name": str, **_FILE},
    "intermediates": {"step": str, **_FILE},
    "weights": {"name": str, **_FILE},
    "steps": {"step": str, "stage": int, "settings": dict},
    "earlier_steps": {"step": str, "stage": int, "settings": dict},
}


def _mistakes(record: Mapping[str, Any]) -> Iterator[str]:
    """What is missing or of another type than it must be."""
    yield from _wrong_fields(record, _TOP, "")
    yield from _wrong_fields(record["result"], _FILE, "result.")
    for name, expected in _LISTED.items():
        for number, entry in enumerate(record[name]):
            where = f"{name}[{number}]"
            if not isinstance(entry, dict):
                yield f"{where} is not an object"
            else:
                yield from _wrong_fields(entry, expected, f"{where}.")
    if not record["stages"] or any(stage not in _STAGES for stage in record["stages"]):
        yield "stages names a stage that there is not"


def _wrong_fields(entry: Mapping[str, Any], expected: Mapping[str, type], where: str) -> Iterator[str]:
    words = {str: "text", int: "a whole number", list: "a list", dict: "an object"}
    for name, kind in expected.items():
        if name not in entry:
            yield f"{where}{name} is missing"
        elif not isinstance(entry[name], kind) or isinstance(entry[name], bool):
            yield f"{where}{name} is not {words[kind]}"
