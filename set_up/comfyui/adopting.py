"""Takes over what a ComfyUI installation has of the weights: by a link, a copy, or in another container."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.wan22.weight_files import DamagedFile
from execution.weights_hashes import Report
from set_up.comfyui.folders import find_files
from set_up.comfyui.plan import How, Task, plan
from set_up.comfyui.report import show
from set_up.comfyui.search import ComfyuiFiles, search
from set_up.comfyui.tensors import Convertible, upstream_tensors
from set_up.comfyui.torch_file import PIECE, Written, unfinished_path, write_torch_file
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.hub_files import HubFile
from set_up.weights.progress import Bar, in_bytes

_SPARE: Final = 2**20
"""Bytes beside the files themselves: folders, and the headers of converted files."""


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """A needed file that is in its place now, from ComfyUI."""

    path: str
    """Inside the checkpoint folder, as the hub names it."""
    how: How
    origin: Path
    size: int
    sha256: str
    """Of the file that is in its place: not the hub's where it was converted. Empty if it would be converted,
    in a dry run."""


def adopt(
    folder: Path,
    needed: Sequence[HubFile],
    ckpt_dir: Path,
    session: Session,
    *,
    copy: bool,
    convertible: Mapping[str, Convertible] | None = None,
) -> list[Adopted]:
    """Look for needed files in a ComfyUI installation, report on each, and put those found into place.

    ComfyUI's files are never changed, and no file in the checkpoint folder is overwritten. Each gets its name
    when it is whole; what was done before a run was broken off is found again, and returned too.

    Args:
        folder: ComfyUI's folder, or its models folder.
        needed: with the hub's hashes; paths inside ``ckpt_dir``.
        copy: copy what has the same bytes, instead of linking to it.
        convertible: what can be made from which tensors; upstream's own by default.

    Returns:
        What is in its place from ComfyUI now, in the order of ``needed``; in a dry run, what would be.

    Raises:
        SetUpError: no models are there, the disk has too little room, or a file cannot be put into place.
    """
    known = upstream_tensors() if convertible is None else convertible
    found = find_files(folder, apart_from=ckpt_dir, warn=session.warn)
    with _progress(session, "reading ComfyUI's files") as report:
        comfyui = ComfyuiFiles(found, session.warn, report)
        try:
            tasks = plan(search(needed, comfyui, known), ckpt_dir, comfyui, known, report, copy=copy)
        except OSError as error:
            raise SetUpError(f"{error.filename or ckpt_dir} cannot be read: {error.strerror}.") from error
    show(tasks, session)
    if not session.dry_run:
        _check_room(tasks, ckpt_dir)
    return [_adopted(task, task.how, known, session) for task in tasks if task.how is not None]


def _check_room(tasks: Sequence[Task], ckpt_dir: Path) -> None:
    wanted = sum(task.bytes_to_write for task in tasks)
    if not wanted:
        return
    place = ckpt_dir.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < wanted + _SPARE:
        copies = any(task.how == "copied" and task.is_to_do for task in tasks)
        raise SetUpError(
            f"{ckpt_dir} has too little room: {in_bytes(wanted)} to write, {in_bytes(free)} free.",
            "Free some, or choose another --ckpt_dir." + (" Links need no room: leave --copy out." * copies),
            wrong_request=True,
        )


# ------------------------------------------------------------------------------------------- one file


def _adopted(task: Task, how: How, convertible: Mapping[str, Convertible], session: Session) -> Adopted:
    if session.dry_run:
        written = task.there or Written(task.verdict.origins[0].size, task.verdict.sha256)
    else:
        written = task.there or _made(task, convertible, session)
    return Adopted(
        path=task.verdict.needed.path,
        how=how,
        origin=task.origin,
        size=written.size,
        sha256=written.sha256,
    )


def _made(task: Task, convertible: Mapping[str, Convertible], session: Session) -> Written:
    try:
        task.target.parent.mkdir(parents=True, exist_ok=True)
        if task.how == "linked":
            _link(task.origin, task.target)
            return Written(task.verdict.needed.size, task.verdict.sha256)
        doing = "copying" if task.how == "copied" else "converting"
        with _progress(session, f"{doing} {task.target.name}") as report:
            if task.how == "copied":
                return _copy(task.origin, task.target, task.verdict.sha256, report)
            wrapped_in = convertible[task.verdict.needed.path].wrapped_in
            return write_torch_file(task.target, task.origin, wrapped_in=wrapped_in, report=report)
    except DamagedFile as error:
        raise SetUpError(f"{task.origin} {error}.", "Run it again when nothing writes to it.") from error
    except OSError as error:
        where = error.filename or task.target
        raise SetUpError(f"{where} cannot be read or written: {error.strerror or error}.") from error


def _link(origin: Path, target: Path) -> None:
    unfinished = unfinished_path(target)
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.symlink_to(origin)
    except (OSError, NotImplementedError) as error:  # Windows wants a right for it, some disks have none
        why = getattr(error, "strerror", None) or error
        raise SetUpError(
            f"No link can be made in {target.parent}: {why}.",
            "Add --copy, which copies the files instead. On Windows, developer mode allows links.",
        ) from error
    unfinished.replace(target)


def _copy(origin: Path, target: Path, sha256: str, report: Report) -> Written:
    """Raises DamagedFile if it does not have that hash any more, and OSError."""
    unfinished = unfinished_path(target)
    unfinished.unlink(missing_ok=True)
    digest, done = hashlib.sha256(), 0
    try:
        with origin.open("rb", buffering=0) as source, unfinished.open("xb", buffering=0) as copy:
            total = os.fstat(source.fileno()).st_size
            while piece := source.read(PIECE):
                copy.write(piece)
                digest.update(piece)
                done += len(piece)
                report(done, total)
            os.fsync(copy.fileno())
        if digest.hexdigest() != sha256:
            raise DamagedFile("changed while it was copied")
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return Written(done, sha256)


@contextlib.contextmanager
def _progress(session: Session, what: str) -> Iterator[Report]:
    """A report that shows bars or lines, one after the other where the total changes."""
    with contextlib.ExitStack() as shown:
        bars: dict[int, Bar] = {}

        def report(done: int, total: int) -> None:
            if total not in bars:
                shown.close()
                bars.clear()
                bars[total] = shown.enter_context(Bar(what, total, session))
            bars[total].show(done)

        yield report
