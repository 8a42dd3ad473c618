"""Clicks out of a ComfyUI workflow: which PointsEditor feeds which segmentation node, and with what.

Read from the segmentation nodes backwards, because a PointsEditor also stores what the workflow does not use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from masks.comfyui_graph import Graph, Node, Output
from masks.errors import MaskError
from masks.points_editor import Editor, editor_of
from masks.prompts import MAIN_OBJECT, MaskObject, Point, Prompt, Prompts

EDITOR: Final = "PointsEditor"
_SEGMENTS: Final = re.compile(r"sam(?![a-z])|segment", re.IGNORECASE)
_POSITIVE, _NEGATIVE, _BOX = 0, 1, 2
"""Numbers of the editor's outputs, and the roles of a segmentation node's inputs."""


@dataclass(frozen=True)
class _Use:
    """A segmentation node and the outputs of editors that it gets, by role."""

    node: Node
    outputs: Mapping[int, Output]
    between: tuple[str, ...]
    """Nodes on the way, which may change the numbers."""


def read_graph(graph: Graph, source: str) -> Prompts:
    """The clicks that the workflow uses.

    Args:
        source: what it was read from, for people.

    Raises:
        MaskError: there is no PointsEditor, it is not clear which one is meant, or it holds no point.
    """
    keys = [key for key, node in graph.nodes.items() if node.kind == EDITOR]
    if not keys:
        count = len(graph.nodes)
        what = f"The {source} has {count} node{'s' * (count != 1)}, and no {EDITOR} among them."
        remedy = f"Give a workflow in which you clicked: points are read from the node {EDITOR} (KJNodes)."
        raise MaskError(what, remedy, code="mask.points-no-editor")
    uses = _uses(graph)
    if not uses:
        return _unlinked([graph.nodes[key] for key in keys], source)
    used = {output[0] for use in uses for output in use.outputs.values()}
    editors = {key: editor_of(graph.nodes[key]) for key in keys if key in used}
    notices = [notice for editor in editors.values() for notice in editor.notices]
    objects = _united([entry for use in uses for entry in _of_use(use, editors, len(uses) == 1, notices)])
    if len(objects) > 1:
        notices.append(f"The mask is all of these together: {_listed([thing.name for thing in objects])}.")
    notices += _left_out(uses, editors)
    if others := [graph.nodes[key].name for key in keys if key not in used]:
        notices.append(f"No segmentation node uses {_listed(others)}: left out.")
    where = f"{source}, node {_listed([editor.name for editor in editors.values()])}"
    return Prompts(objects, _common_space([*editors.values()]), where, tuple(dict.fromkeys(notices)))


def _unlinked(nodes: Sequence[Node], source: str) -> Prompts:
    """Editors that lead to no segmentation node, as when one was copied alone."""
    candidates = [node for node in nodes if node.runs] or nodes
    if len(candidates) > 1:
        names = _listed([node.name for node in candidates])
        what = f"The {source} has several {EDITOR} nodes, {names}, and none leads to a segmentation node."
        remedy = "Delete all but the one with the clicks on the person, and save the workflow again."
        raise MaskError(what, remedy, code="mask.points-several-editors")
    editor = editor_of(candidates[0])
    editor.require_points()
    notices = list(editor.notices)
    if others := editor.beside_positive():
        notices.append(f"{editor.name} leads to no segmentation node: its {others} are left out.")
    objects = (MaskObject(MAIN_OBJECT, (Prompt(0, editor.positive),)),)
    return Prompts(objects, editor.space, f"{source}, node {editor.name}", tuple(notices))


# --------------------------------------------------------------------------------------- who uses what


def _uses(graph: Graph) -> list[_Use]:
    segmenting = [node for node in graph.nodes.values() if _SEGMENTS.search(node.kind)]
    found = [use for node in segmenting if (use := _use_of(graph, node)).outputs]
    return [use for use in found if use.node.runs] or found


def _use_of(graph: Graph, node: Node) -> _Use:
    outputs: dict[int, Output] = {}
    passed: list[str] = []
    for name, linked in node.inputs.items():
        role = _role(name)
        if role is None:
            continue
        reaching = [
            entry for entry in graph.upstream(linked, EDITOR) if entry[0][1] in (_POSITIVE, _NEGATIVE, _BOX)
        ]
        # A node between that takes both kinds of points is reached by both; each role keeps its own kind.
        reaching = [entry for entry in reaching if entry[0][1] == role] or reaching
        if reaching:
            outputs[role], between = reaching[0]
            passed += between
    return _Use(node, outputs, tuple(dict.fromkeys(passed)))


def _role(name: str) -> int | None:
    name = name.lower()
    if "box" in name:
        return _BOX
    if "neg" in name:
        return _NEGATIVE
    return _POSITIVE if "pos" in name or "coord" in name or "point" in name else None


# --------------------------------------------------------------------------------------------- objects


def _of_use(
    use: _Use, editors: Mapping[str, Editor], alone: bool, notices: list[str]
) -> Iterator[tuple[str, Prompt]]:
    """Names of the objects that one segmentation node finds, and their clicks."""
    notices += [
        f"The points go through {name}, which may change them; they are used as clicked."
        for name in use.between
    ]
    positive, negative = _points(use, _POSITIVE, editors), _points(use, _NEGATIVE, editors)
    box = editors[use.outputs[_BOX][0]].box if _BOX in use.outputs else None
    feeding = editors[use.outputs[min(use.outputs)][0]]
    if not positive and box is None:
        feeding.require_points()
        what = f"{use.node.name} gets no positive points: that output of {feeding.name} is not linked to it."
        raise MaskError(what, "Link it, or give the points alone.", code="mask.points-none")
    if "AddPoints" in use.node.kind:
        frame, number = _index(use.node, "frame_index", 0), _index(use.node, "object_index", 1)
        yield f"object {number}", Prompt(frame, positive + negative, box)
    elif _value(use.node, "individual_objects", 1) is True and len(positive) > 1:
        notices.append(
            f"individual_objects of {use.node.name} is on: each positive point is an object of its own."
        )
        for place, point in enumerate(positive):
            own = (
                negative[place : place + 1] or negative[:1]
            )  # the missing ones repeat the first, as the node does
            yield f"{feeding.name} point {place + 1}", Prompt(0, (point, *own))
    else:
        yield MAIN_OBJECT if alone else feeding.name, Prompt(0, positive + negative, box)


def _points(use: _Use, role: int, editors: Mapping[str, Editor]) -> tuple[Point, ...]:
    if role not in use.outputs:
        return ()
    key, slot = use.outputs[role]
    stored = (editors[key].positive, editors[key].negative, ())[slot]
    return tuple(replace(point, positive=role == _POSITIVE) for point in stored)


def _united(found: Sequence[tuple[str, Prompt]]) -> tuple[MaskObject, ...]:
    objects: dict[str, dict[int, Prompt]] = {}
    for name, prompt in found:
        frames = objects.setdefault(name, {})
        if frames.get(prompt.frame, prompt) != prompt:
            what = f"Several segmentation nodes click on frame {prompt.frame} for '{name}', each elsewhere."
            raise MaskError(what, "Keep one of them.", code="mask.points-duplicate")
        frames[prompt.frame] = prompt
    return tuple(
        MaskObject(name, tuple(frames[frame] for frame in sorted(frames))) for name, frames in objects.items()
    )


def _index(node: Node, name: str, place: int) -> int:
    value = _value(node, name, place)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1_000_000 else 0


def _value(node: Node, name: str, place: int) -> Any:
    """A widget's value, by its name or, in a workflow of the editor, by its place."""
    if isinstance(node.values, Mapping):
        return node.values.get(name)
    return node.values[place] if isinstance(node.values, list) and len(node.values) > place else None


# --------------------------------------------------------------------------------------------- notices


def _left_out(uses: Sequence[_Use], editors: Mapping[str, Editor]) -> Iterator[str]:
    """What editors store and the workflow does not use."""
    linked = {output for use in uses for output in use.outputs.values()}
    for key, editor in editors.items():
        others = editor.beside_positive(
            negative=(key, _NEGATIVE) not in linked, box=(key, _BOX) not in linked
        )
        if others:
            yield f"{editor.name} stores {others}, not linked to the segmentation: left out, as in ComfyUI."


def _common_space(editors: Sequence[Editor]) -> tuple[int, int] | None:
    first, *rest = editors
    for editor in rest:
        if editor.space != first.space:
            what = f"{first.name} and {editor.name} were clicked on pictures of different sizes."
            raise MaskError(what, "Keep one of them.", code="mask.points-several-editors")
    return first.space


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
