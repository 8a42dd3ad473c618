"""The YAML file of ``--frame_config``: which model, its file, its GPU, its batches, and its own keys.

animation:
  model: onnx
  model_path: face.onnx      # relative to this file
  gpu_id: 0
  batch_size: 4              # or auto: what benchmark_model.py --auto-tune found here
  missing: hold
  onnx: {...}                # the model's own keys
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

from config import nearest

Missing = Literal["hold", "source", "skip", "fail"]
"""Where no face was found: animate with the landmarks before; show the source image; show the picture before
once more; stop."""
POLICIES: Final[tuple[Missing, ...]] = get_args(Missing)
LARGEST_BATCH: Final = 1024
_KEYS: Final = ("model", "model_path", "gpu_id", "batch_size", "missing")


class ConfigurationError(Exception):
    """The file says something that cannot be: what, and how to mend it."""


class ConfigurationUnreadable(ConfigurationError):
    """The file cannot be read at all."""


@dataclass(frozen=True)
class FrameConfiguration:
    """What the file says. ``batch_size`` is None for auto."""

    model: str
    model_path: Path | None = None
    gpu_id: int = 0
    batch_size: int | None = 1
    missing: Missing = "hold"
    options: Mapping[str, Any] = field(default_factory=dict)
    """The section that has the model's name."""


def read_configuration(path: Path, models: Collection[str]) -> FrameConfiguration:
    """Read the file. ``models`` are the names of all models, which a section may have.

    Raises:
        ConfigurationUnreadable: there is no such file, or it cannot be read.
        ConfigurationError: it is no YAML, or holds an unknown key or a wrong value.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationUnreadable(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{path} is not a YAML file: {' '.join(str(error).split())}.") from error
    section = content.get("animation") if isinstance(content, dict) else None
    if not isinstance(section, dict) or len(content) != 1:
        raise ConfigurationError(f"{path} must hold one section, 'animation:', with the model's settings.")
    try:
        return configuration_of(section, path.absolute().parent, models)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def configuration_of(section: Mapping[str, Any], folder: Path, models: Collection[str]) -> FrameConfiguration:
    """What is in the section ``animation``; relative paths are of ``folder``.

    Raises:
        ConfigurationError: an unknown key or a wrong value.
    """
    name = section.get("model")
    if not isinstance(name, str) or not name:
        raise ConfigurationError("'model' is missing: the name of a model, such as onnx.")
    known = {*_KEYS, *models, name}
    for key in section:
        if key not in known:
            raise ConfigurationError(f"unknown key '{key}'{nearest(str(key), known)}.")
    options = section.get(name) or {}
    if not isinstance(options, dict):
        raise ConfigurationError(f"'{name}' must hold the model's own keys, one a line.")
    given = section.get("model_path")
    if given is not None and (not isinstance(given, str) or not given):
        raise ConfigurationError(f"'model_path' must be a path; it is {given!r}.")
    batch = section.get("batch_size", 1)
    return FrameConfiguration(
        model=name,
        model_path=None if given is None else folder / Path(given).expanduser(),
        gpu_id=_whole(section.get("gpu_id", 0), "gpu_id", 0, 255),
        batch_size=None if batch == "auto" else _whole(batch, "batch_size", 1, LARGEST_BATCH),
        missing=_policy(section.get("missing", "hold")),
        options={str(key): value for key, value in options.items()},
    )


def _whole(value: object, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        auto = " or auto" if name == "batch_size" else ""
        raise ConfigurationError(
            f"'{name}' must be a whole number from {least} to {most}{auto}; it is {value!r}."
        )
    return value


def _policy(value: object) -> Missing:
    for policy in POLICIES:
        if value == policy:
            return policy
    raise ConfigurationError(f"'missing' must be one of {', '.join(POLICIES)}; it is {value!r}.")
