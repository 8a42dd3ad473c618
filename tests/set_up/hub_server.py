"""A hub on loopback: Hugging Face and ModelScope in one small server, which misbehaves on request.

It serves a folder that holds ``<owner>/<repository>/<files>``. Files with a suffix of weights are "large": as
on Hugging Face they are listed by SHA-256, the others by git's SHA-1. As a program it prints its address.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = {".safetensors", ".pth", ".pt", ".ckpt", ".onnx", ".bin", ".model"}
LISTING = "(listing)"
"""Stands for the list of files where a path is asked for."""
_SLOW_PIECE = 2**14

Kind = Literal["cut", "wrong bytes", "status", "slow", "redirect", "ignore range", "wrong hash"]


@dataclass
class Fault:
    """How the server misbehaves.

    ``cut`` closes the connection after ``after`` bytes (default: half of what was to be sent); ``status``
    answers with it, and a Retry-After header if there is one; ``slow`` waits ``seconds`` after each 16 kB;
    ``redirect`` sends the client to another address; ``wrong hash`` is in the listing, for ever.
    """

    kind: Kind
    times: int | None = 1
    """How many requests it hits; None for all."""
    status: int = 503
    retry_after: str | None = None
    after: int | None = None
    seconds: float = 0.05


@dataclass
class Request:
    """One request for a file or a listing."""

    method: str
    path: str
    """Inside the repository, or LISTING."""
    start: int
    """The first byte that was asked for."""
    repository: str
    status: int = 0
    sent: int = 0
    """Bytes of the file that were sent."""
    authorization: str | None = None
    from_redirect: bool = False


@dataclass
class HubServer:
    """Use it in a with statement, or call ``close``."""

    folder: Path
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By path inside a repository, or LISTING. Those at the front come first."""
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._hashes: dict[tuple[Path, int, int], tuple[str, str]] = {}
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fail(self, path: str, kind: Kind, **details: Any) -> None:
        """Add a fault for a path inside a repository, or for LISTING."""
        self.faults.setdefault(path, []).append(Fault(kind, **details))

    def reset(self) -> None:
        """Well-behaved again, and nothing remembered."""
        self.faults.clear()
        self.requests.clear()

    def fetched(self, path: str | None = None) -> list[Request]:
        """The requests for the content of files, or of one file, that were answered with bytes."""
        with self._lock:
            return [
                one
                for one in self.requests
                if one.path != LISTING and one.method == "GET" and one.sent and path in (None, one.path)
            ]

    # ------------------------------------------------------------------------------------- for the handler

    def note(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def fault(self, path: str) -> Fault | None:
        """The next fault that a request for this path meets."""
        with self._lock:
            for fault in self.faults.get(path, ()):
                if fault.kind != "wrong hash" and (fault.times is None or fault.times > 0):
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def hashes(self, file: Path) -> tuple[str, str]:
        """SHA-256 and git's SHA-1."""
        stat = file.stat()
        key = (file, stat.st_size, stat.st_mtime_ns)
        if key not in self._hashes:
            content = file.read_bytes()
            git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
            self._hashes[key] = (hashlib.sha256(content).hexdigest(), git)
        return self._hashes[key]

    def listed(self, repository: str) -> Iterator[tuple[str, int, str, str]]:
        """Path, size, SHA-256 and git's SHA-1 of each file."""
        folder = self.folder / repository
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = file.relative_to(folder).as_posix()
            sha256, git = self.hashes(file)
            if any(fault.kind == "wrong hash" for fault in self.faults.get(name, ())):
                sha256, git = sha256[::-1], git[::-1]
            yield name, file.stat().st_size, sha256, git


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, hub: HubServer) -> None:
        self.hub = hub
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that goes away is no error
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the acknowledgement of its headers
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        parts = unquote(address.path).strip("/").split("/")
        match parts:
            case ["api", "models", owner, name, *_]:
                self._list(f"{owner}/{name}", self._as_hugging_face)
            case ["api", "v1", "models", owner, name, "repo", "files"]:
                self._list(f"{owner}/{name}", self._as_modelscope)
            case ["api", "v1", "models", owner, name, "repo"]:
                self._file(f"{owner}/{name}", asked.get("FilePath", ""))
            case ["cdn", owner, name, *path]:
                self._file(f"{owner}/{name}", "/".join(path), from_redirect=True)
            case [owner, name, "resolve", _, *path]:
                self._file(f"{owner}/{name}", "/".join(path))
            case _:
                self._plain(404, b"no such address")

    # --------------------------------------------------------------------------------------------- listings

    def _list(self, repository: str, form: Any) -> None:
        request = self._request(repository, LISTING)
        fault = self.server.hub.fault(LISTING)
        if fault and fault.kind == "status":
            return self._refuse(request, fault)
        if not (self.server.hub.folder / repository).is_dir():
            return self._plain(404, b'{"error": "Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        body = json.dumps(form(repository)).encode()
        if fault and fault.kind == "cut":
            return self._send(request, body, 0, Fault("cut"))
        request.status = 200
        return self._plain(200, body, {"Content-Type": "application/json"})

    def _as_hugging_face(self, repository: str) -> dict[str, Any]:
        siblings = []
        for name, size, sha256, git in self.server.hub.listed(repository):
            one: dict[str, Any] = {"rfilename": name, "size": size, "blobId": git}
            if Path(name).suffix in LARGE:
                one["lfs"] = {"size": size, "sha256": sha256, "pointerSize": 134}
            siblings.append(one)
        return {
            "id": repository,
            "modelId": repository,
            "sha": COMMIT,
            "private": False,
            "siblings": siblings,
        }

    def _as_modelscope(self, repository: str) -> dict[str, Any]:
        files = [
            {"Path": name, "Name": Path(name).name, "Size": size, "Sha256": sha256, "Type": "blob"}
            | {"Revision": COMMIT, "CommittedDate": 1_700_000_000}
            for name, size, sha256, _ in self.server.hub.listed(repository)
        ]
        return {"Code": 200, "Success": True, "Data": {"Files": files}}

    # ------------------------------------------------------------------------------------------------ files

    def _file(self, repository: str, path: str, from_redirect: bool = False) -> None:
        hub = self.server.hub
        request = self._request(repository, path, from_redirect)
        file = hub.folder / repository / path
        if not path or not file.is_file() or ".." in path:
            request.status = 404
            return self._plain(404, b"Entry not found", {"X-Error-Code": "EntryNotFound"})
        fault = hub.fault(path) if self.command == "GET" else None
        if fault and fault.kind == "status":
            return self._refuse(request, fault)
        if fault and fault.kind == "redirect" and not from_redirect:
            request.status = 302
            return self._plain(302, b"", {"Location": quote(f"/cdn/{repository}/{path}")})
        size = file.stat().st_size
        ranged = request.start > 0 and not (fault and fault.kind == "ignore range")
        if ranged and request.start >= size:
            request.status = 416
            return self._plain(416, b"", {"Content-Range": f"bytes */{size}"})
        sha256, git = hub.hashes(file)
        etag = sha256 if Path(path).suffix in LARGE else git
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        return self._send(request, file, request.start if ranged else 0, fault, headers)

    def _send(
        self,
        request: Request,
        content: Path | bytes,
        start: int,
        fault: Fault | None,
        headers: dict[str, str] | None = None,
    ) -> None:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        request.status = 206 if start else 200
        self.send_response(request.status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault is None and isinstance(content, Path):
            request.sent = size - start  # before: the client may be done before this thread goes on
            with content.open("rb") as file:
                self.connection.sendfile(file, start)
            return
        body = bytearray(content if isinstance(content, bytes) else content.read_bytes())[start:]
        self._send_badly(request, body, fault)

    def _send_badly(self, request: Request, body: bytearray, fault: Fault | None) -> None:
        if fault and fault.kind == "wrong bytes" and body:
            body[len(body) // 2] ^= 0xFF
        if fault and fault.kind == "cut":
            del body[len(body) // 2 if fault.after is None else fault.after :]
            self.close_connection = True
        for begin in range(0, len(body), _SLOW_PIECE):
            piece = body[begin : begin + _SLOW_PIECE]
            request.sent += len(piece)
            self.wfile.write(piece)
            if fault and fault.kind == "slow":
                time.sleep(fault.seconds)

    # ------------------------------------------------------------------------------------------------ basics

    def _request(self, repository: str, path: str, from_redirect: bool = False) -> Request:
        wanted = self.headers.get("Range", "").removeprefix("bytes=").partition("-")[0]
        request = Request(
            method=self.command,
            path=path,
            start=int(wanted or 0),
            repository=repository,
            authorization=self.headers.get("Authorization"),
            from_redirect=from_redirect,
        )
        self.server.hub.note(request)
        return request

    def _refuse(self, request: Request, fault: Fault) -> None:
        request.status = fault.status
        headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else {}
        if fault.status in (401, 403):
            headers["X-Error-Code"] = "GatedRepo"
        self._plain(fault.status, b'{"error": "refused by the test"}', headers)

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main() -> None:
    """Serve the folder named on the command line until standard input ends."""
    with HubServer(Path(sys.argv[1])) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
