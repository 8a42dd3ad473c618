"""What a PointsEditor node of a ComfyUI workflow stores: points, a box, and the size they were clicked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from masks.comfyui_graph import Node
from masks.errors import MaskError
from masks.points_formats import drawn_box
from masks.points_values import load_json, points, refuse, sequence
from masks.prompts import Box, Point

WIDGETS: Final = (
    "points_store",
    "coordinates",
    "neg_coordinates",
    "bbox_store",
    "bboxes",
    "bbox_format",
    "width",
    "height",
    "normalize",
)
"""Names of the first widgets, in the order in which a workflow lists their values. Buttons may follow."""


@dataclass(frozen=True)
class Editor:
    """One PointsEditor, its points rounded to whole pixels as the node gives them out."""

    name: str
    positive: tuple[Point, ...]
    negative: tuple[Point, ...]
    box: Box | None
    space: tuple[int, int] | None
    notices: tuple[str, ...]

    def require_points(self) -> None:
        """Find that nothing was clicked.

        Raises:
            MaskError: there is no positive point; ComfyUI's node fails then too.
        """
        if not self.positive:
            what = f"{self.name} has no positive point."
            remedy = "Add one on the person (Shift and click), and save the workflow again."
            raise MaskError(what, remedy, code="mask.points-none")

    def beside_positive(self, *, negative: bool = True, box: bool = True) -> str:
        """Words for what else it stores, or an empty string."""
        count = len(self.negative) if negative else 0
        words = [f"{count} negative point{'s' if count > 1 else ''}"] if count else []
        return " and ".join([*words, "a box"] if box and self.box else words)


def editor_of(node: Node) -> Editor:
    """Read the values of a node's widgets.

    Raises:
        MaskError: they are not as the node stores them.
    """
    values = _named(node)
    notices = []
    store = _parsed(values.get("points_store"), f"points_store of {node.name}", quiet=True)
    store = store if isinstance(store, Mapping) else {}
    wanted = _clicked(values.get("coordinates"), store.get("positive"), f"coordinates of {node.name}", True)
    unwanted = _clicked(
        values.get("neg_coordinates"), store.get("negative"), f"neg_coordinates of {node.name}", False
    )
    boxes = _boxes(values, node.name)
    if len(boxes) > 1:
        notices.append(f"{node.name} has {len(boxes)} boxes; the first is used, as in ComfyUI.")
    if boxes and values.get("bbox_format") == "xywh":
        notices.append(
            f"{node.name} gives its box out as xywh, which Sam2Segmentation misreads; it is used as drawn."
        )
    if values.get("normalize") is True:
        notices.append(
            f"normalize of {node.name} is on; its points are used in the pixels that they are stored in."
        )
    size = _space(values)
    if size is None:
        notices.append(
            f"The workflow computes the width or height of {node.name}; its points are taken as they are."
        )
    return Editor(node.name, wanted, unwanted, boxes[0] if boxes else None, size, tuple(notices))


def _named(node: Node) -> Mapping[str, Any]:
    if isinstance(node.values, Mapping):
        return node.values
    wanted = f"It must be a list of at least {len(WIDGETS) - 1} values."
    values = sequence(node.values, f"widgets_values of {node.name}", wanted)
    if len(values) < len(WIDGETS) - 1:  # without normalize, which is off then
        raise refuse(f"widgets_values of {node.name}", values, wanted)
    return dict(zip(WIDGETS, values, strict=False))


def _clicked(given: object, stored: object, where: str, positive: bool) -> tuple[Point, ...]:
    """The text that the node gives out, or where it is not there, what the editor draws."""
    listed = stored if given in (None, "") else _parsed(given, where)
    return points([] if listed is None else listed, where, positive=positive, rounded=True)


def _boxes(values: Mapping[str, Any], name: str) -> list[Box]:
    for key in ("bboxes", "bbox_store"):
        where = f"{key} of {name}"
        listed = _parsed(values.get(key), where)
        if listed is not None:
            drawn = [
                drawn_box(entry, where) for entry in sequence(listed, where, "It must be a list of boxes.")
            ]
            return [entry for entry in drawn if entry is not None]
    return []


def _space(values: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = (_side(values.get(name)) for name in ("width", "height"))
    return None if width is None or height is None else (width, height)


def _side(value: object) -> int | None:
    """A width or height. In API format it may be linked to another node, which is not run here."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 100_000
    return value if fits else None  # type: ignore[return-value]  # fits only if it is an int


def _parsed(text: object, where: str, *, quiet: bool = False) -> Any:
    """A widget's value: JSON inside the JSON. None for an empty one."""
    if not isinstance(text, str):
        return text
    if not text.strip():
        return None
    try:
        return load_json(text)
    except ValueError:
        if quiet:
            return None
        raise refuse(where, text, "It must be JSON, as the node writes it.") from None
