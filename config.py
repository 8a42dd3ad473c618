"""The settings, and the Job that they make.

Each field of :class:`Job` is the one definition of a setting: its flag, help, type, range, default, key in a
settings file and entry in the record all come from it. The drivers turn them into flags, ``load_job`` turns
flags and settings file into a validated, frozen Job, and nothing after that parses, guesses or defaults.

Only the standard library is imported at module level: this file is on the way of ``--help``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

VERSION: Final = "0.1.0"
SOURCE_FPS: Final = -1
HEADS: Final = 40
"""Attention heads of the 14B model: the number of GPUs must divide it (upstream's ulysses rule)."""
_LARGEST_FPS: Final = 1000
_LARGEST_SEED: Final = 2**64 - 1
"""What torch's generators take."""
NO_PATH: Final = Path()
"""Value of a path setting that the Job's stages do not need."""

PREPROCESSING, GENERATION = 1, 2
ALL_ENGINES: Final = ("wan22", "preview")


class SettingsError(Exception):
    """One or more settings are wrong. Each message says what, and what to do; nothing was started."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is said about a setting besides its name, type and default."""

    help: str
    section: str
    stages: tuple[int, ...]
    parse: Callable[[object], Any]
    metavar: str | None
    """Shown in the help; None marks a switch, which takes no value."""
    default_text: str | None
    required: bool
    is_path: bool
    used_by: tuple[str, ...]
    spellings: tuple[str, ...]
    negative: str | None
    """Second spelling that turns a switch off."""


# ----------------------------------------------------------------------------------------------- parsing
# A parser takes what a flag or a settings file holds and returns the value, or raises ValueError with the
# rest of the sentence "--name must be ...".


def _path(value: object) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("a path")
    return Path(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("some text")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _whole(minimum: int | None = None, maximum: int | None = None) -> Callable[[object], int]:
    expected = "a whole number" if minimum is None else f"a whole number of at least {minimum}"
    if maximum is not None:
        expected += f" and at most {maximum}"

    def parse(value: object) -> int:
        try:
            number = int(str(value)) if not isinstance(value, bool) else None
        except ValueError:
            number = None
        too_small = minimum is not None and number is not None and number < minimum
        too_large = maximum is not None and number is not None and number > maximum
        if number is None or too_small or too_large:
            raise ValueError(expected)
        return number

    return parse


def _number(minimum: float) -> Callable[[object], float]:
    def parse(value: object) -> float:
        try:
            number = float(str(value)) if not isinstance(value, bool) else float("nan")
        except ValueError:
            number = float("nan")
        if not minimum <= number < float("inf"):
            raise ValueError(f"a number of at least {minimum:g}")
        return number

    return parse


def _choice(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise ValueError(" or ".join(allowed))
        return str(value)

    return parse


def _whole_choice(*allowed: int) -> Callable[[object], int]:
    parse_whole = _whole()

    def parse(value: object) -> int:
        try:
            number = parse_whole(value)
        except ValueError:
            number = None
        if number not in allowed:
            raise ValueError(" or ".join(map(str, allowed)))
        return number

    return parse


def _frame_rate(value: object) -> int:
    if value in ("source", SOURCE_FPS, str(SOURCE_FPS)):
        return SOURCE_FPS
    try:
        return _whole(1, _LARGEST_FPS)(value)
    except ValueError:
        raise ValueError(
            f"a whole number of frames a second (at most {_LARGEST_FPS}), or 'source' for the video's own "
            "rate; upstream takes no fractions such as 29.97"
        ) from None


def _resolution(value: object) -> tuple[int, int]:
    parts = value if isinstance(value, (list, tuple)) else str(value).lower().replace("x", " ").split()
    try:
        numbers = [_whole(1)(part) for part in parts]
        width, height = numbers
    except ValueError:
        raise ValueError("two positive numbers such as '1280 720' or 1280x720") from None
    return width, height


def _clip_length(value: object) -> int:
    number = _whole()(value)
    if number < 5 or number % 4 != 1:
        below = max(5, (number - 1) // 4 * 4 + 1)
        raise ValueError(f"4n+1 and at least 5, such as {below} or {below + 4}: the model works in fours")
    return number


# --------------------------------------------------------------------------------------------- definition


def _setting(
    default: Any,
    help: str,
    parse: Callable[[object], Any],
    metavar: str | None = None,
    *,
    section: str,
    stages: tuple[int, ...],
    default_text: str | None = None,
    required: bool = False,
    used_by: tuple[str, ...] = ALL_ENGINES,
    spellings: tuple[str, ...] = (),
    negative: str | None = None,
) -> Any:
    if metavar is None and parse is not _switch:
        raise TypeError("a setting that takes a value needs a metavar")
    described = Setting(
        help=help,
        section=section,
        stages=stages,
        parse=parse,
        metavar=metavar,
        default_text=default_text,
        required=required,
        is_path=parse is _path,
        used_by=used_by,
        spellings=spellings,
        negative=negative,
    )
    return field(default=default, metadata={"setting": described})


_ONE, _TWO, _BOTH = (PREPROCESSING,), (GENERATION,), (PREPROCESSING, GENERATION)
_WAN22: Final = ("wan22",)
_file_of_stage_1 = partial(_setting, section="Files", stages=_ONE)
_file_of_stage_2 = partial(_setting, section="Files", stages=_TWO)
_mode = partial(_setting, section="What to make", stages=_BOTH)
_stage_1 = partial(_setting, section="Stage 1, preprocessing", stages=_ONE)
_stage_2 = partial(_setting, section="Stage 2, generation", stages=_TWO, used_by=_WAN22)
_several_gpus = partial(_setting, section="Several GPUs", stages=_TWO, used_by=_WAN22)
_official = partial(_setting, section="The official Wan2.2 installation", stages=_BOTH, used_by=_WAN22)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One driving video, one reference image, and the settings. Paths are absolute.

    A path that the Job's stages do not need is ``NO_PATH``. ``src_root_path`` is always the folder that stage
    2 reads: the one stage 1 writes when both run. ``None`` in a stage-2 setting means upstream's own default.
    """

    stages: tuple[int, ...]
    given: frozenset[str] = frozenset()
    """Names of the settings that flags or settings file named; the rest are defaults."""

    video_path: Path = _file_of_stage_1(
        NO_PATH, "Driving video: the motion, and in replace mode the scene.", _path, "FILE", required=True
    )
    refer_path: Path = _file_of_stage_1(
        NO_PATH, "Reference image: the character.", _path, "FILE", required=True
    )
    save_path: Path = _file_of_stage_1(
        Path("process_results"), "Folder for what stage 1 makes; stage 2 reads it.", _path, "FOLDER"
    )
    src_root_path: Path = _file_of_stage_2(
        NO_PATH, "Folder that stage 1 made.", _path, "FOLDER", required=True
    )
    output_path: Path = _file_of_stage_2(
        Path("output_wanimate.mp4"), "The result, an .mp4 file.", _path, "FILE", spellings=("save_file",)
    )
    engine: str = _mode(
        "wan22",
        "What does the work: wan22 (the official model, needs a GPU) or preview (CPU only, a quick puppet).",
        _text,
        "NAME",
    )
    replace: bool = _mode(
        False,
        "Put the character in the actor's place in the driving video. Without it the picture is animated.",
        _switch,
    )
    retarget: bool | None = _stage_1(
        None,
        "Fit the motion to the character's proportions (animate mode).",
        _switch,
        default_text="on in animate mode",
        negative="no_retarget",
    )
    use_flux: bool = _stage_1(
        False, "Edit both pictures to a standard pose with FLUX before retargeting.", _switch, used_by=_WAN22
    )
    resolution: tuple[int, int] = _stage_1(
        (1280, 720),
        "Pixel budget as width and height. Only the product counts: the shape follows the input.",
        _resolution,
        '"W H"',
        default_text="1280 720",
    )
    fps: int = _stage_1(
        30, "Frames a second to sample, or 'source' for the driving video's own rate.", _frame_rate, "RATE"
    )
    iterations: int = _stage_1(
        3, "Rounds of mask growth (replace mode); 0 leaves the mask as it is.", _whole(), "N"
    )
    k: int = _stage_1(
        7,
        "Side of the square by which the mask grows in each round, in pixels (replace mode).",
        _whole(0),
        "PIXELS",
    )
    w_len: int = _stage_1(
        1,
        "Cells across the mask's box; touched cells are filled. 1 fills the box, more follow the outline.",
        _whole(),
        "N",
    )
    h_len: int = _stage_1(1, "Cells down the mask's box, as --w_len.", _whole(), "N")
    prompt: str | None = _stage_2(
        None, "Text for the model. Upstream accepts it, but drops it for this model.", _text, "TEXT"
    )
    sample_steps: int | None = _stage_2(
        None, "Diffusion steps of each window.", _whole(1), "N", default_text="upstream's, 20"
    )
    sample_guide_scale: float | None = _stage_2(
        None,
        "Guidance of the expression; above 1 the time doubles.",
        _number(0),
        "SCALE",
        default_text="upstream's, 1.0",
    )
    sample_shift: float | None = _stage_2(
        None, "Shift of the noise schedule.", _number(0), "SHIFT", default_text="upstream's, 5.0"
    )
    sample_solver: str | None = _stage_2(
        None, "Sampler: unipc or dpm++.", _choice("unipc", "dpm++"), "NAME", default_text="upstream's, unipc"
    )
    frame_num: int | None = _stage_2(
        None, "Frames of one window, 4n+1.", _clip_length, "N", default_text="upstream's, 77"
    )
    refert_num: int = _stage_2(
        1, "Overlap: frames of a window that condition the next, 1 or 5.", _whole_choice(1, 5), "N"
    )
    seed: int = _stage_2(
        42,
        "Seed of the noise. The same seed gives the same video on the same machine.",
        _whole(0, _LARGEST_SEED),
        "N",
    )
    use_relighting_lora: bool = _stage_2(False, "Light the character like the scene (replace mode).", _switch)
    no_offload: bool = _stage_2(False, "Keep the text encoder on the GPU.", _switch)
    t5_cpu: bool = _stage_2(
        False, "Run the text encoder on the CPU: saves about 11 GB of GPU memory.", _switch
    )
    convert_model_dtype: bool = _stage_2(
        False, "Passed on to upstream, where it changes nothing for this model.", _switch
    )
    multi_gpu: bool = _several_gpus(False, "Spread one clip over several GPUs.", _switch)
    nproc_per_node: int | None = _several_gpus(
        None, "How many GPUs: 2, 4, 5, 8, 10, 20 or 40.", _whole(1), "N"
    )
    wan22_dir: Path = _official(Path("Wan2.2"), "Checkout of the official repository.", _path, "FOLDER")
    ckpt_dir: Path = _official(
        Path("Wan2.2-Animate-14B"),
        "Its weights; stage 1's lie in process_checkpoint inside.",
        _path,
        "FOLDER",
    )
    wan22_python: Path = _official(
        NO_PATH,
        "Python interpreter with upstream's requirements.",
        _path,
        "FILE",
        default_text="<wan22_dir>/.venv's, else this one",
    )

    @property
    def mode(self) -> str:
        """``"replace"`` or ``"animate"``."""
        return "replace" if self.replace else "animate"

    def values(self, stage: int | None = None) -> dict[str, Any]:
        """Settings as plain data for the record: those of one stage, or of all the Job's stages.

        Paths become strings; what the stages do not use is left out.
        """
        stages = self.stages if stage is None else (stage,)
        entries: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            if set(setting.stages) & set(stages):
                value = getattr(self, name)
                plain = list(value) if isinstance(value, tuple) else value
                entries[name] = (None if value == NO_PATH else str(value)) if setting.is_path else plain
        return entries

    def shaping_values(self, stage: int) -> dict[str, Any]:
        """The stage's settings that shape its outputs: where things lie, and who does the work, do not."""
        return {
            name: value
            for name, value in self.values(stage).items()
            if name != "engine" and not SETTINGS[name].is_path and self.engine in SETTINGS[name].used_by
        }


SETTINGS: Final[Mapping[str, Setting]] = {
    entry.name: entry.metadata["setting"] for entry in fields(Job) if "setting" in entry.metadata
}
"""Every setting by name, in the order of the help page."""

DEFAULTS: Final[Mapping[str, Any]] = {entry.name: entry.default for entry in fields(Job)}


def settings_for(stages: Sequence[int]) -> dict[str, Setting]:
    """The settings that a driver of these stages offers, by name."""
    both = PREPROCESSING in stages and GENERATION in stages
    return {
        name: setting
        for name, setting in SETTINGS.items()
        if set(setting.stages) & set(stages) and not (both and name == "src_root_path")
    }


# ------------------------------------------------------------------------------------------------ loading


def load_job(stages: Sequence[int], flags: Mapping[str, object], settings_file: Path | None = None) -> Job:
    """Make a Job from flags and a settings file; flags win. All mistakes are reported at once.

    Args:
        flags: setting name to value as typed, only those that were given. Paths are relative to the working
            folder; those in the settings file are relative to that file.

    Raises:
        SettingsError: with one message for each mistake.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    from_file: Mapping[str, object] = {}
    if settings_file is not None:
        from_file = _read_settings_file(settings_file)
        values |= _parsed(from_file, settings_file.absolute().parent, problems, prefix=f"{settings_file}: ")
    values |= _parsed(flags, Path.cwd(), problems, prefix="--")
    offered = settings_for(stages)
    given = frozenset(values) & frozenset(offered)
    job = Job(stages=tuple(stages), given=given, **{name: values[name] for name in given})
    for name, setting in offered.items():
        if setting.required and name not in {*given, *from_file, *flags}:
            problems.append(f"--{name} is missing: {setting.help}")
    problems += _contradictions(job)
    if problems:
        raise SettingsError(problems)
    return _completed(job)


def nearest(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` when a known word is near, else an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def _read_settings_file(path: Path) -> dict[str, object]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError([f"--config {path} cannot be read: {error.strerror}."]) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that is none
        reason = " ".join(str(error).split())
        raise SettingsError([f"--config {path} is not a YAML file: {reason}"]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError([f"--config {path} must hold lines such as 'fps: 30', one setting a line."])
    named = {str(key).replace("-", "_"): value for key, value in content.items()}
    aliases = {other: name for name, setting in SETTINGS.items() for other in setting.spellings}
    known = [*SETTINGS, *aliases]
    unknown = [key for key in named if key not in known]
    if unknown:
        raise SettingsError([f"{path}: unknown setting '{key}'{nearest(key, known)}" for key in unknown])
    return {aliases.get(key, key): value for key, value in named.items()}


def _parsed(raw: Mapping[str, object], folder: Path, problems: list[str], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in raw.items():
        setting = SETTINGS[name]
        try:
            parsed = setting.parse(value)
        except ValueError as expected:
            problems.append(f"{prefix}{name} must be {expected}; it is {value!r}.")
            continue
        values[name] = _absolute(folder, parsed) if setting.is_path else parsed
    return values


def _absolute(folder: Path, path: Path) -> Path:
    # normpath, not resolve(): a link the user named stays the name that upstream and the record see.
    # os.path.expanduser leaves "~$draft.mp4" alone; Path.expanduser raises because there is no such user.
    return Path(os.path.normpath(folder / os.path.expanduser(path)))  # noqa: PTH111


def _contradictions(job: Job) -> list[str]:
    """Settings that do not go together, each with its remedy."""
    problems = []
    if job.replace and job.retarget:
        problems.append("--retarget works in animate mode only. Leave out --retarget or --replace.")
    if job.use_flux and job.replace:
        problems.append("--use_flux needs retargeting, which replace mode has not. Leave out one of the two.")
    elif job.use_flux and job.retarget is False:
        problems.append("--use_flux needs retargeting. Leave out --no_retarget or --use_flux.")
    if job.use_relighting_lora and not job.replace:
        problems.append("--use_relighting_lora is for replace mode. Add --replace, or leave it out.")
    if job.frame_num is not None and job.frame_num < 2 * job.refert_num + 1:
        problems.append(
            f"--frame_num {job.frame_num} is too short for --refert_num {job.refert_num}: "
            f"at least {2 * job.refert_num + 3} frames are needed."
        )
    problems += _gpu_contradictions(job)
    if GENERATION in job.stages and job.output_path.suffix.lower() != ".mp4":
        problems.append(f"--output_path must end in .mp4; it is '{job.output_path.name}'.")
    return problems


def _gpu_contradictions(job: Job) -> list[str]:
    count = job.nproc_per_node
    allowed = ", ".join(str(number) for number in range(2, HEADS + 1) if HEADS % number == 0)
    if count is not None and not job.multi_gpu:
        return [f"--nproc_per_node {count} does nothing without --multi_gpu. Add --multi_gpu."]
    if job.multi_gpu and count is None:
        return [f"--multi_gpu needs --nproc_per_node N, the number of GPUs: {allowed}."]
    if count is not None and (count < 2 or HEADS % count):
        return [f"--nproc_per_node must divide the model's {HEADS} heads: {allowed}; it is {count}."]
    return []


def _completed(job: Job) -> Job:
    """Fill in the defaults that depend on other settings, and make the default paths absolute."""
    here = Path.cwd()
    used = settings_for(job.stages)
    paths: dict[str, Any] = {
        name: _absolute(here, getattr(job, name))
        for name, setting in used.items()
        if setting.is_path and getattr(job, name) != NO_PATH
    }
    job = replace(job, **paths)
    if PREPROCESSING in job.stages:
        job = replace(job, src_root_path=job.save_path)
        if job.retarget is None:
            job = replace(job, retarget=not job.replace)
    else:
        job = replace(job, save_path=job.src_root_path)
    if job.wan22_python == NO_PATH:
        job = replace(job, wan22_python=_default_interpreter(job.wan22_dir))
    return job


def _default_interpreter(wan22_dir: Path) -> Path:
    names = ("Scripts/python.exe",) if sys.platform == "win32" else ("bin/python",)
    for name in names:
        if (candidate := wan22_dir / ".venv" / name).exists():
            return candidate
    return Path(sys.executable)
