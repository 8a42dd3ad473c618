"""Files that need no download: those that lie in their place already, and those of a ComfyUI folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from execution.weights_hashes import hash_files
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.hub_files import git_sha1_of
from set_up.weights.manifest import WAS_THERE, Keeper
from set_up.weights.needed import Needed
from set_up.weights.progress import Bar


def adopt_what_is_there(
    missing: Sequence[Needed], ckpt_dir: Path, session: Session, keeper: Keeper
) -> tuple[list[Needed], dict[str, str]]:
    """Hash files that lie in their places; those that are right need no download.

    Returns:
        Those that are still missing, and of each that is there and wrong, what is. A wrong file is left where
        it is until the right one has come.

    Raises:
        SetUpError: one cannot be read.
    """
    sizes = {one.file.path: _size(ckpt_dir / one.file.path) for one in missing}
    wrong = {
        one.file.path: f"has {sizes[one.file.path]} bytes, the hub's has {one.file.size}"
        for one in missing
        if sizes[one.file.path] not in (None, one.file.size)
    }
    candidates = {ckpt_dir / one.file.path: one for one in missing if sizes[one.file.path] == one.file.size}
    if session.dry_run:
        if candidates:
            session.say(f"{len(candidates)} files that are there would be hashed, and kept if they are right")
        return [one for one in missing if sizes[one.file.path] != one.file.size], wrong
    if not candidates:
        return list(missing), wrong
    right: set[str] = set()

    def found(path: Path, sha256: str) -> None:
        one = candidates[path]
        if _is_right(path, one, sha256):
            right.add(one.file.path)
            keeper.add(one.file, sha256, WAS_THERE, str(path.resolve()) if path.is_symlink() else "")
        else:
            wrong[one.file.path] = "is not the hub's file (its hash is another)"

    total = sum(one.file.size for one in candidates.values())
    try:
        with Bar("hashing what is there", total, session) as bar:
            hash_files(list(candidates), lambda done, _: bar.show(done), found)
    except OSError as error:
        raise SetUpError(
            f"A file that is there cannot be read: {error}.", "Mend or remove it, then run it again."
        ) from error
    return [one for one in missing if one.file.path not in right], wrong


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
    folder: Path, missing: Sequence[Needed], ckpt_dir: Path, session: Session, keeper: Keeper, *, copy: bool
) -> list[Needed]:
    """Link, copy or convert what a ComfyUI folder has. Returns what is still missing.

    Raises:
        SetUpError: the folder is none, or a file cannot be put into place.
    """
    from set_up.comfyui.adopting import adopt

    by_path = {one.file.path: one for one in missing}
    files = [one.file for one in missing]
    taken = set()
    for adopted in adopt(folder, files, ckpt_dir, session, copy=copy):
        if not session.dry_run:
            keeper.add(by_path[adopted.path].file, adopted.sha256, adopted.how, str(adopted.origin))
        taken.add(adopted.path)
    return [one for one in missing if one.file.path not in taken]
