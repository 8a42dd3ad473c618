"""What the last good run had, and why a step runs again."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from execution import record
from execution.record import Reason
from execution.runner import plan_run, run_steps
from execution.step import Step
from tests.execution.made_up_steps import Notes, function_step, write_output


@pytest.fixture
def done(tmp_path: Path) -> Step:
    """A step that has run well, with code and weights that it depends on."""
    (tmp_path / "code.py").write_text("pass")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "model.bin").write_bytes(os.urandom(3000))
    step = function_step(
        tmp_path / "made",
        write_output,
        code=(tmp_path / "code.py",),
        weights=(tmp_path / "weights", tmp_path / "no such optional file"),
    )
    run_steps([step], Notes())
    return step


def reasons(step: Step) -> list[tuple[Reason, str]]:
    return [(why.reason, why.text) for why in record.reasons_to_run(step)]


def touch_content(path: Path, content: bytes) -> None:
    """Change a file's content and make sure that the change shows in its time, as it does in real life."""
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))


def test_a_new_step_runs_because_it_is_new(tmp_path):
    assert reasons(function_step(tmp_path / "made", write_output)) == [(Reason.NEW, "it has not run before")]


def test_a_finished_step_has_no_reason_to_run(done):
    assert reasons(done) == []


def test_a_changed_input_is_named(done):
    touch_content(done.inputs["driving video"], b"other!")
    assert reasons(done) == [(Reason.INPUT, "the driving video changed")]
    done.inputs["driving video"].unlink()
    assert reasons(done) == [(Reason.INPUT, "the driving video is missing")]


def test_an_input_that_was_only_touched_copied_or_moved_is_the_same(done, tmp_path):
    source = done.inputs["driving video"]
    os.utime(source, ns=(1, 1))
    assert reasons(done) == []
    moved = source.rename(tmp_path / "moved.txt")
    assert reasons(replace(done, inputs={"driving video": moved})) == []


def test_a_changed_setting_is_named_with_both_values(done):
    assert reasons(replace(done, settings={"fps": 24})) == [
        (Reason.SETTING, "fps changed from 30 to 24"),
    ]
    found = reasons(replace(done, settings={"fps": 30, "k": (1, 2)}))
    assert found == [(Reason.SETTING, "k changed from None to [1, 2]")]


def test_another_engine_is_named(done):
    assert reasons(replace(done, engine="other")) == [(Reason.SETTING, "the engine is another")]


def test_changed_code_and_weights_are_told_apart(done, tmp_path):
    (tmp_path / "code.py").write_text("pass  # changed")
    assert [reason for reason, _ in reasons(done)] == [Reason.CODE]
    (tmp_path / "code.py").write_text("pass")
    (tmp_path / "weights" / "model.bin").write_bytes(os.urandom(3000))
    assert [reason for reason, _ in reasons(done)] == [Reason.WEIGHTS]


def test_weights_fetched_again_with_the_same_content_are_the_same(done, tmp_path):
    model = tmp_path / "weights" / "model.bin"
    content = model.read_bytes()
    model.unlink()
    model.write_bytes(content)
    assert reasons(done) == []


@pytest.mark.parametrize("content", [None, b"mad"])
def test_a_missing_or_tampered_output_is_named(done, content):
    (output,) = done.outputs
    if content is None:
        output.unlink()
        assert reasons(done) == [(Reason.OUTPUT, "out.txt is missing")]
    else:
        touch_content(output, content)
        assert reasons(done) == [(Reason.OUTPUT, "out.txt is not as the step left it")]


def test_all_reasons_are_told(done):
    touch_content(done.inputs["driving video"], b"x")
    done.outputs[0].unlink()
    told = {reason for reason, _ in reasons(replace(done, settings={"fps": 1}))}
    assert told == {Reason.INPUT, Reason.OUTPUT, Reason.SETTING}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 999, "state": "done"}', "\0"]
)
def test_a_record_that_cannot_be_used_is_no_record(done, content):
    record.record_path(done).write_text(content)
    assert [reason for reason, _ in reasons(done)] == [Reason.NEW]


def test_a_run_broken_off_while_it_published_is_unfinished(done):
    path = record.record_path(done)
    path.write_text(path.read_text().replace('"done"', '"publishing"'))
    assert [reason for reason, _ in reasons(done)] == [Reason.UNFINISHED]
    assert record.half_published(done.folder, 1) == "make"
    assert record.half_published(done.folder, 2) is None
    run_steps([done], Notes())
    assert reasons(done) == [] and record.half_published(done.folder, 1) is None


def test_killed_between_two_renames_the_folder_is_not_taken_for_finished(tmp_path, monkeypatch):
    def write_two(run):
        for name in ("one.txt", "two.txt"):
            (run.folder / name).write_text("new")

    folder = tmp_path / "made"
    step = function_step(
        folder, write_two, outputs=(folder / "one.txt", folder / "two.txt"), verify=lambda folder: None
    )
    rename = Path.replace

    def killed_at_the_second(self, target):
        if self.name == "two.txt":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        run_steps([step], Notes())
    monkeypatch.undo()
    assert [reason for reason, _ in reasons(step)] == [Reason.UNFINISHED]
    run_steps([step], Notes())
    assert reasons(step) == [] and (folder / "two.txt").read_text() == "new"


def test_a_step_whose_input_an_earlier_step_makes_anew_runs_after_it(done, tmp_path):
    later = function_step(tmp_path / "later", write_output, inputs={"pose video": done.outputs[0]})
    run_steps([done, later], Notes())
    assert [entry.action for entry in plan_run([done, later])] == ["skip", "skip"]
    planned = plan_run([replace(done, settings={"fps": 1}), later])
    assert [entry.action for entry in planned] == ["run", "run"]
    assert planned[1].why[0].text == "Making it runs before it"


def test_a_later_step_is_skipped_when_the_earlier_one_made_the_same_again(done, tmp_path):
    """What counts when it runs is content, not that something ran."""
    later = function_step(tmp_path / "later", write_output, inputs={"pose video": done.outputs[0]})
    run_steps([done, later], Notes())
    notes = Notes()
    run_steps([replace(done, settings={"fps": 1}), later], notes)
    assert notes.events == ["started", "finished", "skipped"]


def test_the_record_says_how_it_was_made(done):
    kept = json.loads(record.record_path(done).read_text())
    assert kept["state"] == "done" and kept["settings"] == {"fps": 30} and kept["engine"] == "made up"
    assert len(kept["inputs"]["driving video"]["sha256"]) == 64
    assert kept["outputs"]["out.txt"]["size"] == 4
    assert len(kept["code_sha256"]) == len(kept["weights_sample_sha256"]) == 64


def test_a_hash_is_taken_again_only_when_size_or_time_changed(tmp_path, monkeypatch):
    from execution import fingerprint

    path = tmp_path / "file"
    path.write_text("a")
    known = fingerprint.describe_file(path)
    assert fingerprint.describe_file(path, {**known, "sha256": "kept"})["sha256"] == "kept"
    os.utime(path, ns=(5, 5))
    assert fingerprint.describe_file(path, {**known, "sha256": "kept"})["sha256"] == known["sha256"]


def test_names_that_are_no_unicode_can_be_recorded(tmp_path):
    if os.name != "posix":
        pytest.skip("POSIX file names are bytes")
    source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    source.write_text("source")
    step = function_step(tmp_path / "made", write_output, inputs={"driving video": source})
    run_steps([step], Notes())
    assert reasons(step) == []
