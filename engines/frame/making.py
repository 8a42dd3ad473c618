"""Models made of their configuration, and the one that stays loaded for the next job."""

from __future__ import annotations

from collections.abc import Mapping

from engines.frame import registry
from engines.frame.configuration import FrameConfiguration
from engines.frame.model import BaseAnimationModel, ModelError, load

_kept: list[tuple[object, BaseAnimationModel]] = []
"""The model of the last job: the next job of this process with the same one need not load it again."""


def kept_model(configuration: FrameConfiguration) -> BaseAnimationModel:
    """The configuration's model, loaded. Another one that is still loaded goes first.

    Raises:
        ModelError: it cannot be made or loaded.
    """
    key = _key(configuration)
    if _kept and _kept[0][0] == key and _kept[0][1].initialized:
        return _kept[0][1]
    forget_model()
    model = make_model(configuration)
    try:
        load(model)
    except ModelError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise ModelError(f"Model '{configuration.model}' cannot be loaded: {what}") from error
    _kept.append((key, model))
    return model


def forget_model() -> None:
    """Give the kept model's memory back."""
    while _kept:
        _kept.pop()[1].unload_model()


def make_model(configuration: FrameConfiguration) -> BaseAnimationModel:
    """The configuration's model, not loaded yet.

    Raises:
        ModelError: there is none of that name, it lacks its file, or its section has an unknown key.
    """
    found = registry.class_of(registry.entry_of(configuration.model))
    check_options(configuration, found)
    return found(configuration.model_path, configuration.gpu_id, **configuration.options)


def check_options(configuration: FrameConfiguration, found: type[BaseAnimationModel]) -> None:
    """Whether the model can be made of its section.

    Raises:
        ModelError: an unknown key, or no model file where one is needed.
    """
    from config import nearest

    known = registry.keys_of(found)
    for key in configuration.options:
        if key not in known:
            there = ", ".join(known) or "none"
            what = f"'{configuration.model}' has no key '{key}'{nearest(key, known)} (its keys: {there})."
            raise ModelError(f"{what} Mend it in the YAML file.")
    path = configuration.model_path
    if found.path_required and path is None:
        raise ModelError(f"'model_path' is missing: model '{configuration.model}' needs its file.")
    if path is not None and not path.exists():
        raise ModelError(f"model_path: {path} does not exist. Check its name.")


def _key(configuration: FrameConfiguration) -> object:
    path = configuration.model_path
    stamp: Mapping[str, int] | tuple[int, int] = (0, 0)
    if path is not None and path.exists():
        stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    options = repr(sorted(configuration.options.items()))
    return configuration.model, path, configuration.gpu_id, options, stamp
