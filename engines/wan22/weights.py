"""Whether the weights of a job's stages are there and whole, by headers, lengths and ends: none is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from config import Job
from engines.findings import Finding, kind
from engines.wan22 import checkout
from engines.wan22.weights_inspection import Weights, Wrong, inspect_weights

_LATE = (
    "Upstream opens its weights one after the other, for minutes, and ends at the first that it cannot read."
)

MISSING = kind("install.weights", "error", "Weights are missing", _LATE)
UNFINISHED = kind("install.weights-unfinished", "error", "A download of weights was broken off", _LATE)
DAMAGED = kind("install.weights-damaged", "error", "Weights that are cut off or damaged", _LATE)
POINTERS = kind("install.weights-lfs-pointer", "error", "git-lfs pointers in the place of weights", _LATE)
PAGES = kind("install.weights-web-page", "error", "Web pages in the place of weights", _LATE)
TENSORS = kind(
    "install.weights-tensors",
    "error",
    "Tensor files of an ONNX model are missing",
    "The model's own file looks whole; ONNX Runtime fails when it asks for the rest.",
)
INDEX = kind(
    "install.weights-index",
    "error",
    "The diffusion model's index and its files do not fit",
    "Tensors would be missing from the model; it is loaded all the same, with random numbers in their place.",
)
OTHER = kind(
    "install.weights-other",
    "warning",
    "Weights of another size than the published ones",
    "They are whole, but other weights make another picture, or do not fit the code.",
)

DOWNLOAD: Final = "python scripts/download_weights.py"
_PREPROCESSING: Final = checkout.PREPROCESS_CHECKPOINTS
_PUBLISHED: Final = {
    # path: bytes, and the share by which they may differ. Where the exact size is known, that is what the
    # container may differ by: the same tensors, converted from ComfyUI's files, make another pickle.
    checkout.T5: (11_361_920_418, 0.0002),
    checkout.CLIP: (4_772_359_047, 0.0002),
    checkout.VAE: (507_609_880, 0.0002),
    checkout.DIFFUSION_MODEL: (34_500_000_000, 0.02),
    f"{_PREPROCESSING}/{checkout.DETECTOR}": (61_700_000, 0.02),
    f"{_PREPROCESSING}/{checkout.POSE_MODEL}": (2_550_000_000, 0.02),
    f"{_PREPROCESSING}/{checkout.SAM2}": (900_000_000, 0.02),
}
_TOY: Final = 0.01
"""Below this share of the published size nobody takes it for the model: it was made small on purpose, to try
everything but the weights (docs/upstream_on_cpu.md)."""
_OF_KIND: Final = {
    Wrong.DAMAGED: (DAMAGED, "Fetch these again, they alone:"),
    Wrong.LFS_POINTER: (POINTERS, "Fetch the files:"),
    Wrong.WEB_PAGE: (PAGES, "Fetch the files:"),
    Wrong.TENSOR_FILES: (TENSORS, "Fetch what is missing:"),
    Wrong.INDEX: (INDEX, "Fetch the index and the files again:"),
}
_SHOWN: Final = 12


def weights_findings(job: Job) -> Iterator[Finding]:
    """Files of the job's stages that are missing, cut off, or not what they are named."""
    if checkout.missing_scripts(job):
        return  # the one message about that names the weights too
    yield from weights_in_folder(job)


def weights_in_folder(job: Job) -> list[Finding]:
    """The same, whether the checkout is there or not."""
    found = inspect_weights(job)
    return [*_findings(found), *_other_weights(found)]


def weights_beyond(job: Job, known: Job) -> list[Finding]:
    """What is missing or wrong of that which this job loads and ``known``, which asks for less, does not."""
    found, less = inspect_weights(job), inspect_weights(known)
    found.missing = [name for name in found.missing if name not in less.missing]
    found.wrong = {
        wrong: [text for text in words if text not in less.wrong.get(wrong, ())]
        for wrong, words in found.wrong.items()
    }
    return list(_findings(found))


def _findings(found: Weights) -> Iterator[Finding]:
    if found.missing:
        yield _missing(found)
    for wrong, (what_kind, remedy) in _OF_KIND.items():
        if words := found.wrong.get(wrong):
            what = f"Weights in {found.folder}: {_some(words, '; ')}."
            yield what_kind.found(what, f"{remedy} {_download(found)}")


def _missing(found: Weights) -> Finding:
    what = f"The wan22 engine's weights are not complete in {found.folder}: {_some(found.missing)} missing."
    if count := _broken_off(found):
        what = f"{what} {count} download(s) were broken off."
        return UNFINISHED.found(what, f"Go on with it: {_download(found)}")
    return MISSING.found(what, f"Fetch what is missing: {_download(found)}. Or use --engine preview.")


def _other_weights(found: Weights) -> Iterator[Finding]:
    others = []
    for name, (published, tolerance) in _PUBLISHED.items():
        size = found.sizes.get(name, 0)
        if size < published * _TOY:
            continue
        if abs(size - published) > published * tolerance:
            others.append(f"{name} has {_gigabytes(size)}, published are {_gigabytes(published)}")
    if others:
        remedy = f"If that is not meant: {_download(found)}"
        yield OTHER.found(f"Other weights in {found.folder}: {'; '.join(others)}.", remedy)


def _download(found: Weights) -> str:
    words = [*found.missing, *(text for texts in found.wrong.values() for text in texts)]
    extras = {"relighting": checkout.RELIGHTING, "flux": checkout.FLUX}
    wanted = [feature for feature, name in extras.items() if any(name in word for word in words)]
    features = f" --for {','.join(['animate', 'replace', *wanted])}" if wanted else ""
    return f"{DOWNLOAD}{features} --ckpt_dir {found.folder}"


def _broken_off(found: Weights) -> int:
    """Partial files that download tools leave: beside the file, or in a folder of their own."""
    places = [found.folder, *{(found.folder / name).parent for name in found.missing}]
    partial = {path for place in places if place.is_dir() for path in place.glob("*.incomplete")}
    hidden = found.folder / ".cache" / "huggingface" / "download"
    return len(partial | set(hidden.rglob("*.incomplete")))


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _some(words: Sequence[str], between: str = ", ") -> str:
    more = len(words) - _SHOWN
    return between.join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
