"""Checks that every engine needs: the media, the folders, the folder between the stages."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from config import GENERATION, PREPROCESSING, SETTINGS, Job
from engines import source_folder
from engines.interface import Finding
from execution.record import half_published


def common_findings(job: Job, engine: str) -> Iterator[Finding]:
    """What would make the job fail on any engine, and settings that this engine has no use for."""
    if PREPROCESSING in job.stages:
        yield from _media(job)
        yield from _writable("save_path", job.save_path)
    elif GENERATION in job.stages:
        yield from _source_folder(job)
    if GENERATION in job.stages:
        yield from _output(job)
    yield from _unused_settings(job, engine)


def _media(job: Job) -> Iterator[Finding]:
    import preprocess

    try:
        info = preprocess.probe_video(job.video_path)
        if not preprocess.sample_indices(info.frame_count, float(info.rate), job.fps):
            yield Finding(
                "media.too-short",
                "error",
                f"--video_path: {job.video_path} has {info.frame_count} frame(s) at {float(info.rate):g} a "
                f"second; none is left at --fps {job.fps}.",
                "Give a longer clip, or --fps source.",
            )
        shape = (info.width, info.height)
    except preprocess.MediaError as error:
        yield Finding("media.video", "error", f"--video_path: {error}", "")
        shape = None
    try:
        picture = preprocess.read_picture(job.refer_path)
        if not job.replace:
            shape = (picture.shape[1], picture.shape[0])
    except preprocess.MediaError as error:
        yield Finding("media.reference", "error", f"--refer_path: {error}", "")
        return
    if shape:
        width, height = job.resolution
        try:
            preprocess.canvas_size(*shape, width * height)
        except preprocess.MediaError as error:
            yield Finding("media.canvas", "error", f"--resolution: {error}", "")


def _writable(name: str, folder: Path) -> Iterator[Finding]:
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        what = f"--{name}: {existing} is a file, so {folder} cannot be a folder."
        yield Finding("output.not-a-folder", "error", what, "Choose another folder.")
        return
    try:
        # Asking for permission is not enough: read-only and special file systems say yes and mean no.
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        what = f"--{name}: {existing} cannot be written ({error.strerror})."
        yield Finding(
            "output.not-writable", "error", what, "Choose another folder, or change its permissions."
        )


def _output(job: Job) -> Iterator[Finding]:
    if job.output_path.is_dir():
        what = f"--output_path: {job.output_path} is a folder."
        yield Finding("output.is-a-folder", "error", what, "Give the name of the .mp4 file.")
    yield from _writable("output_path", job.output_path.parent)
    inputs = {
        job.video_path,
        job.refer_path,
        *(job.src_root_path / name for name in source_folder.names(job)),
    }
    if job.output_path in inputs:
        what = f"--output_path: {job.output_path} is one of the inputs; it would be overwritten."
        yield Finding("output.is-an-input", "error", what, "Choose another name.")


def _source_folder(job: Job) -> Iterator[Finding]:
    folder = job.src_root_path
    if not folder.is_dir():
        what = f"--src_root_path: {folder} " + ("is a file." if folder.exists() else "does not exist.")
        yield Finding("source.missing", "error", what, "Give the folder that run_preprocessing.py wrote.")
        return
    if broken := half_published(folder, PREPROCESSING):
        what = f"--src_root_path: {folder} was left half-way by '{broken}'."
        yield Finding("source.unfinished", "error", what, "Run stage 1 again: it finishes the rest.")
        return
    missing = [name for name in source_folder.ALWAYS if not (folder / name).is_file()]
    if missing:
        what = f"--src_root_path: stage 1 did not finish in {folder}: {', '.join(missing)} missing."
        yield Finding("source.unfinished", "error", what, "Run stage 1 again.")
        return
    present = [name for name in source_folder.REPLACE_ONLY if (folder / name).is_file()]
    if job.replace and len(present) < len(source_folder.REPLACE_ONLY):
        what = f"--src_root_path: {folder} was made for animate mode (it has no mask and background)."
        yield Finding("source.mode", "error", what, "Leave out --replace, or run stage 1 with --replace.")
        return
    if not job.replace and present:
        what = f"--src_root_path: {folder} was made for replace mode (it has {' and '.join(present)})."
        yield Finding("source.mode", "error", what, "Add --replace, or run stage 1 without it.")
        return
    if wrong := source_folder.disagreement(folder, replace=job.replace, decode=False):
        yield Finding("source.files", "error", f"--src_root_path: {wrong}", "Run stage 1 again.")


def _unused_settings(job: Job, engine: str) -> Iterator[Finding]:
    unused = [name for name in SETTINGS if name in job.given and engine not in SETTINGS[name].used_by]
    if unused:
        flags = ", ".join(f"--{name}" for name in unused)
        yield Finding(
            "settings.unused", "note", f"The {engine} engine has no use for {flags}.", "It goes on without."
        )
