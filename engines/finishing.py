"""From the generated video to the result: true rate, sound, label, signature; and the side-by-side video."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import config
from config import FINISHING, FROM_TEXT, GENERATION, NO_PATH, PREPROCESSING, Job
from engines import our_code, source_folder
from engines.findings import Finding, kind
from engines.timing import Timing, timing_of
from execution.record import HIDDEN_FOLDER, read_record
from execution.step import Step, StepFailed, StepRun

if TYPE_CHECKING:
    from media.finish import Sound

AUDIO = kind(
    "finish.audio",
    "error",
    "The sound cannot be used",
    "The video would be computed, and then be left without sound.",
)
CREDENTIALS = kind(
    "finish.credentials",
    "error",
    "The result cannot be signed",
    "The video would be computed, and then not get its Content Credentials.",
)
NO_SOUND = kind(
    "finish.no-sound",
    "warning",
    "The driving video's sound is not known or gone",
    "The result will be silent.",
)
RATE_UNKNOWN = kind(
    "finish.rate-from-file",
    "note",
    "The true rate is not recorded",
    "Upstream rounds the rate in its files to two decimals: over a long clip the sound may drift.",
)
NO_SIDE = kind(
    "finish.no-driving-video",
    "error",
    "No driving video to put beside the result",
    "--side_by_side shows driving video, pose and result.",
)


def generated_path(job: Job) -> Path:
    """Where stage 2 leaves its video: kept, so that only the finish runs again when only that changes."""
    return job.output_path.parent / HIDDEN_FOLDER / f"{job.output_path.stem}.generated.mp4"


def side_by_side_path(job: Job) -> Path:
    """The second video of ``--side_by_side``."""
    return job.output_path.with_name(f"{job.output_path.stem}_side_by_side.mp4")


def finishing_findings(job: Job) -> Iterator[Finding]:
    """What would make the finish fail, and what the result will lack."""
    import preprocess

    if job.audio != NO_PATH:
        from media.finish import FinishError, check_sound

        try:
            check_sound(job.audio)
        except (FinishError, preprocess.MediaError) as error:
            yield AUDIO.found(f"--audio: {error}", "Give another file, or --no_audio.")
    elif not job.no_audio and PREPROCESSING in job.stages:
        yield from _unusable_sound_of(job.video_path)
    if job.credentials is not None:
        from media.credentials import check_credentials

        if problem := check_credentials(*job.credentials):
            yield CREDENTIALS.found(f"--credentials: {problem}", "Mend it, or leave --credentials out.")
    if PREPROCESSING in job.stages or job.engine in FROM_TEXT:
        return
    try:
        timing = timing_of(job)
    except preprocess.MediaError:
        return  # found elsewhere
    driving_video = timing.driving_video
    if driving_video is None:
        what = f"{job.src_root_path} does not say at which rate it was made; {float(timing.rate):g} is taken."
        yield RATE_UNKNOWN.found(what, "Make it with run_preprocessing.py to be exact.")
    missing = driving_video is None or not driving_video.is_file()
    if missing and job.audio == NO_PATH and not job.no_audio:
        what = f"The driving video of {job.src_root_path} is not " + (
            "known." if driving_video is None else f"there any more ({driving_video})."
        )
        yield NO_SOUND.found(what, "Give its sound with --audio, or say --no_audio.")
    sampled = timing.sampled_video
    if job.side_by_side and (sampled is None or not sampled.is_file()):
        what = f"--side_by_side: the driving video of {job.src_root_path} is not there."
        yield NO_SIDE.found(what, "Leave out --side_by_side, or run both stages.")


def _unusable_sound_of(video: Path) -> Iterator[Finding]:
    import preprocess
    from media.finish import FinishError, check_sound

    try:
        if preprocess.probe_video(video).has_audio:
            check_sound(video)
    except FinishError as error:
        yield AUDIO.found(f"The driving video's sound: {error.what}", "Say --no_audio, or give another file.")
    except preprocess.MediaError:
        return  # found elsewhere


def finishing_steps(job: Job, engine: str, timing: Timing | None = None) -> Iterator[Step]:
    """The finish, and the side-by-side video if it was asked for.

    ``timing`` is for an engine whose frames belong to other times than the job's settings say.
    """
    import preprocess

    try:
        timing = timing or timing_of(job)
    except preprocess.MediaError as error:
        raise StepFailed(f"The finish cannot be planned: {error}") from error
    yield _finish_step(job, engine, timing)
    if job.side_by_side and engine in config.SETTINGS["side_by_side"].used_by:
        yield _side_by_side_step(job, engine, timing)


def _finish_step(job: Job, engine: str, timing: Timing) -> Step:
    generated = generated_path(job)
    inputs = {"generated video": generated}
    sound = _sound(job, timing)
    if sound is not None:
        inputs["sound"] = sound.path
    if job.credentials is not None:
        inputs["signing certificate"] = job.credentials[0]
    return Step(
        name="finish",
        file_name=f"finish {job.output_path.name}",
        stage=FINISHING,
        title="The finish: rate, sound, label",
        engine=engine,
        folder=job.output_path.parent,
        inputs=inputs,
        outputs=(job.output_path,),
        settings={
            "rate": str(timing.rate),
            "sound_start": None if sound is None else str(sound.start),
            "tags": _tags(job),
        },
        function=partial(_finish, job, timing),
        code=our_code.FINISHING,
        verify=partial(_verify, job, timing),
        facts=lambda log: {"rate": str(timing.rate), "sound": None if sound is None else str(sound.path)},
    )


def _sound(job: Job, timing: Timing) -> Sound | None:
    import preprocess
    from media.finish import Sound

    if job.no_audio:
        return None
    if job.audio != NO_PATH:
        return Sound(job.audio)
    video = timing.driving_video
    if video is None or not video.is_file() or not preprocess.probe_video(video).has_audio:
        return None
    return Sound(video, timing.start)


def _tags(job: Job) -> Mapping[str, str]:
    """Container tags. No paths: a result is given away, and the same job gives the same bytes anywhere."""
    settings = {
        "made_with": f"Understudy {config.VERSION}",
        "mode": job.mode,
        "engine": job.engine,
        **_settings_of_stage_1(job),
        **job.shaping_values(GENERATION),
    }
    return {
        **({"title": "Draft: first window, small, few steps"} if job.draft else {}),
        "comment": json.dumps(settings, ensure_ascii=False),
    }


def _settings_of_stage_1(job: Job) -> Mapping[str, Any]:
    """The job's own; for stage 2 alone, those that the folder's record has: the same result either way."""
    if PREPROCESSING in job.stages:
        return job.shaping_values(PREPROCESSING)
    if job.engine in FROM_TEXT:
        return {}
    settings = read_record(job.src_root_path / HIDDEN_FOLDER / "preprocess.json").get("settings", {})
    return settings if isinstance(settings, dict) else {}


def _finish(job: Job, timing: Timing, run: StepRun) -> None:
    import preprocess
    from media import credentials, labels
    from media.finish import FinishError, finish_video

    target = run.folder / job.output_path.name
    unsigned = target.with_name("unsigned.mp4") if job.credentials else target
    source_type = labels.source_type(replace=job.replace)
    try:
        finish_video(
            generated_path(job),
            unsigned,
            rate=timing.rate,
            sound=_sound(job, timing),
            tags=_tags(job),
            xmp=labels.make_xmp(source_type),
            report=run.report,
        )
        if job.credentials is not None:
            certificate, key = job.credentials
            credentials.sign(
                unsigned,
                target,
                certificate=certificate,
                key=key,
                title=job.output_path.name,
                source_type=source_type,
                ingredients=_ingredients(job, timing),
            )
            unsigned.unlink()
    except (FinishError, credentials.CredentialsError, preprocess.MediaError) as error:
        raise StepFailed(str(error)) from error


def _ingredients(job: Job, timing: Timing) -> list[tuple[Path, str]]:
    if job.engine in FROM_TEXT:
        return []
    reference = job.refer_path if PREPROCESSING in job.stages else job.src_root_path / source_folder.REFERENCE
    found = [(timing.driving_video, "driving video"), (reference, "reference image")]
    return [(path, title) for path, title in found if path is not None and path.is_file()]


def _verify(job: Job, timing: Timing, folder: Path) -> None:
    """As many frames as were generated, at the true rate, with sound if there is some, labelled."""
    import preprocess
    from media.labels import read_label

    made = folder / job.output_path.name
    try:
        expected = preprocess.probe_video(generated_path(job))
        size = (expected.width, expected.height)
        info = preprocess.check_video(made, frame_count=expected.frame_count, size=size)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
    if info.rate != timing.rate:
        raise StepFailed(f"{made} plays at {info.rate} frames a second; {timing.rate} was expected.")
    if info.has_audio and _sound(job, timing) is None:
        raise StepFailed(f"{made} has a sound track that nobody asked for.")
    if read_label(made) is None:
        raise StepFailed(f"{made} does not say that it is AI-generated.")


def _side_by_side_step(job: Job, engine: str, timing: Timing) -> Step:
    target = side_by_side_path(job)
    if timing.sampled_video is None:
        raise StepFailed("--side_by_side: the driving video is not known.")
    pose = job.src_root_path / source_folder.POSE
    return Step(
        name="side_by_side",
        file_name=f"side_by_side {target.name}",
        stage=FINISHING,
        title="Driving video, pose and result side by side",
        engine=engine,
        folder=target.parent,
        inputs={"driving video": timing.sampled_video, "pose video": pose, "result": job.output_path},
        outputs=(target,),
        settings={"rate": str(timing.rate), "fps": timing.fps},
        function=partial(_write_side_by_side, job, timing, timing.sampled_video),
        code=our_code.SIDE_BY_SIDE,
        verify=partial(_verify_side_by_side, job),
    )


def _verify_side_by_side(job: Job, folder: Path) -> None:
    import preprocess

    try:
        count = preprocess.probe_video(job.output_path).frame_count
        preprocess.check_video(folder / side_by_side_path(job).name, frame_count=count)
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error


def _write_side_by_side(job: Job, timing: Timing, video: Path, run: StepRun) -> None:
    import preprocess
    from media.finish import FinishError
    from media.side_by_side import write_side_by_side

    pose = job.src_root_path / source_folder.POSE
    try:
        info = preprocess.probe_video(video)
        count = preprocess.probe_video(pose).frame_count
        indices = preprocess.sample_indices(info.frame_count, float(info.rate), timing.fps)
        # Upstream's writer adds or loses a frame: the last one stands for what is missing.
        padded = list(islice(chain(indices, repeat(indices[-1])), count))
        write_side_by_side(
            preprocess.read_frames(video, padded),
            pose,
            job.output_path,
            run.folder / side_by_side_path(job).name,
            rate=timing.rate,
            report=run.report,
        )
    except (FinishError, preprocess.MediaError) as error:
        raise StepFailed(str(error)) from error
