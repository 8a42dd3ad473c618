"""What a hub is to the download: a listing with sizes and hashes, and the bytes of a file from any place on.

The hubs' own clients make every request: they know the addresses, the proxies, and whose token it is. What is
done with the bytes is ours (``weights_transfer``), because there the clients differ by hub and by version:
huggingface_hub throws a broken file away since 1.18 and compares no hashes, and each waits in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from execution.secrecy import without_secrets
from set_up.errors import SetUpError
from set_up.weights.hub_files import HubFile

HUGGING_FACE, MODELSCOPE = "hf", "modelscope"
SOURCES: Final = (HUGGING_FACE, MODELSCOPE)
TIMEOUT_SECONDS: Final = 30.0
"""For connecting, and for the next bytes."""
_REFUSED: Final = (401, 403)
_MISSING: Final = 404
_LONGEST_TEXT: Final = 300


class HubError(Exception):
    """A request failed. The text is one sentence for people, without secrets.

    ``status`` is the HTTP status, None where there was no answer or it broke off; ``retry_after`` the seconds
    that the hub asks to wait.
    """

    def __init__(
        self,
        text: str,
        status: int | None = None,
        retry_after: float | None = None,
        *,
        not_understood: bool = False,
    ) -> None:
        super().__init__(without_secrets(text))
        self._not_understood = not_understood
        self.status = status
        self.retry_after = retry_after

    @property
    def is_refused(self) -> bool:
        """Whether a token, or consent to a licence, is missing."""
        return self.status in _REFUSED

    @property
    def may_pass(self) -> bool:
        """Whether the same request can go well a little later."""
        if self.status is None:
            return not self._not_understood
        return self.status in (408, 425, 429) or self.status >= 500


@dataclass(frozen=True)
class Listing:
    """All files of a repository at one commit; paths inside the repository."""

    commit: str | None
    """For the record."""
    revision: str
    """What to ask for its files with."""
    files: tuple[HubFile, ...]


@dataclass(frozen=True)
class Answer:
    """A file's bytes from ``start`` on, as they come in. ``total``: the whole file's size, where it is told.

    ``pieces`` raises HubError when it breaks off.
    """

    start: int
    total: int | None
    pieces: Iterator[bytes]


class Hub(Protocol):
    """Where weights come from."""

    name: str
    host: str
    """Its address, for people."""
    how_to_log_in: str
    """How to give a token."""

    def listing(self, repository: str, revision: str | None) -> Listing:
        """All files. Raises HubError."""

    def open(self, repository: str, revision: str, path: str, offset: int) -> AbstractContextManager[Answer]:
        """A file's bytes from an offset on, or from its beginning where the hub ignores that.

        Raises:
            HubError: also with status 416, when the file ends before the offset.
        """

    def page(self, repository: str) -> str:
        """The repository's page, for people."""


def hub_named(source: str, mirror: str | None) -> Hub:
    """The hub's client, loaded.

    Raises:
        SetUpError: the client is not installed.
    """
    try:
        if source == HUGGING_FACE:
            from set_up.weights.huggingface import HuggingFace

            return HuggingFace(mirror)
        from set_up.weights.modelscope import ModelScope

        return ModelScope(mirror)
    except ImportError as error:
        raise SetUpError(
            f"The client of the hub cannot be loaded ({error}).",
            "Install it: python -m pip install -r requirements-setup.txt",
            wrong_request=True,
        ) from error


def error_of(error: Exception) -> HubError:
    """Whatever a client raised, as one kind: the clients and their versions have dozens."""
    answer: Any = getattr(error, "response", None)
    status = getattr(error, "status_code", None) or getattr(answer, "status_code", None)
    asked = getattr(error, "retry_after", None)
    if answer is not None and asked is None:
        asked = seconds_asked(answer.headers.get("Retry-After"))
    text = " ".join(str(error).split())[:_LONGEST_TEXT]
    if isinstance(status, int):
        return HubError(f"the hub answered {status}: {text}", status, asked)
    not_understood = isinstance(error, (TypeError, AttributeError, LookupError))
    return HubError(f"{type(error).__name__}: {text}", not_understood=not_understood)


def seconds_asked(header: str | None) -> float | None:
    """The seconds of a Retry-After header; None where it has none, or names a date."""
    try:
        return max(0.0, float(header)) if header else None
    except ValueError:
        return None


def answer_of(status: int, headers: Any, offset: int, pieces: Iterator[bytes]) -> Answer:
    """What the headers of a good answer say.

    Raises:
        HubError: it is another part of the file than was asked for.
    """
    if status != 206:
        length = headers.get("Content-Length")
        return Answer(0, int(length) if length and length.isdigit() else None, pieces)
    part, _, total = str(headers.get("Content-Range", "")).removeprefix("bytes ").partition("/")
    start = part.partition("-")[0]
    if start != str(offset):
        raise HubError(f"the hub answered with another part of the file ({part or 'unnamed'})")
    return Answer(offset, int(total) if total.isdigit() else None, pieces)


def failed_listing(hub: Hub, repository: str, revision: str | None, error: HubError) -> SetUpError:
    """For people: no list of files."""
    if error.is_refused:
        return refused(hub, repository, error)
    if error.status == _MISSING:
        at = f" at revision {revision}" if revision else ""
        return SetUpError(
            f"{hub.name} ({hub.host}) has no repository {repository}{at}.",
            "Check --revision, and --mirror if you gave one.",
        )
    return SetUpError(
        f"The list of files of {repository} could not be read from {hub.host}: {error}.",
        "Check the network, its proxy and --mirror, or take the other hub with --source; then run it again.",
    )


def refused(hub: Hub, repository: str, error: HubError) -> SetUpError:
    """For people: the hub wants a token, or consent to a licence."""
    return SetUpError(
        f"{hub.name} does not give out {repository} without consent to its licence (HTTP {error.status}).",
        f"Open {hub.page(repository)} , log in and accept the conditions there. Then give a token of that "
        f"account: {hub.how_to_log_in} Then run the same command again. Understudy does not store the token.",
    )
