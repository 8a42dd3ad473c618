"""Earlier runs: kept line by line, and what follows from them for the next."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.history import Run, earlier_runs, estimate, history_path, remember


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))


def run(work: float = 10.0, seconds: float = 20.0, **other: object) -> Run:
    facts = {"kind": "wan22 generate", "device": "GPU", "gpus": 1, "gpu_bytes": None, "host_bytes": None}
    return Run(**{**facts, "work": work, "seconds": seconds, **other})  # type: ignore[arg-type]


def guess(work: float, *runs: Run) -> float | None:
    found = estimate("wan22 generate", "GPU", 1, work, runs)
    return None if found is None else found.seconds


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


def test_no_history_is_no_estimate():
    assert earlier_runs() == [] and guess(10) is None


def test_a_history_that_cannot_be_written_stops_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "file"))
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


def test_memory_is_the_most_that_as_much_work_needed():
    runs = [run(work=10, gpu_bytes=9), run(work=20, gpu_bytes=7), run(work=40)]
    found = estimate("wan22 generate", "GPU", 1, 15, runs)
    assert found is not None and (found.gpu_bytes, found.runs) == (7, 3)


@given(
    st.lists(st.tuples(st.floats(1, 1e15), st.floats(0, 1e6)), min_size=1, max_size=8), st.floats(1, 1e15)
)
def test_an_estimate_is_never_negative(pairs, work):
    runs = [run(work=each, seconds=seconds) for each, seconds in pairs]
    found = guess(work, *runs)
    assert found is not None and found >= 0
