"""All parts in order: the checkout, its Python, flash-attn, the weights; then a look at what works."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from set_up.alone import alone_on, checkout_lock
from set_up.environment.making import EnvironmentRequest, interpreter_of, make_environment
from set_up.errors import WRONG_REQUEST, SetUpError
from set_up.flash_attn.installing import install_flash_attn
from set_up.repository import RepositoryRequest, set_up_repository
from set_up.session import Session
from set_up.weights.fetching import WeightsRequest, fetch_weights, weights_in_place
from set_up.weights.transfer import Patience

REPOSITORY, ENVIRONMENT, FLASH_ATTN, WEIGHTS = "repo", "env", "flash_attn", "weights"
PARTS: Final = (REPOSITORY, ENVIRONMENT, FLASH_ATTN, WEIGHTS)
_NEEDS: Final = {ENVIRONMENT: (REPOSITORY,), FLASH_ATTN: (REPOSITORY, ENVIRONMENT)}
"""Parts without which a part cannot begin."""
_TITLES: Final = {
    REPOSITORY: "The official repository",
    ENVIRONMENT: "Its Python environment",
    FLASH_ATTN: "flash-attn 2",
    WEIGHTS: "Weights",
}


@dataclass(frozen=True, kw_only=True)
class SetUpRequest:
    """What to set up, and where."""

    parts: tuple[str, ...] = PARTS
    repository: RepositoryRequest
    environment: EnvironmentRequest
    weights: WeightsRequest
    wheels_from: str | None = None
    """Another place of flash-attn's wheels: an address or a folder."""
    community: bool = False
    """Whether a wheel by others than flash-attn's makers will do."""


def set_up(request: SetUpRequest, session: Session) -> dict[str, SetUpError]:
    """Do the parts; the errors of those that failed.

    A part that fails stops those that need it and no others: hours of downloads go on beside a flash-attn
    that does not fit.

    Raises:
        SetUpError: another set-up works here, or the weights cannot be fetched whatever is done before.
    """
    _refuse_early(request, session)
    work: dict[str, Callable[[], object]] = {
        REPOSITORY: lambda: set_up_repository(request.repository, session),
        ENVIRONMENT: lambda: make_environment(request.environment, session),
        FLASH_ATTN: lambda: _flash_attn(request, session),
        WEIGHTS: lambda: fetch_weights(request.weights, session),
    }
    failed: dict[str, SetUpError] = {}
    with alone_on(checkout_lock(request.repository.wan22_dir), session):
        for part in request.parts:
            session.part(_TITLES[part])
            if missing := [name for name in _NEEDS.get(part, ()) if name in failed]:
                session.warn(f"left out, because it needs what failed: {_TITLES[missing[0]]}")
                continue
            try:
                work[part]()
            except (SetUpError, OSError) as error:
                failed[part] = error if isinstance(error, SetUpError) else _of_the_system(error)
                session.error(failed[part])
    return failed


def _refuse_early(request: SetUpRequest, session: Session) -> None:
    """Weights come last; that they do not fit on the disk should not be said after an hour of other parts."""
    if session.dry_run or WEIGHTS not in request.parts[1:] or weights_in_place(request.weights):
        return
    from rich.console import Console

    silent = Session(console=Console(file=io.StringIO()), dry_run=True)
    try:
        fetch_weights(request.weights, silent, Patience(tries=1))
    except SetUpError as error:
        if error.exit_code == WRONG_REQUEST:
            raise
        # A hub that does not answer now may do so later; the part itself will say.


def _of_the_system(error: OSError) -> SetUpError:
    """A disk that is full, a folder that may not be written, a program that cannot be started."""
    place = f"{error.filename}: " if error.filename else ""
    return SetUpError(f"{place}{error.strerror or error}.", "Mend that, and run the same command again.")


def _flash_attn(request: SetUpRequest, session: Session) -> None:
    if request.environment.cpu:
        session.note("--cpu: left out, flash-attn runs on NVIDIA GPUs alone.")
        return
    python = interpreter_of(request.environment.wan22_dir)
    install_flash_attn(python, session, wheels_from=request.wheels_from, community=request.community)
