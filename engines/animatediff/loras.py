"""LoRAs as people name them: a camera move, a file or a folder, each with a weight."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engines.animatediff.clip import MOTION_LORAS, Weighted
from engines.animatediff.configuration import ROOT
from engines.animatediff.problems import LORA, refuse

FOLDER: Final = ROOT / "models" / "motion_lora"
_SUFFIXES: Final = (".safetensors", ".ckpt")
_IN_FOLDER: Final = ("pytorch_lora_weights.safetensors", "diffusion_pytorch_model.safetensors")
_WHERE: Final = f"Put it into models/{FOLDER.name}/, or give the file's path."


def parse_lora(text: str, folder: Path, number: int = 0) -> Weighted:
    """``NAME_OR_FILE`` or ``NAME_OR_FILE:WEIGHT``. Files are relative to ``folder``.

    Raises:
        Refused: the weight is no number, or there is no such file.
    """
    name, separator, tail = text.rpartition(":")
    weight = _number(tail) if separator else None
    if weight is None:  # no colon, or one that belongs to the path
        if separator and "/" not in tail and "\\" not in tail and "." not in tail:
            raise refuse(LORA, f"LoRA {text}: '{tail}' is no weight.", "Give a number, such as zoom-in:0.8.")
        name, weight = text, 1.0
    return find_lora(name, weight, folder, number)


def find_lora(name: str, weight: float, folder: Path, number: int = 0) -> Weighted:
    """The LoRA of a camera move, of a file or of a folder.

    Raises:
        Refused: there is no such file.
    """
    move = name.lower().replace("_", "-")
    if move in MOTION_LORAS:
        return Weighted(f"{move.replace('-', '_')}_{number}", _file_of_move(move), weight)
    path = folder / Path(name).expanduser()
    if path.is_dir():
        inside = [path / each for each in _IN_FOLDER if (path / each).is_file()]
        if not inside:
            raise refuse(LORA, f"LoRA {path} holds no {_IN_FOLDER[0]}.", "Give the file's path.")
        path = inside[0]
    if not path.is_file():
        moves = ", ".join(MOTION_LORAS)
        raise refuse(LORA, f"LoRA not found: {path}.", f"Give a file, or one of the camera moves: {moves}.")
    return Weighted(f"lora_{number}", path, weight)


def _file_of_move(move: str) -> Path:
    names = [MOTION_LORAS[move] + suffix for suffix in _SUFFIXES]
    folders = [FOLDER / f"animatediff-motion-lora-{move}", FOLDER / move]
    places = [FOLDER / name for name in names] + [each / name for each in folders for name in _IN_FOLDER]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        what = f"LoRA not found: {move} is none of {', '.join(names)} in {FOLDER}."
        raise refuse(LORA, what, _WHERE)
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
