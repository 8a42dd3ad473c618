"""Content Credentials: sign a result, so that anyone can see what made it and that nobody changed it since.

The signing is done by the c2pa-python library, an extra. It is told never to use the network: no time stamp
authority, no look-up of anything a file names. The terms are those of https://spec.c2pa.org.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import io
import json
import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from mimetypes import guess_type
from pathlib import Path
from typing import Any, BinaryIO, Final

from config import VERSION
from media.labels import SOURCE_TYPES

INSTALL: Final = "python -m pip install c2pa-python"

_SETTINGS: Final = {
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
    # Else the library holds the whole video in memory, twice.
    "core": {"backing_store_memory_threshold_in_mb": 8, "merkle_tree_chunk_size_in_kb": 1024},
}
_UNTRUSTED: Final = "signingCredential.untrusted"
"""The reader's word for an issuer that is not on its own list. Which list counts is for the viewer to say."""

_ALGORITHMS: Final = {
    "06082a8648ce3d030107": "es256",  # elliptic curve P-256
    "06052b81040022": "es384",  # P-384
    "06052b81040023": "es512",  # P-521
    "06092a864886f70d010101": "ps256",  # RSA
    "06092a864886f70d01010a": "ps256",  # RSA-PSS
    "06032b6570": "ed25519",
}
"""The signature for a key, by the object identifier (DER, hexadecimal) in the head of its PKCS #8 form."""

_ANY_KIND: Final = "application/octet-stream"
_KEY_HEAD: Final = 48
_LARGEST_PEM: Final = 2**20
_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----")


class CredentialsError(Exception):
    """A result cannot be signed. The message names the cause and the remedy, and never holds the key."""


def check_credentials(certificate: Path, key: Path) -> str | None:
    """What is wrong with a certificate and its key, in a sentence or two; None if they sign.

    A picture of one pixel is signed in memory and read back: that finds what a reader would find later (a key
    of another certificate, a purpose that is not allowed, a certificate that has expired).
    """
    source_type = SOURCE_TYPES + "algorithmicMedia"
    try:
        pair = _Pair(certificate, key)
        manifest = _manifest("trial", "image/png", source_type, ingredients=0)
        _sign(io.BytesIO(_one_pixel()), io.BytesIO(), "image/png", manifest, [], pair)
    except CredentialsError as error:
        return str(error)
    return None


def sign(
    video: Path,
    target: Path,
    *,
    certificate: Path,
    key: Path,
    title: str,
    source_type: str,
    ingredients: Sequence[tuple[Path, str]],
) -> None:
    """Write a signed copy of an MP4 to ``target``, and read the signature back.

    The credentials say: made by Understudy, of this digital source type, from these ingredients. Each
    ingredient bears its title and its SHA-256; credentials that it has itself are carried along where the
    library reads its format (JPEG, PNG, WebP, MP4, MOV ...).

    Args:
        certificate: PEM, the signer's certificate first, then the chain, without the root or with it.
        key: PEM, PKCS #8, not encrypted: P-256, P-384, P-521, RSA or Ed25519.
        title: the result's name, as people shall see it.
        source_type: IPTC digital source type (``labels.source_type``).
        ingredients: file and title of each.

    Raises:
        CredentialsError: the library is missing, the pair is not usable, or a file cannot be read or written.
    """
    manifest = _manifest(title, "video/mp4", source_type, ingredients=len(ingredients))
    try:
        with video.open("rb") as source, target.open("w+b") as destination:
            _sign(source, destination, "video/mp4", manifest, ingredients, _Pair(certificate, key))
    except OSError as error:
        raise CredentialsError(f"{error.filename or target}: {error.strerror}.") from error


def read_credentials(video: Path) -> Mapping[str, Any] | None:
    """The credentials of a file as the library reads them (its JSON), or None if it has none.

    ``validation_state`` is "Valid" or "Trusted" for an untouched file, else "Invalid".

    Raises:
        CredentialsError: the library is missing, or the file cannot be read.
    """
    c2pa = _library()
    try:
        with video.open("rb") as file:
            reader = c2pa.Reader.try_create("video/mp4", file, context=c2pa.Context.from_dict(_SETTINGS))
            return None if reader is None else _read(reader)
    except (OSError, c2pa.C2paError) as error:
        raise CredentialsError(f"{video}: its Content Credentials cannot be read ({error}).") from error


def _manifest(title: str, kind: str, source_type: str, *, ingredients: int) -> dict[str, Any]:
    action: dict[str, Any] = {
        "action": "c2pa.created",
        "digitalSourceType": source_type,
        "softwareAgent": {"name": "Understudy", "version": VERSION},
    }
    if ingredients:
        action["parameters"] = {"ingredientIds": [_label(number) for number in range(ingredients)]}
    return {
        "claim_generator_info": [{"name": "Understudy", "version": VERSION}],
        "title": title,
        "format": kind,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


# ------------------------------------------------------------------------------------------ the library


def _library() -> Any:
    try:
        return importlib.import_module("c2pa")
    except ImportError as error:
        raise CredentialsError(f"c2pa-python is not installed. Install it: {INSTALL}") from error


class _Pair:
    """Certificate and key, read, and the kind of signature they make. ``repr`` shows no content."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.name = str(certificate)
        self.certificate, self.key = _read_pem(certificate), _read_pem(key)
        if not any(kind == b"CERTIFICATE" for kind, _ in _PEM.findall(self.certificate)):
            raise CredentialsError(f"{certificate} holds no certificate in PEM form.")
        self.algorithm = _algorithm(self.key, key)


def _read_pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_PEM + 1)
    except OSError as error:
        raise CredentialsError(
            f"{path} cannot be read ({error.strerror}). Give a file in PEM form."
        ) from error
    if len(content) > _LARGEST_PEM or not _PEM.search(content):
        raise CredentialsError(f"{path} is not in PEM form (-----BEGIN ...). Convert it with openssl.")
    return content


def _algorithm(content: bytes, path: Path) -> str:
    kinds = {kind.decode(): body for kind, body in _PEM.findall(content)}
    if "PRIVATE KEY" not in kinds:
        if "ENCRYPTED PRIVATE KEY" in kinds or b"Proc-Type: 4,ENCRYPTED" in content:
            what = "is protected by a password, and nobody is there to type it"
        elif any(kind.endswith("PRIVATE KEY") for kind in kinds):
            what = "is in an old form of PEM"
        else:
            raise CredentialsError(f"{path} holds no private key. Give first the certificate, then its key.")
        raise CredentialsError(
            f"{path} {what}. Convert it: openssl pkcs8 -topk8 -nocrypt -in {path} -out key.pem"
        )
    try:
        head = base64.b64decode(kinds["PRIVATE KEY"])[:_KEY_HEAD].hex()
    except binascii.Error as error:
        raise CredentialsError(f"{path} is damaged: its text is not base64. Copy it again.") from error
    for identifier, algorithm in _ALGORITHMS.items():
        if identifier in head:
            return algorithm
    raise CredentialsError(f"{path} is a key of a kind that cannot sign. Use P-256, P-384, RSA or Ed25519.")


def _sign(
    source: BinaryIO,
    destination: BinaryIO,
    kind: str,
    manifest: Mapping[str, Any],
    ingredients: Sequence[tuple[Path, str]],
    pair: _Pair,
) -> None:
    """Sign a stream into another, and have the library's reader confirm it."""
    c2pa = _library()
    try:
        context = c2pa.Context.from_dict(_SETTINGS)
        builder = c2pa.Builder(manifest, context)
        for number, (path, title) in enumerate(ingredients):
            _add_ingredient(c2pa, builder, number, path, title)
        info = c2pa.C2paSignerInfo(pair.algorithm, pair.certificate, pair.key, None)
        with c2pa.Signer.from_info(info) as signer:
            builder.sign(signer, kind, source, destination)
        destination.seek(0)
        found = _read(c2pa.Reader(kind, destination, context=context))
    except c2pa.C2paError as error:
        raise CredentialsError(f"Signing with {pair.name} and its key fails: {_plain(error)}.") from error
    if wrong := _failures(found):
        raise CredentialsError(f"Signing with {pair.name} and its key fails: {wrong}.")


def _add_ingredient(c2pa: Any, builder: Any, number: int, path: Path, title: str) -> None:
    """Name a file as what the result was made from, with credentials of its own if it has any."""
    with path.open("rb") as file:
        described = {
            "title": title,
            "relationship": "inputTo",
            "label": _label(number),
            "description": f"SHA-256 {hashlib.file_digest(file, 'sha256').hexdigest()}",
        }
    # A file of another kind than its name says is named all the same: it was used.
    for kind in (guess_type(path.name)[0] or _ANY_KIND, _ANY_KIND):
        with path.open("rb") as file:
            try:
                builder.add_ingredient(described, kind, file)
            except c2pa.C2paError:
                if kind == _ANY_KIND:
                    raise
            else:
                return


def _label(number: int) -> str:
    return f"ingredient-{number}"


def _read(reader: Any) -> dict[str, Any]:
    with reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def _failures(found: Mapping[str, Any]) -> str:
    """What the reader holds against the credentials, joined; not that it does not know the issuer."""
    failures = found["validation_results"]["activeManifest"]["failure"]
    return "; ".join(
        str(failure.get("explanation") or failure["code"])
        for failure in failures
        if failure["code"] != _UNTRUSTED
    )


def _plain(error: Exception) -> str:
    return str(error).removeprefix("Signature: ").strip().rstrip(".")


def _one_pixel() -> bytes:
    """A black picture of 1x1, PNG."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks
