"""Verifying a record and making it again tell every file and fact that is not as it was, and no other."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import config
from execution import weights_hashes
from execution.differences import differences_from, verify_result_record
from execution.result_record import read_result_record, result_record_path
from execution.runner import run_steps
from execution.step import Interrupted
from tests.execution.made_up_results import MACHINE, job_of, make, steps_of, write
from tests.execution.made_up_steps import Notes

FILES = {
    "the result": "made/clip.mp4",
    "the driving video": "drive.mp4",
    "the reference image": "character.png",
    "a file of the step generate": "made/.understudy/clip.generated.mp4",
    "the weights file model.safetensors": "model.safetensors",
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "work"


@pytest.fixture
def record(folder):
    return make(folder)


def change(path: Path) -> None:
    """Other content, same size, same time: only reading it shows."""
    stat = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_record_that_is_true_has_no_differences_and_all_is_read(record, folder):
    told: list[tuple[int, int]] = []
    assert verify_result_record(record, folder, lambda done, total: told.append((done, total))) == []
    size = sum((folder / name).stat().st_size for name in FILES.values())
    assert told[-1] == (size, size)


@pytest.mark.parametrize("role", FILES)
def test_every_file_is_read_from_end_to_end_whatever_its_time_says(record, folder, role):
    path = folder / FILES[role]
    change(path)
    (found,) = verify_result_record(record)
    assert (found.kind, found.role, found.path) == ("changed", role, path)
    assert found.text.lower() == f"{role} ({path}) changed: its size is the same, its content is not.".lower()


@pytest.mark.parametrize("role", FILES)
def test_what_is_missing_or_has_another_size_is_told(record, folder, role):
    path = folder / FILES[role]
    size = path.stat().st_size
    path.write_bytes(b"x")
    (found,) = verify_result_record(record)
    assert found.kind == "changed" and f"it has 1 bytes, and had {size}" in found.text
    path.unlink()
    (found,) = verify_result_record(record)
    assert found.kind == "missing" and found.text.endswith(f"({path}) is missing.")
    assert found.as_data() == {"kind": "missing", "role": role, "path": str(path), "text": found.text}


def test_what_cannot_be_read_is_told(record, folder):
    path = folder / "drive.mp4"
    path.unlink()
    path.mkdir()
    (found,) = verify_result_record(record)
    assert found.kind == "unreadable" and "cannot be read (" in found.text


def test_all_differences_are_told_in_the_records_order(record, folder):
    for name in FILES.values():
        change(folder / name)
    assert [found.role for found in verify_result_record(record)] == list(FILES)


def test_a_result_that_was_moved_with_its_record_is_the_result(record, folder, tmp_path):
    """It is given away: its inputs are not there, and it is whole all the same."""
    given = tmp_path / "given"
    given.mkdir()
    result = (folder / "made" / "clip.mp4").rename(given / "clip.mp4")
    result_record_path(folder / "made" / "clip.mp4").rename(given / "clip.json")
    assert verify_result_record(record, given) == []
    change(result)
    (found,) = verify_result_record(record, given)
    assert found.path == result


def test_verifying_can_be_cancelled(record):
    def cancel(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        verify_result_record(record, report=cancel)


# -------------------------------------------------------------------------------------------- another machine


def now(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Today's facts, which are the record's but for the changes."""
    same = {name: record[name] for name in ("understudy", "libraries", "machine")}
    return {**same, "upstream_commit": "42bf4cf", **changes}


def test_on_the_same_machine_nothing_differs(record):
    assert differences_from(record, now(record)) == []


def test_what_differs_is_told_fact_by_fact(record):
    libraries = {**record["libraries"], "c2pa_made_up": "1.0", "click": "0.1"}
    click = record["libraries"]["click"]
    machine = {"gpus": ["NVIDIA H200", "NVIDIA H200"], "driver": None}
    changed = now(record, understudy="9.9", upstream_commit="abc", libraries=libraries, machine=machine)
    assert differences_from(record, changed) == [
        f"understudy was {config.VERSION} and is 9.9.",
        f"libraries: click was {click} and is 0.1.",
        "libraries: c2pa_made_up was unknown and is 1.0.",
        "machine: gpus was NVIDIA H200 and is NVIDIA H200, NVIDIA H200.",
        f"machine: driver was {MACHINE['driver']} and is unknown.",
        "upstream commit was 42bf4cf and is abc.",
    ]


def test_facts_of_which_nobody_speaks_are_not_compared(record):
    assert differences_from(record, {}) == []
    assert differences_from(record, {"upstream_packages": {"torch": "2.8"}}) == [
        "upstream packages was unknown and is torch 2.8."
    ]
    assert differences_from(record, {"upstream_commit": ["not", "comparable"]}) == [
        "upstream commit was 42bf4cf and is not, comparable."
    ]


def test_changed_inputs_and_weights_are_told_and_the_result_is_not_looked_at(record, folder):
    for role in ("the driving video", "the result", "a file of the step generate"):
        change(folder / FILES[role])
    weights = folder / "model.safetensors"
    change(weights)
    os.utime(weights, ns=(5, 5))
    drive = folder / "drive.mp4"
    assert differences_from(record, now(record)) == [
        f"The driving video ({drive}) changed: its size is the same, its content is not.",
        f"The weights file model.safetensors ({weights}) changed.",
    ]
    weights.unlink()
    assert differences_from(record, now(record))[1].endswith(f"({weights}) is missing.")


def test_known_weights_are_not_read_again_for_a_rerun(record, folder, monkeypatch):
    read: list[Path] = []
    digest = weights_hashes._Reading.digest

    def note(self, path):
        read.append(path)
        return digest(self, path)

    monkeypatch.setattr(weights_hashes._Reading, "digest", note)
    assert differences_from(record, now(record)) == []
    assert sorted(read) == [folder / "character.png", folder / "drive.mp4"]


def test_settings_that_cannot_come_back_are_told(folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "no-known-form-at-all")
    write(folder, run_steps(steps_of(folder), Notes()), job_of(folder, prompt="see no-known-form-at-all"))
    record = read_result_record(result_record_path(folder / "made" / "clip.mp4"))
    record["settings"] |= {"invented": [1, 2], "unset": None}
    assert differences_from(record, {}) == [
        "A secret was taken out of the setting prompt, so it is not used: give --prompt again.",
        "This version does not know the setting invented, which was 1, 2.",
    ]
