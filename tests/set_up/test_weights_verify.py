"""--verify, the manifest, and what is shown of long work."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

import set_up.weights.progress
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.fetching import WeightsRequest, fetch_weights, verify_weights, weights_in_place
from set_up.weights.hub_files import HubFile
from set_up.weights.manifest import Manifest
from set_up.weights.needed import Needed
from set_up.weights.progress import Bar, Display, in_bytes
from tests.set_up.hub_server import HubServer
from tests.set_up.made_weights import ANIMATE, BIG, SECOND_SHARD, make_repositories


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    make_repositories(folder)
    with HubServer(folder) as server:
        yield server


@pytest.fixture
def request_of(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    hub.reset()
    return WeightsRequest(ckpt_dir=tmp_path / "weights", features=("animate",), mirror=hub.url)


def a_session(output: io.StringIO | None = None, terminal: bool = False, dry_run: bool = False) -> Session:
    console = Console(file=output or io.StringIO(), width=200, force_terminal=terminal)
    return Session(console=console, dry_run=dry_run)


def damage(path: Path) -> None:
    """Flip one byte; size and modification time stay."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_whole_weights_are_verified_without_a_hub(hub, request_of):
    fetch_weights(request_of, a_session())
    hub.reset()
    output = io.StringIO()
    assert verify_weights(request_of, a_session(output))
    assert f"{len(ANIMATE)} files" in output.getvalue()
    assert hub.requests == []


def test_each_wrong_file_is_named_and_fetched_again_alone(hub, request_of):
    fetch_weights(request_of, a_session())
    damage(request_of.ckpt_dir / BIG)
    (request_of.ckpt_dir / "config.json").unlink()
    (request_of.ckpt_dir / SECOND_SHARD).write_bytes(b"short")
    output = io.StringIO()
    assert not verify_weights(request_of, a_session(output))
    for name, what in (
        (BIG, "has other bytes"),
        ("config.json", "is missing"),
        (SECOND_SHARD, "has 5 bytes"),
    ):
        assert f"{name} {what}" in output.getvalue()
    assert "without --verify" in output.getvalue()
    assert not weights_in_place(request_of)
    hub.reset()
    fetch_weights(request_of, a_session())
    assert {one.path for one in hub.fetched()} == {BIG, "config.json", SECOND_SHARD}
    assert verify_weights(request_of, a_session())


def test_a_verification_that_changes_nothing_finds_the_same_twice(request_of):
    fetch_weights(request_of, a_session())
    damage(request_of.ckpt_dir / BIG)
    assert not verify_weights(request_of, a_session())
    assert verify_weights(request_of, a_session())  # of what it knows: the wrong one is to be fetched
    assert not weights_in_place(request_of)


def test_without_a_manifest_there_is_nothing_to_verify(request_of):
    with pytest.raises(SetUpError, match="Nothing is known of the weights"):
        verify_weights(request_of, a_session())
    assert not request_of.ckpt_dir.exists()


def test_a_dry_verification_says_how_much_it_would_hash(request_of):
    fetch_weights(request_of, a_session())
    damage(request_of.ckpt_dir / BIG)
    output = io.StringIO()
    assert verify_weights(request_of, a_session(output, dry_run=True))
    assert "would be hashed" in output.getvalue()
    assert weights_in_place(request_of)


def test_another_revision_is_not_in_place(request_of, tmp_path):
    fetch_weights(request_of, a_session())
    manifest = Manifest.read(request_of.ckpt_dir)
    (known,) = manifest.repositories.values()
    assert manifest.has(["animate"], known.commit)
    assert not manifest.has(["animate"], "another")
    assert not manifest.has(["replace"], None)
    assert not Manifest.read(tmp_path).has(["animate"], None)


# --------------------------------------------------------------------------------------------------- display


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 bytes"), (999, "999 bytes"), (34_100_000, "34.1 MB"), (52.34e9, "52.3 GB")]
)
def test_sizes_in_words(size, words):
    assert in_bytes(size) == words


def test_without_a_terminal_there_is_a_line_now_and_then(monkeypatch):
    monkeypatch.setattr(set_up.weights.progress, "_SECONDS_BETWEEN_LINES", 0.0)
    output = io.StringIO()
    with Bar("hashing", 2_000, a_session(output)) as bar:
        bar.show(500)
    assert "hashing: 500 bytes of 2.0 kB" in output.getvalue()


@dataclass
class OnItsWay:
    needed: Needed
    here: int
    waiting_for: str = ""


def test_a_terminal_shows_the_large_file_under_way_and_why_one_waits(monkeypatch):
    monkeypatch.setattr(set_up.weights.progress, "_SECONDS_BETWEEN_LOOKS", 0.0)
    needed = Needed(
        file=HubFile(path="a/shard-of-the-model", size=2**26, sha256="0" * 64),
        repository="a/b",
        path_in_repository="shard",
        revision="main",
    )
    one = OnItsWay(needed, 0)
    output = io.StringIO()
    with Display("downloading", [one], a_session(output, terminal=True)) as display:
        one.here = 2**25
        display.show()
        one.waiting_for = "the hub answered 503"
        display.show()
        display.show()
    assert "shard-of-the-model" in output.getvalue()
    assert output.getvalue().count("the hub answered 503; trying again") == 1
