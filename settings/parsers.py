"""Parsers of the settings' values.

Each takes what a flag or a settings file holds and returns the value, or raises ValueError with the rest of
the sentence "--name must be ...".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

SOURCE_FPS: Final = -1
"""Value of ``fps`` that keeps the driving video's own rate (upstream's spelling)."""
_LARGEST_FPS: Final = 1000


def path(value: object) -> Path:
    """A path."""
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("a path")
    return Path(value)


def text(value: object) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("some text")
    return value


def switch(value: object) -> bool:
    """On or off."""
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def whole(minimum: int | None = None, maximum: int | None = None) -> Callable[[object], int]:
    """A whole number within bounds."""
    expected = "a whole number" if minimum is None else f"a whole number of at least {minimum}"
    if maximum is not None:
        expected += f" and at most {maximum}"

    def parse(value: object) -> int:
        try:
            number = int(str(value)) if not isinstance(value, bool) else None
        except ValueError:
            number = None
        too_small = minimum is not None and number is not None and number < minimum
        too_large = maximum is not None and number is not None and number > maximum
        if number is None or too_small or too_large:
            raise ValueError(expected)
        return number

    return parse


def number(minimum: float) -> Callable[[object], float]:
    """A finite number that is not too small."""

    def parse(value: object) -> float:
        try:
            number = float(str(value)) if not isinstance(value, bool) else float("nan")
        except ValueError:
            number = float("nan")
        if not minimum <= number < float("inf"):
            raise ValueError(f"a number of at least {minimum:g}")
        return number

    return parse


def choice(*allowed: str) -> Callable[[object], str]:
    """One of some words."""

    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(" or ".join(allowed))
        return str(value)

    return parse


def whole_choice(*allowed: int) -> Callable[[object], int]:
    """One of some whole numbers."""
    parse_whole = whole()

    def parse(value: object) -> int:
        try:
            number = parse_whole(value)
        except ValueError:
            number = None
        if number not in allowed:
            raise ValueError(" or ".join(map(str, allowed)))
        return number

    return parse


def frame_rate(value: object) -> int:
    """Whole frames a second, or "source"."""
    if value in ("source", SOURCE_FPS, str(SOURCE_FPS)):
        return SOURCE_FPS
    try:
        return whole(1, _LARGEST_FPS)(value)
    except ValueError:
        raise ValueError(
            f"a whole number of frames a second (at most {_LARGEST_FPS}), or 'source' for the video's own "
            "rate; upstream takes no fractions such as 29.97"
        ) from None


def resolution(value: object) -> tuple[int, int]:
    """Width and height."""
    parts = value if isinstance(value, (list, tuple)) else str(value).lower().replace("x", " ").split()
    try:
        numbers = [whole(1)(part) for part in parts]
        width, height = numbers
    except ValueError:
        raise ValueError("two positive numbers such as '1280 720' or 1280x720") from None
    return width, height


def window_length(value: object) -> int:
    """Frames of a window: 4n+1."""
    number = whole()(value)
    if number < 5 or number % 4 != 1:
        below = max(5, (number - 1) // 4 * 4 + 1)
        raise ValueError(f"4n+1 and at least 5, such as {below} or {below + 4}: the model works in fours")
    return number


def window_length_or_auto(value: object) -> int | None:
    """A window length, or None for "auto": the one that costs least for the clip."""
    if value is None or value == "auto":
        return None
    try:
        return window_length(value)
    except ValueError as expected:
        raise ValueError(f"auto, or {expected}") from None


def two_files(value: object) -> tuple[Path, Path]:
    """Two paths."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("two files")
    first, second = (path(part) for part in value)
    return first, second


def box(value: object) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a rectangle, in pixels."""
    parts = value if isinstance(value, (list, tuple)) else str(value).replace(",", " ").split()
    try:
        left, top, right, bottom = (number(0)(part) for part in parts)
    except ValueError:
        raise ValueError(
            "four numbers in pixels: left, top, right, bottom, such as '420 80 760 700'"
        ) from None
    if left >= right or top >= bottom:
        raise ValueError("left, top, right, bottom, with left before right and top above bottom")
    return left, top, right, bottom


def names(value: object) -> tuple[str, ...]:
    """Names, with commas between them."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError("one name or several with commas between them")
    found = tuple(part.strip() for part in parts if isinstance(part, str) and part.strip())
    if not found or len(found) != len(parts):
        raise ValueError("one name or several with commas between them")
    return found


def pairs(value: object) -> tuple[tuple[str, str], ...]:
    """Options by name: text such as ``still=true, size=512``, or a table of a settings file."""
    if isinstance(value, str):
        value = [part.split("=", 1) for part in value.split(",") if part.strip()]
    elif isinstance(value, dict):
        value = list(value.items())
    if not isinstance(value, (list, tuple)):
        raise ValueError("options such as 'still=true, size=512'")
    found = []
    for part in value:
        if not isinstance(part, (list, tuple)) or len(part) != 2 or not str(part[0]).strip():
            raise ValueError("options such as 'still=true, size=512'")
        content = str(part[1]).lower() if isinstance(part[1], bool) else str(part[1])
        found.append((str(part[0]).strip().replace("-", "_"), content.strip()))
    return tuple(found)


def command(value: object) -> tuple[str, ...]:
    """An argument list that names what it reads and what it writes; as a flag, in JSON."""
    expected = 'a list of words with {input} and {output} among them, such as ["python", "main.py", ...]'
    if isinstance(value, str):
        import json

        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError(expected) from None
    if not isinstance(value, (list, tuple)):
        raise ValueError(expected)
    words = tuple(map(str, value))
    if words and not all(any(name in word for word in words) for name in ("{input}", "{output}")):
        raise ValueError(expected)
    return words


def weighted_files(value: object) -> tuple[tuple[Path, float], ...]:
    """Files, each with a weight; without one it is 1."""
    expected = 'files with their weights, such as "light.safetensors:0.8, other.safetensors"'
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)) or not parts:
        raise ValueError(expected)
    return tuple(_weighted_file(part, expected) for part in parts)


def _weighted_file(value: object, expected: str) -> tuple[Path, float]:
    if isinstance(value, (list, tuple)) and len(value) == 2:
        name, weight = str(value[0]), str(value[1])
    elif isinstance(value, str) and value.strip():
        name, colon, weight = value.strip().rpartition(":")
        if not colon or "/" in weight or "\\" in weight:  # no weight, or the colon of a drive's letter
            name, weight = value.strip(), "1"
    else:
        raise ValueError(expected)
    try:
        number = float(weight)
    except ValueError:
        raise ValueError(expected) from None
    if not name or not -1e6 < number < 1e6:
        raise ValueError(expected)
    return Path(name), number
