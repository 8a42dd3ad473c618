"""What a ComfyUI workflow uses of its clicks is read, and what it does not use is left out with a notice."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from masks.errors import MaskError
from masks.points_file import read_points
from masks.prompts import Box, Point, Prompts

DATA = Path(__file__).parents[1] / "data" / "points"
POSITIVE = (Point(120, 62), Point(122, 90))  # stored as 120.5, 61.5 and 121.5, 90.25
NEGATIVE = (Point(10, 6, False),)
BOX = Box(90, 20, 150, 110)
Reader = Callable[[Any], Prompts]


def stored(name: str) -> Any:
    return json.loads((DATA / name).read_text(encoding="utf-8"))


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads clicks out of parsed JSON."""

    def reader(content: Any) -> Prompts:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return read_points(path)

    return reader


def linked(negative: bool = False, box: bool = False) -> Any:
    """The workflow with further outputs of the editor (node 7) linked to the segmentation (node 8)."""
    workflow = stored("workflow.json")
    for wanted, link, slot, place, kind in ((negative, 4, 1, 3, "STRING"), (box, 5, 2, 4, "BBOX")):
        if wanted:
            workflow["links"].append([link, 7, slot, 8, place, kind])
            workflow["nodes"][2]["inputs"][place]["link"] = link
    return workflow


@pytest.mark.parametrize("name", ["workflow.json", "prompt.json"])
def test_points_are_those_that_the_node_gives_out_and_unlinked_ones_are_left_out(name: str) -> None:
    prompts = read_points(DATA / name)
    (thing,) = prompts.objects
    (prompt,) = thing.prompts
    assert (prompt.frame, prompt.points, prompt.box) == (0, POSITIVE, None)
    assert prompts.space == (208, 120)
    assert "PointsEditor 7" in prompts.source
    (notice,) = prompts.notices
    assert "1 negative point and a box" in notice and "left out" in notice


def test_linked_negative_points_and_boxes_are_used(read: Reader) -> None:
    both = read(linked(negative=True, box=True))
    assert both.objects[0].prompts[0].points == POSITIVE + NEGATIVE
    assert both.objects[0].prompts[0].box == BOX
    assert both.notices == ()
    prompt = stored("prompt.json")
    prompt["5:8"]["inputs"] |= {"coordinates_negative": ["7", 1], "bboxes": ["7", 2]}
    assert read(prompt).objects == both.objects


def test_subgraphs_reroutes_and_set_and_get_nodes_are_followed() -> None:
    prompts = read_points(DATA / "workflow_with_subgraphs.json")
    assert prompts.objects[0].prompts[0].points == POSITIVE + NEGATIVE
    assert prompts.space == (208, 120)


@pytest.mark.parametrize("extra", [[None, None, None], ["", None], []])
def test_older_layouts_list_more_values(read: Reader, extra: list[object]) -> None:
    workflow = stored("workflow.json")
    workflow["nodes"][1]["widgets_values"] += extra
    assert read(workflow).objects[0].prompts[0].points == POSITIVE


def test_widgets_by_name(read: Reader) -> None:
    workflow, prompt = stored("workflow.json"), stored("prompt.json")
    workflow["nodes"][1]["widgets_values"] = {
        key: value for key, value in prompt["7"]["inputs"].items() if key != "bg_image"
    }
    assert read(workflow).objects[0].prompts[0].points == POSITIVE


def test_the_text_that_the_node_gives_out_counts_and_the_store_stands_in_for_it(read: Reader) -> None:
    workflow = stored("workflow.json")
    values = workflow["nodes"][1]["widgets_values"]
    values[1] = '[{"x": 7, "y": 8}]'
    assert read(workflow).objects[0].prompts[0].points == (Point(7, 8),)
    values[1] = ""
    assert read(workflow).objects[0].prompts[0].points == POSITIVE
    values[0], values[1] = "[{}]", '[{"x": 7, "y": 8}]'
    assert read(workflow).objects[0].prompts[0].points == (Point(7, 8),)


def test_a_copied_node_alone_gives_its_positive_points(read: Reader) -> None:
    for node in (stored("workflow.json")["nodes"][1], stored("prompt.json")["7"]):
        prompts = read(node)
        assert prompts.objects[0].prompts[0].points == POSITIVE
        assert "no segmentation node" in prompts.notices[0]


def test_a_prompt_as_it_is_sent_to_the_server(read: Reader) -> None:
    body = {"client_id": "me", "prompt": stored("prompt.json"), "extra_data": {}}
    assert read(body).objects[0].prompts[0].points == POSITIVE
    texts = {"prompt": json.dumps(stored("prompt.json")), "workflow": {"nodes": []}}
    assert read(texts).objects[0].prompts[0].points == POSITIVE


def test_an_empty_box_is_no_box(read: Reader) -> None:
    workflow = linked(box=True)
    for empty in ("[{}]", "[]", '[{"startX": 5, "startY": 5, "endX": 5, "endY": 5}]'):
        workflow["nodes"][1]["widgets_values"][3:5] = [empty, empty]
        prompt = read(workflow).objects[0].prompts[0]
        assert (prompt.points, prompt.box) == (POSITIVE, None)


def test_what_comfyui_would_misread_is_told(read: Reader) -> None:
    workflow = linked(box=True)
    workflow["nodes"][1]["widgets_values"][5] = "xywh"
    workflow["nodes"][1]["widgets_values"][8] = True
    prompts = read(workflow)
    assert prompts.objects[0].prompts[0].points == POSITIVE
    assert any("xywh" in notice for notice in prompts.notices)
    assert any("normalize" in notice for notice in prompts.notices)


def test_a_size_that_other_nodes_compute_is_not_known(read: Reader) -> None:
    prompt = stored("prompt.json")
    prompt["7"]["inputs"]["width"] = ["1", 0]
    prompts = read(prompt)
    assert prompts.space is None
    assert any("computes the width" in notice for notice in prompts.notices)


def with_second_editor(*, joined: bool) -> Any:
    prompt = stored("prompt.json")
    prompt["9"] = deepcopy(prompt["7"])
    prompt["9"]["inputs"]["coordinates"] = '[{"x": 50, "y": 51}]'
    if joined:
        prompt["10"] = deepcopy(prompt["5:8"])
        prompt["10"]["inputs"]["coordinates_positive"] = ["9", 0]
    return prompt


def test_the_editor_that_feeds_the_segmentation_is_taken_and_the_other_one_named(read: Reader) -> None:
    prompts = read(with_second_editor(joined=False))
    assert [thing.prompts[0].points for thing in prompts.objects] == [POSITIVE]
    assert any("PointsEditor 9" in notice for notice in prompts.notices)


def test_two_editors_with_a_segmentation_each_are_two_objects(read: Reader) -> None:
    prompts = read(with_second_editor(joined=True))
    found = {thing.name: thing.prompts[0].points for thing in prompts.objects}
    assert found == {"PointsEditor 7": POSITIVE, "PointsEditor 9": (Point(50, 51),)}
    assert any("PointsEditor 7 and PointsEditor 9" in notice for notice in prompts.notices)


def test_a_segmentation_that_is_muted_does_not_count(read: Reader) -> None:
    workflow = linked(negative=True)
    muted = deepcopy(workflow["nodes"][2])
    muted |= {"id": 20, "mode": 2}
    muted["inputs"][2]["link"] = 6
    workflow["nodes"].insert(0, muted)
    workflow["links"].append([6, 7, 1, 20, 2, "STRING"])
    assert read(workflow).objects[0].prompts[0].points == POSITIVE + NEGATIVE


def test_several_editors_that_lead_nowhere_are_named(read: Reader) -> None:
    prompt = with_second_editor(joined=True)
    del prompt["10"], prompt["5:8"]
    with pytest.raises(MaskError, match="PointsEditor 7 and PointsEditor 9") as error:
        read(prompt)
    assert error.value.code == "mask.points-several-editors"


def test_editors_of_different_sizes_are_refused(read: Reader) -> None:
    prompt = with_second_editor(joined=True)
    prompt["9"]["inputs"]["width"] = 416
    with pytest.raises(MaskError, match="different sizes") as error:
        read(prompt)
    assert error.value.code == "mask.points-several-editors"


def test_individual_objects_make_each_positive_point_an_object(read: Reader) -> None:
    workflow = linked(negative=True)
    workflow["nodes"][2]["widgets_values"] = [False, True]
    found = [thing.prompts[0].points for thing in read(workflow).objects]
    assert found == [(POSITIVE[0], *NEGATIVE), (POSITIVE[1], *NEGATIVE)]


def test_points_on_later_frames_keep_their_frame_and_object(read: Reader) -> None:
    prompt = with_second_editor(joined=True)
    for key, frame in (("5:8", 0), ("10", 12)):
        prompt[key]["class_type"] = "Sam2VideoSegmentationAddPoints"
        prompt[key]["inputs"] |= {"frame_index": frame, "object_index": 0}
    (thing,) = read(prompt).objects
    assert [(entry.frame, entry.points) for entry in thing.prompts] == [(0, POSITIVE), (12, (Point(50, 51),))]
    prompt["10"]["inputs"]["frame_index"] = 0
    with pytest.raises(MaskError) as error:
        read(prompt)
    assert error.value.code == "mask.points-duplicate"


def test_a_node_between_is_passed_with_a_notice_and_roles_are_kept(read: Reader) -> None:
    prompt = stored("prompt.json")
    prompt["2"] = {"class_type": "MapCoordinates", "inputs": {"a": ["7", 1], "b": ["7", 0]}}
    prompt["5:8"]["inputs"] |= {"coordinates_positive": ["2", 0], "coordinates_negative": ["2", 1]}
    prompts = read(prompt)
    assert prompts.objects[0].prompts[0].points == POSITIVE + NEGATIVE
    assert any("MapCoordinates 2" in notice for notice in prompts.notices)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"class_type": "OtherEditor"}, "no-editor"),
        ({"inputs": {}}, "none"),
        ({"inputs": {"coordinates": "[]", "width": 8, "height": 8}}, "none"),
        ({"inputs": {"coordinates": "[oops", "width": 8, "height": 8}}, "value"),
        ({"inputs": {"coordinates": '[{"x": NaN, "y": 1}]'}}, "value"),
        ({"inputs": {"coordinates": 5}}, "value"),
        ({"inputs": {"coordinates": '[{"x": 1, "y": 1}]', "bboxes": "5"}}, "value"),
    ],
)
def test_editors_without_points_or_with_nonsense(read: Reader, change: dict[str, object], code: str) -> None:
    prompt = stored("prompt.json")
    prompt["7"] |= change
    with pytest.raises(MaskError) as error:
        read(prompt)
    assert error.value.code == f"mask.points-{code}"


def test_a_segmentation_that_gets_only_negative_points(read: Reader) -> None:
    prompt = stored("prompt.json")
    del prompt["5:8"]["inputs"]["coordinates_positive"]
    prompt["5:8"]["inputs"]["coordinates_negative"] = ["7", 1]
    with pytest.raises(MaskError, match="no positive points"):
        read(prompt)


def test_a_subgraph_within_itself_ends(read: Reader) -> None:
    workflow = stored("workflow_with_subgraphs.json")
    inner = workflow["definitions"]["subgraphs"][0]
    inner["nodes"] += [{"id": number, "type": "sub-editor", "inputs": []} for number in range(50, 53)]
    with pytest.raises(MaskError) as error:
        read(workflow)
    assert error.value.code == "mask.points-too-large"


def test_links_in_a_circle_end(read: Reader) -> None:
    prompt = stored("prompt.json")
    prompt["2"] = {"class_type": "A", "inputs": {"a": ["3", 0]}}
    prompt["3"] = {"class_type": "B", "inputs": {"a": ["2", 0], "b": ["7", 0]}}
    prompt["5:8"]["inputs"]["coordinates_positive"] = ["2", 0]
    assert read(prompt).objects[0].prompts[0].points == POSITIVE
    workflow = stored("workflow.json")
    reroutes = [
        {"id": 30, "type": "Reroute", "inputs": [{"name": "", "link": 31}]},
        {"id": 31, "type": "Reroute", "inputs": [{"name": "", "link": 30}]},
    ]
    workflow["nodes"] += reroutes
    workflow["links"] += [[30, 30, 0, 31, 0, "*"], [31, 31, 0, 30, 0, "*"]]
    workflow["nodes"][2]["inputs"][3]["link"] = 30
    assert read(workflow).objects[0].prompts[0].points == POSITIVE
