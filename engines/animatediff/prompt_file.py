"""Prompt files: many clips in one YAML, as the official repository writes them or by name.

The official form is a list of entries; the other a mapping from a name to an entry. Keys are the same in
both, and a few have a second, plainer spelling. Every prompt of an entry is one clip.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from config import nearest
from engines.animatediff.clip import Clip, SparseControl, Weighted
from engines.animatediff.configuration import read_yaml
from engines.animatediff.loras import find_lora
from engines.animatediff.problems import PROMPT_FILE, Refused, refuse

_SPELLINGS: Final = {
    "path": "dreambooth_path",
    "base": "dreambooth_path",
    "checkpoint": "dreambooth_path",
    "motion_module_lora_configs": "loras",
    "adapter_lora_path": "domain_adapter",
    "adapter_lora_scale": "domain_adapter_scale",
    "controlnet_image_indexs": "controlnet_image_indices",
    "width": "W",
    "height": "H",
    "frames": "L",
    "negative_prompt": "n_prompt",
}
_KEYS: Final = (
    *("dreambooth_path", "motion_module", "loras", "domain_adapter", "domain_adapter_scale"),
    *("lora_model_path", "lora_alpha", "controlnet_path", "controlnet_images", "controlnet_image_indices"),
    *("controlnet_scale", "seed", "steps", "guidance_scale", "prompt", "n_prompt", "W", "H", "L", "fps"),
)
_UNUSED: Final = ("inference_config", "controlnet_config", "normalize_condition_images")
"""Of the official files: the weights themselves tell it here."""
_HELP: Final = "See docs/animatediff.md for the form of a prompt file."
_USUAL_LORA_ALPHA: Final = 0.8
_RANDOM: Final = -1
_LARGEST_RANDOM: Final = 2**31


@dataclass(frozen=True)
class NamedClip:
    """A clip of a prompt file, and what its result is called."""

    name: str
    clip: Clip


def read_prompt_file(path: Path, like: Clip) -> list[NamedClip]:
    """Every clip of the file; what an entry leaves out is as in ``like``. Paths are relative to the file.

    Raises:
        Refused: it is no such file; the message names entry and key.
    """
    content = read_yaml(path)
    if isinstance(content, dict):
        entries = [(str(name), entry) for name, entry in content.items()]
    elif isinstance(content, list):
        entries = [(f"{path.stem}_{number}", entry) for number, entry in enumerate(content)]
    else:
        entries = []
    if not entries:
        raise refuse(PROMPT_FILE, f"{path} holds neither a list of entries nor entries by name.", _HELP)
    clips: list[NamedClip] = []
    for name, entry in entries:
        try:
            clips += _clips(name, _named(entry), path.absolute().parent, like)
        except (ValueError, TypeError) as error:
            raise refuse(PROMPT_FILE, f"{path}, {name}: {error}.", _HELP) from error
        except Refused as refused:
            raise Refused(
                [replace(each, what=f"{path}, {name}: {each.what}") for each in refused.findings]
            ) from None
    return clips


def _named(entry: object) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError("an entry must hold lines such as 'steps: 25'")
    known = [*_KEYS, *_SPELLINGS, *_UNUSED]
    for key in entry:
        if key not in known:
            raise ValueError(f"key '{key}' is not known{nearest(str(key), known)}")
    given = {str(key): value for key, value in entry.items() if value not in (None, "")}
    return {_SPELLINGS.get(key, key): value for key, value in given.items()}


def _clips(name: str, entry: Mapping[str, Any], folder: Path, like: Clip) -> Iterator[NamedClip]:
    shared = _shared(entry, folder, like)
    prompts = _list(entry.get("prompt"))
    if not prompts:
        raise ValueError("there is no prompt")
    count = len(prompts)
    negatives = _repeated("n_prompt", _list(entry.get("n_prompt", like.negative_prompt)) or [""], count)
    seeds = _repeated("seed", _list(entry.get("seed", like.seed)), count)
    for number, (prompt, negative, seed) in enumerate(zip(prompts, negatives, seeds, strict=True)):
        clip = replace(shared, prompts=_travel(prompt), negative_prompt=str(negative), seed=_seed(seed))
        yield NamedClip(name if count == 1 else f"{name}_{number}", clip)


def _shared(entry: Mapping[str, Any], folder: Path, like: Clip) -> Clip:
    values: dict[str, Any] = {}
    for key, field in (("W", "width"), ("H", "height"), ("L", "frames"), ("steps", "steps"), ("fps", "fps")):
        if key in entry:
            values[field] = _whole(key, entry[key])
    if "guidance_scale" in entry:
        values["guidance"] = _number("guidance_scale", entry["guidance_scale"])
    if "dreambooth_path" in entry:
        values["checkpoint"] = _path("dreambooth_path", entry["dreambooth_path"], folder)
    if "motion_module" in entry:
        modules = _list(entry["motion_module"])
        if len(modules) != 1:
            raise ValueError("motion_module must be one file; make an entry for each")
        values["motion_adapter"] = _path("motion_module", modules[0], folder)
    values["loras"] = tuple(_loras(entry, folder)) or like.loras
    if "domain_adapter" in entry:
        weight = _number("domain_adapter_scale", entry.get("domain_adapter_scale", 1.0))
        values["domain_adapter"] = Weighted(
            "domain", _path("domain_adapter", entry["domain_adapter"], folder), weight
        )
    if "controlnet_path" in entry:
        values["sparse_control"] = _control(entry, folder)
    return replace(like, **values)


def _loras(entry: Mapping[str, Any], folder: Path) -> Iterator[Weighted]:
    number = 0
    for each in _list(entry.get("loras")):
        if isinstance(each, str):
            each = {"path": each}
        if not isinstance(each, dict) or not set(each) <= {"path", "alpha", "weight"} or "path" not in each:
            raise ValueError("each LoRA must have a path, and may have an alpha")
        weight = _number("alpha", each.get("alpha", each.get("weight", 1.0)))
        yield find_lora(str(each["path"]), weight, folder, number)
        number += 1
    if "lora_model_path" in entry:
        weight = _number("lora_alpha", entry.get("lora_alpha", _USUAL_LORA_ALPHA))
        yield find_lora(str(entry["lora_model_path"]), weight, folder, number)


def _control(entry: Mapping[str, Any], folder: Path) -> SparseControl:
    images = tuple(_path("controlnet_images", each, folder) for each in _list(entry.get("controlnet_images")))
    indices = tuple(_whole("an index", each) for each in _list(entry.get("controlnet_image_indices", [0])))
    scale = _number("controlnet_scale", entry.get("controlnet_scale", 1.0))
    return SparseControl(_path("controlnet_path", entry["controlnet_path"], folder), images, indices, scale)


def _travel(prompt: object) -> tuple[tuple[int, str], ...]:
    """One text, or texts by the frame from which they count."""
    if isinstance(prompt, dict):
        return tuple(sorted((_whole("a frame", frame), str(text)) for frame, text in prompt.items()))
    if not isinstance(prompt, str):
        raise ValueError(f"a prompt must be text; it is {prompt!r}")
    return ((0, prompt),)


def _repeated(key: str, values: list[Any], count: int) -> list[Any]:
    """A list of one counts for all; the official program cuts others to the shortest, in silence."""
    if len(values) == 1:
        return values * count
    if len(values) != count:
        raise ValueError(f"{key} has {len(values)} values for {count} prompts")
    return values


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _seed(value: object) -> int:
    seed = _whole("seed", value)
    return secrets.randbelow(_LARGEST_RANDOM) if seed == _RANDOM else seed


def _whole(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} must be a whole number; it is {value!r}")
    return value


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} must be a number; it is {value!r}")
    return float(value)


def _path(key: str, value: object, folder: Path) -> Path:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a path; it is {value!r}")
    return folder / Path(value).expanduser()
