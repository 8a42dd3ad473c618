"""Workers: one for a key, kept for the next job, and gone when they should be, whatever they do."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from execution import worker
from execution.runner import run_steps
from execution.step import GPU_MEMORY, HOST_MEMORY, Interrupted, Progress, StepFailed, StepRun
from execution.worker import HARNESS, close_workers, run_in_worker
from tests.execution.made_up_steps import Notes, function_step
from tests.workplace import PATIENCE, ROOT, is_alive, wait_until

HERE = Path(__file__).parent
MADE_UP = (sys.executable, str(HERE / "made_up_worker.py"))
RAW = (sys.executable, str(HERE / "raw_worker.py"))

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.fixture(autouse=True)
def _no_worker_left():
    yield
    close_workers()


class Listener:
    """A step's run: it keeps what it is told, and raises ``stop`` at the first word where asked to."""

    def __init__(self, folder: Path, stop: BaseException | None = None) -> None:
        self.heard: list[Progress] = []
        self.log = folder / "step.log"
        self.log.write_text("before\n")
        self.stop = stop
        self.run = StepRun(folder, self._report, self._progressed, self.log)

    def _progressed(self, progress: Progress) -> None:
        self.heard.append(progress)
        if self.stop is not None:
            raise self.stop

    def _report(self, phase: str, done: int, total: int) -> None:
        raise AssertionError("the finer way is there")


@pytest.fixture
def listener(tmp_path):
    return Listener(tmp_path)


def do(listener: Listener, name: str, key: str = "key", argv=MADE_UP, options=None, **job: Any) -> Any:
    return run_in_worker(key, argv, {"do": name, **job}, listener.run, **(options or {}))


def answer_raw(listener: Listener, *pieces: bytes | str, times: int = 1, **options: Any) -> Any:
    data = [(piece.encode() if isinstance(piece, str) else piece).hex() for piece in pieces]
    return run_in_worker("raw", RAW, {"pieces": data, "times": times}, listener.run, **options)


def failure_of(listener: Listener, name: str, **job: Any) -> StepFailed:
    with pytest.raises(StepFailed) as failed:
        do(listener, name, **job)
    return failed.value


# One job after another


def test_progress_is_told_as_it_comes(listener):
    do(listener, "generate")
    assert listener.heard == [
        Progress("loading"),
        Progress("denoising", 0.5, "window 1 of 1, step 1 of 2"),
        Progress("denoising", 1.0, "window 1 of 1, step 2 of 2"),
        Progress("saving", None, "result.mp4"),
    ]


def test_the_model_stays_loaded_for_the_next_job(listener):
    first = do(listener, "generate")
    second = do(listener, "generate")
    assert (first["runs"], second["runs"]) == (1, 2) and first["pid"] == second["pid"]
    assert [progress.phase for progress in listener.heard].count("loading") == 1
    assert do(listener, "generate", model="b")["models"] == ["a", "b"]


def test_another_key_is_another_worker(listener):
    first, second = do(listener, "generate", key="one"), do(listener, "generate", key="two")
    assert first["pid"] != second["pid"] and second["runs"] == 1
    assert do(listener, "generate", key="one")["runs"] == 2


def test_another_command_or_environment_replaces_the_worker(listener):
    first = do(listener, "generate")["pid"]
    second = do(listener, "generate", options={"environment": {"CUDA_VISIBLE_DEVICES": "1"}})["pid"]
    assert second != first and not is_alive(first)
    third = do(listener, "generate", argv=(*MADE_UP, "--other"))["pid"]
    assert third != second and not is_alive(second)


def test_each_worker_has_its_own_environment(listener):
    for gpu in ("0", "3"):
        told = do(listener, "look_around", key=gpu, options={"environment": {"CUDA_VISIBLE_DEVICES": gpu}})
        assert told["gpus"] == gpu
    assert do(listener, "look_around", key="none")["gpus"] == os.environ.get("CUDA_VISIBLE_DEVICES")


def test_of_ours_the_harness_alone_is_on_the_workers_path(listener, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    path = do(listener, "look_around")["path"]
    assert path[:2] == [str(HARNESS.parent), "/theirs"]
    assert [name.name for name in HARNESS.parent.glob("*.py")] == ["worker_harness.py"]
    assert str(HERE) not in path


def test_a_library_that_reads_standard_input_does_not_get_the_jobs(listener):
    assert do(listener, "look_around")["stdin"] == ""
    assert do(listener, "generate")["runs"] == 1


def test_any_text_goes_in_and_comes_back(listener):
    text = "é \u2028 \x00 \ud800 \n {}" + "x" * 300_000
    assert do(listener, "look_around", text=text)["job"]["text"] == text


def test_a_job_that_is_no_plain_data_is_a_mistake_of_ours_and_starts_nothing(listener):
    with pytest.raises(TypeError):
        do(listener, "generate", path=Path("/x"))
    assert not worker._workers


def test_a_worker_that_died_between_two_jobs_is_replaced(listener):
    first = do(listener, "generate")["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not worker._workers["key"].lives, "the worker is gone")
    assert do(listener, "generate")["runs"] == 1


def test_close_workers_leaves_none(listener):
    workers = [do(listener, "generate", key=key)["pid"] for key in "abc"]
    close_workers()
    assert not any(is_alive(process) for process in workers)


def test_without_a_finer_listener_the_count_is_told(tmp_path):
    heard = []
    run_in_worker("key", MADE_UP, {"do": "generate"}, StepRun(tmp_path, lambda *words: heard.append(words)))
    assert heard == [("loading", 0, 0), ("denoising", 500, 1000), ("denoising", 1000, 1000), ("saving", 0, 0)]


def test_the_worker_of_the_documentation_works(listener, tmp_path):
    page = (ROOT / "docs" / "adding_an_engine.md").read_text(encoding="utf-8")
    script = tmp_path / "worker.py"
    script.write_text(page.split("```python\n")[1].split("```")[0])
    job = {"model": "m", "steps": 2, "target": str(tmp_path / "frames")}
    for _ in range(2):
        answer = run_in_worker("key", (sys.executable, str(script)), job, listener.run)
        assert answer == {"versions": {"library": "1.0"}}
    told = [progress.detail or progress.phase for progress in listener.heard]
    assert told == ["loading", "step 1 of 2", "step 2 of 2", "step 1 of 2", "step 2 of 2"]
    with pytest.raises(StepFailed, match="no steps to do"):
        run_in_worker("key", (sys.executable, str(script)), {**job, "steps": 0}, listener.run)


# What it prints


def test_babble_does_no_harm_and_goes_to_the_log(listener):
    assert do(listener, "babble", times=3) == {"fine": True}
    log = listener.log.read_bytes()
    assert log.startswith(b"before\n")
    for words in (
        b"written to 1",
        b"a library says so\n",
        b"a child says so\n",
        b"\xff\xfe not UTF-8\r10%\r20%\n",
    ):
        assert log.count(words) == 3, words
    assert b'{"printed": true}' in log


def test_each_jobs_output_goes_to_its_own_log(tmp_path):
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        do(Listener(folder), "babble")
    assert [(folder / "step.log").read_text("latin-1").count("child says") for folder in folders] == [1, 1]


def test_more_output_than_any_pipe_holds_is_taken(listener):
    do(listener, "babble", times=5)
    run_in_worker("raw", RAW, {"pieces": [b"babble\n".hex() * 50_000, DONE.encode().hex()]}, listener.run)
    assert listener.log.read_bytes().count(b"babble\n") == 50_000


DONE = '{"id": "1", "event": "done", "result": {"fine": true}}\n'


@pytest.mark.parametrize(
    "pieces",
    [
        [b"\xff\xfe\x00 not UTF-8\n", DONE],
        ["no JSON {\n[1, 2]\n7\nnull\n\n\n", DONE],
        ["[" * 100_000 + "\n", DONE],
        ['{"id": "1", "event": ["done"]}\n{"event": 7}\n{"id": "1"}\n', DONE],
        ['{"id": "1", "event": "invented tomorrow", "x": 1}\n', DONE],
        ['{"id": "0", "event": "done", "result": {"of": "an old job"}}\n', DONE],
        ['{"id": ["1"], "event": "error"}\n{"event": "done", "result": {}}\n', DONE],
        [*DONE],
        [DONE + '{"id": "1", "event": "done", "result": {"second": true}}\n{"id": "1", "ev'],
    ],
    ids=[
        *("bytes", "no JSON", "deep", "no event", "unknown event", "old id", "odd id", "letter by letter"),
        "half a line",
    ],
)
def test_whatever_lines_come_the_answer_counts(listener, pieces):
    assert answer_raw(listener, *pieces) == {"fine": True}
    assert listener.heard == []


def test_a_line_of_any_length_is_taken_in_pieces(listener):
    end = b"\n" + DONE.encode()
    assert answer_raw(listener, b"x" * 65536, end, times=200) == {"fine": True}
    lines = listener.log.read_bytes().splitlines()
    assert max(map(len, lines)) < 5 * 2**20 < 200 * 65536
    assert len(worker._workers["raw"].output.end()) <= 64 * 1024


@pytest.mark.parametrize(
    ("fraction", "told"),
    [
        *(
            ("NaN", None),
            ("Infinity", 1.0),
            ("-3", 0.0),
            ("1e9", 1.0),
            ("1" + "0" * 400, 1.0),
            ("0.25", 0.25),
        ),
        *(('"half"', None), ("null", None), ("[]", None)),
    ],
)
def test_a_fraction_is_one_or_nothing(listener, fraction, told):
    line = f'{{"id": "1", "event": "progress", "phase": "p", "fraction": {fraction}}}\n'
    answer_raw(listener, line, DONE)
    assert listener.heard == [Progress("p", told)]


def test_an_answer_without_its_words_is_read_as_it_is(listener):
    answer_raw(listener, '{"id":"1","event":"stage"}\n{"id":"1","event":"progress"}\n', DONE)
    assert listener.heard == [Progress(""), Progress("")]
    with pytest.raises(StepFailed, match="gave no reason"):
        answer_raw(listener, '{"id": "2", "event": "error"}\n')


def test_a_result_that_is_none_is_a_failure(listener):
    failed = failure_of(listener, "fail", error="no result")
    assert "answered 'None', which is no result" in str(failed)


# It fails


@pytest.mark.parametrize(
    ("error", "cause", "words"),
    [
        ("torch", GPU_MEMORY, "The GPU's memory is full: CUDA out of memory. Tried to allocate 2.00 GiB."),
        ("wrapped", GPU_MEMORY, "The GPU's memory is full: Tried to allocate 2.00 GiB."),
        ("cpu", HOST_MEMORY, "The machine's memory is full: DefaultCPUAllocator: can't allocate memory"),
        ("host", HOST_MEMORY, "The machine's memory is full"),
        ("gpu-memory", GPU_MEMORY, "The picture is empty. Give another."),
    ],
)
def test_full_memory_is_told_apart_and_the_next_job_gets_a_new_worker(listener, error, cause, words):
    first = do(listener, "generate")["pid"]
    failed = failure_of(listener, "fail", error=error)
    assert failed.cause == cause and words in str(failed) and "Traceback" not in str(failed)
    assert not is_alive(first)
    assert do(listener, "generate")["runs"] == 1


def test_a_wrong_request_leaves_the_model_loaded(listener):
    do(listener, "generate")
    failed = failure_of(listener, "fail", error="request")
    assert str(failed) == "The picture is empty. Give another." and failed.cause is None
    assert do(listener, "generate")["runs"] == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("other", "The picture is empty. Give another."),
        ("unknown", r"KeyError: 'time_ids' \(made_up_worker.py, line \d+\)"),
        ("long", "ValueError: xxx"),
        ("no JSON", "not JSON serializable"),
        ("too long", "large data goes into files"),
    ],
)
def test_what_nobody_understands_is_told_with_its_place_and_ends_the_worker(listener, error, words):
    first = do(listener, "generate")["pid"]
    failed = failure_of(listener, "fail", error=error)
    assert re.search(words, str(failed))
    assert str(failed).endswith(f"Whole output: {listener.log}") and len(str(failed)) < 100_000
    assert not is_alive(first)


def test_the_traceback_is_in_the_log_and_its_end_in_the_message(listener):
    failed = failure_of(listener, "fail", error="unknown")
    assert "  | KeyError: 'time_ids'" in str(failed)
    assert "Traceback (most recent call last)" in listener.log.read_text()


def test_one_that_exits_fails_the_step_with_its_last_lines(listener):
    failed = failure_of(listener, "end", code=3)
    assert str(failed) == (
        "its worker ended with exit code 3.\nLast lines of its output:\n  | last words\n"
        f"Whole output: {listener.log}"
    )
    assert failed.cause is None


def test_a_library_that_calls_exit_ends_it_with_its_words(listener):
    assert "  | the library gave up" in str(failure_of(listener, "leave"))


def test_the_systems_kill_is_for_want_of_memory(listener):
    failed = failure_of(listener, "end", signal=9)
    assert failed.cause == HOST_MEMORY
    assert "killed, as systems do when memory is short" in str(failed) and "  | last words" in str(failed)


def test_a_crash_in_a_library_names_its_place(listener):
    failed = failure_of(listener, "end", signal=11)
    assert failed.cause is None and "its worker ended with signal 11" in str(failed)
    assert "made_up_worker.py" in str(failed) and "Segmentation fault" in listener.log.read_text()


def test_one_that_ends_without_an_answer_has_failed(listener):
    with pytest.raises(StepFailed, match="ended with exit code 0"):
        run_in_worker("key", (sys.executable, "-c", "print('done')"), {}, listener.run)
    assert listener.log.read_text() == "before\ndone\n"


def test_an_interpreter_that_is_not_there_is_named(listener):
    with pytest.raises(StepFailed, match="/no/such/python cannot be started: No such file"):
        run_in_worker("key", ("/no/such/python", "worker.py"), {}, listener.run)


def test_after_any_death_the_next_job_works(listener):
    for job in ({"code": 0}, {"signal": 9}, {"signal": 15}):
        failure_of(listener, "end", **job)
        assert do(listener, "generate")["runs"] == 1


def test_one_that_hangs_is_killed_with_all_that_it_started(listener):
    failed = failure_of(listener, "wait", deaf=True, child=True, options={"stall_seconds": 0.5})
    assert "told nothing for 0.5 seconds, and was ended" in str(failed)
    assert listener.heard and not any(is_alive(process) for process in processes_of(listener))
    assert do(listener, "generate")["runs"] == 1


def processes_of(listener: Listener) -> list[int]:
    """The worker and its child, as "wait" tells them."""
    return [int(word) for word in listener.heard[0].phase.split() if word != "0"]


# It is cancelled


@pytest.mark.parametrize("stop", [Interrupted("SIGINT"), KeyboardInterrupt()])
@pytest.mark.parametrize("returns", [False, True])
def test_a_cancelled_job_stops_and_the_worker_goes_on(tmp_path, stop, returns):
    listener = Listener(tmp_path)
    process = do(listener, "generate")["pid"]
    with pytest.raises(type(stop)):
        do(Listener(tmp_path, stop), "wait", returns=returns)
    again = do(listener, "generate")
    assert (again["pid"], again["runs"]) == (process, 2)


def test_answers_of_a_cancelled_job_are_not_those_of_the_next(tmp_path):
    with pytest.raises(Interrupted):
        do(Listener(tmp_path, Interrupted()), "wait", tells=True)
    listener = Listener(tmp_path)
    do(listener, "generate")
    assert "waiting" not in [progress.phase for progress in listener.heard]


def test_one_that_does_not_stop_when_told_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "CANCEL_SECONDS", 0.1)
    monkeypatch.setattr("execution.worker_process._GRACE_SECONDS", 0.2)
    listener = Listener(tmp_path, Interrupted())
    with pytest.raises(Interrupted):
        do(listener, "wait", deaf=True, child=True)
    assert len(processes_of(listener)) == 2
    assert not any(is_alive(process) for process in processes_of(listener))
    assert do(Listener(tmp_path), "generate")["runs"] == 1


def test_one_that_dies_when_told_to_stop_is_replaced(tmp_path):
    with pytest.raises(Interrupted):
        answer_raw(Listener(tmp_path, Interrupted()), '{"id": "1", "event": "stage", "name": "x"}\n', "")
    assert not worker._workers


INTERRUPTED = """
import sys
from pathlib import Path
from commands.interruption import exit_code_of
from execution.step import StepRun
from execution.worker import run_in_worker
def work():
    tell = lambda progress: print(progress.phase, flush=True)
    run_in_worker("key", [sys.executable, sys.argv[1]], {"do": "wait"}, StepRun(Path("."), print, tell))
sys.exit(exit_code_of(work))
"""


def test_ctrl_c_while_a_worker_says_nothing_ends_both():
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, MADE_UP[1]], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        process = int(running.stdout.readline().split()[0])
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 130
    assert not is_alive(process)


# The orchestrator dies

ORCHESTRATOR = """
import sys
from pathlib import Path
from execution.step import StepRun
from execution.worker import run_in_worker
job = {"do": "wait", "deaf": True, "child": True}
if sys.argv[2] == "idle":
    job = {"do": "generate"}
tell = lambda progress: print(progress.phase, flush=True)
answer = run_in_worker("key", [sys.executable, sys.argv[1]], job, StepRun(Path("."), print, tell))
print(answer["pid"], flush=True)
if len(sys.argv) == 3:
    sys.stdin.read()
"""


def orchestrate(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, MADE_UP[1], *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("state", ["working", "idle"])
def test_no_worker_outlives_a_killed_orchestrator(state):
    with orchestrate(state) as running:
        assert running.stdout is not None
        words: list[str] = []
        while not (words and all(word.isdigit() for word in words)):
            words = running.stdout.readline().split()
        running.kill()
    processes = [int(word) for word in words]
    assert len(processes) == (2 if state == "working" else 1)
    wait_until(lambda: not any(is_alive(process) for process in processes), "its processes are gone")


def test_no_worker_outlives_an_orchestrator_that_forgets_it():
    with orchestrate("idle", "and end") as running:
        out, _ = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0
    assert not is_alive(int(out.split()[-1]))


def test_a_worker_ends_when_its_supervisor_is_killed(listener):
    process = do(listener, "generate")["pid"]
    os.kill(worker._workers["key"].process_id, signal.SIGKILL)
    wait_until(lambda: not is_alive(process), "the worker is gone")
    assert do(listener, "generate")["runs"] == 1


# In a Step


def test_a_step_that_a_worker_does(tmp_path):
    def work(run: StepRun) -> None:
        os.write(2, b"a native library before\n")
        answer = run_in_worker("key", MADE_UP, {"do": "babble"}, run)
        os.write(2, b"a native library after\n")
        (run.folder / "out.txt").write_text(json.dumps(answer))

    notes = Notes()
    step = function_step(tmp_path / "made", work)
    run_steps([step], notes)
    assert json.loads((tmp_path / "made" / "out.txt").read_text()) == {"fine": True}
    (log,) = (tmp_path / "made" / ".understudy").glob("*.log")
    said = log.read_bytes()
    assert said.startswith(b"a native library before\n") and said.endswith(b"a native library after\n")
    assert b"a library says so\n" in said
    assert notes.progress[-1] == Progress("talking")


def test_a_step_whose_worker_fails_says_why_and_keeps_the_cause(tmp_path):
    def work(run: StepRun) -> None:
        run_in_worker("key", MADE_UP, {"do": "fail", "error": "torch"}, run)

    with pytest.raises(StepFailed, match=r"^Making it failed: The GPU's memory is full: CUDA") as failed:
        run_steps([function_step(tmp_path / "made", work)], Notes())
    assert failed.value.cause == GPU_MEMORY
