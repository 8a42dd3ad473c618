"""What is known of the weights in a checkpoint folder: ``.understudy/weights.json``.

A file is in it only when its bytes were compared with the hub's hash, and counts only while its size and
modification time are still those. So a second run needs no hub and reads no file.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from engines.wan22 import checkout
from execution.record import HIDDEN_FOLDER, write_json
from set_up.errors import SetUpError
from set_up.weights.hub_files import HubFile

_SCHEMA: Final = 1
_SECONDS_BETWEEN_WRITES: Final = 1.0
_LARGE: Final = 2**26
"""A file of this size is written into the manifest at once."""
FROM_HUB, WAS_THERE = "hub", "was there"


@dataclass(frozen=True, kw_only=True)
class KnownFile:
    """One file as it was when it was verified."""

    size: int
    mtime_ns: int
    sha256: str
    hub_sha256: str | None
    """The hub's own; other than ``sha256`` where the file was converted."""
    hub_git_sha1: str | None
    origin: str
    """hub, was there, linked, copied or converted."""
    came_from: str
    """The repository, or the path of what was linked, copied or converted."""

    def is_for(self, file: HubFile) -> bool:
        """Whether it was verified against this content."""
        if file.sha256:
            return file.sha256 in (self.hub_sha256, self.sha256)
        return file.git_sha1 == self.hub_git_sha1


@dataclass(frozen=True, kw_only=True)
class Repository:
    """Where files came from."""

    source: str
    revision: str | None
    """As it was asked for; None for the hub's default."""
    commit: str | None


@dataclass
class Manifest:
    """Of one checkpoint folder; paths inside it, with forward slashes."""

    ckpt_dir: Path
    repositories: dict[str, Repository] = field(default_factory=dict)
    features: dict[str, list[str]] = field(default_factory=dict)
    """For each feature that was complete: its files."""
    files: dict[str, KnownFile] = field(default_factory=dict)

    @classmethod
    def read(cls, ckpt_dir: Path) -> Manifest:
        """An empty one where there is none that can be read: then files are hashed anew."""
        try:
            content = json.loads(manifest_path(ckpt_dir).read_text(encoding="utf-8"))
            if content["schema"] != _SCHEMA:
                return cls(ckpt_dir)
            return cls(
                ckpt_dir,
                {name: Repository(**value) for name, value in content["repositories"].items()},
                {name: list(map(str, paths)) for name, paths in content["features"].items()},
                {name: KnownFile(**value) for name, value in content["files"].items()},
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(ckpt_dir)

    def write(self) -> None:
        """As a whole or not at all. Raises OSError."""
        path = manifest_path(self.ckpt_dir)
        path.parent.mkdir(parents=True, exist_ok=True)
        content: dict[str, Any] = {
            "schema": _SCHEMA,
            "repositories": {name: asdict(value) for name, value in sorted(self.repositories.items())},
            "features": dict(sorted(self.features.items())),
            "files": {name: asdict(value) for name, value in sorted(self.files.items())},
        }
        write_json(path, content)

    def stands(self, path: str) -> bool:
        """Whether the file is there as it was when it was verified."""
        known = self.files.get(path)
        if known is None:
            return False
        try:
            stat = (self.ckpt_dir / path).stat()
        except OSError:
            return False
        return (stat.st_size, stat.st_mtime_ns) == (known.size, known.mtime_ns)

    def has(self, features: Sequence[str], revision: str | None) -> bool:
        """Whether the features were complete at that revision, and all their files still stand."""
        wan = self.repositories.get(checkout.WEIGHTS_REPOSITORY)
        if revision is not None and (wan is None or revision not in (wan.revision, wan.commit)):
            return False
        return all(
            feature in self.features and all(map(self.stands, self.features[feature])) for feature in features
        )

    def add(self, file: HubFile, sha256: str, origin: str, came_from: str) -> None:
        """Note a file that was verified just now. Raises OSError."""
        stat = (self.ckpt_dir / file.path).stat()
        self.files[file.path] = KnownFile(
            size=stat.st_size,
            mtime_ns=stat.st_mtime_ns,
            sha256=sha256,
            hub_sha256=file.sha256,
            hub_git_sha1=file.git_sha1,
            origin=origin,
            came_from=came_from,
        )


def manifest_path(ckpt_dir: Path) -> Path:
    """Where the manifest of a checkpoint folder is."""
    return ckpt_dir / HIDDEN_FOLDER / "weights.json"


class Keeper:
    """Notes verified files, and writes the manifest seldom enough to cost nothing, and at the end."""

    def __init__(self, manifest: Manifest, *, dry_run: bool) -> None:
        self._manifest = manifest
        self._dry_run = dry_run
        self._last = time.monotonic()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with contextlib.suppress(SetUpError) if kind else contextlib.nullcontext():
            self._write()

    def add(self, file: HubFile, sha256: str, origin: str, came_from: str) -> None:
        """Note a file that was verified just now.

        Raises:
            SetUpError: the manifest cannot be written.
        """
        self._manifest.add(file, sha256, origin, came_from)
        if file.size >= _LARGE or time.monotonic() - self._last > _SECONDS_BETWEEN_WRITES:
            self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        if self._dry_run:
            return
        try:
            self._manifest.write()
        except OSError as error:
            raise SetUpError(f"The list of verified weights cannot be written: {error}.") from error
