"""Prediction: thin form."""

from __future__ import annotations

from config import PREPROCESSING, Job
from engines import normalising, source_folder
from engines.interface import Prediction
from engines.wan22.windows import tokens, windows_of


def predict(job: Job) -> Prediction | None:
    """Thin."""
    import preprocess

    try:
        if PREPROCESSING not in job.stages:
            pose = preprocess.probe_video(job.src_root_path / source_folder.POSE)
            return _of(job, pose.frame_count, pose.width, pose.height)
        video = preprocess.probe_video(job.video_path)
        shape = (video.width, video.height)
        if not job.replace:
            picture = preprocess.read_picture(job.refer_path)
            shape = (picture.shape[1], picture.shape[0])
        width, height = preprocess.canvas_size(*shape, job.resolution[0] * job.resolution[1])
        count, rate = video.frame_count, video.rate
        if normalising.is_needed(job):
            from media.normalise import normalised_frame_count

            rate = normalising.rate(job)
            count = normalised_frame_count(job.video_path, rate, job.frame_limit)
        return _of(job, len(preprocess.sample_indices(count, float(rate), job.fps)), width, height)
    except preprocess.MediaError:
        return None


def predict_after(job: Job) -> Prediction | None:
    """Thin."""
    import preprocess

    pose = preprocess.probe_video(job.save_path / source_folder.POSE)
    return _of(job, pose.frame_count, pose.width, pose.height)


def _of(job: Job, frames: int, width: int, height: int) -> Prediction:
    frame_num = job.frame_num or 77
    if frames <= job.refert_num:
        return Prediction(width=width, height=height, frames=frames, frame_num=frame_num)
    windows = windows_of(frames, frame_num, job.refert_num)
    return Prediction(
        width=width,
        height=height,
        frames=frames,
        frame_num=frame_num,
        windows=windows.windows,
        surplus_frames=windows.surplus_frames,
        tokens=tokens(frame_num, width, height),
    )
