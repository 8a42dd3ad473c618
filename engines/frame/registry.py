"""The models by name: ours, those of installed packages, and those that code registers.

A package of yours adds one without touching this project, by an entry point in its ``pyproject.toml``:

    [project.entry-points."understudy.frame_models"]
    my_model = "my_package.my_module:MyModel"

Nothing is imported before a model is chosen.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

from engines.frame.model import BaseAnimationModel, ModelError

GROUP: Final = "understudy.frame_models"
OWN: Final = "Understudy"
_STANDARD: Final = frozenset({"model_path", "gpu_id"})


@dataclass(frozen=True)
class Entry:
    """One model by its name: where its class is, and who brings it."""

    name: str
    target: str | type[BaseAnimationModel]
    """``"module:Class"``, or the class itself."""
    brought_by: str
    """A package and its version."""


class DuplicateModel(ModelError):
    """Two models have one name."""


class UnknownModel(ModelError):
    """No model has the name."""


_registered: Final[dict[str, Entry]] = {
    "puppet": Entry("puppet", "engines.frame.puppet:PuppetModel", OWN),
    "onnx": Entry("onnx", "engines.frame.onnx_model:OnnxModel", OWN),
}


def register(name: str, target: str | type[BaseAnimationModel], brought_by: str = "code") -> None:
    """Add a model from code.

    Raises:
        DuplicateModel: the name is taken.
    """
    if name in _registered:
        raise DuplicateModel(_twice(_registered[name], Entry(name, target, brought_by)))
    _registered[name] = Entry(name, target, brought_by)


def unregister(name: str) -> None:
    """Take away what ``register`` added."""
    del _registered[name]


def own_entries() -> Mapping[str, Entry]:
    """Ours, and those that code registered: they run in this process."""
    return _registered


def entries() -> Mapping[str, Entry]:
    """Every model there is, by name.

    Raises:
        DuplicateModel: two packages bring the same name; the message says which.
    """
    found = dict(_registered)
    for point in entry_points(group=GROUP):
        package = "a package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        entry = Entry(point.name, point.value, package)
        if (other := found.get(entry.name)) not in (None, entry):
            raise DuplicateModel(_twice(other, entry))
        found[entry.name] = entry
    return found


def entry_of(name: str) -> Entry:
    """The model of that name.

    Raises:
        DuplicateModel: see ``entries``.
        UnknownModel: there is none; the message names those there are.
    """
    known = entries()
    require(name, known)
    return known[name]


def require(name: str, known: Collection[str]) -> None:
    """Whether a model is among those that are known.

    Raises:
        UnknownModel: it is not; the message names those there are.
    """
    if name not in known:
        from config import nearest

        there = ", ".join(sorted(known))
        raise UnknownModel(f"There is no model '{name}'{nearest(name, known)} (there are {there}).")


def class_of(entry: Entry) -> type[BaseAnimationModel]:
    """The model's class; its module is imported now.

    Raises:
        ModelError: it cannot be imported, or is no model.
    """
    if not isinstance(entry.target, str):
        return entry.target
    module, _, attribute = entry.target.partition(":")
    where = f"Model '{entry.name}' of {entry.brought_by}, {entry.target},"
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"{where} cannot be imported: {error}. Install what it needs.") from error
    if not (inspect.isclass(found) and issubclass(found, BaseAnimationModel)):
        raise ModelError(f"{where} is not a BaseAnimationModel. It must inherit engines.frame.model's.")
    return found


def keys_of(model: type[BaseAnimationModel]) -> tuple[str, ...]:
    """The keys that the model's own section may have: its constructor's further arguments."""
    parameters = inspect.signature(model).parameters.values()
    return tuple(each.name for each in parameters if each.name not in _STANDARD)


def _twice(first: Entry | None, second: Entry) -> str:
    others = "another package" if first is None else first.brought_by
    return f"Two models are called '{second.name}': one of {others}, one of {second.brought_by}."
