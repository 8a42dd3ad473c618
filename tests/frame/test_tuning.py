"""Measuring a model: every batch is counted, the best size is the smallest that is nearly as fast."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.frame import tuning
from engines.frame.configuration import FrameConfiguration
from engines.frame.model import Capabilities, Driving, Image, ModelError
from tests.frame.made_models import frames, write_model
from tests.frame.test_runner import Numbering
from tests.workplace import ROOT, Workplace


def measured(batch_size: int, frames_per_second: float) -> tuning.Measured:
    return tuning.Measured(batch_size, 10, frames_per_second, 0.1, 0.2, 3)


@pytest.mark.parametrize(
    ("speeds", "best"),
    [({1: 100, 2: 103, 4: 104}, 1), ({1: 100, 2: 200, 4: 205}, 2), ({1: 50, 2: 60, 4: 100}, 4), ({}, None)],
)
def test_the_smallest_batch_that_is_nearly_as_fast_is_the_best(
    speeds: dict[int, float], best: int | None
) -> None:
    found = tuning.best([measured(size, speed) for size, speed in speeds.items()])
    assert (found and found.batch_size) == best


class Hungry(Numbering):
    """It takes eight frames at most, and its memory is out with four."""

    given = Capabilities(max_batch=8)

    def animate_batch(self, driving: Sequence[Driving]) -> list[Image]:
        if len(driving) >= 4:
            raise MemoryError
        return super().animate_batch(driving)


def prepared(model: Numbering) -> Numbering:
    import numpy as np

    model.set_source_image(np.zeros((8, 8, 3), np.uint8))
    return model


def test_sizes_after_memory_ran_out_and_sizes_that_the_model_does_not_take_are_skipped_with_the_reason() -> (
    None
):
    results = tuning.measure_sizes(prepared(Hungry()), frames(8), [1, 2, 4, 8, 16], 0.01)
    assert [result.batch_size for result in results] == [1, 2, 4, 8, 16]
    why = [result.why for result in results if isinstance(result, tuning.Skipped)]
    assert why == ["memory ran out", "memory ran out with a smaller batch", "the model takes up to 8 at once"]


def test_a_model_that_fails_of_something_else_is_not_skipped() -> None:
    class Broken(Numbering):
        def animate_batch(self, driving: Sequence[Driving]) -> list[Image]:
            raise ModelError("the weights are wrong")

    with pytest.raises(ModelError, match="the weights are wrong"):
        tuning.measure_sizes(prepared(Broken()), frames(8), [1], 0.01)


def test_warm_up_is_not_counted_and_a_short_time_still_measures_several_batches() -> None:
    model = prepared(Numbering())
    result = tuning.measure(model, frames(8), 2, 0.0)
    assert len(model.batches) > result.frames / 2 >= 5
    assert set(model.batches) == {2} and result.frames_per_second > 0
    assert 0 < result.latency_median <= result.latency_p95


def test_the_best_size_is_remembered_for_this_model_and_no_other(own_cache: Path) -> None:
    one = FrameConfiguration(model="onnx", options={"threads": 1})
    tuning.remember(one, 4)
    assert tuning.remembered_batch(one) == 4
    assert tuning.remembered_batch(FrameConfiguration(model="onnx", options={"threads": 2})) is None
    tuning._file(one).write_text("{", encoding="utf-8")
    assert tuning.remembered_batch(one) is None


@pytest.mark.needs("onnx")
@pytest.mark.needs("onnxruntime")
def test_the_command_measures_tunes_and_keeps_what_auto_takes(tmp_path: Path) -> None:
    from engines.frame import runner
    from engines.frame.benchmark import configuration_of

    write_model(tmp_path / "m.onnx")
    yaml = tmp_path / "m.yaml"
    yaml.write_text(
        "animation:\n  model: onnx\n  model_path: m.onnx\n  batch_size: auto\n"
        "  onnx: {threads: 1, inputs: {landmarks: {space: unit}}}\n"
    )
    picture = str(ROOT / "scripts" / "demo" / "reference.jpg")
    words = ["--model", str(yaml), "--image", picture, "--duration", "0.02", "--auto-tune"]
    done = Workplace(tmp_path).invoke("scripts/benchmark_model.py", *words, "--batch-sizes", "1 2", "--json")
    assert done.exit_code == 0, done.output
    told: dict[str, Any] = json.loads(done.stdout)
    assert [each["batch_size"] for each in told["measured"]] == [1, 2]
    assert told["model"]["provider"] == "CPUExecutionProvider" and told["kept_for_auto"]
    configuration = configuration_of(str(yaml))
    assert tuning.remembered_batch(configuration) == told["best_batch_size"]
    assert runner.batch_of(configuration, Capabilities(max_batch=8)) == told["best_batch_size"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--model", "none"], 1, "There is no model 'none'"),
        (["--model", "none.yaml"], 2, "cannot be read"),
        (["--model", "puppet", "--batch-sizes", "0 2"], 2, "whole numbers above 0"),
        (["--model", "onnx"], 1, "'model_path' is missing"),
    ],
)
def test_what_cannot_be_measured_is_said(tmp_path: Path, words: list[str], code: int, message: str) -> None:
    done = Workplace(tmp_path).invoke("scripts/benchmark_model.py", *words)
    assert done.exit_code == code and message in done.stderr
