"""The Steps of a Job on a declared tool: its inputs, each of its commands, the cut, the finish."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import preprocess
from config import FINISHING, GENERATION, PREPROCESSING, Job
from engines import finishing, our_code
from engines.declared import clip as clips
from engines.declared import facts, result
from engines.declared.clip import Clip
from engines.declared.diagnose import diagnose
from engines.declared.progress import PhaseReader
from engines.declared.tool import DRIVING, POSE, REFERENCE, RESULT, SOUND, Call, Command, Tool
from execution.record import HIDDEN_FOLDER
from execution.step import Published, Step, StepFailed, StepRun

LAUNCHER: Final = Path(__file__).with_name("run_tool.py")
OUR_CODE: Final = (LAUNCHER, *our_code.NORMALISING, *sorted(Path(__file__).parent.glob("*.py")))
ENVIRONMENT: Final = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONIOENCODING": "utf-8",
    "TQDM_MININTERVAL": "1",
    "HF_HUB_OFFLINE": "1",  # missing weights must not become a download
}


def steps(tool: Tool, job: Job) -> Iterator[Step]:
    """The Steps of the whole. Each command's is made when those before it have run."""
    clip = readable_clip(tool, job)
    yield prepare_step(tool, job, clip)
    for command in tool.commands:
        yield command_step(tool, job, clip, command, call_of(tool, job, clip))
    yield from ending(tool, job, clip, tool.tile(call_of(tool, job, clip)) if tool.tile else None)


def ending(tool: Tool, job: Job, clip: Clip, box: tuple[int, int, int, int] | None) -> Iterator[Step]:
    """The cut, if there is one to make, and the finish."""
    if box is not None:
        yield cut_step(tool, job, clip, box)
    if FINISHING in job.stages:
        yield from finishing.finishing_steps(job, tool.name, clip.timing)


def readable_clip(tool: Tool, job: Job) -> Clip:
    """Raises StepFailed where the media cannot be read."""
    try:
        return clips.clip_of(tool, job)
    except (preprocess.MediaError, OSError) as error:
        raise StepFailed(f"The {tool.title} engine cannot plan: {error}") from error


def staged(job: Job) -> Path:
    """The folder of what stands ready for the tool."""
    return job.save_path / job.engine


def raw_path(tool: Tool, job: Job) -> Path:
    """Where the last command's video goes: it is the generated one, unless that has to be cut out of it."""
    generated = finishing.generated_path(job)
    return generated.with_name(f"{job.output_path.stem}.grid.mp4") if tool.tile else generated


def call_of(tool: Tool, job: Job, clip: Clip) -> Call:
    """What the next command is made for, by the files that stand ready, else by what was foreseen."""
    frames, (width, height) = clip.frames, clip.reference
    if tool.clip is not None:
        return Call(job, frames, width, height)
    try:
        if tool.is_driven_by_sound():
            from engines.declared.staging import sound_frames

            frames = sound_frames(staged(job) / SOUND, clip.timing.rate)
        for name in (DRIVING, POSE):
            if (staged(job) / name).is_file():
                info = preprocess.probe_video(staged(job) / name)
                frames = info.frame_count
                width, height = (info.width, info.height) if name == POSE else (width, height)
    except (preprocess.MediaError, OSError, EOFError):
        return Call(job, clip.frames, *clip.reference)
    return Call(job, frames, width, height)


# ------------------------------------------------------------------------------------------------- steps


def prepare_step(tool: Tool, job: Job, clip: Clip) -> Step:
    """The inputs, as the tool reads them."""
    sound = tool.is_driven_by_sound()
    driving = {"driving sound": job.audio} if sound else {"driving video": job.video_path}
    names = (REFERENCE, SOUND if sound else DRIVING)
    return Step(
        name="prepare",
        stage=PREPROCESSING,
        title=f"Inputs for {tool.title}",
        engine=tool.name,
        folder=staged(job),
        inputs={"reference image": job.refer_path, **driving},
        outputs=tuple(staged(job) / name for name in names),
        settings={"rate": str(clip.timing.rate), "size": clip.reference, "frame_limit": job.frame_limit},
        function=partial(_prepare, tool, job, clip),
        code=OUR_CODE,
        verify=lambda folder: None,
    )


def _prepare(tool: Tool, job: Job, clip: Clip, run: StepRun) -> None:
    from engines.declared.staging import make_inputs

    _told(lambda: make_inputs(tool, job, clip, run.folder, run.report))


def command_step(tool: Tool, job: Job, clip: Clip, command: Command, call: Call) -> Step:
    """One of the tool's commands, through ``run_tool.py``, in the tool's own Python."""
    is_last = command.leaves == RESULT
    target = raw_path(tool, job) if is_last else staged(job) / command.leaves
    folder = job.output_path.parent if is_last else staged(job)
    takes = {staged(job) / name: place for name, place in command.takes.items()}
    configured = {name: make(call) for name, make in command.configures.items()}
    words = [str(job.tool_python), *command.words(call)]
    size = clip.result if is_last and tool.tile is None else None
    return Step(
        name="generate" if is_last else command.name,
        file_name=f"generate {job.output_path.name}" if is_last else command.name,
        stage=GENERATION if is_last else PREPROCESSING,
        title=f"{tool.title}: {command.title}",
        engine=tool.name,
        folder=folder,
        inputs={name: staged(job) / name for name in command.takes},
        outputs=(target,),
        settings={**job.shaping_values(GENERATION), "frames": call.frames} if is_last else {},
        argv=launched(command, takes, configured, target, words),
        cwd=job.tool_dir,
        env=environment(job),
        code=(*OUR_CODE, *tool.code_files(job)),
        weights=tool.weight_files(job),
        gpus=job.nproc_per_node or 1,
        progress=partial(PhaseReader, command.phases),
        diagnose=partial(diagnose, tool),
        verify=partial(result.verify, tool, target.relative_to(folder), call.frames, size, is_last),
        facts=partial(facts.of_run, tool, job),
    )


def launched(
    command: Command,
    takes: Mapping[Path, str],
    configured: Mapping[str, Mapping[str, Any]],
    target: Path,
    words: list[str],
) -> tuple[str | Published, ...]:
    """The whole argument list."""
    import yaml

    argv: list[str | Published] = [sys.executable, "-I", str(LAUNCHER)]
    for source, place in takes.items():
        argv += ["--take", str(source), place]
    for place, content in configured.items():
        text = yaml.safe_dump(dict(content), default_flow_style=True, sort_keys=False, width=1_000_000)
        argv += ["--write", place, text.strip()]
    for pattern in command.requires:
        argv += ["--need", pattern]
    for pattern in command.sweeps:
        argv += ["--sweep", pattern]
    return (*argv, "--find", command.finds, "--bring", Published(target), "--", *words)


def environment(job: Job) -> dict[str, str]:
    """The tools' device flags reach a part of them only; this reaches all. The checkout is importable."""
    if job.nproc_per_node is None:
        return {**ENVIRONMENT, "PYTHONPATH": str(job.tool_dir)}
    from engines import machine

    chosen = ",".join(str(gpu.index) for gpu in machine.gpus()[: job.nproc_per_node])
    return {**ENVIRONMENT, "PYTHONPATH": str(job.tool_dir), "CUDA_VISIBLE_DEVICES": chosen}


def cut_step(tool: Tool, job: Job, clip: Clip, box: tuple[int, int, int, int]) -> Step:
    """The result, out of the grid or the canvas that the tool made."""
    target = finishing.generated_path(job)
    return Step(
        name="cut",
        file_name=f"cut {job.output_path.name}",
        stage=GENERATION,
        title="The result, cut out of the tool's picture",
        engine=tool.name,
        folder=job.output_path.parent,
        inputs={"the tool's video": raw_path(tool, job)},
        outputs=(target,),
        settings={"box": list(box), "rate": str(clip.timing.rate)},
        function=partial(_cut, tool, job, clip, box),
        code=OUR_CODE,
        verify=partial(
            result.verify,
            tool,
            Path(HIDDEN_FOLDER) / target.name,
            call_of(tool, job, clip).frames,
            (box[2] // 2 * 2, box[3] // 2 * 2),
            True,
        ),
    )


def _cut(tool: Tool, job: Job, clip: Clip, box: tuple[int, int, int, int], run: StepRun) -> None:
    from engines.declared.staging import cut_out

    target = run.folder / finishing.generated_path(job).relative_to(job.output_path.parent)
    _told(lambda: cut_out(raw_path(tool, job), target, box, clip.timing.rate, run.report))


def _told(work: Callable[[], None]) -> None:
    try:
        work()
    except preprocess.MediaError as error:
        raise StepFailed(str(error)) from error
