"""The official repository: cloned at the pinned commit; where there is a checkout, looked at and left alone.

A clone is made under a hidden name beside its place and gets its own name when it is whole, so that a folder
of that name is never half a clone.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engines.wan22 import checkout
from execution.record import HIDDEN_FOLDER
from set_up.errors import SetUpError
from set_up.session import Session

_PLAIN: Final = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"}
"""No question that nobody sees, such as for a password; and messages that can be read below."""
_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class RepositoryRequest:
    """Which checkout, and from where."""

    wan22_dir: Path
    source: str = checkout.UPSTREAM_URL
    """Any address or path that git can fetch from."""
    commit: str = checkout.UPSTREAM_COMMIT
    """All 40 letters."""


def set_up_repository(request: RepositoryRequest, session: Session) -> None:
    """Clone, or verify what is there. An existing checkout is never changed.

    Raises:
        SetUpError: git is missing or fails, or something else lies in the place.
    """
    if repository_is_there(request.wan22_dir):
        _verify(request, session)
        return
    if _holds_anything(request.wan22_dir):
        raise SetUpError(
            f"{request.wan22_dir} is not empty and is no checkout of Wan2.2 "
            f"(it lacks {checkout.GENERATE_SCRIPT} or {checkout.PREPROCESS_SCRIPT}).",
            "Move it away, or name another folder with --wan22_dir.",
            wrong_request=True,
        )
    if shutil.which("git") is None:
        raise SetUpError(
            "git is not installed.", "Install it (Debian and Ubuntu: apt install git).", wrong_request=True
        )
    _clone(request, session)


def repository_is_there(wan22_dir: Path) -> bool:
    """Whether both of upstream's scripts are."""
    return all(
        (wan22_dir / script).is_file() for script in (checkout.GENERATE_SCRIPT, checkout.PREPROCESS_SCRIPT)
    )


def _verify(request: RepositoryRequest, session: Session) -> None:
    folder, pinned = request.wan22_dir, request.commit
    commit = checkout.commit_of(folder)
    found = checkout.differences(folder)
    if commit is not None and commit != pinned:
        session.warn(
            f"{folder} is at commit {commit[:7]}; Understudy was written for {pinned[:7]}. "
            f"It was left as it is. To change it: git -C {folder} checkout {pinned[:7]}"
        )
    for names, what in ((found.edited, "differ from the published commit"), (found.missing, "are missing")):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            session.warn(f"{', '.join(names[:_SHOWN])}{more} in {folder} {what}. They were left as they are.")
    session.say(f"{folder} is there" + (f", at commit {commit[:7]}" if commit else ""))


def _holds_anything(folder: Path) -> bool:
    return folder.is_file() or (folder.is_dir() and any(folder.iterdir()))


def _clone(request: RepositoryRequest, session: Session) -> None:
    place = request.wan22_dir
    clone = place.parent / HIDDEN_FOLDER / f"{place.name}.clone"
    if not session.dry_run:
        try:
            if clone.exists():  # what an earlier run left when it was killed
                shutil.rmtree(clone)
            clone.mkdir(parents=True)
        except OSError as error:
            raise SetUpError(
                f"{clone.parent} cannot be written ({error.strerror}).",
                "Make it writable, or name another folder with --wan22_dir.",
                wrong_request=True,
            ) from error
    _git(session, clone, "init", "--quiet")
    _git(session, clone, "remote", "add", "origin", request.source)
    _fetch(request, session, clone)
    _git(session, clone, "-c", "advice.detachedHead=false", "checkout", "--quiet", request.commit)
    if session.dry_run:
        session.say(f"then {clone} becomes {place}")
        return
    if not repository_is_there(clone):
        raise SetUpError(
            f"Commit {request.commit[:7]} of {request.source} is no Wan2.2: "
            f"it lacks {checkout.GENERATE_SCRIPT} or {checkout.PREPROCESS_SCRIPT}.",
            "Give another --from.",
        )
    if place.is_dir():
        place.rmdir()  # empty, or we would not be here
    clone.replace(place)
    session.say(f"cloned into {place}, at commit {request.commit[:7]}")


def _fetch(request: RepositoryRequest, session: Session, clone: Path) -> None:
    """One commit without its history; all of it from servers that do not hand out single commits."""
    try:
        _git(session, clone, "fetch", "--quiet", "--depth", "1", "origin", request.commit)
        return
    except SetUpError as refused:
        if (
            "not our ref" not in refused.what
            and "unadvertised" not in refused.what
            and "dumb" not in refused.what
        ):
            raise
    session.note(f"{request.source} does not give that commit alone; all of its history is fetched.")
    _git(session, clone, "fetch", "--quiet", "--tags", "origin", "+refs/heads/*:refs/remotes/origin/*")
    try:
        _git(session, clone, "cat-file", "-e", f"{request.commit}^{{commit}}")
    except SetUpError:
        raise SetUpError(
            f"{request.source} has no commit {request.commit}.",
            "Give a mirror of the official repository, or bring this one up to date.",
        ) from None


def _git(session: Session, clone: Path, *words: str) -> None:
    session.run(
        ["git", "-C", str(clone), *words],
        doing=f"git {words[0] if words[0] != '-c' else words[2]}",
        environment=_PLAIN,
        remedy="Check the network and the address (--from names another); running this again goes on.",
    )
