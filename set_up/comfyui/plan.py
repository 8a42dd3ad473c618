"""What is done for each needed file, and whether it is in its place already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from engines.wan22 import checkout
from engines.wan22.weight_files import DamagedFile
from execution.weights_hashes import Report
from set_up.comfyui.search import ComfyuiFiles, Verdict
from set_up.comfyui.tensors import Convertible
from set_up.comfyui.torch_file import Written, written_from

How = Literal["linked", "copied", "converted"]

POSE_MODEL: Final = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.POSE_MODEL}"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What becomes of one needed file."""

    verdict: Verdict
    target: Path
    how: How | None
    """None: nothing is done; the file is left to the download, if it is not there."""
    there: Written | None = None
    """Its size and hash, if it is in its place already, from the same origin."""
    taken: bool = False
    """Another file is in its place. It is not touched."""

    @property
    def origin(self) -> Path:
        """The file that is used."""
        return self.verdict.origins[0].path

    @property
    def is_to_do(self) -> bool:
        """Whether anything is made."""
        return self.how is not None and self.there is None

    @property
    def bytes_to_write(self) -> int:
        """Bytes that it takes of the disk. A converted file is about as long as its origin."""
        return self.verdict.origins[0].size if self.is_to_do and self.how != "linked" else 0


def plan(
    verdicts: Sequence[Verdict],
    ckpt_dir: Path,
    comfyui: ComfyuiFiles,
    convertible: Mapping[str, Convertible],
    report: Report,
    *,
    copy: bool,
) -> list[Task]:
    """A task for each verdict, in their order. Nothing is changed.

    Raises:
        OSError: a file in the checkpoint folder cannot be read.
        BaseException: what ``report`` raised.
    """
    tasks = []
    for verdict in verdicts:
        task = Task(verdict=verdict, target=ckpt_dir / verdict.needed.path, how=None)
        if verdict.state == "same bytes":
            task = replace(task, how="copied" if copy else "linked")
        elif verdict.state == "same tensors":
            task = replace(task, how="converted")
        if task.target.exists():  # else nothing is there, or a link whose file is gone
            task = _beside_what_is_there(task, comfyui, convertible, report)
        tasks.append(task)
    return _pose_model_in_one_folder(tasks, ckpt_dir / POSE_MODEL)


def _beside_what_is_there(
    task: Task, comfyui: ComfyuiFiles, convertible: Mapping[str, Convertible], report: Report
) -> Task:
    there: Written | None = None
    how = task.how
    if task.target.is_file() and how == "converted":
        wrapped_in = convertible[task.verdict.needed.path].wrapped_in
        try:
            there = written_from(task.target, task.origin, wrapped_in=wrapped_in, report=report)
        except DamagedFile:  # the origin; then nothing was made from it
            there = None
    elif task.target.is_file() and how is not None:
        sha256, size = task.verdict.sha256, task.target.stat().st_size
        if size == task.verdict.needed.size and comfyui.sha256_of([task.target]).get(task.target) == sha256:
            there = Written(size, sha256)
            how = "linked" if task.target.is_symlink() else "copied"
    if there is None:
        return replace(task, how=None, taken=True)
    return replace(task, how=how, there=there)


def _pose_model_in_one_folder(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """The pose model's tensor files are linked only if its own file is, into the same folder; else copied.

    ONNX Runtime refuses a model whose tensor files, links resolved, lie neither in its folder nor where it
    lies itself, links resolved (tried with 1.31: "External data path escapes model directory").
    """
    model = folder / checkout.POSE_MODEL_INSIDE
    linked = [task for task in tasks if task.how == "linked" and folder in task.target.parents]
    places = [_real_folder(found.path) for task in linked for found in task.verdict.origins]
    home = _real_folder(model) if model.exists() else folder
    chosen: dict[Path, Task] = {}
    for task in sorted(linked, key=lambda task: task.target != model):
        at_home = task
        if task.target == model and task.is_to_do:
            home = max(map(_real_folder, _paths(task)), key=places.count)
        if task.is_to_do:
            origins = [found for found in task.verdict.origins if _real_folder(found.path) == home]
            at_home = (
                replace(task, verdict=replace(task.verdict, origins=tuple(origins)))
                if origins
                else replace(task, how="copied")
            )
        chosen[task.target] = at_home
    return [chosen.get(task.target, task) for task in tasks]


def _paths(task: Task) -> list[Path]:
    return [found.path for found in task.verdict.origins]


def _real_folder(path: Path) -> Path:
    return path.resolve().parent
