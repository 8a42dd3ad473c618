"""What would make a Job fail on the official repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from config import GENERATION, HEADS, PREPROCESSING, SETTINGS, Job
from engines import source_folder
from engines.checks import common_findings
from engines.interface import Finding
from engines.wan22 import checkout
from engines.wan22.progress import UPSTREAM_FRAME_NUM

_TWO_WAYS_OUT = (
    "Either install it: "
    f"git clone {checkout.UPSTREAM_URL} (commit {checkout.UPSTREAM_COMMIT[:7]}), its requirements, and the "
    f"weights with: hf download {checkout.WEIGHTS_REPOSITORY} --local-dir Wan2.2-Animate-14B "
    "(docs/wan22.md says how). "
    "Or use --engine preview, which needs no GPU and no weights."
)


def findings(job: Job) -> Iterator[Finding]:
    """Everything found, worst first within each part."""
    yield from _installation(job)
    yield from common_findings(job, "wan22")
    yield from _file_names(job)
    yield from _media_of_upstream(job)
    if job.prompt is not None:
        yield Finding(
            "settings.prompt",
            "warning",
            "Upstream's command line accepts --prompt but drops it for this model.",
            "The result is the same without it.",
        )


def _installation(job: Job) -> Iterator[Finding]:
    scripts = []
    if PREPROCESSING in job.stages:
        scripts.append(checkout.PREPROCESS_SCRIPT)
    if GENERATION in job.stages:
        scripts.append(checkout.GENERATE_SCRIPT)
    missing = [script for script in scripts if not (job.wan22_dir / script).is_file()]
    if missing:
        what = f"The wan22 engine is not installed: {job.wan22_dir / missing[0]} does not exist."
        yield Finding("install.checkout", "error", what, _TWO_WAYS_OUT)
        return
    if not os.access(job.wan22_python, os.X_OK) or job.wan22_python.is_dir():
        what = f"--wan22_python: {job.wan22_python} is not a program that can be started."
        yield Finding("install.python", "error", what, "Give the interpreter of upstream's environment.")
    yield from _weights(job)


def _weights(job: Job) -> Iterator[Finding]:
    needed: list[Path] = []
    if PREPROCESSING in job.stages:
        needed += checkout.preprocess_weights(job.ckpt_dir, replace=job.replace, use_flux=job.use_flux)
        # The official download has the pose model as a folder: this file and hundreds of tensors beside it.
        needed += [path / "end2end.onnx" for path in needed if path.suffix == ".onnx" and path.is_dir()]
    if GENERATION in job.stages:
        needed += checkout.generate_weights(job.ckpt_dir, relighting=job.use_relighting_lora)
    missing = [str(path.relative_to(job.ckpt_dir)) for path in needed if not path.exists()]
    if GENERATION in job.stages:
        missing += checkout.missing_diffusion_files(job.ckpt_dir)
    if missing:
        what = f"The wan22 engine's weights are not complete in {job.ckpt_dir}: {', '.join(missing)} missing."
        yield Finding("install.weights", "error", what, _TWO_WAYS_OUT)


def _file_names(job: Job) -> Iterator[Finding]:
    """OpenCV ends the whole process on a name that is no Unicode (measured)."""
    for name in (name for name, setting in SETTINGS.items() if setting.is_path):
        try:
            str(getattr(job, name)).encode()
        except UnicodeEncodeError:
            what = f"--{name}: {getattr(job, name)} has letters that are not UTF-8; upstream cannot open it."
            yield Finding("path.letters", "error", what, "Rename the file or the folder.")


def _media_of_upstream(job: Job) -> Iterator[Finding]:
    """What upstream would notice late or never. Media that cannot be read at all are found elsewhere."""
    import preprocess

    try:
        if PREPROCESSING in job.stages:
            video = preprocess.probe_video(job.video_path)
            frame_count = len(preprocess.sample_indices(video.frame_count, float(video.rate), job.fps))
            yield from _decodable(job, video.codec)
        else:
            pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
            frame_count, canvas = pose.frame_count, (pose.width, pose.height)
        if GENERATION not in job.stages:
            return
        if 0 < frame_count <= job.refert_num:
            what = (
                f"Of {frame_count} frame(s) none is left beside the overlap of --refert_num {job.refert_num}."
            )
            yield Finding("media.too-short", "error", what, "Give a longer clip or a higher --fps.")
        if job.nproc_per_node is None:
            return
        if PREPROCESSING in job.stages:
            picture = preprocess.read_picture(job.refer_path)
            width, height = (
                (video.width, video.height) if job.replace else (picture.shape[1], picture.shape[0])
            )
            canvas = preprocess.canvas_size(width, height, job.resolution[0] * job.resolution[1])
        yield from _sharing(job, canvas, job.nproc_per_node)
    except preprocess.MediaError:
        return


def _decodable(job: Job, codec: str) -> Iterator[Finding]:
    """Upstream's video reader knows neither of these formats."""
    names = {"gif": "a GIF", "av1": "an AV1 video", "libdav1d": "an AV1 video", "libaom-av1": "an AV1 video"}
    if codec in names:
        what = f"--video_path: {job.video_path} is {names[codec]}, which upstream cannot open."
        yield Finding("media.codec", "error", what, "Export it as MP4 (H.264).")


def _sharing(job: Job, canvas: tuple[int, int], gpus: int) -> Iterator[Finding]:
    """Every GPU takes an equal share of the tokens of a window; where it cannot, upstream's first step dies.

    One token is 16x16 pixels; a window of 4n+1 frames has n latent frames, the reference and one more.
    """
    width, height = canvas
    tokens = ((job.frame_num or UPSTREAM_FRAME_NUM) // 4 + 2) * (width // 16) * (height // 16)
    if tokens % gpus == 0:
        return
    working = [str(n) for n in range(2, HEADS + 1) if HEADS % n == 0 and tokens % n == 0]
    what = f"--nproc_per_node: upstream cannot share a picture of {width}x{height} among {gpus} GPUs."
    numbers = (
        f"Use {' or '.join(working)} GPUs" if working else "For this size no number of GPUs works: use one"
    )
    yield Finding("gpus.sharing", "error", what, f"{numbers}, or another --resolution in stage 1.")
