"""ModelScope, through the client of the same name (1.40 and later, which bring modelscope_hub)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from set_up.weights.hub import Answer, HubError, Listing, answer_of, error_of
from set_up.weights.hub_files import HubFile

_PIECE: Final = 2**17
"""What of a piece has come in is lost when the connection breaks off."""
_MODEL: Final = "model"
_DEFAULT_REVISION: Final = "master"


class ModelScope:
    """The hub of that name, or a mirror of it."""

    name = "ModelScope"
    how_to_log_in = "set the environment variable MODELSCOPE_API_TOKEN, or run: modelscope login ."

    def __init__(self, mirror: str | None) -> None:
        """Raises ImportError."""
        from modelscope_hub import HubApi

        for name in ("modelscope", "modelscope_hub"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        # Its client for /api/v1: the only one that lists hashes and opens a file at an offset.
        self._client: Any = HubApi(endpoint=mirror).legacy
        self.host = urlsplit(self._client.endpoint).hostname or self._client.endpoint

    def listing(self, repository: str, revision: str | None) -> Listing:
        revision = revision or _DEFAULT_REVISION
        try:
            entries = self._client.list_repo_files(repository, _MODEL, revision=revision)
        except Exception as error:  # its own and those of its HTTP library
            raise error_of(error) from error
        blobs = [entry for entry in entries if entry.get("Type") != "tree"]
        newest: dict[str, Any] = max(blobs, key=lambda entry: entry.get("CommittedDate") or 0, default={})
        return Listing(newest.get("Revision"), revision, tuple(map(_file, blobs)))

    def page(self, repository: str) -> str:
        return f"{self._client.endpoint}/models/{repository}"

    @contextlib.contextmanager
    def open(self, repository: str, revision: str, path: str, offset: int) -> Iterator[Answer]:
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            answer = self._client.download_stream(repository, _MODEL, path, revision, headers=headers)
        except Exception as error:
            raise error_of(error) from error
        with contextlib.closing(answer):
            yield answer_of(answer.status_code, answer.headers, offset, _pieces(answer))


def _pieces(answer: Any) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(_PIECE)
    except GeneratorExit:
        raise
    except Exception as error:
        raise HubError(f"the connection broke off ({type(error).__name__})") from error


def _file(entry: dict[str, Any]) -> HubFile:
    return HubFile(
        path=entry["Path"],
        size=int(entry.get("Size") or 0),
        sha256=(entry.get("Sha256") or "").lower() or None,
    )
