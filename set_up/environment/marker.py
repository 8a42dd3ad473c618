"""What has been done of an environment: one small file inside it, written after each step that succeeded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from execution.record import write_json

FILE_NAME: Final = "understudy.json"
STEPS: Final = ("python", "torch", "packages", "sam2", "imports")
"""In their order: a later one is only as good as the earlier ones."""


class Marker:
    """The steps that are done, each with a key that stands for what was asked of it."""

    def __init__(self, environment: Path) -> None:
        self.path: Final = environment / FILE_NAME
        self._content = self._read()

    @property
    def exists(self) -> bool:
        """Whether the environment was begun, or taken over, by this set-up."""
        return self.path.is_file()

    @property
    def was_taken_over(self) -> bool:
        """Whether somebody else made the environment."""
        return bool(self._content.get("taken_over"))

    @property
    def torch_tag(self) -> str | None:
        """The build of torch that was installed, such as cu128; None where that was not chosen by us."""
        return self._torch().get("tag") or None

    def torch_index(self, *, cpu: bool) -> str | None:
        """Where torch was taken from at a user's word; None where that was not said, or not for this."""
        torch = self._torch()
        return torch.get("index") if torch.get("cpu") == cpu else None

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each package when the last step was done."""
        versions = self._content.get("versions")
        return versions if isinstance(versions, dict) else {}

    @property
    def module_versions(self) -> Mapping[str, str]:
        """What each module said of itself when all were imported."""
        versions = self._content.get("imported")
        return versions if isinstance(versions, dict) else {}

    def begin(self, *, taken_over: bool) -> None:
        """Say whose environment it is, before anything is in it."""
        self._content.setdefault("taken_over", taken_over)
        self._write()

    def has(self, step: str) -> bool:
        """Whether the step was done, for whatever."""
        return step in self._steps()

    def is_done(self, step: str, key: str) -> bool:
        """Whether the step was done, and for just this."""
        return self._steps().get(step) == key

    def done(self, step: str, key: str, **more: Any) -> None:
        """Remember a step that has succeeded."""
        self._content.update(more, steps={**self._steps(), step: key})
        self._write()

    def forget(self, step: str) -> None:
        """Forget a step and all that come after it, before the step is done again."""
        kept = STEPS[: STEPS.index(step)]
        self._content["steps"] = {name: key for name, key in self._steps().items() if name in kept}
        self._write()

    def _torch(self) -> Mapping[str, Any]:
        torch = self._content.get("torch")
        return torch if isinstance(torch, dict) else {}

    def _steps(self) -> dict[str, str]:
        steps = self._content.get("steps")
        return steps if isinstance(steps, dict) else {}

    def _write(self) -> None:
        write_json(self.path, self._content)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}


def key_of(*asked: object) -> str:
    """A short name for what was asked: another wish, another key."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]
