"""Whatever bytes a file holds, they give clicks that can be checked, or a MaskError: never a traceback."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masks.errors import MaskError
from masks.points_check import check_prompts
from masks.points_file import read_points
from tests.masks.test_points_files import PROMPT, WORKFLOW, packed, plain, png
from tests.masks.test_points_formats import DOCUMENT, saved
from tests.workplace import Workplace

SUBGRAPHS = (Path(__file__).parents[1] / "data" / "points" / "workflow_with_subgraphs.json").read_text(
    "utf-8"
)
OWN = DOCUMENT.split("```json\n")[2].split("```")[0]
WORDS = (
    *("understudy_points", "positive", "negative", "box", "frames", "frame", "objects", "name", "exclude"),
    *("width", "height", "points", "labels", "x", "y", "startX", "startY", "endX", "endY", "nodes", "links"),
    *("type", "PointsEditor", "class_type", "inputs", "widgets_values", "prompt", "workflow", "definitions"),
    *("subgraphs", "id", "link", "Sam2Segmentation", "coordinates", "coordinates_positive", "\ud800", ""),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2000),
    st.sampled_from([10**400, -(10**20), 0.5, 1e308, float("nan"), float("inf"), 1]),
    st.sampled_from(WORDS),
    st.sampled_from(['[{"x": 1, "y": 2}]', "[[", '{"nodes": []}']),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=25,
)
FILES = [
    text.encode() for text in (PROMPT, WORKFLOW, SUBGRAPHS, OWN, '[{"x": 1, "y": 2}]', '{"points": [[1, 2]]}')
]
FILES += [png(plain("prompt", PROMPT)), png(packed("workflow", WORKFLOW)), saved(points=[[1, 2]], labels=[1])]


def survives(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clicks"
        path.write_bytes(data)
        try:
            prompts = read_points(path)
            assert prompts.objects and all(thing.prompts for thing in prompts.objects)
            json.dumps([prompts.source, *prompts.notices]).encode()
            checked = check_prompts(prompts, 208, 120, 5)
        except MaskError as error:
            assert error.code.startswith("mask.points-") and error.what and error.remedy
            str(error).encode()  # can be printed
            return
    for thing in checked.objects:
        assert sorted({prompt.frame for prompt in thing.prompts}) == [
            prompt.frame for prompt in thing.prompts
        ]
        for prompt in thing.prompts:
            assert 0 <= prompt.frame < 5
            assert all(0 <= point.x < 208 and 0 <= point.y < 120 for point in prompt.points)
            box = prompt.box
            assert box is None or (0 <= box.left < box.right <= 208 and 0 <= box.top < box.bottom <= 120)


@given(VALUES)
@settings(max_examples=400, deadline=None)
def test_any_json(value: Any) -> None:
    survives(json.dumps(value).encode())


@given(st.sampled_from(FILES), st.data())
@settings(max_examples=400, deadline=None)
def test_damaged_files(data: bytes, draw: st.DataObject) -> None:
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        place = draw.draw(st.integers(0, len(damaged) - 1))
        damaged[place : place + draw.draw(st.integers(0, 3))] = draw.draw(st.binary(max_size=3))
        if not damaged:
            break
    survives(bytes(damaged))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to everything in parsed JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, entry in inner for found in places(entry, (*path, key)))]


PARSED = [json.loads(text) for text in (PROMPT, WORKFLOW, SUBGRAPHS, OWN)]
PLACES = [places(content)[1:] for content in PARSED]


@given(st.integers(0, len(PARSED) - 1), st.data())
@settings(max_examples=600, deadline=None)
def test_valid_files_with_something_else_in_one_place(number: int, draw: st.DataObject) -> None:
    content = json.loads(json.dumps(PARSED[number]))
    *way, last = draw.draw(st.sampled_from(PLACES[number]))
    holder = content
    for key in way:
        holder = holder[key]
    holder[last] = draw.draw(VALUES)
    survives(json.dumps(content).encode())


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
)
@settings(max_examples=200, deadline=None)
def test_any_bytes(data: bytes, start: bytes) -> None:
    survives(start + data)


@given(VALUES.map(json.dumps).map(str.encode) | st.binary(max_size=60) | st.sampled_from(FILES))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_check_of_a_pipeline_ends_in_findings_whatever_the_points_file_holds(
    workplace: Workplace, data: bytes
) -> None:
    (workplace / "clicks").write_bytes(data)
    flags = ("--replace", "--segmenter", "classic", "--mask_points", "clicks", "--check", "--json")
    shown = workplace.invoke("pipeline.py", *workplace.inputs, *flags)
    errors = [found for found in json.loads(shown.stdout)["findings"] if found["level"] == "error"]
    assert shown.exit_code == (2 if errors else 0), shown.exception
    assert all(found["code"].startswith("mask.points-") for found in errors)
