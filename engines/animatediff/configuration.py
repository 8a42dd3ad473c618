"""``configs/animatediff.yaml``: with which weights to draw, and where results go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from config import nearest
from engines.animatediff.problems import CONFIG, refuse

ROOT: Final = Path(__file__).resolve().parents[2]
DEFAULT: Final = ROOT / "configs" / "animatediff.yaml"
_REQUIRED: Final = ("checkpoint_path", "motion_adapter_path", "output_dir")
_OPTIONAL: Final = ("pipeline_config_path",)
_MEND: Final = "See docs/animatediff.md for all keys."


@dataclass(frozen=True)
class Configuration:
    """The file's content. Paths are absolute; those in the file are relative to the project's folder."""

    checkpoint: Path
    motion_adapter: Path
    output_dir: Path
    pipeline_config: Path | None


def read_configuration(path: Path, root: Path = ROOT) -> Configuration:
    """Read the file. No required key has a default.

    Raises:
        Refused: it cannot be read, a key is missing, unknown, or no path.
    """
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise refuse(CONFIG, f"{path} must hold lines such as 'output_dir: results'.", _MEND)
    known = [*_REQUIRED, *_OPTIONAL]
    for key in content:
        if key not in known:
            what = f"config key '{key}' is not known{nearest(str(key), known)} ({path})."
            raise refuse(CONFIG, what, _MEND)
    for key in _REQUIRED:
        if content.get(key) is None:
            raise refuse(CONFIG, f"config key '{key}' is required ({path}).", f"Add it. {_MEND}")
    paths = {key: _path(key, value, root, path) for key, value in content.items() if value is not None}
    return Configuration(
        checkpoint=paths["checkpoint_path"],
        motion_adapter=paths["motion_adapter_path"],
        output_dir=paths["output_dir"],
        pipeline_config=paths.get("pipeline_config_path"),
    )


def read_yaml(path: Path) -> Any:
    """A YAML file's content, nothing evaluated.

    Raises:
        Refused: it cannot be read, or is no YAML.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise refuse(CONFIG, f"{path} cannot be read ({error.strerror}).", "Check its name.") from error
    except (yaml.YAMLError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise refuse(CONFIG, f"{path} is not a YAML file: {reason}.", "Mend that line.") from error


def _path(key: str, value: object, root: Path, file: Path) -> Path:
    if not isinstance(value, str) or not value.strip():
        what = f"config key '{key}' must be a path; it is {value!r} ({file})."
        raise refuse(CONFIG, what, _MEND)
    return root / Path(value).expanduser()
