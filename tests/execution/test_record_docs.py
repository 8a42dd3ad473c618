"""docs/record.md names every field that a record has, and no other."""

from __future__ import annotations

import json
import re

import pytest

from execution.result_record import SCHEMA_VERSION
from tests.execution.made_up_results import make
from tests.workplace import ROOT

TEXT = (ROOT / "docs" / "record.md").read_text(encoding="utf-8")


def fields_of(section: str) -> set[str]:
    """The names in the first column of the section's table."""
    text = TEXT.split(f"# {section}\n")[1].split("\n#")[0]
    return {
        name for row in re.findall(r"^\|([^|]*)\|", text, re.MULTILINE) for name in re.findall("`(.*?)`", row)
    }


@pytest.fixture
def record(tmp_path, monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_CACHE", str(tmp_path / "cache"))
    return make(tmp_path / "work")


def test_every_field_of_a_record_is_described(record):
    assert fields_of("Fields") == set(record)
    assert fields_of("A step") == set(record["steps"][0])


def test_the_example_is_a_record(record):
    example = json.loads(TEXT.split("```json\n")[1].split("```")[0])
    assert set(example) == set(record) and example["schema_version"] == SCHEMA_VERSION
    for name in ("inputs", "intermediates", "weights", "steps"):
        assert set(example[name][0]) == set(record[name][0]), name
    assert set(example["result"]) == set(record["result"])
