"""Take secrets out of what is written down: a record is given away with its result."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

REMOVED: Final = "[secret removed]"

_SECRET_NAME: Final = re.compile(
    r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE
)
_SHORTEST: Final = 8
"""A variable's value that is shorter is no secret worth the name, and would be found by chance."""
_PATTERNS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<=://)[^\s/@:]*:[^\s/@]+(?=@)",  # https://user:password@host
        r"(?<=://)[^\s/@:]+(?=@)",  # https://token@host
        r"(?<=[?&])(?i:[\w.-]*(?:token|secret|passw(?:or)?d|signature|credential|api_?key|sig|key))=[^\s&#\"']+",
        r"\b(?:hf|gh[a-z])_[A-Za-z0-9]{30,}",  # tokens by their usual form: no words joined by underscores
        r"\b(?:github_pat_\w{40,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{20,}|sk-(?:[a-z]+-)?[A-Za-z0-9]{32,})",
        r"(?<=\b[Bb]earer )[A-Za-z0-9._~+/=-]{8,}",
    )
)


def without_secrets(data: Any) -> Any:
    """Plain data with every secret in its texts replaced by ``REMOVED``.

    Secrets are passwords and tokens in addresses, tokens of a known form, and the values of environment
    variables that are named like secrets, wherever they stand.
    """
    return _cleaned(data, sorted(_secrets_of(os.environ), key=len, reverse=True))


def has_removed_secret(data: Any) -> bool:
    """Whether something was removed from plain data."""
    if isinstance(data, str):
        return REMOVED in data
    if isinstance(data, Mapping):
        return any(map(has_removed_secret, data.values()))
    return isinstance(data, (list, tuple)) and any(map(has_removed_secret, data))


def _secrets_of(environment: Mapping[str, str]) -> Iterable[str]:
    for name, value in environment.items():
        # A path says where a secret lies, and is none.
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST and not Path(value).is_absolute():
            yield value


def _cleaned(data: Any, secrets: list[str]) -> Any:
    if isinstance(data, str):
        for secret in secrets:
            data = data.replace(secret, REMOVED)
        for pattern in _PATTERNS:
            data = pattern.sub(REMOVED, data)
        return data
    if isinstance(data, Mapping):
        return {_cleaned(key, secrets): _cleaned(value, secrets) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_cleaned(part, secrets) for part in data]
    return data
