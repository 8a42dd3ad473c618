"""Which SAM 2 a checkpoint holds, told by its content: without torch, and nothing is unpickled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from masks.errors import MaskError
from masks.sam2_tensors import NotReadable, Shapes, tensor_shapes

_UPSTREAMS: Final = "sam2_hiera_large.pt"
_TRUNK: Final = "image_encoder.trunk."
_FIRST_LAYER: Final = f"{_TRUNK}patch_embed.proj.weight"
_ONLY_IN_2_1: Final = "no_obj_embed_spatial"
_SIZES: Final = {(96, 12): "tiny", (96, 16): "small", (112, 24): "base_plus", (144, 48): "large"}
"""By the image encoder's first channels and number of blocks, as in the published configs."""
_LETTERS: Final = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
_OTHERS: Final = {
    "image_encoder.blocks.": "the first SAM",
    "vision_encoder.": "SAM 2 in the layout of transformers, whose names differ",
    "detector.": "SAM 3",
    "tracker.": "SAM 3",
}
"""What else people have, by the start of the names of some tensors."""
_REMEDY: Final = (
    "Give one of Meta's SAM 2 or 2.1 files, such as process_checkpoint/sam2/sam2_hiera_large.pt of "
    "Wan2.2-Animate-14B, or ComfyUI's .safetensors of one."
)


@dataclass(frozen=True)
class Sam2Model:
    """A SAM 2 checkpoint."""

    path: Path
    version: str
    """ "2.0" or "2.1"."""
    size: str
    """tiny, small, base_plus or large."""

    @property
    def config_name(self) -> str:
        """Name of the config in the sam2 package that fits.

        2.0 has a short name that every sam2 package knows, the one of July 2024 included.
        """
        letter = _LETTERS[self.size]
        return (
            f"sam2_hiera_{letter}.yaml"
            if self.version == "2.0"
            else f"configs/sam2.1/sam2.1_hiera_{letter}.yaml"
        )

    @property
    def name(self) -> str:
        """For people: "SAM 2.0 large"."""
        return f"SAM {self.version} {self.size.replace('_', ' ')}"

    @property
    def notice(self) -> str | None:
        """A sentence if the file's name says another size or version than its content."""
        name = self.path.stem.lower().replace("-", "_").replace("+", "_plus")
        named_sizes = {size for size in _LETTERS if f"_{size}" in name}
        wrong_size = bool(named_sizes) and self.size not in named_sizes
        wrong_version = name.startswith("sam2") and name.startswith("sam2.1") != (self.version == "2.1")
        if not (wrong_size or wrong_version):
            return None
        return f"{self.path.name} holds {self.name}, whatever its name says; it is used as that."


def recognise_checkpoint(path: Path) -> Sam2Model:
    """Which SAM 2 a file holds.

    Raises:
        MaskError: there is no such file, it is not whole, or it is no SAM 2.
    """
    try:
        shapes = tensor_shapes(path)
    except FileNotFoundError as error:
        raise MaskError(
            f"There is no SAM 2 checkpoint {path}.", _REMEDY, code="mask.checkpoint-missing"
        ) from error
    except OSError as error:
        what = f"The SAM 2 checkpoint {path} cannot be read: {error.strerror}."
        raise MaskError(what, _REMEDY, code="mask.checkpoint-missing") from error
    except NotReadable as error:
        if error.damaged:
            raise MaskError(
                f"{path} {error}.", "Download it again.", code="mask.checkpoint-damaged"
            ) from error
        raise _not_sam2(path, f"it {error}") from error
    if _FIRST_LAYER not in shapes:
        raise _not_sam2(path, _what_it_is(shapes))
    channels, blocks = shapes[_FIRST_LAYER][0], _block_count(shapes)
    size = _SIZES.get((channels, blocks))
    if size is None:
        raise _not_sam2(path, f"none of its sizes has {blocks} blocks and {channels} first channels")
    return Sam2Model(path, "2.1" if _ONLY_IN_2_1 in shapes else "2.0", size)


def find_checkpoint(ckpt_dir: Path) -> Path | None:
    """The SAM 2 checkpoint that comes with the model's weights, or one that was put beside it.

    Upstream's own comes first, then the largest file. The content is not looked at.
    """
    folder = ckpt_dir / "process_checkpoint" / "sam2"
    if (folder / _UPSTREAMS).is_file():
        return folder / _UPSTREAMS
    found = [path for ending in ("*.pt", "*.safetensors") for path in folder.glob(ending) if path.is_file()]
    return min(found, key=lambda path: (-path.stat().st_size, path.name), default=None)


def _not_sam2(path: Path, why: str) -> MaskError:
    return MaskError(f"{path} is no checkpoint of SAM 2: {why}.", _REMEDY, code="mask.checkpoint-not-sam2")


def _what_it_is(shapes: Shapes) -> str:
    for start, name in _OTHERS.items():
        if any(tensor.startswith(start) for tensor in shapes):
            return f"it holds {name}"
    if not shapes:
        return "it holds no named tensors"
    return f"it holds {len(shapes)} tensors, but not {_FIRST_LAYER}"


def _block_count(shapes: Shapes) -> int:
    start = f"{_TRUNK}blocks."
    return len({name[len(start) :].partition(".")[0] for name in shapes if name.startswith(start)})
