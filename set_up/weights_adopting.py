"""Files that need no download: those that lie in their place already, and those of a ComfyUI folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from execution.weights_hashes import hash_files
from set_up.errors import SetUpError
from set_up.hub_files import git_sha1_of
from set_up.session import Session
from set_up.weights_manifest import WAS_THERE, Manifest
from set_up.weights_needed import Needed
from set_up.weights_progress import Bar

Note = Callable[[Needed, str, str, str], None]
"""(file, its SHA-256, origin, where it came from)"""


class Keeper(Protocol):
    """Writes verified files into the manifest."""

    def add(self, one: Needed, sha256: str, origin: str, came_from: str) -> None: ...


def adopt_what_is_there(
    missing: Sequence[Needed], manifest: Manifest, session: Session, note: Note
) -> list[Needed]:
    """Hash files that lie in their places; those that are right need no download. Returns the others.

    A wrong file is left where it is until the right one has come.

    Raises:
        SetUpError: one cannot be read.
    """
    there = {manifest.ckpt_dir / one.file.path: one for one in missing}
    same_size = {path: one for path, one in there.items() if _size(path) == one.file.size}
    for path, one in there.items():
        if path not in same_size and path.is_file():
            session.warn(f"{one.file.path} has {_size(path)} bytes, not {one.file.size}: fetching it again")
    if session.dry_run:
        if same_size:
            session.say(f"{len(same_size)} files that are there would be hashed, and kept if they are right")
        return [one for path, one in there.items() if path not in same_size]
    right: set[str] = set()

    def found(path: Path, sha256: str) -> None:
        one = same_size[path]
        if _is_right(path, one, sha256):
            right.add(one.file.path)
            note(one, sha256, WAS_THERE, str(path.resolve()) if path.is_symlink() else "")
        else:
            session.warn(f"{one.file.path} is not the hub's file (its hash differs): fetching it again")

    total = sum(one.file.size for one in same_size.values())
    try:
        with Bar("hashing what is there", total, session) as bar:
            hash_files(list(same_size), lambda done, _: bar.show(done), found)
    except OSError as error:
        raise SetUpError(
            f"A file that is there cannot be read: {error}.", "Mend or remove it, then run it again."
        ) from error
    return [one for one in missing if one.file.path not in right]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _is_right(path: Path, one: Needed, sha256: str) -> bool:
    if one.file.sha256:
        return sha256 == one.file.sha256
    return git_sha1_of(path) == one.file.git_sha1


def adopt_from_comfyui(
    folder: Path,
    missing: Sequence[Needed],
    manifest: Manifest,
    session: Session,
    keeper: Keeper,
    *,
    copy: bool,
) -> list[Needed]:
    """Link, copy or convert what a ComfyUI folder has. Returns what is still missing.

    Raises:
        SetUpError: the folder is none.
    """
    from set_up import comfyui

    by_path = {one.file.path: one for one in missing}
    files = [one.file for one in missing]
    adopted = comfyui.adopt(folder, files, manifest.ckpt_dir, session, copy=copy)
    taken = set()
    for one in adopted:
        if not session.dry_run:
            keeper.add(by_path[one.path], one.sha256, one.how, str(one.origin))
        taken.add(one.path)
    return [one for one in missing if one.file.path not in taken]
