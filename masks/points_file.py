"""Reads clicks from any of the files that ``docs/points.md`` lists, recognised by content, not by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from masks.comfyui_graph import graph_of_prompt, graph_of_workflow, is_prompt
from masks.errors import MaskError
from masks.points_formats import CORNERS, SAM_KEYS, read_list, read_sam, read_store
from masks.points_own import MARK, read_own
from masks.points_values import load_json, shown
from masks.prompts import Prompts

LARGEST_FILE: Final = 64 * 2**20
"""Bytes of a text or numpy file. An editor keeps its background picture in the workflow."""
FORMATS: Final = "docs/points.md shows the formats."


def read_points(path: Path) -> Prompts:
    """Read clicks. What comes without frame numbers is on frame 0.

    Nothing is scaled or checked against a picture (``points_check.check_prompts`` does), and nothing in the
    file is evaluated or unpickled.

    Raises:
        MaskError: it cannot be read, or holds no clicks; ``what`` names the file, and what it seems to be.
    """
    try:
        return _read(path)
    except MaskError as error:
        raise MaskError(f"{path}: {error.what}", error.remedy, code=error.code) from error
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror or 'input/output error'}."
        raise MaskError(what, "Check its name.", code="mask.points-unreadable") from error
    except RecursionError as error:
        what = f"{path}: It is nested too deep."
        raise MaskError(what, FORMATS, code="mask.points-unknown-shape") from error


def _read(path: Path) -> Prompts:
    if not path.exists():
        raise MaskError("There is no such file.", "Check its name.", code="mask.points-missing")
    if not path.is_file():
        what = "It is a folder." if path.is_dir() else "It is no ordinary file."
        raise MaskError(what, "Give a file with clicks.", code="mask.points-unreadable")
    from masks import embedded_workflow, points_arrays

    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise MaskError("It is empty.", f"Put the clicks into it. {FORMATS}", code="mask.points-empty")
    if head.startswith(embedded_workflow.PNG_START):
        return _embedded(embedded_workflow.texts_of_png(path), "PNG")
    if (video := embedded_workflow.video_kind(head)) is not None:
        return _embedded(embedded_workflow.texts_of_video(path), f"{video} video")
    if path.stat().st_size > LARGEST_FILE:
        what = f"It is larger than {LARGEST_FILE // 2**20} MiB, too large for clicks."
        raise MaskError(what, FORMATS, code="mask.points-too-large")
    data = path.read_bytes()
    if data.startswith(points_arrays.NPY_START):
        return read_sam(points_arrays.content_of_npy(data))
    if data.startswith(points_arrays.ZIP_START):
        return read_sam(points_arrays.content_of_npz(data))
    return _recognised(_parsed(_text_of(data)))


# ------------------------------------------------------------------------------------- text and JSON


def _text_of(data: bytes) -> str:
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        remedy = f"Give JSON, or a PNG or video that ComfyUI made. {FORMATS}"
        raise MaskError(f"It is no text; it seems to be {_seems(data)}.", remedy, code="mask.points-not-json")
    if not text.strip():
        raise MaskError("It is empty.", f"Put the clicks into it. {FORMATS}", code="mask.points-empty")
    return text


def _seems(data: bytes) -> str:
    from media.picture_headers import kind_of

    kind = kind_of(data)
    if kind != "other":
        return f"a picture of kind {kind}, in which no workflow is looked for"
    starts = {
        b"%PDF": "a PDF",
        b"\x1f\x8b": "a gzip archive",
        b"7z": "a 7z archive",
        b"RIFF": "sound or AVI video",
    }
    return next((name for start, name in starts.items() if data.startswith(start)), "binary data")


def _parsed(text: str) -> Any:
    try:
        return load_json(text)
    except json.JSONDecodeError as error:
        begin = " ".join(text.split())[:40]
        what = (
            f"It is no JSON: {error.msg} in line {error.lineno}, column {error.colno}; it begins {begin!r}."
        )
        raise MaskError(what, f"Repair that place. {FORMATS}", code="mask.points-not-json") from None
    except ValueError as error:  # a number of thousands of digits
        what = f"It cannot be read as JSON: {str(error).split(';')[0]}."
        raise MaskError(what, FORMATS, code="mask.points-not-json") from None


# ----------------------------------------------------------------------------------------- recognising


def _recognised(content: Any, source: str = "") -> Prompts:
    """Read parsed JSON of any of the formats.

    Args:
        source: in what it was found, for people; empty for a file of its own.

    Raises:
        MaskError: it is none of them, or malformed.
    """
    if isinstance(content, str):  # JSON that was copied with the quotes around it
        content = _parsed(content)
    if isinstance(content, list):
        return read_list(content)
    if isinstance(content, Mapping):
        return _of_object(content, source)
    what = f"It is JSON, but holds only {shown(content)}."
    raise MaskError(what, FORMATS, code="mask.points-unknown-shape")


def _of_object(content: Mapping[str, Any], source: str) -> Prompts:
    if MARK in content:
        return read_own(content)
    if (workflow := _workflow(content, source)) is not None:
        return workflow
    if "positive" in content or "negative" in content:
        return read_store(content)
    if any(key in content for key in SAM_KEYS):
        return read_sam(content)
    if {"x", "y"} <= set(content) or set(CORNERS) <= set(content):
        return read_list([content])
    raise _unknown(content)


def _workflow(content: Mapping[str, Any], source: str) -> Prompts | None:
    """The clicks of a workflow, or of what holds one; None when it is neither."""
    from masks.points_comfyui import EDITOR, read_graph

    if isinstance(content.get("nodes"), list):
        return read_graph(graph_of_workflow(content), source or "ComfyUI workflow")
    if content.get("type") == EDITOR:
        return read_graph(graph_of_workflow({"nodes": [content]}), source or "ComfyUI node")
    if content.get("class_type") == EDITOR:
        return read_graph(graph_of_prompt({"": content}), source or "ComfyUI node")
    if is_prompt(content):
        return read_graph(graph_of_prompt(content), source or "ComfyUI workflow in API format")
    held = {key: content[key] for key in ("prompt", "workflow") if _may_be_workflow(content.get(key))}
    return _embedded(held, source or "JSON file") if held else None


def _may_be_workflow(value: object) -> bool:
    """Whether it is an object or the text of one. A prompt may also be words for a model."""
    return isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip().startswith("{"))


def _embedded(held: Mapping[str, Any], holder: str) -> Prompts:
    """The clicks of the prompt or, where that has none, of the workflow, which lie side by side.

    The prompt comes first: it is what ran, while the workflow also shows what was muted.
    """
    errors = []
    for key in ("prompt", "workflow"):
        if key not in held:
            continue
        content = _object_of(held[key])
        if "nodes" not in content and not is_prompt(content):
            what = f'The "{key}" in the {holder} is no ComfyUI workflow: {shown(held[key])}.'
            errors.append(MaskError(what, FORMATS, code="mask.points-no-workflow"))
            continue
        try:
            return _recognised(content, f"{key} in the {holder}")
        except MaskError as error:
            if error.code != "mask.points-no-editor":
                raise
            errors.append(error)
    if errors:
        raise errors[0]
    what = f"The {holder} carries no ComfyUI workflow."
    remedy = "Only files that ComfyUI saved with metadata do. Save the workflow as JSON and give that."
    raise MaskError(what, remedy, code="mask.points-no-workflow")


def _object_of(value: object) -> Mapping[str, Any]:
    try:
        content = load_json(value) if isinstance(value, str) else value
    except ValueError:
        content = None
    return content if isinstance(content, Mapping) else {}


def _unknown(content: Mapping[str, Any]) -> MaskError:
    keys = ", ".join(repr(key[:40]) for key in list(content)[:6]) or "nothing"
    more = f" and {len(content) - 6} more" if len(content) > 6 else ""
    what = f"It is a JSON object with {keys}{more}; no format of clicks has those."
    remedy = f'It needs "positive", "points" or "nodes". {FORMATS}'
    if "objects" in content or "frames" in content:
        what = f'It looks like a points file of Understudy, but "{MARK}" is missing.'
        remedy = f'Add "{MARK}": 1.'
    return MaskError(what, remedy, code="mask.points-unknown-shape")
