"""The weights in the checkpoint folder: what is needed, what is there, and the rest fetched and verified.

Order: a look at the manifest alone; the hub's list; files that lie there already, hashed; a ComfyUI folder;
sizes against the free disk; then the download. Each file enters the manifest when it is verified.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engines.preview.models import ModelsMissing, check_models, fetch_models
from engines.wan22 import checkout
from execution.words import duration
from set_up.alone import alone_on, weights_lock
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.adopting import adopt_from_comfyui, adopt_what_is_there
from set_up.weights.checks import (
    check_access,
    check_address,
    check_disk,
    check_shards,
    check_writable,
    say_what_is_missing,
)
from set_up.weights.downloads import download
from set_up.weights.hub import HUGGING_FACE, Hub, HubError, Listing, failed_listing, hub_named
from set_up.weights.manifest import FROM_HUB, Keeper, Manifest, Repository
from set_up.weights.needed import DEFAULT_FEATURES, PREVIEW, Needed, Part, needed_files, parts_of
from set_up.weights.needed import FEATURES as FEATURES
from set_up.weights.progress import in_bytes
from set_up.weights.transfer import Patience
from set_up.weights.verifying import check_known, verify

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
    with alone_on(weights_lock(request.ckpt_dir), session):
        return verify(request.ckpt_dir, session)


def fetch_weights(request: WeightsRequest, session: Session, patience: Patience | None = None) -> None:
    """Bring everything that the features need to its place. Run again, it goes on where it was broken off.

    Raises:
        SetUpError: with what is wrong and what to do.
    """
    if weights_in_place(request):
        session.say(f"all files for {', '.join(request.features)} are in place in {request.ckpt_dir}")
        return
    check_address(request.mirror)
    if _preview_is_missing(request):
        _fetch_preview(session)
    if _has_parts(request):
        return
    check_writable(request.ckpt_dir)
    with alone_on(weights_lock(request.ckpt_dir), session):
        _fetch_parts(request, session, patience or Patience.usual())


def _has_parts(request: WeightsRequest) -> bool:
    parts = parts_of(request.features)
    return not parts or Manifest.read(request.ckpt_dir).has(
        [part.feature for part in parts], request.revision
    )


# ----------------------------------------------------------------------------------------- the official model


def _fetch_parts(request: WeightsRequest, session: Session, patience: Patience) -> None:
    hub = hub_named(request.source, request.mirror)
    listings = _listings(request, hub, session, patience)
    of_part = {
        part: needed_files(part, listings[part.repository], hub.name) for part in parts_of(request.features)
    }
    needed = list({one.file.path: one for files in of_part.values() for one in files}.values())
    manifest = Manifest.read(request.ckpt_dir)
    with Keeper(manifest, dry_run=session.dry_run) as keeper:
        missing = _without_a_download(request, needed, manifest, keeper, session)
        say_what_is_missing(missing, needed, request.ckpt_dir, session)
        check_disk(missing, request.ckpt_dir, session)
        if session.dry_run:
            return
        if missing:
            check_access(missing, hub)
            download(
                missing,
                hub,
                request.ckpt_dir,
                session,
                patience,
                lambda one, sha256: keeper.add(one.file, sha256, FROM_HUB, one.repository),
            )
        check_shards(needed, request.ckpt_dir, hub)
        _note_as_complete(manifest, request, listings, of_part)
    total = sum(one.file.size for one in needed)
    session.say(f"verified: {len(needed)} files, {in_bytes(total)}, in {request.ckpt_dir}")


def _without_a_download(
    request: WeightsRequest, needed: Sequence[Needed], manifest: Manifest, keeper: Keeper, session: Session
) -> list[Needed]:
    """What is still missing after a look at what there is."""
    missing = [one for one in needed if not _is_done(one, manifest)]
    missing, wrong = adopt_what_is_there(missing, request.ckpt_dir, session, keeper)
    if request.from_comfyui is not None and missing:
        missing = adopt_from_comfyui(
            request.from_comfyui, missing, request.ckpt_dir, session, keeper, copy=request.copy
        )
    for one in missing:
        if one.file.path in wrong:
            session.warn(f"{one.file.path} {wrong[one.file.path]}: it is fetched again")
    return missing


def _is_done(one: Needed, manifest: Manifest) -> bool:
    known = manifest.files.get(one.file.path)
    return known is not None and known.is_for(one.file) and manifest.stands(one.file.path)


def _note_as_complete(
    manifest: Manifest,
    request: WeightsRequest,
    listings: Mapping[str, Listing],
    of_part: Mapping[Part, Sequence[Needed]],
) -> None:
    for name, listing in listings.items():
        asked = request.revision if name == checkout.WEIGHTS_REPOSITORY else None
        manifest.repositories[name] = Repository(source=request.source, revision=asked, commit=listing.commit)
    for part, files in of_part.items():
        manifest.features[part.feature] = [one.file.path for one in files]


# ------------------------------------------------------------------------------------------------- the lists


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


# ----------------------------------------------------------------------------------------------- the preview


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
