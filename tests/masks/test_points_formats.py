"""Every format of docs/points.md is recognised by its content and gives the clicks that it holds."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from masks.errors import MaskError
from masks.points_file import read_points
from masks.prompts import Box, Prompts
from tests.workplace import ROOT


def read(folder: Path, content: str | bytes | object) -> Prompts:
    """Read a file of no telling name."""
    path = folder / "clicks.bin"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_points(path)


def clicks(prompts: Prompts) -> list[tuple[float, float, bool]]:
    """All points of the only prompt."""
    (thing,) = prompts.objects
    (prompt,) = thing.prompts
    assert prompt.frame == 0 and not thing.excluded
    return [(point.x, point.y, point.positive) for point in prompt.points]


def only_box(prompts: Prompts) -> Box | None:
    return prompts.objects[0].prompts[0].box


def code(folder: Path, content: str | bytes | object) -> str:
    """The code of the error for a file, whose message must name it."""
    with pytest.raises(MaskError) as error:
        read(folder, content)
    assert str(folder / "clicks.bin") in error.value.what and error.value.remedy
    return error.value.code


TWO = [(483.0, 333.0, True), (480.0, 159.0, True)]


@pytest.mark.parametrize(
    "text",
    [
        '[{"x": 483, "y": 333}, {"x": 480, "y": 159}]',
        "[{'x': 483, 'y': 333}, {'x': 480, 'y': 159}]",
        '[{"x": 483.34, "y": 333.28}, {"x": 479.86, "y": 158.79}]',
        "[[483, 333], [480, 159]]",
        '{"positive": [{"x": 483, "y": 333}, {"x": 480, "y": 159}], "negative": []}',
        '{"points": [[483, 333], [480, 159]], "labels": [1, 1]}',
        '{"point_coords": [[[483, 333], [480, 159]]], "point_labels": [[1, 1]]}',
        '{"input_point": [[483, 333], [480, 159]]}',
        '{"understudy_points": 1, "positive": [[483, 333], {"x": 480, "y": 159}]}',
        '"[{\\"x\\": 483, \\"y\\": 333}, {\\"x\\": 480, \\"y\\": 159}]"',
    ],
)
def test_the_same_two_clicks_in_every_text_format(tmp_path: Path, text: str) -> None:
    prompts = read(tmp_path, text)
    assert clicks(prompts) == TWO
    assert prompts.space is None and prompts.source


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_texts_as_windows_editors_save_them(tmp_path: Path, encoding: str) -> None:
    text = '[{"x": 483, "y": 333}, {"x": 480, "y": 159}]'
    assert clicks(read(tmp_path, text.encode(encoding))) == TWO


def test_comfyui_points_are_rounded_half_to_even_as_the_node_does(tmp_path: Path) -> None:
    assert clicks(read(tmp_path, [{"x": 2.5, "y": 3.5}])) == [(2.0, 4.0, True)]


def test_points_of_scripts_and_of_our_own_file_keep_their_fractions(tmp_path: Path) -> None:
    assert clicks(read(tmp_path, {"points": [[2.5, 3.5]], "labels": [1]})) == [(2.5, 3.5, True)]
    assert clicks(read(tmp_path, {"understudy_points": 1, "positive": [[2.5, 3.5]]})) == [(2.5, 3.5, True)]


def test_negative_points_of_a_points_store_and_of_labels(tmp_path: Path) -> None:
    wanted = [(5.0, 6.0, True), (7.0, 8.0, False)]
    store = {"positive": [{"x": 5, "y": 6}], "negative": [{"x": 7, "y": 8}]}
    assert clicks(read(tmp_path, store)) == wanted
    assert clicks(read(tmp_path, {"points": [[5, 6], [7, 8]], "labels": [1, 0]})) == wanted
    assert clicks(read(tmp_path, {"points": [[5, 6], [7, 8]], "labels": [True, False]})) == wanted


def test_a_size_beside_the_points_is_their_space(tmp_path: Path) -> None:
    for content in ({"positive": [[1, 2]]}, {"points": [[1, 2]]}):
        assert read(tmp_path, {**content, "width": 832, "height": 480}).space == (832, 480)


def test_numbers_from_0_to_1_are_fractions_with_a_notice(tmp_path: Path) -> None:
    for content in ([{"x": 0.25, "y": 1}], [[0.25, 1]], {"points": [[0.25, 1]], "labels": [1]}):
        prompts = read(tmp_path, content)
        assert clicks(prompts) == [(0.25, 1.0, True)]
        assert prompts.space == (1, 1) and "fractions" in prompts.notices[0]
    assert read(tmp_path, [[0, 1]]).space is None  # whole numbers are pixels


@pytest.mark.parametrize(
    "content",
    [
        [{"startX": 90.9, "startY": 20.1, "endX": 30.2, "endY": 80.7}],
        [{}, {"startX": 30, "startY": 80, "endX": 90, "endY": 20}],
        [[30, 20, 90, 80]],
        [90, 80, 30, 20],
        {"startX": 30, "startY": 80, "endX": 90, "endY": 20},
        {"box": [30, 20, 90, 80]},
        {"boxes": [[30, 20, 90, 80]]},
        {"understudy_points": 1, "box": [90, 80, 30, 20]},
    ],
)
def test_boxes_with_corners_in_any_order(tmp_path: Path, content: object) -> None:
    prompts = read(tmp_path, content)
    assert only_box(prompts) == Box(30, 20, 90, 80)
    assert clicks(prompts) == []


def test_several_boxes_are_several_objects_with_a_notice(tmp_path: Path) -> None:
    prompts = read(tmp_path, [[0, 0, 5, 5], [9, 9, 20, 20]])
    assert [thing.name for thing in prompts.objects] == ["box 1", "box 2"]
    assert "object" in prompts.notices[0]


def saved(**arrays: object) -> bytes:
    stream = io.BytesIO()
    made = {name: np.asarray(value) for name, value in arrays.items()}
    np.savez_compressed(stream, allow_pickle=False, **made)
    return stream.getvalue()


def array_file(array: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(array))
    return stream.getvalue()


def test_numpy_files(tmp_path: Path) -> None:
    wanted = [(5.0, 6.0, True), (7.0, 8.0, False)]
    points = np.array([[5, 6], [7, 8]], np.float32)
    assert clicks(read(tmp_path, saved(points=points, labels=np.array([1, 0], np.int32)))) == wanted
    assert clicks(read(tmp_path, saved(point_coords=points[None], point_labels=[[1, 0]]))) == wanted
    assert clicks(read(tmp_path, array_file(points))) == [(5.0, 6.0, True), (7.0, 8.0, True)]
    assert only_box(read(tmp_path, saved(points=points[:1], box=[1, 2, 30, 40]))) == Box(1, 2, 30, 40)


def test_a_numpy_file_of_pickled_objects_is_refused_unopened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (str(tmp_path / "evaluated"),)

    stream = io.BytesIO()
    np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
    assert code(tmp_path, stream.getvalue()) == "mask.points-unreadable"
    assert not (tmp_path / "evaluated").exists()


def test_a_small_numpy_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    assert code(tmp_path, saved(points=np.zeros((200_000, 2)))) == "mask.points-unreadable"
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (10**15, 2)})
    assert code(tmp_path, head.getvalue()) == "mask.points-unreadable"


DOCUMENT = (ROOT / "docs" / "points.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("example", re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))
def test_the_examples_of_the_documentation_read_without_a_notice(tmp_path: Path, example: str) -> None:
    prompts = read(tmp_path, example)
    assert prompts.space == (1280, 720) and not prompts.notices


@pytest.mark.parametrize("example", re.findall(r"`([\[{][^`]*[\]}])`", DOCUMENT))
def test_the_short_forms_of_the_documentation_read(tmp_path: Path, example: str) -> None:
    if "..." not in example:
        assert read(tmp_path, example).objects


def test_the_documentations_example_with_several_objects(tmp_path: Path) -> None:
    example = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[1]
    left, right, passer = read(tmp_path, example).objects
    assert [prompt.frame for prompt in left.prompts] == [0, 48]
    assert [point.positive for point in left.prompts[0].points] == [True, True, False]
    assert right.prompts[0].box == Box(700, 90, 900, 690) and not right.excluded
    assert passer.excluded and passer.name == "passer-by"


def test_key_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = [{"frame": 9, "positive": [[1, 1]]}, {"frame": 2, "positive": [[3, 3]]}]
    prompts = read(tmp_path, {"understudy_points": 1, "frames": frames})
    assert [prompt.frame for prompt in prompts.objects[0].prompts] == [2, 9]


def test_objects_without_names_get_some(tmp_path: Path) -> None:
    entry = {"positive": [[1, 1]]}
    one = read(tmp_path, {"understudy_points": 1, "objects": [entry]})
    assert [thing.name for thing in one.objects] == ["person"]
    two = read(tmp_path, {"understudy_points": 1, "objects": [entry, entry]})
    assert [thing.name for thing in two.objects] == ["person 1", "person 2"]


@pytest.mark.parametrize(
    ("content", "expected", "words"),
    [
        ({"understudy_points": 2, "positive": [[1, 1]]}, "version", "version 1"),
        ({"understudy_points": True, "positive": [[1, 1]]}, "version", "True"),
        ({"understudy_points": 1, "postive": [[1, 1]]}, "unknown-key", "did you mean 'positive'"),
        ({"understudy_points": 1, "frames": [{"frame": 0, "bxo": 1}]}, "unknown-key", "did you mean 'box'"),
        ({"understudy_points": 1, "objects": [{"nmae": "a"}]}, "unknown-key", "did you mean 'name'"),
        ({"understudy_points": 1, "objects": [], "positive": []}, "unknown-key", "objects"),
        ({"understudy_points": 1, "frames": [], "positive": []}, "unknown-key", "which frame"),
        ({"understudy_points": 1}, "none", "positive"),
        ({"understudy_points": 1, "objects": []}, "none", "empty"),
        ({"understudy_points": 1, "frames": []}, "none", "empty"),
        ({"understudy_points": 1, "width": 5, "positive": [[1, 1]]}, "value", "height"),
        ({"understudy_points": 1, "width": 0, "height": 5, "positive": [[1, 1]]}, "value", "width"),
        ({"understudy_points": 1, "objects": [3]}, "value", "Object 1"),
        ({"understudy_points": 1, "objects": [{"name": "a,b", "box": [0, 0, 1, 1]}]}, "value", "a,b"),
        ({"understudy_points": 1, "objects": [{"name": "\ud800", "box": [0, 0, 1, 1]}]}, "value", "ud800"),
        ({"understudy_points": 1, "objects": [{"exclude": 1, "box": [0, 0, 1, 1]}]}, "value", "exclude"),
        ({"understudy_points": 1, "objects": [{"name": "a", "box": [0, 0, 1, 1]}] * 2}, "duplicate", "'a'"),
        (
            {"understudy_points": 1, "frames": [{"frame": 3, "positive": [[1, 1]]}] * 2},
            "duplicate",
            "frame 3",
        ),
        ({"understudy_points": 1, "frames": [{"positive": [[1, 1]]}]}, "value", '"frame"'),
        ({"understudy_points": 1, "frames": [{"frame": -1}]}, "value", "-1"),
        ({"understudy_points": 1, "frames": [{"frame": 1.5}]}, "value", "1.5"),
        ({"understudy_points": 1, "box": [5, 5, 5, 9]}, "box", "no area"),
        ({"understudy_points": 1, "box": [5, 5, 5]}, "value", "left, top"),
        ({"understudy_points": 1, "positive": [[1, 1, 1]]}, "value", "point 1"),
        ({"objects": [{"frames": []}]}, "unknown-shape", "understudy_points"),
        ({"points": [[1, 1]], "labels": [1, 0]}, "value", "2 labels"),
        ({"points": [[1, 1]], "labels": [2]}, "value", "Label 1"),
        ({"labels": [1]}, "none", "labels"),
        ({"points": [[1, 1]], "point_coords": [[1, 1]]}, "duplicate", "point_coords"),
        ({"positive": []}, "none", "no point"),
        ([], "none", "empty"),
        ([{}], "none", "none is drawn"),
        ([{"x": True, "y": 1}], "value", "True"),
        ([{"x": "1", "y": 1}], "value", "'1'"),
        ([{"x": [1], "y": 1}], "value", "[1]"),
        ([{"x": 10**30, "y": 1}], "value", "10000"),
        ([{"x": 1}], "value", "point 1"),
        ([[1, 1], 5], "value", "point 2"),
        ([[1, 1]] * 1001, "value", "1001"),
        (["a"], "unknown-shape", "'a'"),
        (5, "unknown-shape", "5"),
        ({"prompt": "a person dances", "seed": 1}, "unknown-shape", "'seed'"),
        ({}, "unknown-shape", "nothing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: object, expected: str, words: str) -> None:
    with pytest.raises(MaskError) as error:
        read(tmp_path, content)
    assert error.value.code == f"mask.points-{expected}"
    assert words in str(error.value)
    str(error.value).encode()  # printable, whatever the file held


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e7"])
def test_numbers_that_are_no_place_are_refused(tmp_path: Path, value: str) -> None:
    assert code(tmp_path, f'[{{"x": {value}, "y": 1}}]') == "mask.points-value"
    assert code(tmp_path, f'{{"understudy_points": 1, "box": [0, 0, 5, {value}]}}') == "mask.points-value"


def test_a_key_that_stands_twice_is_an_error_because_the_first_would_be_lost(tmp_path: Path) -> None:
    text = '{"understudy_points": 1, "positive": [[1, 1]], "positive": [[2, 2]]}'
    assert code(tmp_path, text) == "mask.points-duplicate"
