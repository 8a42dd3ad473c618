"""Reading single keys of a description: what they must be, or else an error that says it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from config import nearest
from engines.frame.configuration import ConfigurationError


def only(section: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    """Refuse unknown keys. Raises ConfigurationError."""
    for key in section:
        if key not in known:
            raise ConfigurationError(f"unknown key '{prefix}{key}'{nearest(str(key), known)}.")


def section_of(options: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The keys below a key; none where it is left out. Raises ConfigurationError."""
    section = options.get(key)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ConfigurationError(f"'{key}' must hold keys of its own, one a line; it is {section!r}.")
    return section


def one_of(value: Any, allowed: Sequence[Any], key: str) -> Any:
    """A value among those allowed. Raises ConfigurationError."""
    if value not in allowed:
        raise ConfigurationError(f"'{key}' must be one of {', '.join(map(str, allowed))}; it is {value!r}.")
    return value


def numbers_of(value: Any, count: int, key: str) -> tuple[float, ...]:
    """So many numbers. Raises ConfigurationError."""
    values = value if isinstance(value, (list, tuple)) else None
    numbers = [each for each in values or () if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if values is None or len(numbers) != count or len(values) != count:
        raise ConfigurationError(f"'{key}' must be {count} numbers; it is {value!r}.")
    if key in ("std", "size") and min(numbers) <= 0:
        raise ConfigurationError(f"'{key}' must be above 0; it is {value!r}.")
    return tuple(map(float, numbers))


def range_of(value: Any, key: str) -> tuple[float, float]:
    """The values of black and white. Raises ConfigurationError."""
    low, high = numbers_of(value, 2, key)
    if high <= low:
        raise ConfigurationError(f"'{key}' must be the values of black and of white; it is {value!r}.")
    return low, high
