"""The weights that can be taken over from a .safetensors file, and whether a file holds just their tensors.

The lists in ``tensor_lists/`` are facts about upstream's own classes; each says how it was made. Upstream
loads strictly: a name too many or too few ends the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from engines.wan22 import checkout
from set_up.comfyui.safetensors import Tensor

Wanted = Mapping[str, tuple[str, tuple[int, ...]]]
"""Type and shape of each tensor by its name."""

SAM2: Final = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.SAM2}"
_LISTS: Final = Path(__file__).with_name("tensor_lists")
_SHOWN: Final = 3
_BITS: Final = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16}
_FEW_BITS: Final = {"F8_E4M3": 8, "F8_E5M2": 8, "I8": 8, "U8": 8}
"""How scaled and quantised weights are stored."""


@dataclass(frozen=True)
class Convertible:
    """A file of torch.save that can be made from a .safetensors file with the same tensors."""

    tensors: Wanted
    wrapped_in: str | None
    """The key of the dictionary around them, if there is one."""
    word: str
    """Without this in its name a file is not taken: other models have the same tensors with other numbers, as
    the VAE of Qwen-Image has those of Wan 2.1."""


@cache
def upstream_tensors() -> Mapping[str, Convertible]:
    """What can be converted, by its path in the checkpoint folder."""
    return {
        checkout.VAE: Convertible(read_list(_LISTS / "wan2.1_vae.txt"), None, "wan"),
        checkout.T5: Convertible(read_list(_LISTS / "umt5_xxl_encoder.txt"), None, "umt5"),
        checkout.CLIP: Convertible(read_list(_LISTS / "clip_xlm_roberta_vit_h_14.txt"), None, "clip"),
        SAM2: Convertible(read_list(_LISTS / "sam2_hiera_large.txt"), "model", "sam2"),
    }


def read_list(path: Path) -> Wanted:
    """A list of one tensor a line: its name, its type, the length of each axis."""
    wanted = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, dtype, *shape = line.split()
            wanted[name] = (dtype, tuple(map(int, shape)))
    return wanted


def likeness(tensors: Sequence[Tensor], wanted: Wanted) -> float:
    """The share of the names that both have among the names that either has, from 0 to 1."""
    names = {tensor.name for tensor in tensors}
    return len(names & wanted.keys()) / max(1, len(names | wanted.keys()))


def difference(tensors: Sequence[Tensor], wanted: Wanted) -> str | None:
    """How a file's tensors differ from upstream's, as sentences without a subject; None if they do not."""
    found = {tensor.name: (tensor.dtype, tensor.shape) for tensor in tensors}
    said = [
        _rounding(found, wanted),
        _names("it lacks", [name for name in wanted if name not in found]),
        _names("it also has", [name for name in found if name not in wanted]),
        _shapes(found, wanted),
    ]
    return "; ".join(filter(None, said)) or None


def bits_of(tensors: Iterable[Tensor]) -> int:
    """The number of bits of most of the numbers; 0 if that cannot be told."""
    sizes: dict[int, int] = {}
    for tensor in tensors:
        bits = _BITS.get(tensor.dtype) or _FEW_BITS.get(tensor.dtype, 0)
        sizes[bits] = sizes.get(bits, 0) + tensor.size
    return max(sizes, key=lambda bits: sizes[bits], default=0)


def _rounding(found: Wanted, wanted: Wanted) -> str:
    others = {name: found[name][0] for name in wanted if name in found and found[name][0] != wanted[name][0]}
    if not others:
        return ""
    name = next(iter(others))
    has, needs = others[name], wanted[name][0]
    bits = _BITS.get(has) or _FEW_BITS.get(has, 0)
    if 0 < bits < _BITS[needs]:
        return f"rounded to {bits} bits; upstream's has {_BITS[needs]}"
    return f"its numbers are {has}, upstream's {needs}"


def _shapes(found: Wanted, wanted: Wanted) -> str:
    return _names(
        "of another size:", [name for name in wanted if name in found and found[name][1] != wanted[name][1]]
    )


def _names(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{what} {', '.join(names[:_SHOWN])}{more}"
