"""SDXL's embedding of size and pooled text, which the library forgets.

Its UNet with motion is made from the checkpoint's UNet part by part, and ``add_embedding`` is not among the
parts (seen in diffusers 0.42.1): it keeps random weights, other ones in every process, without a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open

from engines.animatediff.weight_files import WeightsError

_IN_FILE: Final = "model.diffusion_model.label_emb.0."
_IN_FOLDER: Final = "add_embedding."
_CLASSIC: Final = {"0.weight": "linear_1.weight", "0.bias": "linear_1.bias"} | {
    "2.weight": "linear_2.weight",
    "2.bias": "linear_2.bias",
}


def restore_size_embedding(pipe: Any, checkpoint: Path) -> None:
    """Put the checkpoint's own weights into ``pipe.unet.add_embedding``.

    Raises:
        WeightsError: the checkpoint does not hold them.
    """
    state = dict(_tensors(checkpoint))
    target = pipe.unet.add_embedding
    missing = [name for name in target.state_dict() if name not in state]
    if missing:
        raise WeightsError(
            f"{checkpoint} is no whole SDXL checkpoint: {missing[0]} of its size embedding is missing."
        )
    target.load_state_dict(state)


def _tensors(checkpoint: Path) -> Iterator[tuple[str, torch.Tensor]]:
    files = sorted((checkpoint / "unet").glob("*.safetensors")) if checkpoint.is_dir() else [checkpoint]
    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  it is no mapping
                if name.startswith(_IN_FOLDER):
                    yield name.removeprefix(_IN_FOLDER), opened.get_tensor(name)
                elif name.startswith(_IN_FILE):
                    yield _CLASSIC[name.removeprefix(_IN_FILE)], opened.get_tensor(name)
