"""The weights in the checkpoint folder: what is needed, what is there, and the rest fetched and verified.

Order: a look at the manifest alone; the hub's list; files that lie there already, hashed; a ComfyUI folder;
sizes against the free disk; then the download. Each file enters the manifest when it is verified.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.machine import free_space
from engines.preview.models import ModelsMissing, check_models, fetch_models
from engines.wan22 import checkout
from execution.lock import FolderBusy, hold
from execution.record import HIDDEN_FOLDER
from execution.words import duration
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights_adopting import adopt_from_comfyui, adopt_what_is_there
from set_up.weights_downloads import download
from set_up.weights_hub import HUGGING_FACE, Hub, HubError, Listing, failed_listing, hub_named, refused
from set_up.weights_manifest import FROM_HUB, Manifest, Repository
from set_up.weights_needed import DEFAULT_FEATURES, FEATURES, PREVIEW, Needed, Part, needed_files, parts_of
from set_up.weights_progress import in_bytes
from set_up.weights_transfer import Patience, bytes_here
from set_up.weights_verifying import check_known, verify

__all__ = [
    "DEFAULT_FEATURES",
    "FEATURES",
    "WeightsRequest",
    "fetch_weights",
    "verify_weights",
    "weights_in_place",
]

_SECONDS_BETWEEN_WRITES = 1.0
_LARGE = 2**26
"""A file of this size is written into the manifest at once."""
_SHOWN = 12
_TRIES_TO_REACH = 2


@dataclass(frozen=True, kw_only=True)
class WeightsRequest:
    """Which weights, from where, to where."""

    ckpt_dir: Path
    features: tuple[str, ...] = DEFAULT_FEATURES
    source: str = HUGGING_FACE
    mirror: str | None = None
    """Address of another server that speaks the hub's language."""
    revision: str | None = None
    """Of Wan2.2-Animate; the hub's default branch without it."""
    from_comfyui: Path | None = None
    copy: bool = False
    """Copy what is found there in place of linking it."""


def weights_in_place(request: WeightsRequest) -> bool:
    """Whether nothing is left to do, by the manifest alone: no hub is asked and no file is read."""
    return not _preview_is_missing(request) and _has_parts(request)


def verify_weights(request: WeightsRequest, session: Session) -> bool:
    """Hash every file of the manifest again; what is wrong is said and will be fetched by the next run.

    Raises:
        SetUpError: there is no manifest, or another run is at work.
    """
    check_known(request.ckpt_dir)
    with _held(request, session):
        return verify(request.ckpt_dir, session)


def fetch_weights(request: WeightsRequest, session: Session, patience: Patience | None = None) -> None:
    """Bring everything that the features need to its place. Run again, it goes on where it was broken off.

    Raises:
        SetUpError: with what is wrong and what to do.
    """
    if weights_in_place(request):
        session.say(f"all files for {', '.join(request.features)} are in place in {request.ckpt_dir}")
        return
    if _preview_is_missing(request):
        _fetch_preview(session)
    if _has_parts(request):
        return
    _check_writable(request.ckpt_dir)
    with _held(request, session):
        _fetch_parts(request, session, patience or Patience.usual())


def _has_parts(request: WeightsRequest) -> bool:
    parts = parts_of(request.features)
    return not parts or Manifest.read(request.ckpt_dir).has(
        [part.feature for part in parts], request.revision
    )


# --------------------------------------------------------------------------------------------- the steps


def _fetch_parts(request: WeightsRequest, session: Session, patience: Patience) -> None:
    hub = hub_named(request.source, request.mirror)
    manifest = Manifest.read(request.ckpt_dir)
    listings = _listings(request, hub, session, patience)
    of_part = {
        part: needed_files(part, listings[part.repository], hub.name) for part in parts_of(request.features)
    }
    needed = list({one.file.path: one for files in of_part.values() for one in files}.values())
    keep = _Keeper(manifest, session)
    with keep:
        missing = [one for one in needed if not _is_done(one, manifest)]
        missing = adopt_what_is_there(missing, manifest, session, keep.add)
        if request.from_comfyui is not None:
            missing = adopt_from_comfyui(
                request.from_comfyui, missing, manifest, session, keep, copy=request.copy
            )
        _say_what_is_missing(missing, needed, request, session)
        _check_disk(missing, request.ckpt_dir)
        if session.dry_run:
            return
        if missing:
            _check_access(missing, hub)
            download(
                missing,
                hub,
                request.ckpt_dir,
                session,
                patience,
                lambda one, sha256: keep.add(one, sha256, FROM_HUB, one.repository),
            )
        _check_shards(request, hub)
        for name, listing in listings.items():
            asked = request.revision if name == checkout.WEIGHTS_REPOSITORY else None
            manifest.repositories[name] = Repository(
                source=request.source, revision=asked, commit=listing.commit
            )
        for part, files in of_part.items():
            manifest.features[part.feature] = [one.file.path for one in files]
    total = sum(one.file.size for one in needed)
    session.say(f"verified: {len(needed)} files, {in_bytes(total)}, in {request.ckpt_dir}")


def _listings(request: WeightsRequest, hub: Hub, session: Session, patience: Patience) -> dict[str, Listing]:
    listings: dict[str, Listing] = {}
    for part in parts_of(request.features):
        name = part.repository
        if name in listings:
            continue
        revision = request.revision if name == checkout.WEIGHTS_REPOSITORY else None
        try:
            listings[name] = _listing(hub, name, revision, session, patience)
        except HubError as error:
            raise failed_listing(hub, name, revision, error) from error
        at = listings[name].commit
        session.say(f"{name} on {hub.host}" + (f", commit {at}" if at else ""))
    return listings


def _listing(
    hub: Hub, repository: str, revision: str | None, session: Session, patience: Patience
) -> Listing:
    """A busy hub is asked again as often as for a file; one that is not reached, once."""
    failures = 0
    while True:
        try:
            return hub.listing(repository, revision)
        except HubError as error:
            failures += 1
            if not error.may_pass or failures >= (patience.tries if error.status else _TRIES_TO_REACH):
                raise
            seconds = patience.wait(failures, error.retry_after)
            session.note(f"{error}; asking again in {duration(seconds)}")
            time.sleep(seconds)


def _is_done(one: Needed, manifest: Manifest) -> bool:
    known = manifest.files.get(one.file.path)
    return known is not None and known.is_for(one.file) and manifest.stands(one.file.path)


def _fetch_preview(session: Session) -> None:
    if session.dry_run:
        session.say("the preview engine's models would be fetched (python scripts/fetch_preview_models.py)")
        return
    try:
        fetch_models(report=session.say)
    except ModelsMissing as error:
        raise SetUpError(str(error)) from error


def _preview_is_missing(request: WeightsRequest) -> bool:
    if PREVIEW not in request.features:
        return False
    try:
        check_models()
    except ModelsMissing:
        return True
    return False
