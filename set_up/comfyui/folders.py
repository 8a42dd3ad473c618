"""Where ComfyUI keeps models: its models folder, and the folders that extra_model_paths.yaml names.

How ComfyUI itself reads that file: utils/extra_config.py in its repository. Each section has an optional
``base_path`` and kinds of models, each with a text of one path a line; ``~`` and environment variables are
understood in ``base_path`` only, and a relative path counts from ``base_path``, else from the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from set_up.errors import SetUpError

EXTRA_PATHS: Final = "extra_model_paths.yaml"
MODEL_ENDINGS: Final = frozenset(
    (*(".safetensors", ".sft", ".gguf", ".onnx"), *(".pth", ".pt", ".ckpt", ".bin", ".pkl"))
)
_MODELS: Final = "models"
_NO_MODELS: Final = ("base_path", "is_default", "custom_nodes")
"""Keys of a section that name no folder of models."""
_REMEDY: Final = "Give ComfyUI's own folder, or the folder models in it."

Warn = Callable[[str], None]


@dataclass(frozen=True)
class FoundFile:
    """A file in one of the folders."""

    path: Path
    size: int

    @property
    def is_model(self) -> bool:
        """By its ending."""
        return self.path.suffix.lower() in MODEL_ENDINGS


def find_files(folder: Path, *, apart_from: Path, warn: Warn) -> list[FoundFile]:
    """All files in ComfyUI's folders of models, each once, in the order in which ComfyUI would look.

    Args:
        folder: ComfyUI's folder, or its models folder.
        apart_from: a folder whose files are left out, wherever it lies.
        warn: gets a sentence for each folder or file that cannot be read.

    Raises:
        SetUpError: there is no such folder, or no model in it and those that its extra paths name.
    """
    folder = folder.absolute()
    if not folder.is_dir():
        raise SetUpError(f"--from_comfyui: there is no folder {folder}.", _REMEDY, wrong_request=True)
    models = folder / _MODELS if (folder / _MODELS).is_dir() else folder
    roots = [models]
    for extra in (folder / EXTRA_PATHS, folder.parent / EXTRA_PATHS):
        if extra.is_file():
            roots += _existing(extra, warn)
    found = list(_files_in(roots, apart_from, warn))
    if not any(file.is_model for file in found):
        what = f"--from_comfyui: there is no model file in {models}"
        what += f" or in the folders that {EXTRA_PATHS} names." if len(roots) > 1 else "."
        raise SetUpError(what, _REMEDY, wrong_request=True)
    return found


def _existing(extra: Path, warn: Warn) -> list[Path]:
    folders = extra_folders(extra, warn)
    for missing in (path for path in folders if not path.is_dir()):
        warn(f"{extra} names {missing}, which is not there.")
    return [path for path in folders if path.is_dir()]


def extra_folders(extra: Path, warn: Warn) -> list[Path]:
    """The folders of models that an extra_model_paths.yaml names, whether they are there or not."""
    import yaml

    try:
        sections = yaml.safe_load(extra.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        warn(f"{extra} cannot be read, and is left out: {' '.join(str(error).split())}")
        return []
    if not isinstance(sections, dict):
        if sections is not None:  # a file of comments alone is empty
            warn(f"{extra} has no sections, and is left out.")
        return []
    folders: list[Path] = []
    for name, section in sections.items():
        if section is None:
            continue
        if not isinstance(section, dict) or not isinstance(section.get("base_path", ""), str):
            warn(f"{extra}: the section {name} is not as ComfyUI reads it, and is left out.")
            continue
        folders += _section_folders(extra, section, warn)
    return list(dict.fromkeys(folders))


def _section_folders(extra: Path, section: dict[Any, Any], warn: Warn) -> Iterator[Path]:
    try:
        base = extra.parent / os.path.expandvars(Path(section.get("base_path", "")).expanduser())
    except RuntimeError as error:  # there is no such user
        warn(f"{extra}: {section['base_path']} is left out: {error}")
        return
    for kind, lines in section.items():
        if kind in _NO_MODELS or lines is None:
            continue
        if not isinstance(lines, str):
            warn(f"{extra}: {kind} is no text of one path a line, and is left out.")
            continue
        for line in filter(None, map(str.strip, lines.split("\n"))):
            yield Path(os.path.normpath(base / line))


def _files_in(roots: Sequence[Path], apart_from: Path, warn: Warn) -> Iterator[FoundFile]:
    """Links to folders are followed, as ComfyUI does, each folder once."""
    left_out = apart_from.resolve()
    seen = {left_out}

    def unreadable(error: OSError) -> None:
        warn(f"{error.filename} cannot be read: {error.strerror}.")

    for root in roots:
        for place, folders, names in os.walk(root, onerror=unreadable, followlinks=True):
            folders[:] = sorted(name for name in folders if name != ".git")
            real = Path(place).resolve()
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            for path in (Path(place) / name for name in sorted(names)):
                try:
                    if path.is_file() and not path.resolve().is_relative_to(left_out):
                        yield FoundFile(path, path.stat().st_size)
                except OSError as error:
                    unreadable(error)
