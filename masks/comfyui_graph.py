"""The nodes of a ComfyUI workflow and what is linked to what, the same for both ways of saving one.

A *workflow* is what the editor saves: ``nodes`` and ``links``, with subgraphs under ``definitions``.
A *prompt* (API format) is what the server ran: nodes by id, a link as ``[id, number of the output]``. It has
neither subgraphs nor reroutes any more. What is malformed in nodes of no concern is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from masks.errors import MaskError
from masks.points_values import shown

Output = tuple[str, int]
"""A node's key and the number of one of its outputs."""

_MOST_NODES: Final = 20_000
_DEEPEST: Final = 20
_SUBGRAPH_INPUT, _SUBGRAPH_OUTPUT = -10, -20
_NEVER, _BYPASSED = 2, 4


@dataclass
class Node:
    """One node."""

    name: str
    """Kind and id, for people."""
    kind: str
    values: Any
    """The widgets' values: a list in their order, or by name."""
    inputs: dict[str, Output] = field(default_factory=dict)
    """What is linked to each input that has a link."""
    runs: bool = True
    """Whether it is neither muted nor bypassed."""


@dataclass
class Graph:
    """All nodes of a workflow by a key of their own, those of subgraphs once for each place of use."""

    nodes: dict[str, Node] = field(default_factory=dict)
    same_as: dict[Output, Output] = field(default_factory=dict)
    """Outputs that only pass on another one: reroutes, Get nodes, the edges of subgraphs."""

    def origin(self, output: Output) -> Output:
        """The output that ``output`` passes on."""
        seen = {output}
        while (further := self.same_as.get(output)) is not None and further not in seen:
            seen.add(further)
            output = further
        return output

    def upstream(self, output: Output, kind: str) -> Iterator[tuple[Output, tuple[str, ...]]]:
        """Outputs of nodes of ``kind`` that reach ``output``, each with the names of the nodes between."""
        waiting: list[tuple[Output, tuple[str, ...]]] = [(output, ())]
        seen: set[Output] = set()
        while waiting:
            place, between = waiting.pop()
            place = self.origin(place)
            if place in seen:
                continue
            seen.add(place)
            node = self.nodes.get(place[0])
            if node is None:
                continue
            if node.kind == kind:
                yield place, between
            else:
                waiting += [(source, (node.name, *between)) for source in node.inputs.values()]


# ----------------------------------------------------------------------------------------------- prompt


def is_prompt(content: Mapping[str, Any]) -> bool:
    """Whether it is a workflow in API format."""
    return any(isinstance(entry, Mapping) and "class_type" in entry for entry in content.values())


def graph_of_prompt(content: Mapping[str, Any]) -> Graph:
    """The nodes of a workflow in API format."""
    graph = Graph()
    for key, entry in content.items():
        if not isinstance(entry, Mapping) or not isinstance(entry.get("class_type"), str):
            continue
        given = entry.get("inputs")
        values = given if isinstance(given, Mapping) else {}
        node = Node(_name(entry["class_type"], key), entry["class_type"], values)
        for name, value in values.items():
            if isinstance(value, list) and len(value) == 2 and _is_number(value[1]):
                node.inputs[name] = (str(value[0]), value[1])
        graph.nodes[key] = node
    return graph


# --------------------------------------------------------------------------------------------- workflow


def graph_of_workflow(content: Mapping[str, Any]) -> Graph:
    """The nodes of a workflow as the editor saves it.

    Raises:
        MaskError: its subgraphs hold too many nodes.
    """
    definitions = content.get("definitions")
    subgraphs = _entries(definitions, "subgraphs") if isinstance(definitions, Mapping) else []
    by_id = {str(entry.get("id")): entry for entry in subgraphs}
    graph = Graph()
    _add(graph, content, by_id, "", 0)
    if not any(node.kind == "PointsEditor" for node in graph.nodes.values()):
        for place, entry in enumerate(subgraphs):  # a definition without a place of use
            _add(graph, entry, by_id, f"definition {place}:", 0)
    return graph


def _add(
    graph: Graph, content: Mapping[str, Any], subgraphs: Mapping[str, Any], prefix: str, depth: int
) -> None:
    links = dict(_links(content))
    setters: dict[str, Output] = {}
    getters: list[tuple[Output, str]] = []
    for entry in _entries(content, "nodes"):
        kind, key = entry.get("type"), prefix + str(entry.get("id"))
        if not isinstance(kind, str):
            continue
        if len(graph.nodes) >= _MOST_NODES:
            what = f"The workflow has more than {_MOST_NODES} nodes."
            raise MaskError(what, "Give the points alone.", code="mask.points-too-large")
        node = Node(_name(kind, entry.get("id")), kind, entry.get("widgets_values"))
        node.runs = entry.get("mode") not in (_NEVER, _BYPASSED)
        slots = [_source(slot, links, prefix) for slot in _entries(entry, "inputs")]
        node.inputs = {name: source for name, source in slots if source is not None}
        graph.nodes[key] = node
        if kind in ("Reroute", "SetNode") and node.inputs:
            graph.same_as[key, 0] = next(iter(node.inputs.values()))
            setters[str(node.values)] = (key, 0)
        elif kind == "GetNode":
            getters.append(((key, 0), str(node.values)))
        elif kind in subgraphs and depth < _DEEPEST:
            _add_subgraph(graph, subgraphs, kind, key, [source for _, source in slots], depth)
    graph.same_as |= {output: setters[name] for output, name in getters if name in setters}


def _add_subgraph(
    graph: Graph,
    subgraphs: Mapping[str, Any],
    kind: str,
    key: str,
    given: list[Output | None],
    depth: int,
) -> None:
    """Put a subgraph's nodes in, and tie its edges to what is around it."""
    inner, prefix = subgraphs[kind], f"{key}:"
    for slot, source in enumerate(given):
        if source is not None:
            graph.same_as[f"{prefix}{_SUBGRAPH_INPUT}", slot] = source
    for origin, target in _link_ends(inner):
        if target[0] == _SUBGRAPH_OUTPUT:
            graph.same_as[key, target[1]] = (f"{prefix}{origin[0]}", origin[1])
    _add(graph, inner, subgraphs, prefix, depth + 1)


def _source(slot: Mapping[str, Any], links: Mapping[str, Output], prefix: str) -> tuple[str, Output | None]:
    origin = links.get(str(slot.get("link")))
    return str(slot.get("name")), None if origin is None else (prefix + origin[0], origin[1])


def _links(content: Mapping[str, Any]) -> Iterator[tuple[str, Output]]:
    """A link's id and where it comes from. At the top a link is a list, in subgraphs an object."""
    for link in _links_of(content):
        if isinstance(link, list) and len(link) >= 5 and _is_number(link[2]):
            yield str(link[0]), (str(link[1]), link[2])
        elif isinstance(link, Mapping) and _is_number(link.get("origin_slot")):
            yield str(link.get("id")), (str(link.get("origin_id")), link["origin_slot"])


def _link_ends(content: Mapping[str, Any]) -> Iterator[tuple[Output, tuple[Any, int]]]:
    for link in _links_of(content):
        if (
            isinstance(link, Mapping)
            and _is_number(link.get("origin_slot"))
            and _is_number(link.get("target_slot"))
        ):
            yield (
                (str(link.get("origin_id")), link["origin_slot"]),
                (link.get("target_id"), link["target_slot"]),
            )


def _links_of(content: Mapping[str, Any]) -> list[Any]:
    links = content.get("links")
    return links if isinstance(links, list) else []


def _entries(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = content.get(name)
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _name(kind: str, number: object) -> str:
    shown_kind = kind if kind.isprintable() and len(kind) <= 60 else shown(kind)
    plain = str(number) if isinstance(number, int) else number
    fits = isinstance(plain, str) and plain.isprintable() and len(plain) <= 20
    return f"{shown_kind} {plain if fits else shown(number)}".strip()
