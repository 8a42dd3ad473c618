"""Understudy's own points file, as docs/points.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from masks.errors import MaskError
from masks.points_values import box, check_keys, points, refuse, sequence, shown, space, whole
from masks.prompts import MAIN_OBJECT, Box, MaskObject, Prompt, Prompts

MARK: Final = "understudy_points"
VERSION: Final = 1
LONGEST_NAME: Final = 60

_CLICKS: Final = ("positive", "negative", "box")
_FRAME_KEYS: Final = ("frame", *_CLICKS, "comment")
_OBJECT_KEYS: Final = ("name", "exclude", "frames", *_CLICKS, "comment")
_FILE_KEYS: Final = (MARK, "width", "height", "objects", "frames", *_CLICKS, "comment")


def read_own(content: Mapping[str, Any]) -> Prompts:
    """Read the parsed file.

    Raises:
        MaskError: it is not as described; says where.
    """
    if content[MARK] is True or content[MARK] != VERSION:
        what = f'"{MARK}" is {shown(content[MARK])}; this version of Understudy reads version {VERSION}.'
        remedy = f'Write it as docs/points.md shows, with "{MARK}": {VERSION}.'
        raise MaskError(what, remedy, code="mask.points-version")
    check_keys(content, _FILE_KEYS, "The file")
    if ("width" in content) != ("height" in content):
        missing = "height" if "width" in content else "width"
        what = (
            f'The file does not say the "{missing}" of the picture that was clicked on, only its other side.'
        )
        raise MaskError(what, "Give both, or neither.", code="mask.points-value")
    size = space(content["width"], content["height"], "the file") if "width" in content else None
    return Prompts(_objects(content), size, "points file")


def _objects(content: Mapping[str, Any]) -> tuple[MaskObject, ...]:
    if "objects" not in content:
        return (MaskObject(MAIN_OBJECT, _prompts(content, "The file")),)
    beside = [key for key in ("frames", *_CLICKS) if key in content]
    if beside:
        what = f'"{beside[0]}" stands beside "objects"; it is not clear to which object it belongs.'
        raise MaskError(what, "Put it into one of the objects.", code="mask.points-unknown-key")
    entries = sequence(content["objects"], '"objects"', "It must be a list of objects.")
    if not entries:
        raise MaskError('"objects" is empty.', "Add an object with points.", code="mask.points-none")
    made: dict[str, MaskObject] = {}
    for place, entry in enumerate(entries, 1):
        where = f"Object {place}"
        if not isinstance(entry, Mapping):
            raise refuse(where, entry, 'Write it as {"name": "dancer", "frames": [...]}.')
        check_keys(entry, _OBJECT_KEYS, where)
        name = _name(entry.get("name", MAIN_OBJECT if len(entries) == 1 else f"person {place}"), where)
        if name in made:
            what = f"Two objects are called '{name}'."
            raise MaskError(what, "Give each a name of its own.", code="mask.points-duplicate")
        excluded = entry.get("exclude", False)
        if not isinstance(excluded, bool):
            raise refuse(f"\"exclude\" of object '{name}'", excluded, "It must be true or false.")
        made[name] = MaskObject(name, _prompts(entry, f"Object '{name}'"), excluded)
    return tuple(made.values())


def _name(value: object, where: str) -> str:
    fits = isinstance(value, str) and 0 < len(value.strip()) <= LONGEST_NAME and value.isprintable()
    if not fits or "," in str(value):
        wanted = f"A name is a text of 1 to {LONGEST_NAME} characters, without commas."
        raise refuse(f'"name" of {where.lower()}', value, wanted)
    return str(value).strip()


def _prompts(entry: Mapping[str, Any], where: str) -> tuple[Prompt, ...]:
    """What an object or the whole file holds: "frames", or clicks that are on frame 0."""
    clicks = [key for key in _CLICKS if key in entry]
    if "frames" in entry and clicks:
        what = f'{where} has both "frames" and "{clicks[0]}"; it is not clear on which frame that is.'
        raise MaskError(what, "Put it into one of the frames.", code="mask.points-unknown-key")
    if "frames" not in entry:
        if not clicks:
            what = f'{where} has neither "frames" nor "positive" nor "box".'
            raise MaskError(what, 'Add points: "positive": [[x, y]].', code="mask.points-none")
        return (_prompt(entry, 0, where),)
    entries = sequence(entry["frames"], f'{where}, "frames"', "It must be a list of frames.")
    if not entries:
        what = f'{where}, "frames" is empty.'
        raise MaskError(what, "Add a frame with points.", code="mask.points-none")
    made: dict[int, Prompt] = {}
    for place, key_frame in enumerate(entries, 1):
        here = f"{where}, entry {place} of its frames,"
        if not isinstance(key_frame, Mapping):
            raise refuse(here, key_frame, 'Write it as {"frame": 0, "positive": [[x, y]]}.')
        check_keys(key_frame, _FRAME_KEYS, here)
        if "frame" not in key_frame:
            raise MaskError(f'{here} has no "frame".', 'Add "frame": 0.', code="mask.points-value")
        frame = whole(key_frame["frame"], f'{here} "frame"')
        if frame in made:
            what = f"{where} has frame {frame} twice."
            raise MaskError(what, "Put their points together.", code="mask.points-duplicate")
        made[frame] = _prompt(key_frame, frame, f"{where}, frame {frame}")
    return tuple(made[frame] for frame in sorted(made))


def _prompt(entry: Mapping[str, Any], frame: int, where: str) -> Prompt:
    wanted = points(entry.get("positive", []), f'{where}, "positive"')
    unwanted = points(entry.get("negative", []), f'{where}, "negative"', positive=False)
    return Prompt(frame, wanted + unwanted, _box(entry.get("box"), f'{where}, "box"'))


def _box(value: object, where: str) -> Box | None:
    return None if value is None else box(value, where)
