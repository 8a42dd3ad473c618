"""Whether a clip can be drawn: everything that the files' headers and the values tell, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engines.animatediff import problems
from engines.animatediff.clip import LARGEST_SEED, MOST_STEPS, SIDE_STEP, SMALLEST_SIDE, Clip
from engines.animatediff.clip import SparseControl as Control
from engines.animatediff.weight_files import (
    FAMILY_NAMES,
    PICKLED,
    SD15,
    SDXL,
    AdapterShape,
    WeightsError,
    adapter_shape,
    checkpoint_family,
    read_shapes,
)
from engines.findings import Finding

_WEIGHTS_HELP: Final = "docs/animatediff.md says what to download and where it goes."
_MOST_FRAMES: Final = 2048
_LIKELY_WORDS: Final = 60
"""A prompt of more words has more than the text encoder's 77 tokens."""


def clip_findings(clip: Clip) -> Iterator[Finding]:
    """What would make the clip fail, its packages and its machine apart."""
    yield from _values(clip)
    family = shape = None
    try:
        family = _checkpoint(clip.checkpoint)
    except problems.Refused as refused:
        yield from refused.findings
    try:
        shape = _adapter(clip.motion_adapter)
    except problems.Refused as refused:
        yield from refused.findings
    if family and shape and family != shape.family:
        what = (
            f"{clip.motion_adapter} is an {FAMILY_NAMES[shape.family]} adapter, and {clip.checkpoint} is an "
            f"{FAMILY_NAMES[family]} checkpoint."
        )
        yield problems.FAMILY.found(what, "Take two of the same family.")
    yield from _pipeline_config(clip, family)
    yield from _frames(clip, family, shape)
    yield from _loras(clip, family, shape)
    if clip.sparse_control is not None:
        yield from _control(clip, clip.sparse_control, family)


def family_of(clip: Clip) -> str:
    """The checkpoint's family.

    Raises:
        Refused: it cannot be told.
    """
    return _checkpoint(clip.checkpoint)


def needs_free_noise(clip: Clip, limit: int | None) -> bool:
    """Whether the adapter must look at the clip part by part."""
    return len(clip.prompts) > 1 or clip.frames > (limit or clip.frames)


def _checkpoint(path: Path) -> str:
    if not path.exists():
        raise problems.refuse(problems.CHECKPOINT, f"Checkpoint not found: {path}.", _WEIGHTS_HELP)
    try:
        return checkpoint_family(path)
    except WeightsError as error:
        raise problems.refuse(problems.CHECKPOINT, f"Checkpoint: {error}", _WEIGHTS_HELP) from error


def _adapter(path: Path) -> AdapterShape | None:
    if not path.exists():
        raise problems.refuse(problems.ADAPTER, f"MotionAdapter not found: {path}.", _WEIGHTS_HELP)
    try:
        return adapter_shape(path)
    except WeightsError as error:
        raise problems.refuse(problems.ADAPTER, f"MotionAdapter: {error}", _WEIGHTS_HELP) from error


def _values(clip: Clip) -> Iterator[Finding]:
    rules = (
        ("frames", clip.frames, 1, _MOST_FRAMES),
        ("steps", clip.steps, 1, MOST_STEPS),
        ("seed", clip.seed, 0, LARGEST_SEED),
        ("fps", clip.fps, 1, 1000),
        ("context length", clip.context_length, 2, _MOST_FRAMES),
    )
    for name, value, least, most in rules:
        if not least <= value <= most:
            what = f"{name} must be a whole number from {least} to {most}; it is {value}."
            yield problems.VALUE.found(what, "Give another.")
    for name, side in (("width", clip.width), ("height", clip.height)):
        if side % SIDE_STEP or side < SMALLEST_SIDE:
            near = max(SMALLEST_SIDE, round(side / SIDE_STEP) * SIDE_STEP)
            what = f"{name} must be a multiple of {SIDE_STEP} and at least {SMALLEST_SIDE}; it is {side}."
            yield problems.VALUE.found(what, f"Give {near}.")
    if not 0 <= clip.guidance < float("inf"):
        yield problems.VALUE.found(f"guidance must be at least 0; it is {clip.guidance}.", "Give about 7.5.")
    frames = [frame for frame, _ in clip.prompts]
    if frames != sorted(set(frames)) or frames[0] != 0 or frames[-1] >= clip.frames:
        what = f"The prompts' frames must rise from 0 to at most {clip.frames - 1}; they are {frames}."
        yield problems.VALUE.found(what, "Mend the frames, or give one prompt.")
    texts = [text for _, text in clip.prompts]
    for text in texts:
        if not text.strip():
            yield problems.VALUE.found("A prompt is empty.", "Say what to draw.")
    for text in (*texts, clip.negative_prompt):
        if len(text.split()) > _LIKELY_WORDS:
            what = f"The prompt '{text[:40]}...' has {len(text.split())} words."
            yield problems.LONG_PROMPT.found(what, "Say it shorter.")


def _pipeline_config(clip: Clip, family: str | None) -> Iterator[Finding]:
    folder = clip.pipeline_config
    if folder is None:
        if clip.checkpoint.is_file():
            what = f"{clip.checkpoint} is a single file, and pipeline_config_path is not given."
            yield problems.NO_CACHE.found(what, "Give the folder to load without a network.")
        return
    if not (folder / "model_index.json").is_file():
        what = f"pipeline_config_path: {folder} holds no model_index.json."
        yield problems.PIPELINE_CONFIG.found(what, _WEIGHTS_HELP)
        return
    try:
        found = checkpoint_family(folder)
    except WeightsError as error:
        yield problems.PIPELINE_CONFIG.found(f"pipeline_config_path: {error}", _WEIGHTS_HELP)
        return
    if family and found != family:
        what = f"pipeline_config_path: {folder} is {FAMILY_NAMES[found]}'s"
        what += f", the checkpoint {FAMILY_NAMES[family]}."
        yield problems.PIPELINE_CONFIG.found(what, "Give the folder of the checkpoint's own base model.")


def _frames(clip: Clip, family: str | None, shape: AdapterShape | None) -> Iterator[Finding]:
    limit = None if shape is None else shape.frame_limit
    if not needs_free_noise(clip, limit):
        return
    reason = "Several prompts" if len(clip.prompts) > 1 else f"{clip.frames} frames"
    if family == SDXL or clip.sparse_control is not None:
        who = "SDXL" if family == SDXL else "SparseCtrl"
        remedy = "Give one prompt and fewer frames" + (f", at most {limit}." if limit else ".")
        what = f"{reason}: {who} draws a clip at once only" + (f", of {limit} frames." if limit else ".")
        yield problems.FRAMES.found(what, remedy)
    elif clip.frames < clip.context_length:
        what = f"{reason}: the clip of {clip.frames} frames is shorter than the context "
        what += f"of {clip.context_length}."
        yield problems.FRAMES.found(what, "Give more frames, or a smaller context length.")
    elif limit is not None and clip.context_length > limit:
        what = f"The context of {clip.context_length} frames is more than the adapter's {limit}."
        yield problems.FRAMES.found(what, f"Give a context length of at most {limit}.")


def _loras(clip: Clip, family: str | None, shape: AdapterShape | None) -> Iterator[Finding]:
    extras = [*clip.loras, *([clip.domain_adapter] if clip.domain_adapter else [])]
    if extras and family == SDXL:
        yield problems.LORA.found(
            "The LoRAs here are for SD 1.5.", "Leave them out, or take an SD 1.5 checkpoint."
        )
        return
    for lora in extras:
        if not lora.path.is_file():
            yield problems.LORA.found(f"LoRA not found: {lora.path}.", "Check its name.")
            continue
        if lora.path.suffix.lower() in PICKLED:
            continue
        try:
            names = list(read_shapes(lora.path))
        except WeightsError as error:
            yield problems.LORA.found(f"LoRA: {error}", "Download it again.")
            continue
        if not any("lora" in name.lower() for name in names):
            yield problems.LORA.found(f"{lora.path} is no LoRA.", "Give another file.")
        elif (
            shape is not None
            and not shape.mid_block
            and any("mid_block" in n and "motion" in n for n in names)
        ):
            what = f"{lora.path} moves a mid block, which {clip.motion_adapter} has not."
            yield problems.LORA.found(what, "MotionLoRAs belong to the v2 motion module: take that one.")


def _control(clip: Clip, control: Control, family: str | None) -> Iterator[Finding]:
    if family not in (None, SD15):
        yield problems.CONTROL.found(
            "SparseCtrl is for SD 1.5.", "Leave it out, or take an SD 1.5 checkpoint."
        )
    if not (control.path / "config.json").is_file():
        what = f"SparseCtrl: {control.path} is no model folder: it holds no config.json."
        yield problems.CONTROL.found(what, _WEIGHTS_HELP)
    for image in control.images:
        if not image.is_file():
            yield problems.CONTROL.found(f"SparseCtrl: picture not found: {image}.", "Check its name.")
    if not control.images or len(control.images) != len(control.indices):
        what = f"SparseCtrl: {len(control.images)} pictures and {len(control.indices)} frame numbers."
        yield problems.CONTROL.found(what, "Give one frame number for each picture.")
    wrong = [index for index in control.indices if not -clip.frames <= index < clip.frames]
    if wrong:
        what = f"SparseCtrl: there is no frame {wrong[0]} in a clip of {clip.frames}."
        yield problems.CONTROL.found(what, "Frames count from 0; -1 is the last.")
