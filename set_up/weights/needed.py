"""Which of a hub's files each feature needs, and where they belong in the checkpoint folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Final

from engines.wan22 import checkout
from set_up.errors import SetUpError
from set_up.weights.hub import Listing
from set_up.weights.hub_files import HubFile

FEATURES: Final = ("animate", "replace", "relighting", "flux", "preview")
DEFAULT_FEATURES: Final = ("animate", "replace")
PREVIEW: Final = "preview"
"""Its models are not in the checkpoint folder: see engines.preview.models."""
FLUX_REPOSITORY: Final = "black-forest-labs/FLUX.1-Kontext-dev"

_IN_PREPROCESSING: Final = f"{checkout.PREPROCESS_CHECKPOINTS}/"
_BASE: Final = (
    "config.json",
    "diffusion_pytorch_model*",
    checkout.T5,
    checkout.CLIP,
    checkout.VAE,
    f"{checkout.T5_TOKENIZER}/**",
    f"{checkout.CLIP_TOKENIZER}/**",
    f"{_IN_PREPROCESSING}{checkout.DETECTOR}",
    f"{_IN_PREPROCESSING}pose2d/**",
)
"""For each pattern at least one file must be there."""
_OF_FEATURE: Final = {
    "animate": _BASE,
    "replace": (*_BASE, f"{_IN_PREPROCESSING}{checkout.SAM2}"),
    "relighting": (checkout.RELIGHTING,),
}
_FLUX: Final = (
    # Not the single-file copies of the same model at the top, which its pipeline does not read.
    "model_index.json",
    *(
        f"{folder}/**"
        for folder in (
            "scheduler",
            "text_encoder",
            "text_encoder_2",
            "tokenizer",
            "tokenizer_2",
            "transformer",
            "vae",
        )
    ),
)


@dataclass(frozen=True, kw_only=True)
class Needed:
    """One file that is needed: ``file.path`` is inside the checkpoint folder."""

    file: HubFile
    repository: str
    path_in_repository: str
    revision: str
    """What to ask the hub for: the commit, where it names one."""


@dataclass(frozen=True)
class Part:
    """What one feature takes from one repository."""

    feature: str
    repository: str
    patterns: tuple[str, ...]
    folder: str = ""
    """Inside the checkpoint folder; empty or with a slash at its end."""


def parts_of(features: Iterable[str]) -> tuple[Part, ...]:
    """The parts that the features have in the checkpoint folder; the preview has none."""
    parts = []
    for feature in features:
        if feature in _OF_FEATURE:
            parts.append(Part(feature, checkout.WEIGHTS_REPOSITORY, _OF_FEATURE[feature]))
        elif feature == "flux":
            parts.append(Part(feature, FLUX_REPOSITORY, _FLUX, f"{_IN_PREPROCESSING}{checkout.FLUX}/"))
    return tuple(parts)


def needed_files(part: Part, listing: Listing, hub: str) -> tuple[Needed, ...]:
    """The files that the part needs, in the order of their paths.

    Raises:
        SetUpError: the listing lacks something, has an unsafe path, or a file without a hash.
    """
    missing = [pattern for pattern in part.patterns if not any(_fits(f.path, pattern) for f in listing.files)]
    if missing:
        raise SetUpError(
            f"{part.repository} on {hub} has no {', '.join(missing)}, which {part.feature} needs.",
            "Choose another --revision or the other hub (--source).",
        )
    chosen = sorted((f for f in listing.files if _wanted(f.path, part.patterns)), key=lambda f: f.path)
    return tuple(_needed(file, part, listing.revision, hub) for file in chosen)


def _needed(file: HubFile, part: Part, revision: str, hub: str) -> Needed:
    _check(file, part.repository, hub)
    return Needed(
        file=HubFile(
            path=part.folder + file.path, size=file.size, sha256=file.sha256, git_sha1=file.git_sha1
        ),
        repository=part.repository,
        path_in_repository=file.path,
        revision=revision,
    )


def _check(file: HubFile, repository: str, hub: str) -> None:
    inside = PurePosixPath(file.path)
    if inside.is_absolute() or ".." in inside.parts or "\\" in file.path or ":" in file.path:
        raise SetUpError(
            f"{repository} on {hub} lists {file.path!r}, a path that leads out of its folder.",
            "Nothing was fetched. Check --mirror, or take the other hub with --source.",
        )
    if not (file.sha256 or file.git_sha1):
        raise SetUpError(
            f"{repository} on {hub} lists {file.path} without a hash, so that it could not be verified.",
            "Check --mirror, or take the other hub with --source.",
        )


def _wanted(path: str, patterns: Sequence[str]) -> bool:
    return any(_fits(path, pattern) for pattern in patterns)


def _fits(path: str, pattern: str) -> bool:
    """A pattern that ends in ``/**`` means all below that folder; else a star stops at a slash."""
    if pattern.endswith("/**"):
        return path.startswith(pattern.removesuffix("**"))
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)
