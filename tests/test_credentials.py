"""Content Credentials: signed with a certificate made here, read back with the library's own reader."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("c2pa", reason="c2pa-python is not installed")

import c2pa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from config import VERSION
from media import labels
from media.credentials import CredentialsError, check_credentials, read_credentials, sign
from media.finish import Sound, finish_video
from tests.certificates import KEYS, Pair, make_pair
from tests.media import write_clip

SOURCE_TYPE = labels.source_type(replace=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished result with sound and label."""
    folder = tmp_path_factory.mktemp("result")
    clip = write_clip(folder / "driving_video.mp4", frame_count=30, sound=True)
    finish_video(
        clip, folder / "result.mp4", rate=Fraction(24000, 1001), sound=Sound(clip), tags={"title": "t"},
        xmp=labels.make_xmp(SOURCE_TYPE), report=lambda phase, done, total: None,
    )  # fmt: skip
    return folder / "result.mp4"


def signed(
    result: Path, target: Path, pair: Pair, ingredients: Sequence[tuple[Path, str]] = ()
) -> dict[str, Any]:
    """Sign, and what the library's own reader says of the file."""
    sign(
        result, target, certificate=pair.certificate, key=pair.key, title="My result",
        source_type=SOURCE_TYPE, ingredients=ingredients,
    )  # fmt: skip
    return read(target)


def read(path: Path) -> dict[str, Any]:
    with path.open("rb") as file, c2pa.Reader("video/mp4", file) as reader:
        found: dict[str, Any] = json.loads(reader.json())
    return found


def manifest(found: dict[str, Any]) -> dict[str, Any]:
    active: dict[str, Any] = found["manifests"][found["active_manifest"]]
    return active


def picture(path: Path) -> Path:
    cv2.imwrite(str(path), np.full((32, 32, 3), 90, np.uint8))
    return path


# ----------------------------------------------------------------------------------------------- good


def test_a_signed_result_is_valid_and_says_how_it_was_made(tmp_path: Path, result: Path, pair: Pair) -> None:
    found = signed(result, tmp_path / "signed.mp4", pair)
    assert found["validation_state"] == "Valid"
    codes = [failure["code"] for failure in found["validation_results"]["activeManifest"]["failure"]]
    assert codes == ["signingCredential.untrusted"]  # the reader does not know the test's issuer
    active = manifest(found)
    assert active["title"] == "My result"
    assert active["claim_generator_info"][0]["name"] == "Understudy"
    assert active["claim_generator_info"][0]["version"] == VERSION
    assert active["signature_info"]["common_name"] == "Test signer"
    (actions,) = [each for each in active["assertions"] if each["label"].startswith("c2pa.actions")]
    (action,) = actions["data"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", SOURCE_TYPE)


def test_driving_video_and_reference_are_named_as_ingredients(
    tmp_path: Path, result: Path, pair: Pair
) -> None:
    driving_video, reference = result.with_name("driving_video.mp4"), picture(tmp_path / "reference.png")
    ingredients = [(driving_video, "driving video"), (reference, "reference image")]
    active = manifest(signed(result, tmp_path / "signed.mp4", pair, ingredients))
    named = [(each["title"], each["format"], each["relationship"]) for each in active["ingredients"]]
    assert named == [
        ("driving video", "video/mp4", "inputTo"),
        ("reference image", "image/png", "inputTo"),
    ]
    for each, (path, _) in zip(active["ingredients"], ingredients, strict=True):
        assert hashlib.sha256(path.read_bytes()).hexdigest() in each["description"]
    (actions,) = [each for each in active["assertions"] if each["label"].startswith("c2pa.actions")]
    assert len(actions["data"]["actions"][0]["parameters"]["ingredients"]) == 2


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.bmp", "a.tiff", "a.mkv", "a.mov", "noending"])
def test_any_kind_of_ingredient_is_named(tmp_path: Path, result: Path, pair: Pair, name: str) -> None:
    path = tmp_path / name
    if name.endswith(("mkv", "mov", "noending")):
        write_clip(path)
    else:
        picture(path)
    (named,) = manifest(signed(result, tmp_path / "signed.mp4", pair, [(path, "it")]))["ingredients"]
    assert named["title"] == "it" and hashlib.sha256(path.read_bytes()).hexdigest() in named["description"]


@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.jpg"])
def test_an_ingredient_that_is_not_what_its_name_says_is_named_all_the_same(
    tmp_path: Path, result: Path, pair: Pair, name: str
) -> None:
    (tmp_path / name).write_bytes(b"something else")
    found = signed(result, tmp_path / "signed.mp4", pair, [(tmp_path / name, "it")])
    assert found["validation_state"] == "Valid"
    assert manifest(found)["ingredients"][0]["title"] == "it"


def test_the_credentials_of_an_ingredient_are_carried_along(tmp_path: Path, result: Path, pair: Pair) -> None:
    signed(result, tmp_path / "first.mp4", pair)
    found = signed(result, tmp_path / "second.mp4", pair, [(tmp_path / "first.mp4", "driving video")])
    assert found["validation_state"] == "Valid" and len(found["manifests"]) == 2
    assert manifest(found)["ingredients"][0]["active_manifest"] in found["manifests"]


def test_a_signed_result_plays_and_keeps_its_label(tmp_path: Path, result: Path, pair: Pair) -> None:
    signed(result, tmp_path / "signed.mp4", pair)
    assert labels.read_label(tmp_path / "signed.mp4") == SOURCE_TYPE
    with av.open(str(tmp_path / "signed.mp4")) as container, av.open(str(result)) as plain:
        assert container.streams.video[0].average_rate == Fraction(24000, 1001)
        assert container.metadata["title"] == "t"
        ours, before = container.demux(), plain.demux()
        assert [(each.pts, bytes(each)) for each in ours] == [(each.pts, bytes(each)) for each in before]
    capture = cv2.VideoCapture(str(tmp_path / "signed.mp4"))
    assert sum(1 for _ in iter(lambda: capture.read()[0], False)) == 30


def media_data(content: bytes | bytearray) -> tuple[int, int]:
    """Where the pictures of an MP4 begin and end."""
    position = 0
    while True:
        size = int.from_bytes(content[position : position + 4])
        if content[position + 4 : position + 8] == b"mdat":
            return position + 8, position + size
        position += size


def test_a_changed_file_is_noticed(tmp_path: Path, result: Path, pair: Pair) -> None:
    path = tmp_path / "signed.mp4"
    signed(result, path, pair)
    content = bytearray(path.read_bytes())
    content[media_data(content)[0] + 200] ^= 1
    path.write_bytes(content)
    found = read(path)
    assert found["validation_state"] == "Invalid"
    codes = [failure["code"] for failure in found["validation_results"]["activeManifest"]["failure"]]
    assert "assertion.bmffHash.mismatch" in codes
    ours = read_credentials(path)
    assert ours is not None and ours["validation_state"] == "Invalid"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_a_change_anywhere_in_a_large_file_is_noticed(tmp_path: Path, pair: Pair, share: float) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    clip = write_clip(
        tmp_path / "clip.mp4", size=(128, 128), frame_count=150, options={"qp": "0", "preset": "ultrafast"},
        frame=lambda number, _width, _height: np.roll(noise, number * 7, axis=0),
    )  # fmt: skip
    assert clip.stat().st_size > 2.5 * 2**20  # more pieces than one, each with a hash of its own
    path = tmp_path / "signed.mp4"
    assert signed(clip, path, pair)["validation_state"] == "Valid"
    content = bytearray(path.read_bytes())
    first, end = media_data(content)
    content[first + int(share * (end - first))] ^= 1
    path.write_bytes(content)
    assert read(path)["validation_state"] == "Invalid"


def test_credentials_are_read_back(tmp_path: Path, result: Path, pair: Pair) -> None:
    assert read_credentials(result) is None
    signed(result, tmp_path / "signed.mp4", pair)
    found = read_credentials(tmp_path / "signed.mp4")
    assert found is not None and found["validation_state"] == "Valid"


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_signs(tmp_path: Path, result: Path, kind: str) -> None:
    pair = make_pair(tmp_path, kind)
    assert check_credentials(pair.certificate, pair.key) is None
    assert signed(result, tmp_path / "signed.mp4", pair)["validation_state"] == "Valid"


# -------------------------------------------------------------------------------------------- refusals


def refusal(certificate: Path, key: Path) -> str:
    found = check_credentials(certificate, key)
    assert found is not None
    return found


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, result: Path, pair: Pair) -> None:
    other = make_pair(tmp_path / "other")
    assert "and its key fails" in refusal(pair.certificate, other.key)
    with pytest.raises(CredentialsError, match="and its key fails"):
        signed(result, tmp_path / "signed.mp4", Pair(pair.certificate, other.key))


def test_a_key_of_another_kind_is_refused(tmp_path: Path, pair: Pair) -> None:
    assert "and its key fails" in refusal(pair.certificate, make_pair(tmp_path, "Ed25519").key)


def test_a_certificate_that_has_expired_is_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, days=(-30, -1))
    assert "not valid at time of signing" in refusal(pair.certificate, pair.key)


@pytest.mark.parametrize("purpose", [None, ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
def test_a_certificate_for_another_purpose_is_refused(tmp_path: Path, purpose: Any) -> None:
    pair = make_pair(tmp_path, purpose=purpose)
    assert "certificate is invalid" in refusal(pair.certificate, pair.key)


def test_files_given_the_wrong_way_round_are_refused(pair: Pair) -> None:
    assert "holds no certificate" in refusal(pair.key, pair.certificate)
    assert "holds no private key" in refusal(pair.certificate, pair.certificate)


def test_a_key_with_a_password_is_refused(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, password=b"secret")
    assert "password" in refusal(pair.certificate, pair.key)
    old = make_pair(tmp_path, form=PrivateFormat.TraditionalOpenSSL, password=b"secret")
    assert "password" in refusal(old.certificate, old.key)


def test_a_key_in_an_old_form_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    pair = make_pair(tmp_path, form=PrivateFormat.TraditionalOpenSSL)
    assert "openssl pkcs8 -topk8" in refusal(pair.certificate, pair.key)


@pytest.mark.parametrize("content", [b"", b"not PEM", b"\x30\x82" * 500, b"x" * (2**20 + 10)])
def test_files_that_are_not_pem_are_refused(tmp_path: Path, pair: Pair, content: bytes) -> None:
    (tmp_path / "file.pem").write_bytes(content)
    assert "not in PEM form" in refusal(tmp_path / "file.pem", pair.key)
    assert "not in PEM form" in refusal(pair.certificate, tmp_path / "file.pem")


def test_files_that_cannot_be_read_are_named(tmp_path: Path, pair: Pair) -> None:
    assert "cannot be read" in refusal(tmp_path / "missing.pem", pair.key)
    assert "cannot be read" in refusal(pair.certificate, tmp_path)


def test_damaged_pem_is_refused(tmp_path: Path, pair: Pair) -> None:
    key = pair.key.read_text().splitlines()
    for damaged in (["x", *key[1:-1], "y"], [key[0], "AAAA", key[-1]], [key[0], key[1][1:], key[-1]]):
        (tmp_path / "key.pem").write_text("\n".join(damaged) + "\n")
        assert str(tmp_path / "key.pem") in refusal(pair.certificate, tmp_path / "key.pem")
    (tmp_path / "certificate.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    assert refusal(tmp_path / "certificate.pem", pair.key)


def test_without_the_library_the_command_that_installs_it_is_named(
    tmp_path: Path, result: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "c2pa", None)
    assert "pip install c2pa-python" in refusal(pair.certificate, pair.key)
    with pytest.raises(CredentialsError, match="pip install"):
        signed(result, tmp_path / "signed.mp4", pair)


def test_a_video_that_cannot_be_read_is_named(tmp_path: Path, pair: Pair) -> None:
    with pytest.raises(CredentialsError, match=r"missing\.mp4"):
        signed(tmp_path / "missing.mp4", tmp_path / "signed.mp4", pair)
    (tmp_path / "text.mp4").write_bytes(b"not a video")
    with pytest.raises(CredentialsError):
        signed(tmp_path / "text.mp4", tmp_path / "signed.mp4", pair)


def test_the_private_key_is_in_no_file_and_no_message(tmp_path: Path, result: Path, pair: Pair) -> None:
    signed(result, tmp_path / "signed.mp4", pair)
    lines = [line for line in pair.key.read_bytes().splitlines() if not line.startswith(b"-----")]
    content = (tmp_path / "signed.mp4").read_bytes()
    assert lines and not any(line in content for line in lines)
    messages = [
        refusal(pair.key, pair.certificate),
        refusal(pair.key, pair.key),
        refusal(make_pair(tmp_path / "a").certificate, pair.key),
        refusal(make_pair(tmp_path / "b", "Ed25519").certificate, pair.key),
        refusal(make_pair(tmp_path / "c", days=(-9, -8)).certificate, pair.key),
    ]
    assert not any(line.decode()[:16] in message for message in messages for line in lines)
