"""The look at each file of weights that a job loads: which are missing, and what is wrong with the others."""

from __future__ import annotations

import enum
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from config import GENERATION, PREPROCESSING, Job
from engines.wan22 import checkout
from engines.wan22.weight_files import (
    DamagedFile,
    LfsPointer,
    WebPage,
    check_impostor,
    check_torch_file,
    external_tensors,
    safetensors_names,
)

_TOKENIZERS: Final = {
    # folder: for each file that the loader needs, what it may be called
    checkout.T5_TOKENIZER: (("tokenizer_config.json",), ("tokenizer.json", "spiece.model")),
    checkout.CLIP_TOKENIZER: (
        ("tokenizer_config.json", "config.json"),
        ("tokenizer.json", "sentencepiece.bpe.model"),
    ),
}
_T = TypeVar("_T")


class Wrong(enum.Enum):
    """What can be wrong with a file that is there."""

    DAMAGED = enum.auto()
    LFS_POINTER = enum.auto()
    WEB_PAGE = enum.auto()
    TENSOR_FILES = enum.auto()
    """The file itself is whole; tensors that belong beside it are not there."""
    INDEX = enum.auto()
    """The file itself is whole; the index says that it holds more."""


@dataclass
class Weights:
    """What was found in a checkpoint folder. Names are paths inside it."""

    folder: Path
    missing: list[str] = field(default_factory=list)
    wrong: dict[Wrong, list[str]] = field(default_factory=lambda: defaultdict(list))
    """A few words for each file."""
    sizes: dict[str, int] = field(default_factory=dict)
    """Bytes of each model that is whole: of all its files together."""

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def look_at(self, path: Path, check: Callable[[Path], _T]) -> _T | None:
        """What the check says of a file that is there; what is wrong with it is noted."""
        try:
            answer = check(path)
            self.sizes[self.name(path)] = path.stat().st_size
            return answer
        except DamagedFile as error:
            impostors = {LfsPointer: Wrong.LFS_POINTER, WebPage: Wrong.WEB_PAGE}
            what = impostors.get(type(error), Wrong.DAMAGED)
            self.wrong[what].append(self.name(path) + (f" {error}" if what is Wrong.DAMAGED else ""))
        except OSError as error:
            self.wrong[Wrong.DAMAGED].append(f"{self.name(path)} cannot be read ({error.strerror})")
        return None


def inspect_weights(job: Job) -> Weights:
    """Look at everything that the job's stages load."""
    found = Weights(job.ckpt_dir)
    if PREPROCESSING in job.stages:
        _preprocessing(job, found)
    if GENERATION in job.stages:
        _generation(job, found)
    return found


def _preprocessing(job: Job, found: Weights) -> None:
    for path in checkout.preprocess_weights(
        job.ckpt_dir, replace=job.masks_in_stage_1, use_flux=job.use_flux
    ):
        if not path.exists():
            found.missing.append(found.name(path))
        elif path.name == checkout.FLUX:
            _pipeline_folder(path, found)
        elif path.suffix == ".onnx":
            _onnx(path, found)
        else:
            found.look_at(path, check_torch_file)


def _generation(job: Job, found: Weights) -> None:
    for path in checkout.generate_weights(job.ckpt_dir, relighting=job.use_relighting_lora):
        if not path.exists():
            found.missing.append(found.name(path))
        elif (folder := found.name(path)) in _TOKENIZERS:
            _tokenizer(path, _TOKENIZERS[folder], found)
        else:
            found.look_at(path, check_json if path.suffix == ".json" else check_torch_file)
    found.missing += checkout.missing_diffusion_files(job.ckpt_dir)
    _diffusion_model(job.ckpt_dir, found)


def check_json(path: Path) -> None:
    """A JSON file's first and last letter; a tokenizer's has 17 MB, which takes too long to read as a whole.

    Raises:
        DamagedFile: they are not those of a JSON object.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        head = stream.read(512)
        check_impostor(head, size)
        stream.seek(max(0, size - 64))
        if head.lstrip()[:1] != b"{" or stream.read().rstrip()[-1:] != b"}":
            raise DamagedFile("is cut off or no JSON file")


def _tokenizer(folder: Path, needed: tuple[tuple[str, ...], ...], found: Weights) -> None:
    for names in needed:
        there = [folder / name for name in names if (folder / name).is_file()]
        if not there:
            found.missing.append(found.name(folder / names[0]))
        for path in there:
            found.look_at(path, check_json if path.suffix == ".json" else _check_content)


def _check_content(path: Path) -> None:
    with path.open("rb") as stream:
        check_impostor(stream.read(512), path.stat().st_size)


def _onnx(path: Path, found: Weights) -> None:
    """A model of one file, or a folder with the model's file and its tensors beside it."""
    model = path / checkout.POSE_MODEL_INSIDE if path.is_dir() else path
    if not model.is_file():
        found.missing.append(found.name(model))
        return
    tensors = found.look_at(model, external_tensors)
    if tensors is None:
        return
    ends: dict[str, int] = {}
    for tensor in tensors:
        ends[tensor.name] = max(tensor.end, ends.get(tensor.name, 0))
    bad, total = [], found.sizes.pop(found.name(model))
    for name, end in ends.items():
        try:
            size = (model.parent / name).stat().st_size
        except OSError:
            size = -1
        total += max(size, 0)
        if size < max(end, 1):
            bad.append(name)
    found.sizes[found.name(path)] = total
    if bad:
        some = ", ".join(bad[:3]) + (" and more" if len(bad) > 3 else "")
        text = (
            f"{len(bad)} of {len(ends)} tensor files of {found.name(model)} are missing or cut off ({some})"
        )
        found.wrong[Wrong.TENSOR_FILES].append(text)


def _diffusion_model(ckpt_dir: Path, found: Weights) -> None:
    try:
        shard_of = checkout.diffusion_index(ckpt_dir)
    except ValueError:
        return  # named among the missing
    expected: dict[str, set[str]] = defaultdict(set)
    for tensor, name in (shard_of or {}).items():
        expected[name].add(tensor)
    names = sorted(expected) if shard_of is not None else [checkout.DIFFUSION_MODEL]
    total = 0
    for name in names:
        if not (ckpt_dir / name).is_file():
            continue
        tensors = found.look_at(ckpt_dir / name, safetensors_names)
        total += found.sizes.pop(name, 0)
        if tensors is not None and (absent := expected[name] - tensors):
            found.wrong[Wrong.INDEX].append(f"{name} lacks {len(absent)} tensors, such as {min(absent)}")
    if not any(name.startswith("diffusion_pytorch_model") for name in found.missing):
        found.sizes[checkout.DIFFUSION_MODEL] = total


def _pipeline_folder(folder: Path, found: Weights) -> None:
    """A diffusers pipeline: its index names the folders of its parts; big parts are files with an index."""
    index = folder / "model_index.json"
    if not index.is_file():
        found.missing.append(found.name(index))
        return
    try:
        parts = json.loads(index.read_bytes())
        names = [name for name, entry in parts.items() if isinstance(entry, list) and entry and entry[0]]
    except (ValueError, AttributeError):
        found.look_at(index, check_json)
        found.wrong[Wrong.DAMAGED].append(f"{found.name(index)} is no table of a pipeline's parts")
        return
    for part in (folder / name for name in names):
        if not part.is_dir() or not any(part.iterdir()):
            found.missing.append(found.name(part))
            continue
        for shards in sorted(part.glob("*.safetensors.index.json")):
            try:
                files = set(json.loads(shards.read_bytes())["weight_map"].values())
            except (ValueError, KeyError, TypeError, AttributeError):
                found.wrong[Wrong.DAMAGED].append(f"{found.name(shards)} is no index")
                continue
            found.missing += [
                found.name(part / name) for name in sorted(files) if not (part / name).is_file()
            ]
        for path in sorted(part.glob("*.safetensors")):
            found.look_at(path, safetensors_names)
