"""Upstream's failures, by their real last lines: each is understood, and told with a cause and a remedy.

The messages are in ``tests/data/upstream_failures.json``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engines.wan22.diagnose import SIGNATURES, diagnose
from execution.step import GPU_MEMORY

DATA = Path(__file__).parents[1] / "data"
GOOD_RUNS = [path for path in sorted((DATA / "upstream_logs").glob("*.*")) if "failed" not in path.name]
CASES = json.loads((DATA / "upstream_failures.json").read_text(encoding="utf-8"))["failures"]

OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.47 GiB."
KILLED_RANK = next(case["log"] for case in CASES if "exitcode  : -9" in case["log"])
WATCHDOG = next(case["log"] for case in CASES if "Watchdog" in case["log"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['cause']}: {case['log'].strip()[:40]!r}")
def test_a_failure_is_understood_by_its_real_message(case):
    bar = "100%|██████████| 20/20 [00:04<00:00,  4.22it/s]"
    found = diagnose(f"{bar}\rTraceback (most recent call last):\n{case['log']}\n")
    assert found is not None and found.cause == case["cause"], found
    assert case["says"] in found.text
    assert found.text.count(". ") + found.text.count(": ") >= 1, "a cause and a remedy"
    assert not re.search(r"[{}]|\bNone\b|  ", found.text)


def test_every_signature_has_a_message_that_it_is_the_first_to_understand():
    wanting = set(SIGNATURES)
    for case in CASES:
        text = re.sub(r"^\[rank\d\]: ?", "", case["log"], flags=re.MULTILINE)
        wanting -= {next((entry for entry in SIGNATURES if entry.pattern.search(text)), None)}
    assert not wanting


def test_the_first_rank_that_dies_of_memory_is_not_hidden_by_what_the_others_say():
    found = diagnose(f"[rank1]: {OUT_OF_MEMORY}\n{WATCHDOG}\n{KILLED_RANK}")
    assert found is not None and found.cause == GPU_MEMORY


def test_a_rank_that_torchrun_killed_because_another_failed_is_no_lack_of_memory():
    found = diagnose(f"[rank0]: AssertionError: refert_num should be 1 or 5.\n{KILLED_RANK}")
    assert found is not None and found.cause == "overlap"


@pytest.mark.parametrize("path", GOOD_RUNS, ids=lambda path: path.name)
def test_a_good_run_has_no_diagnosis(path):
    assert diagnose(path.read_text(encoding="utf-8")) is None


def test_the_swallowed_error_of_a_real_run_is_told():
    log = (DATA / "upstream_logs/generate_save_failed.txt").read_text(encoding="utf-8")
    found = diagnose(log)
    assert found is not None and found.cause == "save-failed"


@pytest.mark.parametrize(
    "log", ["", "\r\r\r", "\x00\ufffd{braces} {path}", "ModuleNotFoundError: No module named", "x" * 70_000]
)
def test_what_is_not_understood_is_left_alone(log):
    assert diagnose(log) is None


def test_braces_in_a_log_do_no_harm():
    found = diagnose("INFO: save_video failed, error: {0} {path} {'a': 1}")
    assert found is not None and "{0} {path} {'a': 1}" in found.text
