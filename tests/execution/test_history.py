"""Earlier runs: kept line by line, and what follows from them for the next."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.history import Run, Work, earlier_runs, estimate, history_path, remember


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


def run(work: float = 10.0, seconds: float = 20.0, **other: object) -> Run:
    facts = {"kind": "wan22 generate", "device": "GPU", "gpus": 1, "gpu_bytes": None, "host_bytes": None}
    return Run(**{**facts, "work": work, "seconds": seconds, **other})  # type: ignore[arg-type]


def guess(work: float, *runs: Run) -> float | None:
    found = estimate("wan22 generate", "GPU", 1, Work(amount=work), runs)
    return None if found is None else found.seconds


def memory(size: float | None, *runs: Run) -> int | None:
    found = estimate("wan22 generate", "GPU", 1, Work(amount=10, gpu_size=size), runs)
    assert found is not None
    return found.gpu_bytes


def test_what_is_remembered_comes_back():
    remember(run(gpu_bytes=5))
    remember(run(work=3))
    assert earlier_runs() == [run(gpu_bytes=5), run(work=3)]


def test_torn_and_foreign_lines_are_skipped():
    remember(run())
    with history_path().open("ab") as file:
        file.write(b'{"kind": "wan22 gen\n[1]\nnull\n\xff\xfe\n{"kind": 1}\n')
    remember(run(work=3))
    assert earlier_runs() == [run(), run(work=3)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seconds", float("inf")),
        ("seconds", float("nan")),
        ("seconds", -1),
        ("seconds", True),
        ("seconds", None),
        ("work", 0),
        ("work", "10"),
        ("work", 10**400),
        ("gpus", None),
        ("gpu_bytes", "80 GB"),
        ("host_bytes", 1.5),
        ("gpu_size", []),
    ],
)
def test_a_line_with_a_value_that_cannot_be_is_skipped(name, value):
    remember(run())
    entry = json.loads(history_path().read_text()) | {name: value}
    history_path().write_text(json.dumps(entry) + "\n")
    assert earlier_runs() == []


def test_a_line_of_an_earlier_version_still_counts():
    remember(run())
    entry = json.loads(history_path().read_text())
    del entry["gpu_size"], entry["host_size"]
    history_path().write_text(json.dumps(entry) + "\n")
    assert earlier_runs() == [run()]


def test_a_torn_last_line_does_not_spoil_the_next():
    remember(run())
    with history_path().open("ab") as file:
        file.write(b'{"kind": "wan22 gen')
    remember(run(work=3))
    assert earlier_runs() == [run(), run(work=3)]


def test_runs_that_end_at_once_do_not_mix_their_lines():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: remember(run(work=number)), range(1, 201)))
    assert sorted(each.work for each in earlier_runs()) == list(range(1, 201))


def test_no_history_is_no_estimate():
    assert earlier_runs() == [] and guess(10) is None


def test_a_history_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "file"))
    remember(run())
    assert earlier_runs() == []


def test_a_user_without_a_home_has_no_history(monkeypatch):
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("execution.history.cache_folder", no_home)
    remember(run())
    assert earlier_runs() == []


def test_it_does_not_grow_for_ever():
    remember(run(device="x" * 1000))
    line = history_path().read_text()
    history_path().write_text(line * 1100)
    remember(run(work=3))
    kept = earlier_runs()
    assert len(kept) == 1001 and kept[-1] == run(work=3)


@pytest.mark.parametrize("other", [{"kind": "wan22 preprocess"}, {"device": "other"}, {"gpus": 2}])
def test_only_runs_of_the_same_kind_count(other):
    assert guess(10, run(**other)) is None


def test_one_run_is_taken_as_proportional():
    assert guess(30, run(work=10, seconds=20)) == pytest.approx(60)


def test_several_runs_tell_loading_from_work():
    runs = [run(work=work, seconds=100 + 2 * work) for work in (10, 20, 40)]
    assert guess(100, *runs) == pytest.approx(300)


def test_one_run_on_a_busy_machine_tilts_nothing():
    runs = [run(work=work, seconds=100 + 2 * work) for work in (10, 20, 40, 80, 160)]
    assert guess(100, *runs, run(work=160, seconds=5000)) == pytest.approx(300, rel=0.05)


def test_runs_of_about_the_same_work_are_taken_as_proportional():
    runs = [run(work=work, seconds=2 * work) for work in (100, 101, 102)]
    assert guess(1000, *runs) == pytest.approx(2000)


def test_only_the_latest_runs_count():
    old, new = [run(seconds=1000)] * 50, [run(seconds=20)] * 30
    assert guess(10, *old, *new) == pytest.approx(20)


def test_memory_is_what_the_next_larger_runs_needed():
    runs = [
        run(gpu_size=10, gpu_bytes=5),
        run(gpu_size=20, gpu_bytes=7),
        run(gpu_size=20, gpu_bytes=8),
        run(gpu_size=40, gpu_bytes=12),
        run(gpu_size=20),
    ]
    assert [memory(size, *runs) for size in (1, 10, 15, 20, 21, 41)] == [5, 5, 8, 8, 12, None]


def test_much_work_in_small_windows_says_nothing_of_large_ones():
    assert memory(75600, run(work=1e18, gpu_size=30000, gpu_bytes=40)) is None


def test_memory_is_unknown_where_no_size_was_told():
    assert memory(10, run(gpu_bytes=5)) is None and memory(None, run(gpu_size=20, gpu_bytes=5)) is None


@given(st.lists(st.tuples(st.floats(1, 1e15), st.floats(0, 1e6)), min_size=1, max_size=8), st.floats(1, 1e15))
def test_an_estimate_is_never_negative(pairs, work):
    runs = [run(work=each, seconds=seconds) for each, seconds in pairs]
    found = guess(work, *runs)
    assert found is not None and found >= 0
