"""Whole hashes of large files: right, read once, and cancellable without losing what is known."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from execution import weights_hashes
from execution.cache_folder import cache_folder
from execution.step import Interrupted
from execution.weights_hashes import hash_files, hash_weights


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights_hashes.json"


@pytest.fixture
def weights(tmp_path):
    """A folder of three files, one of them in a folder below, and one empty."""
    folder = tmp_path / "model"
    (folder / "text").mkdir(parents=True)
    (folder / "shard.safetensors").write_bytes(os.urandom(700_000))
    (folder / "text" / "tokenizer.json").write_bytes(b"{}")
    (folder / "empty.txt").touch()
    return folder


def truth(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Count:
    """A report that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.told.append((done, total))


def test_every_file_is_named_from_its_folder_with_the_hash_of_all_of_it(weights):
    found = hash_weights([weights])
    assert [(file.name, file.size, file.sha256) for file in found] == [
        (f"model/{name}", (weights / name).stat().st_size, truth(weights / name))
        for name in ("empty.txt", "shard.safetensors", "text/tokenizer.json")
    ]
    (alone,) = hash_weights([weights / "shard.safetensors", weights / "no such optional file"])
    assert alone.name == "shard.safetensors"
    assert alone.as_data() == {
        "name": "shard.safetensors",
        "path": str(weights / "shard.safetensors"),
        "size": 700_000,
        "sha256": truth(weights / "shard.safetensors"),
    }
    assert hash_weights([]) == []


def test_the_progress_counts_all_bytes_and_only_those_that_are_read(weights):
    first, second = Count(), Count()
    hash_weights([weights], first)
    assert first.told[-1] == (700_002, 700_002)
    assert first.told == sorted(first.told)
    hash_weights([weights], second)
    assert second.told == []


def test_a_file_is_read_again_only_when_size_or_time_changed(weights):
    hash_weights([weights])
    shard = weights / "shard.safetensors"
    shard.write_bytes(os.urandom(700_000))
    os.utime(shard, ns=(5, 5))
    count = Count()
    assert hash_weights([weights], count)[1].sha256 == truth(shard)
    assert count.told[-1] == (700_000, 700_000)


def test_a_link_to_a_known_file_is_known(weights, tmp_path):
    """Downloads often lie as links to one store."""
    hash_weights([weights])
    (tmp_path / "linked.safetensors").symlink_to(weights / "shard.safetensors")
    count = Count()
    (linked,) = hash_weights([tmp_path / "linked.safetensors"], count)
    assert linked.name == "linked.safetensors" and count.told == []


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"schema": 99, "files": {}}', '{"schema": 1, "files": []}', "\0"]
)
def test_a_cache_that_cannot_be_used_is_no_cache(weights, cache, content):
    cache.parent.mkdir()
    cache.write_text(content)
    assert hash_weights([weights])[1].sha256 == truth(weights / "shard.safetensors")
    assert len(json.loads(cache.read_text())["files"]) == 3


@pytest.mark.parametrize("entry", [None, [], {}, {"sha256": 7}, {"size": 700_000, "sha256": "x"}])
def test_a_cache_entry_that_cannot_be_used_is_none(weights, cache, entry):
    shard = weights / "shard.safetensors"
    cache.parent.mkdir()
    cache.write_text(json.dumps({"schema": 1, "files": {str(shard.resolve()): entry}}))
    assert hash_weights([shard])[0].sha256 == truth(shard)


def test_the_cache_keeps_the_newest_and_stays_bounded(weights, cache, monkeypatch):
    monkeypatch.setattr(weights_hashes, "_MOST_ENTRIES", 2)
    names = ("empty.txt", "shard.safetensors", "text/tokenizer.json")
    for name in names:
        hash_weights([weights / name])
    assert list(json.loads(cache.read_text())["files"]) == [str(weights / name) for name in names[1:]]


def test_without_a_cache_folder_it_works_all_the_same(weights, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    assert hash_weights([weights])[1].sha256 == truth(weights / "shard.safetensors")


def test_cancelling_stops_the_reading_and_keeps_what_is_known(weights, cache, monkeypatch):
    """One thread, so that the order is sure: the largest file is done when the report raises."""
    monkeypatch.setattr(weights_hashes, "_THREADS", 1)

    def cancel(done: int, total: int) -> None:
        if done >= 700_000:
            raise Interrupted

    with pytest.raises(Interrupted):
        hash_weights([weights], cancel)
    assert str(weights / "shard.safetensors") in json.loads(cache.read_text())["files"]


def test_cancelling_does_not_wait_for_the_end_of_a_large_file(tmp_path, monkeypatch):
    """The file would be read for ever."""

    class Endless:
        def __init__(self, file, reading):
            self.reading = reading

        def readable(self):
            return True

        def readinto(self, buffer):
            if self.reading.over:
                raise InterruptedError
            self.reading.count(len(buffer))
            return len(buffer)

    def cancel(done: int, total: int) -> None:
        raise Interrupted

    monkeypatch.setattr(weights_hashes, "_Counted", Endless)
    (tmp_path / "large.bin").write_bytes(b"x")
    with pytest.raises(Interrupted):
        hash_files([tmp_path / "large.bin"], cancel)


def test_a_file_that_is_written_while_it_is_read_is_not_remembered(weights, cache, monkeypatch):
    shard = weights / "shard.safetensors"
    digest = weights_hashes._Reading.digest

    def digest_and_change(self, path):
        found = digest(self, path)
        os.utime(path, ns=(5, 5))
        return found

    monkeypatch.setattr(weights_hashes._Reading, "digest", digest_and_change)
    hash_weights([shard])
    assert not cache.exists()


def test_a_file_that_cannot_be_read_says_which(tmp_path):
    with pytest.raises(OSError, match=r"gone\.bin"):
        hash_files([tmp_path / "gone.bin"])


def test_whole_hashes_do_not_trust_the_cache(weights):
    shard = weights / "shard.safetensors"
    before = shard.stat()
    hash_weights([shard])
    shard.write_bytes(os.urandom(700_000))
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hash_files([shard]) == {shard: truth(shard)}


def test_the_cache_is_the_users_own_or_the_named_one(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("UNDERSTUDY_CACHE")
    assert cache_folder().name == "understudy"


def test_two_runs_that_write_the_cache_leave_a_whole_one(weights, cache, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    copies = [shutil.copytree(weights, tmp_path / f"copy {n}") for n in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda copy: hash_weights([copy]), copies))
    assert json.loads(cache.read_text())["schema"] == 1
