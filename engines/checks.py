"""Checks that every engine needs: the folders, the result's name, the folder between the stages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from config import FINISHING, FROM_TEXT, GENERATION, MASKING, PREPROCESSING, SETTINGS, Job
from engines import source_folder
from engines.findings import Finding, kind
from execution.lock import holder
from execution.record import half_published
from execution.result_record import is_ours

_AT_THE_END = "Everything would be computed, and then could not be saved."

NOT_A_FOLDER = kind("output.not-a-folder", "error", "A file stands where a folder is needed", _AT_THE_END)
NOT_WRITABLE = kind("output.not-writable", "error", "A folder that cannot be written", _AT_THE_END)
IS_A_FOLDER = kind("output.is-a-folder", "error", "The result's name is a folder's", _AT_THE_END)
IS_AN_INPUT = kind("output.is-an-input", "error", "The result would overwrite an input", "The input is lost.")
RECORD_NAME = kind(
    "output.record-name",
    "error",
    "A foreign file has the name of the record",
    "Beside each result stands a .json file that says how it was made; yours would be overwritten.",
)
SOURCE_MISSING = kind(
    "source.missing",
    "error",
    "The folder of stage 1 is not there",
    "Upstream notices only after minutes of loading.",
)
SOURCE_UNFINISHED = kind(
    "source.unfinished",
    "error",
    "Stage 1 did not finish in this folder",
    "Stage 2 would fail after loading, or use files of two different runs.",
)
SOURCE_MODE = kind(
    "source.mode",
    "error",
    "The folder was made for the other mode",
    "Upstream would make a video of the other kind, and report success.",
)
SOURCE_FILES = kind(
    "source.files",
    "error",
    "The files of stage 1 do not fit together",
    "Upstream pads or cuts them in silence: the video is out of step, and success is reported.",
)
UNUSED = kind("settings.unused", "note", "A setting that the engine does not use", "It changes nothing.")
NO_EFFECT = kind("settings.no-effect", "note", "A setting that changes nothing here", "It changes nothing.")
UNUSABLE_PATH = kind(
    "path.unusable", "error", "A path that the system refuses", "The file can be neither read nor written."
)
IN_USE = kind(
    "machine.folder-in-use",
    "error",
    "Another run works in this folder",
    "Two runs in one folder overwrite each other's files.",
)


def common_findings(job: Job, engine: str) -> Iterator[Finding]:
    """What would make the job fail on any engine, and settings that this engine has no use for."""
    from engines.media_checks import media_findings

    if PREPROCESSING in job.stages:
        yield from media_findings(job)
        yield from writable("save_path", job.save_path)
    elif GENERATION in job.stages and engine not in FROM_TEXT:
        yield from _source_folder(job)
    if GENERATION in job.stages:
        yield from _output(job)
    if FINISHING in job.stages:
        from engines.finishing import finishing_findings

        yield from finishing_findings(job)
    between = () if engine in FROM_TEXT else ("preprocess", "mask")
    wanted = [(job.save_path, name) for name in between]
    if GENERATION in job.stages:
        wanted.append((job.output_path.parent, f"generate {job.output_path.name}"))
    yield from in_use(wanted)
    if MASKING in job.stages:
        from engines.mask_check import mask_findings

        yield from mask_findings(job)
    yield from _useless_settings(job, engine)


def writable(name: str, folder: Path) -> Iterator[Finding]:
    """Whether files can be made in a folder, or in the one in which it will be made."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        what = f"--{name}: {existing} is a file, so {folder} cannot be a folder."
        yield NOT_A_FOLDER.found(what, "Choose another folder.")
        return
    try:
        # Asking for permission is not enough: read-only and special file systems say yes and mean no.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        what = f"--{name}: {existing} cannot be written ({error.strerror})."
        yield NOT_WRITABLE.found(what, "Choose another folder, or change its permissions.")


def _output(job: Job) -> Iterator[Finding]:
    if job.output_path.is_dir():
        what = f"--output_path: {job.output_path} is a folder."
        yield IS_A_FOLDER.found(what, "Give the name of the .mp4 file.")
    yield from writable("output_path", job.output_path.parent)
    record = job.output_path.with_suffix(".json")
    if record.exists() and not is_ours(record):
        what = f"--output_path: the result's record would be {record}, which is another file."
        yield RECORD_NAME.found(what, "Choose another name, or move that file away.")
    inputs = {
        job.video_path,
        job.refer_path,
        job.audio,
        *(job.src_root_path / name for name in source_folder.names(job)),
    }
    if job.output_path in inputs:
        what = f"--output_path: {job.output_path} is one of the inputs; it would be overwritten."
        yield IS_AN_INPUT.found(what, "Choose another name.")


def in_use(wanted: Iterable[tuple[Path, str]]) -> Iterator[Finding]:
    """Whether another run makes one of these steps' files: folder and name of each."""
    for folder, step in wanted:
        if who := holder(folder, step):
            what = f"{folder} is in use: {who} is making the same files."
            yield IN_USE.found(what, "Wait until it has finished, end it, or choose another folder.")


def unfinished_folder(folder: Path) -> Iterator[Finding]:
    """Whether stage 1 has left in a folder what it leaves in either mode."""
    if not folder.is_dir():
        what = f"--src_root_path: {folder} " + ("is a file." if folder.exists() else "does not exist.")
        yield SOURCE_MISSING.found(what, "Give the folder that run_preprocessing.py wrote.")
        return
    for stage, again in ((PREPROCESSING, "Run stage 1 again"), (MASKING, "Make the mask again")):
        if broken := half_published(folder, stage):
            what = f"--src_root_path: {folder} was left half-way by '{broken}'."
            yield SOURCE_UNFINISHED.found(what, f"{again}: it finishes the rest.")
            return
    missing = [name for name in source_folder.ALWAYS if not (folder / name).is_file()]
    if missing:
        what = f"--src_root_path: stage 1 did not finish in {folder}: {', '.join(missing)} missing."
        yield SOURCE_UNFINISHED.found(what, "Run stage 1 again.")


def _source_folder(job: Job) -> Iterator[Finding]:
    folder = job.src_root_path
    unfinished = list(unfinished_folder(folder))
    if unfinished:
        yield from unfinished
        return
    present = [name for name in source_folder.REPLACE_ONLY if (folder / name).is_file()]
    if job.replace and len(present) < len(source_folder.REPLACE_ONLY):
        what = f"--src_root_path: {folder} has no mask and background: it was made for animate mode, or the "
        what += "mask step has not ended well."
        remedy = "Leave out --replace, run stage 1 with --replace, or make a mask: scripts/build_mask.py."
        yield SOURCE_MODE.found(what, remedy)
        return
    if not job.replace and present:
        what = f"--src_root_path: {folder} was made for replace mode (it has {' and '.join(present)})."
        yield SOURCE_MODE.found(what, "Add --replace, or run stage 1 without it.")
        return
    if wrong := source_folder.disagreement(folder, replace=job.replace, decode=False):
        yield SOURCE_FILES.found(f"--src_root_path: {wrong}", "Run stage 1 again.")


def _useless_settings(job: Job, engine: str) -> Iterator[Finding]:
    unused = [name for name in SETTINGS if name in job.given and engine not in SETTINGS[name].used_by]
    if unused:
        flags = ", ".join(f"--{name}" for name in unused)
        yield UNUSED.found(f"The {engine} engine has no use for {flags}.", "It goes on without.")
    growth = [name for name in ("iterations", "k", "w_len", "h_len") if name in job.given]
    if growth and not job.replace:
        flags = ", ".join(f"--{name}" for name in growth)
        yield NO_EFFECT.found(
            f"{flags}: there is no mask in animate mode.", "Add --replace, or leave it out."
        )
    bounds = [name for name in ("frame_num_min", "frame_num_max") if name in job.given]
    if bounds and job.frame_num is not None and not job.draft:
        flags = ", ".join(f"--{name}" for name in bounds)
        yield NO_EFFECT.found(f"{flags}: --frame_num is fixed.", "Leave out --frame_num for auto.")
