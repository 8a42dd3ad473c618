"""Memory does not grow with the clip's length. Takes two minutes: ``pytest -m long tests/test_memory.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import preview


@pytest.mark.long
def test_a_preview_of_a_clip_ten_times_as_long_needs_hardly_more_memory(tmp_path: Path) -> None:
    once, long = tmp_path / "once.mp4", tmp_path / "long.mp4"
    preview.write_clip(once, repeats=1)
    preview.write_clip(long, repeats=10)
    _, peak = preview.run_job(once, tmp_path / "a")
    _, long_peak = preview.run_job(long, tmp_path / "b")
    assert peak < 1000
    assert long_peak / peak < 1.15
