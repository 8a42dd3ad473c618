"""Hugging Face, through huggingface_hub 0.36 to 2.x: one interface over two HTTP libraries."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from set_up.weights.hub import TIMEOUT_SECONDS, Answer, HubError, Listing, answer_of, error_of
from set_up.weights.hub_files import HubFile

_PIECE = 2**17
"""What of a piece has come in is lost when the connection breaks off."""
_DEFAULT_REVISION = "main"
_PLAIN = {"Accept-Encoding": "identity"}
"""A compressed answer has neither ranges nor a size that could be compared."""


class HuggingFace:
    """The hub of that name, or a mirror of it."""

    name = "Hugging Face"
    how_to_log_in = "set the environment variable HF_TOKEN, or run: hf auth login ."

    def __init__(self, mirror: str | None) -> None:
        """Raises ImportError."""
        # Before the import, which reads it. Its own bars would be drawn through ours.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        import huggingface_hub
        from huggingface_hub import utils

        self._library: Any = huggingface_hub
        self._utils: Any = utils
        self._utils.logging.set_verbosity_error()
        self._endpoint = mirror.rstrip("/") if mirror else huggingface_hub.constants.ENDPOINT
        self.host = urlsplit(self._endpoint).hostname or self._endpoint

    def listing(self, repository: str, revision: str | None) -> Listing:
        api = self._library.HfApi(endpoint=self._endpoint)
        try:
            info = api.model_info(repository, revision=revision, files_metadata=True, timeout=TIMEOUT_SECONDS)
        except Exception as error:  # each version has its own
            raise error_of(error) from error
        return Listing(
            info.sha,
            info.sha or revision or _DEFAULT_REVISION,
            tuple(_file(sibling) for sibling in info.siblings or ()),
        )

    def page(self, repository: str) -> str:
        return f"{self._library.constants.ENDPOINT}/{repository}"

    @contextlib.contextmanager
    def open(self, repository: str, revision: str, path: str, offset: int) -> Iterator[Answer]:
        url = self._library.hf_hub_url(repository, path, revision=revision, endpoint=self._endpoint)
        headers = {**self._utils.build_hf_headers(), **_PLAIN}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with contextlib.ExitStack() as stack:
            try:
                answer = stack.enter_context(self._request(url, headers))
                if answer.status_code >= 400:
                    self._utils.hf_raise_for_status(answer)
            except Exception as error:
                raise error_of(error) from error
            yield answer_of(answer.status_code, answer.headers, offset, _pieces(answer))

    def _request(self, url: str, headers: dict[str, str]) -> contextlib.AbstractContextManager[Any]:
        session = self._utils.get_session()
        if callable(getattr(session, "stream", None)):  # httpx, from 1.0 on; of requests it is a flag
            stream: contextlib.AbstractContextManager[Any] = session.stream(
                "GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True
            )
            return stream
        return contextlib.closing(session.get(url, headers=headers, timeout=TIMEOUT_SECONDS, stream=True))


def _pieces(answer: Any) -> Iterator[bytes]:
    try:
        yield from answer.iter_raw() if hasattr(answer, "iter_raw") else answer.iter_content(_PIECE)
    except GeneratorExit:
        raise
    except Exception as error:
        raise HubError(f"the connection broke off ({type(error).__name__})") from error


def _file(sibling: Any) -> HubFile:
    lfs = sibling.lfs
    return HubFile(
        path=sibling.rfilename,
        size=int((lfs.size if lfs else None) or sibling.size or 0),
        sha256=lfs.sha256 if lfs else None,
        git_sha1=None if lfs else sibling.blob_id,
    )
