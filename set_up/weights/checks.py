"""What is checked, and said, before the first byte is fetched."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from engines.machine import free_space
from engines.wan22 import checkout
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.hub import Hub, HubError, refused
from set_up.weights.needed import Needed
from set_up.weights.progress import in_bytes
from set_up.weights.transfer import bytes_here

_SHOWN: Final = 12


def check_address(mirror: str | None) -> None:
    """Raises SetUpError: it is none."""
    if mirror is None:
        return
    try:
        address = urlsplit(mirror)
        whole = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        whole = False
    if not whole:
        raise SetUpError(
            "What was given with --mirror is no address of a server.",
            "It begins with https:// and the server's name.",
            wrong_request=True,
        )


def check_writable(ckpt_dir: Path) -> None:
    """Raises SetUpError: files cannot be made there."""
    existing = ckpt_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise SetUpError(
            f"{existing} is a file; --ckpt_dir needs a folder.", "Name another.", wrong_request=True
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise SetUpError(
            f"The folder {existing} cannot be written: no permission, or a disk that is read only.",
            "Change that, or name another with --ckpt_dir.",
            wrong_request=True,
        )


def say_what_is_missing(
    missing: Sequence[Needed], needed: Sequence[Needed], ckpt_dir: Path, session: Session
) -> None:
    """Sizes, the largest files by name."""
    total, wanted = (sum(one.file.size for one in files) for files in (needed, missing))
    here = sum(bytes_here(ckpt_dir, one) for one in missing)
    session.say(
        f"needed: {len(needed)} files, {in_bytes(total)}; to fetch: {len(missing)}, {in_bytes(wanted)}"
    )
    if here:
        session.say(f"of that, {in_bytes(here)} arrived in an earlier run")
    largest = sorted(missing, key=lambda one: -one.file.size)
    for one in largest[:_SHOWN]:
        session.say(f"  {in_bytes(one.file.size):>10}  {one.file.path}")
    if rest := largest[_SHOWN:]:
        session.say(f"  {in_bytes(sum(one.file.size for one in rest)):>10}  in {len(rest)} smaller files")


def check_disk(missing: Sequence[Needed], ckpt_dir: Path, session: Session) -> None:
    """Raises SetUpError: what is to come does not fit."""
    to_come = sum(one.file.size - bytes_here(ckpt_dir, one) for one in missing)
    try:
        _, free = free_space(ckpt_dir)
    except OSError:
        return  # it does not tell; the download will, should it be full
    if to_come > free:
        raise SetUpError(
            f"{in_bytes(to_come)} are to be fetched into {ckpt_dir}, and {in_bytes(free)} are free on its "
            f"disk: {in_bytes(to_come - free)} too little.",
            "Make room, name a folder on another disk with --ckpt_dir, or leave out a feature (--for).",
            wrong_request=True,
        )
    if to_come:
        session.say(f"free on the disk: {in_bytes(free)}; after it: {in_bytes(free - to_come)}")


def check_access(missing: Sequence[Needed], hub: Hub) -> None:
    """Of several repositories, a gated one is said before 50 GB of another have come. Raises SetUpError."""
    smallest: dict[str, Needed] = {}
    for one in sorted(missing, key=lambda one: one.file.size):
        smallest.setdefault(one.repository, one)
    if len(smallest) == 1:
        return  # its first file will tell
    for one in smallest.values():
        try:
            with hub.open(one.repository, one.revision, one.path_in_repository, 0):
                pass
        except HubError as error:
            if error.is_refused:
                raise refused(hub, one.repository, error) from error


def check_shards(needed: Sequence[Needed], ckpt_dir: Path, hub: Hub) -> None:
    """Whether the diffusion model has all files that its index names; the list of a hub may lack some.

    Raises:
        SetUpError: it has not.
    """
    index = f"{checkout.DIFFUSION_MODEL}.index.json"
    if not any(one.file.path == index for one in needed):
        return
    if lacking := checkout.missing_diffusion_files(ckpt_dir):
        raise SetUpError(
            f"The diffusion model's index names {', '.join(lacking)}, which {hub.name} does not list.",
            "Choose another --revision or the other hub (--source).",
        )
