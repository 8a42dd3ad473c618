"""For each needed file: is it among ComfyUI's, to the byte or to the tensor, and if not, why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from engines.wan22.weight_files import DamagedFile
from execution.weights_hashes import Report, hash_files, hash_weights
from set_up.comfyui.folders import FoundFile, Warn
from set_up.comfyui.safetensors import Tensor, read_tensors
from set_up.comfyui.tensors import Convertible, difference, likeness
from set_up.comfyui.unusable import unit_of, why_not
from set_up.weights.hub_files import HubFile, git_sha1_of

_REMEMBERED: Final = 64 * 2**20
"""Bytes. Hashes of larger files are remembered from run to run; of smaller ones it would take longer."""
_ALIKE: Final = 0.4
"""Of tensors' names, for a file to be worth a word. One half of CLIP has 0.5, other models none at all."""
_SHOWN: Final = 2

State = Literal["same bytes", "same tensors", "unusable", "missing"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """On one needed file."""

    needed: HubFile
    state: State
    origins: tuple[FoundFile, ...] = ()
    """ComfyUI's files that hold it, the best first."""
    sha256: str = ""
    """Of the origins, where they have the same bytes."""
    reasons: tuple[str, ...] = ()
    """What is there instead, each with why it cannot be used."""


class ComfyuiFiles:
    """ComfyUI's files, looked at as far as is needed, each once."""

    def __init__(self, files: Sequence[FoundFile], warn: Warn, report: Report) -> None:
        self.files = files
        self._warn = warn
        self._report = report

    @cached_property
    def tensors(self) -> Mapping[FoundFile, tuple[Tensor, ...]]:
        """What each safetensors file holds; one that cannot be read is named and left out."""
        found = {}
        for file in self.files:
            if file.path.suffix.lower() in (".safetensors", ".sft"):
                try:
                    found[file] = read_tensors(file.path)
                except DamagedFile as error:
                    self._warn(f"{file.path} {error}.")
                except OSError as error:
                    self._unreadable(file.path, error)
        return found

    def sha256_of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Of each file that can be read to its end; the others are named and left out."""
        wanted = [path for path in dict.fromkeys(paths) if self._opens(path)]
        try:
            return self._hashes(wanted)
        except OSError:  # of several that are read at once it does not say which
            hashes: dict[Path, str] = {}
            for path in wanted:
                try:
                    hashes |= self._hashes([path])
                except OSError as error:
                    self._unreadable(path, error)
            return hashes

    def _hashes(self, paths: Sequence[Path]) -> dict[Path, str]:
        large = [path for path in paths if path.stat().st_size >= _REMEMBERED]
        hashes = hash_files([path for path in paths if path not in large], self._report)
        return hashes | {file.path: file.sha256 for file in hash_weights(large, self._report)}

    def _opens(self, path: Path) -> bool:
        try:
            with path.open("rb"):
                return True
        except OSError as error:
            self._unreadable(path, error)
            return False

    def _unreadable(self, path: Path, error: OSError) -> None:
        self._warn(f"{path} cannot be read: {error.strerror or error}.")


def search(
    needed: Sequence[HubFile], comfyui: ComfyuiFiles, convertible: Mapping[str, Convertible]
) -> list[Verdict]:
    """What ComfyUI's files are worth for each needed file, in the order given.

    Raises:
        BaseException: what the report of progress raised.
    """
    equals = _same_bytes(needed, comfyui)
    verdicts = []
    for file in needed:
        origins, sha256 = equals[file.path]
        if origins:
            verdicts.append(Verdict(needed=file, state="same bytes", origins=origins, sha256=sha256))
        else:
            verdicts.append(_otherwise(file, comfyui, convertible.get(file.path)))
    return verdicts


def _same_bytes(
    needed: Sequence[HubFile], comfyui: ComfyuiFiles
) -> dict[str, tuple[tuple[FoundFile, ...], str]]:
    """ComfyUI's files with the same bytes as each needed one, and their SHA-256."""
    candidates = {
        file.path: [found for found in comfyui.files if found.size == file.size > 0] for file in needed
    }
    hashes = comfyui.sha256_of(found.path for some in candidates.values() for found in some)
    equals = {}
    for file in needed:
        same = [
            found
            for found in candidates[file.path]
            if found.path in hashes and _is_content(file, found.path, hashes[found.path])
        ]
        same.sort(key=lambda found: found.path.name != Path(file.path).name)
        equals[file.path] = (tuple(same), hashes[same[0].path] if same else "")
    return equals


def _is_content(needed: HubFile, path: Path, sha256: str) -> bool:
    if needed.sha256 is not None:
        return sha256 == needed.sha256
    return needed.git_sha1 is not None and git_sha1_of(path) == needed.git_sha1


def _otherwise(needed: HubFile, comfyui: ComfyuiFiles, wanted: Convertible | None) -> Verdict:
    reasons = []
    if wanted is not None:
        near = [(likeness(tensors, wanted.tensors), file) for file, tensors in comfyui.tensors.items()]
        near = sorted((pair for pair in near if pair[0] >= _ALIKE), key=lambda pair: -pair[0])
        why = {file: _difference(file, comfyui.tensors[file], wanted) for _, file in near}
        if same := tuple(file for file in why if why[file] is None):
            return Verdict(needed=needed, state="same tensors", origins=same)
        reasons += [f"{file.path.name}: {reason}" for file, reason in why.items()]
    reasons += _unusable(needed, comfyui)
    state: State = "unusable" if reasons else "missing"
    return Verdict(needed=needed, state=state, reasons=tuple(reasons[:_SHOWN]))


def _difference(file: FoundFile, tensors: Sequence[Tensor], wanted: Convertible) -> str | None:
    found = difference(tensors, wanted.tensors)
    if found is None and wanted.word not in file.path.name.lower():
        return f"other models have the same names and sizes; it is taken if its name says {wanted.word}"
    return found


def _unusable(needed: HubFile, comfyui: ComfyuiFiles) -> list[str]:
    unit, name = unit_of(needed.path), Path(needed.path).name
    reasons = []
    for file in comfyui.files:
        if file.is_model and (reason := why_not(unit, file, comfyui.tensors.get(file))):
            reasons.append(f"{file.path.name}: {reason}")
        elif file.path.name == name and file.is_model:
            size = f"{file.size:,} bytes, not {needed.size:,}" if file.size != needed.size else "other bytes"
            reasons.append(f"{file.path}: another file of that name ({size})")
    return list(dict.fromkeys(reasons))
