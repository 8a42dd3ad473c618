"""The runner: skip, run, verify, publish, and tell the truth when it goes wrong."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from execution import record
from execution.runner import plan_run, run_steps
from execution.step import Diagnosis, Interrupted, Progress, Published, Step, StepFailed
from tests.execution.made_up_steps import WRITE, Notes, command_step, function_step, write_output


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


FAILING = "import sys; print('last words'); sys.exit(3)"


def left_in(folder: Path) -> set[str]:
    """What lies in the folder, our own hidden one aside."""
    return (
        {path.name for path in folder.iterdir() if path.name != ".understudy"} if folder.exists() else set()
    )


def scratch_left(folder: Path) -> list[Path]:
    return list((folder / ".understudy").glob("scratch@*"))


def test_a_command_runs_and_its_output_gets_its_name(tmp_path):
    step, notes = command_step(tmp_path / "made"), Notes()
    run_steps([step], notes)
    assert step.outputs[0].read_text() == "made"
    assert notes.events == ["started", "finished"] and notes.why == ["it has not run before"]
    assert record.log_path(step).read_text().strip() == "wrote it"
    assert not scratch_left(step.folder)


def test_a_second_run_skips(tmp_path):
    step, notes = command_step(tmp_path / "made"), Notes()
    run_steps([step], Notes())
    run_steps([step], notes)
    assert notes.events == ["skipped"]


def test_force_runs_again_and_says_why(tmp_path):
    step, notes = command_step(tmp_path / "made"), Notes()
    run_steps([step], Notes())
    run_steps([step], notes, force=True)
    assert notes.events == ["started", "finished"] and notes.why == ["--force was given"]


def test_a_function_runs_and_tells_its_progress(tmp_path):
    step, notes = function_step(tmp_path / "made", write_output), Notes()
    run_steps([step], notes)
    assert notes.progress == [Progress("writing", 0.0, "0 of 2"), Progress("writing", 1.0, "2 of 2")]


def crash(run):
    (run.folder / "out.txt").write_text("half")
    raise RuntimeError("no such tensor")


def refuse(run):
    raise StepFailed("no person in the clip. Give another clip.")


def write_bad(run):
    (run.folder / "out.txt").write_text("bad")


def write_nothing(run):
    pass


def write_empty(run):
    (run.folder / "out.txt").touch()


FAILURES: dict[str, tuple[Callable[[Path], Step], list[str]]] = {
    "function crashes": (
        lambda folder: function_step(folder, crash),
        ["RuntimeError: no such tensor", "Whole"],
    ),
    "function refuses": (lambda folder: function_step(folder, refuse), ["no person", "Give another clip"]),
    "function writes a bad file": (lambda folder: function_step(folder, write_bad), ["out.txt is bad"]),
    "function writes nothing": (lambda folder: function_step(folder, write_nothing), ["was not written"]),
    "function writes an empty file": (
        lambda folder: function_step(folder, write_empty),
        ["out.txt is empty"],
    ),
    "command fails": (
        lambda folder: command_step(folder, FAILING),
        ["ended with exit code 3", "Last lines of its output", "| last words", "Whole output: "],
    ),
    "command writes nothing": (
        lambda folder: command_step(folder, "print('Finished.')"),
        ["ended without an error, but out.txt was not written", "| Finished."],
    ),
    "command is killed": (
        lambda folder: command_step(folder, "import os; os.kill(os.getpid(), 9)"),
        ["exit code 137", "signal 9", "lack of memory"],
    ),
    "command cannot be started": (
        lambda folder: command_step(folder, argv=("/no/such/program", Published(folder / "out.txt"))),
        ["exit code 127", "/no/such/program cannot be started"],
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_explains_itself_and_touches_nothing_that_was_there(tmp_path, case):
    make, words = FAILURES[case]
    folder = tmp_path / "made"
    good = command_step(folder)
    run_steps([good], Notes())
    before = record.record_path(good).read_text()
    step, notes = make(folder), Notes()
    with pytest.raises(StepFailed) as failed:
        run_steps([step], notes, force=True)
    assert all(word in str(failed.value) for word in words), failed.value
    assert str(failed.value).startswith("Making it failed: ")
    assert notes.events == ["started", "stopped"]
    assert good.outputs[0].read_text() == "made"
    assert record.record_path(good).read_text() == before, "what was good stays good"
    assert left_in(folder) == {"out.txt"} and not scratch_left(folder)
    assert plan_run([good])[0].action == "skip"


def test_a_crash_of_a_function_leaves_its_traceback_in_the_log(tmp_path):
    step = function_step(tmp_path / "made", crash)
    with pytest.raises(StepFailed, match=r"RuntimeError: no such tensor"):
        run_steps([step], Notes())
    assert "Traceback" in record.log_path(step).read_text()


def test_nothing_after_a_failed_step_starts(tmp_path):
    first, second = command_step(tmp_path / "one", FAILING), command_step(tmp_path / "two")
    with pytest.raises(StepFailed):
        run_steps([first, second], Notes())
    assert not second.folder.exists()


def test_only_the_end_of_a_long_log_is_shown(tmp_path):
    program = "import sys\nfor n in range(200_000): print('noise', n)\nprint('the cause'); sys.exit(1)"
    with pytest.raises(StepFailed) as failed:
        run_steps([command_step(tmp_path / "made", program)], Notes())
    message = str(failed.value)
    assert "| the cause" in message and message.count("| ") == 15 and "noise 100 " not in message


def test_the_diagnosis_is_given_before_the_log(tmp_path):
    step = command_step(
        tmp_path / "made", FAILING, diagnose=lambda log: Diagnosis("said-so", f"Understood: {log.strip()}.")
    )
    with pytest.raises(StepFailed, match=r"Understood: last words\.\nLast lines") as failed:
        run_steps([step], Notes())
    assert failed.value.cause == "said-so"


def refuse_for_memory(run):
    raise StepFailed("too large. Make it smaller.", cause="gpu-memory")


def run_out_of_memory(run):
    raise MemoryError


def refuse_to_verify(folder):
    raise StepFailed("out.txt is black", cause="black")


CAUSES: dict[str, tuple[Callable[[Path], Step], str | None]] = {
    "an unknown failure": (lambda folder: command_step(folder, FAILING), None),
    "a kill that the log does not explain": (FAILURES["command is killed"][0], "host-memory"),
    "a kill that the log explains": (
        lambda folder: command_step(
            folder,
            "import os; os.kill(os.getpid(), 9)",
            diagnose=lambda log: Diagnosis("gpu-memory", "The GPU is full."),
        ),
        "gpu-memory",
    ),
    "a function's own word": (lambda folder: function_step(folder, refuse_for_memory), "gpu-memory"),
    "a function without memory": (lambda folder: function_step(folder, run_out_of_memory), "host-memory"),
    "the verifier's word": (lambda folder: command_step(folder, verify=refuse_to_verify), "black"),
    "nothing understood": (
        lambda folder: command_step(folder, FAILING, diagnose=lambda log: None),
        None,
    ),
}


@pytest.mark.parametrize("case", CAUSES)
def test_a_failure_carries_its_cause_as_a_stable_word(tmp_path, case):
    make, cause = CAUSES[case]
    with pytest.raises(StepFailed) as failed:
        run_steps([make(tmp_path / "made")], Notes())
    assert failed.value.cause == cause


def test_markup_and_colours_in_a_log_do_no_harm(tmp_path):
    program = r"import sys; print('[/x] [red] \x1b[31mred\x1b[0m'); sys.exit(1)"
    with pytest.raises(StepFailed, match=r"\[/x\] \[red\]"):
        run_steps([command_step(tmp_path / "made", program)], Notes())


def interrupt(run):
    (run.folder / "out.txt").write_text("half")
    raise Interrupted("SIGINT")


def test_an_interruption_passes_through_and_leaves_nothing(tmp_path):
    step, notes = function_step(tmp_path / "made", interrupt), Notes()
    with pytest.raises(Interrupted):
        run_steps([step], notes)
    assert notes.events == ["started", "stopped"]
    assert left_in(step.folder) == set() and not scratch_left(step.folder)
    assert plan_run([step])[0].why[0].reason is record.Reason.NEW


def test_an_interruption_by_the_watcher_ends_the_command(tmp_path):
    class Impatient(Notes):
        def progressed(self, progress: Progress) -> None:
            raise Interrupted

    class Reader:
        def read(self, line: str) -> Progress | None:
            return Progress(line)

    program = "import time; print('started', flush=True); time.sleep(600)"
    step = command_step(tmp_path / "made", program, progress=Reader)
    notes = Impatient()
    with pytest.raises(Interrupted):
        run_steps([step], notes)
    assert notes.events == ["started", "ending", "stopped"] and not scratch_left(step.folder)


def test_obsolete_files_go_when_the_new_ones_come_and_not_before(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "stale.txt").write_text("of another mode")
    (folder / "own.txt").write_text("the user's own")
    failing = command_step(folder, FAILING, obsolete=(folder / "stale.txt",))
    with pytest.raises(StepFailed):
        run_steps([failing], Notes())
    assert left_in(folder) == {"stale.txt", "own.txt"}
    run_steps([command_step(folder, obsolete=(folder / "stale.txt",))], Notes())
    assert left_in(folder) == {"out.txt", "own.txt"}


def test_an_output_appears_under_its_name_only_when_verified(tmp_path):
    folder = tmp_path / "made"
    seen = []

    def look(scratch: Path) -> None:
        seen.append((scratch / "out.txt").exists() and not (folder / "out.txt").exists())

    run_steps([command_step(folder, verify=look)], Notes())
    assert seen == [True] and (folder / "out.txt").exists()


def test_a_disk_problem_is_a_failure_and_no_traceback(tmp_path):
    step = command_step(tmp_path / "made", inputs={"driving video": tmp_path / "gone.mp4"})
    with pytest.raises(StepFailed, match=r"Making it failed: .*gone\.mp4"):
        run_steps([step], Notes())


@pytest.mark.skipif(sys.platform != "linux", reason="a file that says it is there and cannot be read")
@pytest.mark.parametrize("do", [plan_run, lambda steps: run_steps(steps, Notes())])
def test_weights_that_cannot_be_read_are_a_failure_and_no_traceback(tmp_path, do):
    step = command_step(tmp_path / "made")
    run_steps([step], Notes())
    (tmp_path / "weights.bin").symlink_to("/proc/self/mem")
    with pytest.raises(StepFailed, match="cannot be"):
        do([replace(step, weights=(tmp_path / "weights.bin",))])


# --------------------------------------------------------------------------------- one step after another


def test_a_step_can_be_made_from_what_the_one_before_it_left(tmp_path):
    def plan() -> Iterator[Step]:
        first = command_step(tmp_path / "one")
        yield first
        made = first.outputs[0].read_text() if first.outputs[0].exists() else "nothing"
        yield command_step(tmp_path / "two", settings={"seen": made})

    assert [entry.step.settings.get("seen") for entry in plan_run(plan())] == [None, "nothing"]
    done = run_steps(plan(), Notes())
    assert [entry.step.settings.get("seen") for entry in done] == [None, "made"]
    assert [entry.action for entry in done] == ["run", "run"]
    assert [entry.action for entry in run_steps(plan(), Notes())] == ["skip", "skip"]


def test_what_ran_and_why_comes_back(tmp_path):
    first, second = command_step(tmp_path / "one"), command_step(tmp_path / "two")
    run_steps([first], Notes())
    done = run_steps([first, second], Notes())
    assert [(entry.step, entry.action) for entry in done] == [(first, "skip"), (second, "run")]
    assert [why.text for why in done[1].why] == ["it has not run before"]


def hidden_step(folder: Path, **changes) -> Step:
    """A step that leaves its output in the hidden folder, for a later step."""
    output = folder / ".understudy" / "clip.generated.txt"
    return command_step(
        folder,
        outputs=(output,),
        verify=lambda folder: None,
        argv=(sys.executable, "-c", WRITE, Published(output)),
        **changes,
    )


def test_an_output_can_lie_in_the_hidden_folder(tmp_path):
    step = hidden_step(tmp_path / "made")
    seen = []

    def look(scratch: Path) -> None:
        seen.append((scratch / ".understudy" / "clip.generated.txt").exists())
        assert not step.outputs[0].exists()

    run_steps([replace(step, verify=look)], Notes())
    assert seen == [True] and step.outputs[0].read_text() == "made"
    assert left_in(step.folder) == set() and not scratch_left(step.folder)
    assert plan_run([step])[0].action == "skip"
    step.outputs[0].unlink()
    assert plan_run([step])[0].why[0].text == "clip.generated.txt is missing"


# ---------------------------------------------------------------------------------- what the record keeps


def kept(step: Step) -> dict[str, Any]:
    return record.read_record(record.record_path(step))


def test_the_record_keeps_when_why_how_long_and_how_much(tmp_path):
    step = command_step(tmp_path / "made", f"import time; time.sleep(0.3); {WRITE}")
    before = datetime.now(UTC) - timedelta(milliseconds=1)  # it is kept in whole ones
    run_steps([step], Notes())
    run_steps([step], Notes(), force=True)
    run = kept(step)
    assert before <= datetime.fromisoformat(run["started"]) <= datetime.now(UTC)
    assert run["seconds"] >= 0.3 and run["why"] == ["--force was given"] and run["facts"] == {}
    assert run["peak_memory"]["host_bytes"] > 2**20 and run["peak_memory"]["gpu_bytes"] is None


def test_the_record_keeps_the_facts_that_the_log_tells(tmp_path):
    def read(log: str) -> dict[str, Any]:
        return {"seed": 42, "log": log.strip(), "window": (77, 5), "file": Path("weights.bin")}

    step = command_step(tmp_path / "made", facts=read)
    run_steps([step], Notes())
    assert kept(step)["facts"] == {"seed": 42, "log": "wrote it", "window": [77, 5], "file": "weights.bin"}


def test_a_mistake_in_reading_the_facts_does_not_cost_the_outputs(tmp_path):
    step = command_step(tmp_path / "made", facts=lambda log: {"seed": int(log)})
    run_steps([step], Notes())
    assert step.outputs[0].exists() and "ValueError" in kept(step)["facts"]["error"]


def test_facts_of_a_failed_run_are_not_asked_for(tmp_path):
    asked = []

    def read(log: str) -> dict[str, Any]:
        asked.append(log)
        return {}

    step = command_step(tmp_path / "made", FAILING, facts=read)
    with pytest.raises(StepFailed):
        run_steps([step], Notes())
    assert not asked


def test_the_facts_get_both_ends_of_a_very_long_log(tmp_path):
    program = f"print('first');\nfor n in range(30_000): print('noise ' * 10)\nprint('last'); {WRITE}"
    step = command_step(
        tmp_path / "made",
        program,
        facts=lambda log: {"ends": [log[:5], log[-16:].split()], "short": len(log) < 1_100_000},
    )
    run_steps([step], Notes())
    assert kept(step)["facts"] == {"ends": ["first", ["last", "wrote", "it"]], "short": True}


def test_a_record_of_an_earlier_version_forces_no_rerun_and_can_be_explained(tmp_path):
    step = command_step(tmp_path / "made")
    run_steps([step], Notes())
    old = kept(step)
    for name in ("started", "seconds", "peak_memory", "why", "facts"):
        del old[name]
    record.record_path(step).write_text(json.dumps(old))
    (planned,) = plan_run([step])
    assert planned.action == "skip" and "up to date, made on 2" in planned.as_explanation()


def test_each_step_explains_why_it_will_run_or_since_when_it_is_up_to_date(tmp_path):
    step = command_step(tmp_path / "made")
    assert plan_run([step])[0].as_explanation() == "Making it: will run\n  because it has not run before"
    run_steps([step], Notes())
    explained = plan_run([step])[0].as_explanation()
    assert re.fullmatch(r"Making it: up to date, made on \S+ at \S+ in [\d.]+ s", explained)
    step.outputs[0].unlink()
    explained = plan_run([replace(step, settings={"fps": 24})])[0].as_explanation()
    assert explained.splitlines()[1:] == [
        "  because out.txt is missing",
        "  because fps changed from 30 to 24",
    ]


# ---------------------------------------------------------------------------------------- function steps


def test_what_native_libraries_print_goes_to_the_log(tmp_path, capfd):
    def chat(run):
        os.write(2, b"native warning\n")
        write_output(run)

    step = function_step(tmp_path / "made", chat)
    run_steps([step], Notes())
    assert "native warning" in record.log_path(step).read_text()
    assert "native warning" not in capfd.readouterr().err
    os.write(2, b"back again\n")
    assert "back again" in capfd.readouterr().err


def test_a_function_step_leaves_no_file_descriptor_open(tmp_path):
    if not Path("/proc/self/fd").exists():
        pytest.skip("counts descriptors in /proc")
    run_steps([function_step(tmp_path / "warm", write_output)], Notes())
    before = open_files()
    for number in range(5):
        run_steps([function_step(tmp_path / f"made {number}", write_output)], Notes())
        with pytest.raises(StepFailed):
            run_steps([function_step(tmp_path / f"bad {number}", crash)], Notes())
    assert open_files() == before


def test_a_command_step_leaves_no_file_descriptor_and_no_zombie(tmp_path):
    import psutil

    if not Path("/proc/self/fd").exists():
        pytest.skip("counts descriptors in /proc")
    run_steps([command_step(tmp_path / "warm")], Notes())
    before = open_files()
    run_steps([command_step(tmp_path / "made")], Notes())
    with pytest.raises(StepFailed):
        run_steps([command_step(tmp_path / "bad", FAILING)], Notes())
    assert open_files() == before
    assert psutil.Process().children() == []


# -------------------------------------------------------------------------------------------------- plan


def test_a_plan_is_data_and_changes_nothing(tmp_path):
    step = command_step(tmp_path / "made", cwd=tmp_path, env={"A": "1"})
    (planned,) = plan_run([step])
    assert planned.as_data() == {
        "name": "make",
        "stage": 1,
        "argv": [*step.command()],
        "cwd": str(tmp_path),
        "env": {"A": "1"},
        "inputs": [str(tmp_path / "source.txt")],
        "outputs": [str(tmp_path / "made" / "out.txt")],
        "action": "run",
        "why": ["it has not run before"],
    }
    assert not step.folder.exists()
    function = plan_run([function_step(tmp_path / "made", write_output)])[0]
    assert function.as_data()["argv"] is None and function.as_line().startswith("#")


def test_a_step_is_one_thing_and_its_outputs_lie_in_its_folder(tmp_path):
    step = command_step(tmp_path / "made")
    with pytest.raises(ValueError, match="exactly one"):
        replace(step, argv=None)
    with pytest.raises(ValueError, match="exactly one"):
        replace(step, function=write_output)
    with pytest.raises(ValueError, match="lies outside"):
        replace(step, outputs=(tmp_path / "elsewhere.txt",))
    with pytest.raises(ValueError, match="is a function"):
        function_step(tmp_path / "made", write_output).command()


def test_published_words_point_into_scratch_while_it_runs(tmp_path):
    step: Step = command_step(tmp_path / "made")
    assert step.command()[-1] == str(tmp_path / "made" / "out.txt")
    assert step.command(tmp_path / "scratch")[-1] == str(tmp_path / "scratch" / "out.txt")
