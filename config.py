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

from settings import parsers
from settings.parsers import SOURCE_FPS as SOURCE_FPS

VERSION: Final = "0.1.0"
HEADS: Final = 40
"""Attention heads of the 14B model: the number of GPUs must divide it (upstream's ulysses rule)."""
_LARGEST_SEED: Final = 2**64 - 1
"""What torch's generators take."""
NO_PATH: Final = Path()
"""Value of a path setting that the Job's stages do not need."""

_DRAFT: Final = "_draft"
_DRAFT_STEPS: Final = 6
PREPROCESSING, GENERATION, FINISHING, MASKING = 1, 2, 3, 4
"""Stage 1, stage 2, what is done with the generated video after them, and the mask step between the two."""
TOOLS: Final[Mapping[str, str]] = {
    "liveportrait": "LivePortrait",
    "sadtalker": "SadTalker",
    "animateanyone": "Moore-AnimateAnyone",
    "musepose": "MusePose",
    "magicanimate": "magic-animate",
}
"""Engines that are another project's program, and the folder of its checkout (without --tool_dir)."""
_SECOND: Final = ("wan_animate_2",)
FROM_TEXT: Final = ("animatediff",)
"""Engines that draw from a text: no driving video, no reference image, no stage 1."""
ALL_ENGINES: Final = ("wan22", "preview", "wan_diffusers", *_SECOND, "frame", *FROM_TEXT, *TOOLS)
WITHOUT_STAGE_1: Final = (*_SECOND, *TOOLS)
"""Engines that do the whole at once: nothing lies between the stages, so neither can run alone."""
_FROM_VIDEO: Final = tuple(name for name in ALL_ENGINES if name not in FROM_TEXT)
WITH_STAGE_1: Final = tuple(name for name in _FROM_VIDEO if name not in WITHOUT_STAGE_1)
ENGINE_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {name: {"fps": SOURCE_FPS} for name in TOOLS}
"""Defaults that are an engine's own."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a request: a stable code, what it is, and what to do."""

    code: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.remedy}".strip()


class SettingsError(Exception):
    """One or more settings are wrong. Each problem says what, and what to do; nothing was started."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


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
    required_in: tuple[int, ...]
    """Stages that cannot do without it."""
    is_path: bool
    used_by: tuple[str, ...]
    spellings: tuple[str, ...]
    negative: str | None
    """Second spelling that turns a switch off."""
    shapes: bool
    """Whether it can change what the stages make; else it steers the run only."""
    words: int
    """How many values the flag takes."""


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
    required_in: tuple[int, ...] = (),
    used_by: tuple[str, ...] = ALL_ENGINES,
    spellings: tuple[str, ...] = (),
    negative: str | None = None,
    shapes: bool = True,
    words: int = 1,
) -> Any:
    if metavar is None and parse is not parsers.switch:
        raise TypeError("a setting that takes a value needs a metavar")
    described = Setting(
        help=help,
        section=section,
        stages=stages,
        parse=parse,
        metavar=metavar,
        default_text=default_text,
        required_in=required_in,
        is_path=parse in (parsers.path, parsers.two_files, parsers.weighted_files),
        used_by=used_by,
        spellings=spellings,
        negative=negative,
        shapes=shapes,
        words=words,
    )
    return field(default=default, metadata={"setting": described})


_ONE, _TWO, _BOTH = (PREPROCESSING,), (GENERATION,), (PREPROCESSING, GENERATION)
_LAST = (FINISHING,)
_WAN22: Final = ("wan22",)
_DIFFUSION: Final = ("wan22", "wan_diffusers", "animateanyone", "musepose", "magicanimate", *FROM_TEXT)
_NEEDS_VIDEO: Final = tuple(name for name in _FROM_VIDEO if name != "sadtalker")
_DIFFUSERS: Final = ("wan_diffusers",)
_ANIMATE: Final = (*_WAN22, *_DIFFUSERS)
"""Those that run Wan-Animate's own model."""
_file_of_stage_1 = partial(_setting, section="Files", stages=_ONE, used_by=_FROM_VIDEO)
_file_of_stage_2 = partial(_setting, section="Files", stages=_TWO)
_mode = partial(_setting, section="What to make", stages=_BOTH)
_stage_1 = partial(_setting, section="Stage 1, preprocessing", stages=_ONE, used_by=WITH_STAGE_1)
_stage_2 = partial(_setting, section="Stage 2, generation", stages=_TWO, used_by=_ANIMATE)
_finishing = partial(_setting, section="The finished video", stages=_LAST)
_several_gpus = partial(_setting, section="Several GPUs", stages=_TWO, used_by=(*_WAN22, "magicanimate"))
_tool = partial(_setting, section="A whole-clip tool", stages=_TWO, used_by=tuple(TOOLS))
_densepose = partial(_setting, section="A whole-clip tool", stages=_TWO, used_by=("magicanimate",))
_official = partial(
    _setting, section="The official Wan2.2 installation", stages=(*_BOTH, MASKING), used_by=_ANIMATE
)
_mask = partial(
    _setting, section="The mask, by clicks (replace mode)", stages=(MASKING,), used_by=WITH_STAGE_1
)
_diffusers = partial(_setting, section="Wan-Animate on diffusers", stages=_TWO, used_by=_DIFFUSERS)
_diffusers_either = partial(
    _setting, section="Wan-Animate on diffusers", stages=_TWO, used_by=(*_DIFFUSERS, *_SECOND)
)
_drawn = partial(_setting, section="Stage 2, generation", stages=_TWO, used_by=(*_ANIMATE, *_SECOND))
_media_of_stage_1 = partial(
    _setting, section="Stage 1, preprocessing", stages=_ONE, used_by=(*WITH_STAGE_1, *_SECOND)
)
_from_text = partial(_setting, section="AnimateDiff, from text", stages=_TWO, used_by=FROM_TEXT)


@dataclass(frozen=True, kw_only=True)
class Job:
    """One driving video, one reference image, and the settings. Paths are absolute.

    A path that the Job's stages do not need is ``NO_PATH``. ``src_root_path`` is always the folder that stage
    2 reads: the one stage 1 writes when both run. ``None`` in a stage-2 setting means upstream's own default.
    """

    stages: tuple[int, ...]
    given: frozenset[str] = frozenset()
    """Names of the settings that flags or settings file named; the rest are defaults."""

    video_path: Path = _setting(
        NO_PATH,
        "Driving video: the motion, and in replace mode the scene.",
        parsers.path,
        "FILE",
        section="Files",
        stages=(PREPROCESSING, MASKING),
        required_in=_ONE,
        used_by=_NEEDS_VIDEO,
        default_text="the one from which stage 1 was made",
    )
    refer_path: Path = _file_of_stage_1(
        NO_PATH, "Reference image: the character.", parsers.path, "FILE", required_in=_ONE
    )
    save_path: Path = _file_of_stage_1(
        Path("process_results"), "Folder for what stage 1 makes; stage 2 reads it.", parsers.path, "FOLDER"
    )
    src_root_path: Path = _setting(
        NO_PATH,
        "Folder that stage 1 made.",
        parsers.path,
        "FOLDER",
        section="Files",
        stages=(GENERATION, MASKING),
        required_in=(GENERATION, MASKING),
        used_by=WITH_STAGE_1,
    )
    output_path: Path = _file_of_stage_2(
        Path("output_wanimate.mp4"),
        "The result, an .mp4 file.",
        parsers.path,
        "FILE",
        spellings=("save_file",),
    )
    engine: str = _mode(
        "wan22",
        "What does the work: wan22 (the official model, needs a GPU), preview (CPU only, a quick puppet), "
        "wan_diffusers (the official model's stage 2 on diffusers, for smaller GPUs), wan_animate_2 (its "
        "successor on diffusers, no stage 1), frame (a frame-by-frame model of yours), animatediff "
        "(from text alone), or a tool of docs/tools.md: " + ", ".join(TOOLS) + ".",
        parsers.text,
        "NAME",
    )
    replace: bool = _mode(
        False,
        "Put the character in the actor's place in the driving video. Without it the picture is animated.",
        parsers.switch,
        used_by=_FROM_VIDEO,
    )
    draft: bool = _setting(
        False,
        "A quick look: the first window only, a quarter of the area, few steps; named as a draft.",
        parsers.switch,
        section="What to make",
        stages=_ONE,
        used_by=_FROM_VIDEO,
        shapes=False,
    )
    normalize: str = _media_of_stage_1(
        "auto",
        "auto: put a clean copy before a driving video that would be misread; never: refuse it.",
        parsers.choice("auto", "never"),
        "WHEN",
        shapes=False,
    )
    retarget: bool | None = _stage_1(
        None,
        "Fit the motion to the character's proportions (animate mode).",
        parsers.switch,
        default_text="on in animate mode",
        negative="no_retarget",
    )
    use_flux: bool = _stage_1(
        False,
        "Edit both pictures to a standard pose with FLUX before retargeting.",
        parsers.switch,
        used_by=_ANIMATE,
    )
    resolution: tuple[int, int] = _media_of_stage_1(
        (1280, 720),
        "Pixel budget as width and height. Only the product counts: the shape follows the input.",
        parsers.resolution,
        '"W H"',
        default_text="1280 720",
    )
    fps: int = _stage_1(
        30,
        "Frames a second to sample, or 'source' for the driving video's own rate.",
        parsers.frame_rate,
        "RATE",
        used_by=_NEEDS_VIDEO,
        default_text="30; a tool's: source",
    )
    iterations: int = _stage_1(
        3, "Rounds of mask growth (replace mode); 0 leaves the mask as it is.", parsers.whole(), "N"
    )
    k: int = _stage_1(
        7,
        "Side of the square by which the mask grows in each round, in pixels (replace mode).",
        parsers.whole(0),
        "PIXELS",
    )
    w_len: int = _stage_1(
        1,
        "Cells across the mask's box; touched cells are filled. 1 fills the box, more follow the outline.",
        parsers.whole(),
        "N",
    )
    h_len: int = _stage_1(1, "Cells down the mask's box, as --w_len.", parsers.whole(), "N")
    mask_points: Path = _mask(
        NO_PATH,
        "Clicks on the person, in any format of docs/points.md: a mask is made of them.",
        parsers.path,
        "FILE",
        spellings=("points",),
    )
    mask_box: tuple[float, ...] | None = _mask(
        None,
        "A box around the person on the first frame, in pixels of the result, in place of clicks.",
        parsers.box,
        '"LEFT TOP RIGHT BOTTOM"',
    )
    mask_video: Path = _mask(
        NO_PATH, "A finished mask from any tool: white = the person.", parsers.path, "FILE"
    )
    mask_exclude: tuple[str, ...] | None = _mask(
        None, "Objects of the points file to take out of the mask.", parsers.names, '"NAME, NAME"'
    )
    mask_grow: int = _mask(
        10, "Pixels by which the mask grows; 0 for none.", parsers.whole(0, 1000), "PIXELS"
    )
    mask_square: bool = _mask(
        False, "Grow by a square instead of a diamond (ComfyUI: tapered_corners off).", parsers.switch
    )
    mask_blockify: int = _mask(
        32,
        "Side of the blocks that fill the mask, in pixels; 0 for none.",
        parsers.whole(0, 4096),
        "PIXELS",
    )
    mask_blockify_version: str = _mask(
        "2025-10",
        "BlockifyMask as it is since October 2025, or as it was before, for old workflows: 2025-09.",
        parsers.choice("2025-10", "2025-09"),
        "VERSION",
    )
    segmenter: str = _mask(
        "auto",
        "What finds the person by the clicks: sam2, classic (no weights), or auto: sam2 where it can run.",
        parsers.choice("auto", "sam2", "classic"),
        "NAME",
    )
    sam2_checkpoint: Path = _mask(
        NO_PATH,
        "SAM 2's weights, any 2.0 or 2.1 size, .pt or .safetensors.",
        parsers.path,
        "FILE",
        default_text="<ckpt_dir>/process_checkpoint's",
    )
    prompt: str | None = _setting(
        None,
        "Text for the model.",
        parsers.text,
        "TEXT",
        section="Stage 2, generation",
        stages=_TWO,
        default_text="upstream's",
        used_by=(*_ANIMATE, *_SECOND, *FROM_TEXT),
    )
    sample_steps: int | None = _setting(
        None,
        "Diffusion steps of each window.",
        parsers.whole(1),
        "N",
        section="Stage 2, generation",
        stages=_TWO,
        default_text="upstream's, 20",
        used_by=(*_DIFFUSION, *_SECOND),
    )
    sample_guide_scale: float | None = _stage_2(
        None,
        "Guidance of the expression; above 1 the time doubles.",
        parsers.number(0),
        "SCALE",
        default_text="upstream's, 1.0",
        used_by=_DIFFUSION,
    )
    sample_shift: float | None = _stage_2(
        None, "Shift of the noise schedule.", parsers.number(0), "SHIFT", default_text="upstream's, 5.0"
    )
    sample_solver: str | None = _stage_2(
        None,
        "Sampler: unipc or dpm++.",
        parsers.choice("unipc", "dpm++"),
        "NAME",
        default_text="upstream's, unipc",
    )
    frame_num: int | None = _drawn(
        None,
        "Frames of one window, 4n+1, or 'auto': the length that costs least for the clip.",
        parsers.window_length_or_auto,
        "N",
        default_text="auto",
    )
    frame_num_min: int = _stage_2(
        61, "Shortest window that auto may choose.", parsers.window_length, "N", shapes=False
    )
    frame_num_max: int = _stage_2(
        77, "Longest window that auto may choose.", parsers.window_length, "N", shapes=False
    )
    refert_num: int = _drawn(
        1, "Overlap: frames of a window that condition the next, 1 or 5.", parsers.whole_choice(1, 5), "N"
    )
    seed: int = _drawn(
        42,
        "Seed of the noise. The same seed gives the same video on the same machine.",
        parsers.whole(0, _LARGEST_SEED),
        "N",
        used_by=(*_DIFFUSION, *_SECOND),
    )
    use_relighting_lora: bool = _stage_2(
        False, "Light the character like the scene (replace mode).", parsers.switch
    )
    no_offload: bool = _stage_2(False, "Keep the text encoder on the GPU.", parsers.switch, used_by=_WAN22)
    t5_cpu: bool = _stage_2(
        False,
        "Run the text encoder on the CPU: saves about 11 GB of GPU memory.",
        parsers.switch,
        used_by=_WAN22,
    )
    convert_model_dtype: bool = _stage_2(
        False,
        "Passed on to upstream, where it changes nothing for this model.",
        parsers.switch,
        used_by=_WAN22,
    )
    on_oom: str = _drawn(
        "stop",
        "When memory runs out: stop, or retry with --t5_cpu, then shorter windows, then a smaller area.",
        parsers.choice("stop", "retry"),
        "WHAT",
        shapes=False,
    )
    price_per_hour: float | None = _drawn(
        None, "Price of the machine, to estimate the cost.", parsers.number(0), "PRICE", shapes=False
    )
    frame_config: Path = _setting(
        NO_PATH,
        "YAML file that names the frame-by-frame model and describes it: docs/models/onnx.md.",
        parsers.path,
        "FILE",
        section="Frame models",
        stages=_TWO,
        used_by=("frame",),
    )
    frame_python: Path = _setting(
        NO_PATH,
        "Python interpreter that runs the model; what requirements.txt names must be installed in it.",
        parsers.path,
        "FILE",
        section="Frame models",
        stages=_TWO,
        default_text="this one",
        used_by=("frame",),
    )
    no_audio: bool = _finishing(False, "Leave the result without sound.", parsers.switch)
    audio: Path = _finishing(
        NO_PATH,
        "Sound for the result; the driving sound of sadtalker.",
        parsers.path,
        "FILE",
        default_text="the driving video's",
    )
    side_by_side: bool = _finishing(
        False,
        "Make a second video besides: driving video, pose and result side by side.",
        parsers.switch,
        used_by=WITH_STAGE_1,
    )
    credentials: tuple[Path, Path] | None = _finishing(
        None,
        "Sign the result with Content Credentials: certificate chain and private key, two PEM files.",
        parsers.two_files,
        "CERT KEY",
        words=2,
    )
    multi_gpu: bool = _several_gpus(False, "Spread one clip over several GPUs.", parsers.switch)
    nproc_per_node: int | None = _several_gpus(
        None, "How many GPUs: 2, 4, 5, 8, 10, 20 or 40.", parsers.whole(1), "N"
    )
    wan22_dir: Path = _official(
        Path("Wan2.2"), "Checkout of the official repository.", parsers.path, "FOLDER"
    )
    ckpt_dir: Path = _official(
        Path("Wan2.2-Animate-14B"),
        "Its weights; stage 1's lie in process_checkpoint inside.",
        parsers.path,
        "FOLDER",
    )
    wan22_python: Path = _official(
        NO_PATH,
        "Python interpreter with upstream's requirements.",
        parsers.path,
        "FILE",
        default_text="<wan22_dir>/.venv's, else this one",
    )
    tool_dir: Path = _tool(
        NO_PATH,
        "Checkout of the engine's repository.",
        parsers.path,
        "FOLDER",
        default_text="of the repository's name, such as LivePortrait",
    )
    tool_python: Path = _tool(
        NO_PATH,
        "Python interpreter with its requirements.",
        parsers.path,
        "FILE",
        default_text="<tool_dir>/.venv's, else this one",
    )
    tool_options: tuple[tuple[str, str], ...] = _tool(
        (),
        "The tool's own options, as docs/tools.md lists them.",
        parsers.pairs,
        '"NAME=VALUE, ..."',
        default_text="the tool's",
    )
    densepose_path: Path = _densepose(
        NO_PATH, "DensePose video of the driving video, for magicanimate.", parsers.path, "FILE"
    )
    densepose_command: tuple[str, ...] = _densepose(
        (),
        "Command that makes one: a list of words with {input} and {output} among them.",
        parsers.command,
        "LIST",
        default_text="none",
    )
    densepose_dir: Path = _densepose(
        NO_PATH, "Folder in which that command runs.", parsers.path, "FOLDER", default_text="this one"
    )
    stage_1: str = _setting(
        "preview",
        "Whose stage 1 feeds diffusers: preview (CPU only) or wan22 (the official script).",
        parsers.choice("preview", "wan22"),
        "ENGINE",
        section="Wan-Animate on diffusers",
        stages=_ONE,
        used_by=_DIFFUSERS,
        shapes=False,
    )
    diffusers_model: Path = _diffusers(
        Path("Wan2.2-Animate-14B-Diffusers"),
        "Folder of the model in diffusers' layout; not the official script's.",
        parsers.path,
        "FOLDER",
    )
    diffusers_python: Path = _diffusers_either(
        NO_PATH,
        "Python interpreter that has torch and diffusers.",
        parsers.path,
        "FILE",
        default_text="this one",
    )
    diffusers_device: str = _diffusers_either(
        "gpu",
        "What computes: gpu, or cpu (for small test models).",
        parsers.choice("gpu", "cpu"),
        "NAME",
        shapes=False,
    )
    memory: str = _diffusers_either(
        "auto",
        "How the model is held: full, model_offload, group_offload, fp8, gguf, int8, or auto: the first of "
        "the exact ones that the free memory allows.",
        parsers.choice("auto", "full", "model_offload", "group_offload", "fp8", "gguf", "int8"),
        "PLAN",
    )
    transformer_file: Path = _diffusers(
        NO_PATH,
        "The diffusion model as one .gguf file, as for ComfyUI; the folder's is then not read.",
        parsers.path,
        "FILE",
    )
    vae_tiling: bool = _diffusers(
        False, "Code pictures in tiles: less GPU memory, a little less exact.", parsers.switch
    )
    lora: tuple[tuple[Path, float], ...] | None = _diffusers(
        None,
        "LoRAs with their weights, such as a step-distilled one.",
        parsers.weighted_files,
        '"FILE:WEIGHT, ..."',
    )
    animate_2_model: Path = _setting(
        Path("Wan2.2-Animate-2-14B-Diffusers"),
        "Folder of Wan-Animate-2, or of its distilled kind.",
        parsers.path,
        "FOLDER",
        section="Wan-Animate on diffusers",
        stages=_TWO,
        used_by=_SECOND,
    )
    relighting_lora: Path = _diffusers(
        NO_PATH,
        "File of --use_relighting_lora.",
        parsers.path,
        "FILE",
        default_text="relighting_lora.* in <diffusers_model>, else in <ckpt_dir>",
    )
    animatediff_config: Path = _from_text(
        NO_PATH,
        "YAML file that names checkpoint and motion adapter.",
        parsers.path,
        "FILE",
        default_text="configs/animatediff.yaml of the project",
    )
    animatediff_python: Path = _from_text(
        NO_PATH,
        "Python interpreter that has torch and diffusers.",
        parsers.path,
        "FILE",
        default_text="this one",
    )
    animatediff_preset: str = _from_text(
        "a",
        "Frames, steps, size and guidance together: a, b or c of docs/animatediff.md.",
        parsers.choice("a", "b", "c"),
        "NAME",
    )
    animatediff_frames: int | None = _from_text(
        None, "Frames of the clip.", parsers.whole(1), "N", default_text="the preset's"
    )
    animatediff_size: tuple[int, int] | None = _from_text(
        None,
        "Width and height, multiples of 8.",
        parsers.resolution,
        '"W H"',
        default_text="the preset's",
    )
    animatediff_fps: int = _from_text(
        30, "Frames a second at which the clip plays.", parsers.whole(1, 1000), "N"
    )
    animatediff_negative: str | None = _from_text(
        None, "Text of what not to draw.", parsers.text, "TEXT", default_text="that of docs/animatediff.md"
    )
    animatediff_loras: tuple[str, ...] | None = _from_text(
        None, "Camera moves or LoRA files with weights (SD 1.5).", parsers.names, '"NAME:WEIGHT, ..."'
    )

    @property
    def mode(self) -> str:
        """``"replace"`` or ``"animate"``."""
        return "replace" if self.replace else "animate"

    @property
    def has_own_mask(self) -> bool:
        """Whether the mask step makes the mask, in place of stage 1."""
        given = self.mask_points != NO_PATH or self.mask_box is not None or self.mask_video != NO_PATH
        return MASKING in self.stages and given

    @property
    def masks_in_stage_1(self) -> bool:
        """Whether stage 1 finds the person by itself, with upstream's SAM 2."""
        return self.replace and not self.has_own_mask

    def values(self, stage: int | None = None) -> dict[str, Any]:
        """Settings as plain data for the record: those of one stage, or of all the Job's stages.

        Paths become strings; what the stages do not use is left out.
        """
        stages = self.stages if stage is None else (stage,)
        entries: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            if set(setting.stages) & set(stages):
                entries[name] = _plain(getattr(self, name))
        return entries

    def shaping_values(self, stage: int) -> dict[str, Any]:
        """The stage's settings that shape its outputs: where things lie, and who does the work, do not."""
        return {
            name: value
            for name, value in self.values(stage).items()
            if name != "engine"
            and SETTINGS[name].shapes
            and not SETTINGS[name].is_path
            and self.engine_of(stage) in SETTINGS[name].used_by
        }

    def engine_of(self, stage: int) -> str:
        """Who does that stage: stage 1 can be another engine's (``--stage_1``)."""
        return self.stage_1 if stage == PREPROCESSING and self.engine in _DIFFUSERS else self.engine

    @property
    def frame_limit(self) -> int | None:
        """Frames of the driving video that are used; None for all.

        A draft's are one less than a window: upstream's writer may add one, which would take a second window.
        """
        return (self.frame_num or self.frame_num_max) - 1 if self.draft else None


def _plain(value: Any) -> Any:
    """A setting's value as the record holds it."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return None if value == NO_PATH else str(value)
    return value


SETTINGS: Final[Mapping[str, Setting]] = {
    entry.name: entry.metadata["setting"] for entry in fields(Job) if "setting" in entry.metadata
}
"""Every setting by name, in the order of the help page."""

DEFAULTS: Final[Mapping[str, Any]] = {entry.name: entry.default for entry in fields(Job)}


def settings_for(stages: Sequence[int]) -> dict[str, Setting]:
    """The settings that a driver of these stages offers, by name."""
    return {
        name: setting
        for name, setting in SETTINGS.items()
        if set(setting.stages) & set(stages) and not (PREPROCESSING in stages and name == "src_root_path")
    }


# ------------------------------------------------------------------------------------------------ loading


def load_job(
    stages: Sequence[int],
    flags: Mapping[str, object],
    settings_file: Path | None = None,
    recorded: Mapping[str, object] | None = None,
) -> Job:
    """Make a Job from flags and a settings file; flags win. All mistakes are reported at once.

    Args:
        flags: setting name to value as typed, only those that were given. Paths are relative to the working
            folder; those in the settings file are relative to that file.
        recorded: settings of an earlier Job, by name, to be made again; flags and settings file win over it.

    Raises:
        SettingsError: with one problem for each mistake.
    """
    problems: list[Problem] = []
    offered = settings_for(stages)
    values: dict[str, Any] = {}
    from_file: Mapping[str, object] = {}
    if recorded:
        known = {name: value for name, value in recorded.items() if name in offered and value is not None}
        values |= _parsed(known, Path.cwd(), problems, prefix="recorded setting ")
    if settings_file is not None:
        from_file = _read_settings_file(settings_file)
        values |= _parsed(from_file, settings_file.absolute().parent, problems, prefix=f"{settings_file}: ")
    values |= _parsed(flags, Path.cwd(), problems, prefix="--")
    used = frozenset(values) & frozenset(offered)
    given = used & {*from_file, *flags}
    own = ENGINE_DEFAULTS.get(values.get("engine", DEFAULTS["engine"]), {})
    values = {**own, **values}
    used |= frozenset(own) & frozenset(offered)
    job = Job(stages=tuple(stages), given=given, **{name: values[name] for name in used})
    if job.engine in FROM_TEXT:
        job = _from_text_alone(job, problems)
    for name, setting in offered.items():
        needed = set(setting.required_in) & set(stages) and (
            job.engine in setting.used_by or job.engine not in ALL_ENGINES
        )
        if needed and name not in {*used, *from_file, *flags}:
            what = f"--{name} is missing: {setting.help}"
            problems.append(Problem(f"settings.missing.{name}", what, f"Give --{name} {setting.metavar}."))
    from settings.contradictions import contradictions

    problems += contradictions(job)
    if problems:
        raise SettingsError(problems)
    return _completed(job)


def _from_text_alone(job: Job, problems: list[Problem]) -> Job:
    """The job without what only a driving video has."""
    if GENERATION not in job.stages:
        what = f"--engine {job.engine} has no stage 1: there is nothing to preprocess."
        problems.append(Problem("settings.no-stage-1", what, "Run pipeline.py or run_generation.py."))
    stages = tuple(stage for stage in job.stages if stage in (GENERATION, FINISHING))
    return replace(
        job,
        stages=stages,
        **{name: DEFAULTS[name] for name in ("replace", "draft", "side_by_side", "src_root_path")},
    )


def job_without_media(flags: Mapping[str, object]) -> Job:
    """A Job of stages 1 and 2 in replace mode that names no driving video and no reference image.

    It serves to look at an installation and a machine, and cannot be run. ``flags`` as for ``load_job``.

    Raises:
        SettingsError: with one problem for each mistake.
    """
    problems: list[Problem] = []
    values = _parsed(flags, Path.cwd(), problems, prefix="--")
    if problems:
        raise SettingsError(problems)
    given = frozenset(values)
    return _completed(
        Job(stages=(PREPROCESSING, GENERATION, MASKING), given=given, **{"replace": True, **values})
    )


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
        what = f"--config {path} cannot be read: {error.strerror}."
        raise SettingsError([Problem("settings.file-unreadable", what, "Check its name.")]) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that is none
        reason = " ".join(str(error).split())
        what = f"--config {path} is not a YAML file: {reason}."
        remedy = "Write one setting a line, such as 'fps: 30'."
        raise SettingsError([Problem("settings.file-broken", what, remedy)]) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        what = f"--config {path} must hold lines such as 'fps: 30', one setting a line."
        raise SettingsError([Problem("settings.file-broken", what)])
    named = {str(key).replace("-", "_"): value for key, value in content.items()}
    aliases = {other: name for name, setting in SETTINGS.items() for other in setting.spellings}
    known = [*SETTINGS, *aliases]
    unknown = [key for key in named if key not in known]
    if unknown:
        raise SettingsError(
            [
                Problem(
                    "settings.unknown",
                    f"{path}: unknown setting '{key}'{nearest(key, known)}.",
                    "The names are those of the flags.",
                )
                for key in unknown
            ]
        )
    return {aliases.get(key, key): value for key, value in named.items()}


def _parsed(raw: Mapping[str, object], folder: Path, problems: list[Problem], prefix: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in raw.items():
        setting = SETTINGS[name]
        try:
            parsed = setting.parse(value)
        except ValueError as expected:
            what = f"{prefix}{name} must be {expected}; it is {value!r}."
            remedy = "Mend the value, or leave the setting out for its default."
            problems.append(Problem(f"settings.value.{name}", what, remedy))
            continue
        values[name] = _absolute(folder, parsed) if setting.is_path else parsed
    return values


def _absolute(folder: Path, path: Any) -> Any:
    if isinstance(path, tuple):
        return tuple(_absolute(folder, part) for part in path)
    if isinstance(path, float):  # a weight beside its file
        return path
    # normpath, not resolve(): a link the user named stays the name that upstream and the record see.
    # os.path.expanduser leaves "~$draft.mp4" alone; Path.expanduser raises because there is no such user.
    return Path(os.path.normpath(folder / os.path.expanduser(path)))  # noqa: PTH111


def _completed(job: Job) -> Job:
    """Fill in the defaults that depend on other settings, and make the default paths absolute."""
    here = Path.cwd()
    used = settings_for(job.stages)
    paths: dict[str, Any] = {
        name: _absolute(here, getattr(job, name))
        for name, setting in used.items()
        if setting.is_path and getattr(job, name) not in (None, NO_PATH)
    }
    job = _as_draft(replace(job, **paths)) if job.draft else replace(job, **paths)
    if job.stages == (MASKING,):
        job = replace(job, replace=True)
    if PREPROCESSING in job.stages:
        job = replace(job, src_root_path=job.save_path)
        if job.retarget is None:
            job = replace(job, retarget=not job.replace)
    else:
        job = replace(job, save_path=job.src_root_path)
    if job.diffusers_python == NO_PATH:
        job = replace(job, diffusers_python=Path(sys.executable))
    if job.wan22_python == NO_PATH:
        job = replace(job, wan22_python=_default_interpreter(job.wan22_dir))
    if job.animatediff_python == NO_PATH:
        job = replace(job, animatediff_python=Path(sys.executable))
    if job.animatediff_config == NO_PATH:
        own = Path(__file__).resolve().parent / "configs" / "animatediff.yaml"
        job = replace(job, animatediff_config=own)
    return with_tool(job)


def with_tool(job: Job) -> Job:
    """The job with the places of its engine's tool filled in, where they are not given."""
    if job.engine not in TOOLS:
        return job
    if job.tool_dir == NO_PATH:
        job = replace(job, tool_dir=Path.cwd() / TOOLS[job.engine])
    if job.tool_python == NO_PATH:
        job = replace(job, tool_python=_default_interpreter(job.tool_dir))
    return job


def _as_draft(job: Job) -> Job:
    """The job as a draft: a quarter of the area, few steps, names that tell. Twice is harmless."""
    if job.save_path.name.endswith(_DRAFT):
        return job
    width, height = job.resolution
    return replace(
        job,
        resolution=(max(1, width // 2), max(1, height // 2)),
        sample_steps=job.sample_steps or _DRAFT_STEPS,
        save_path=job.save_path.with_name(job.save_path.name + _DRAFT),
        output_path=job.output_path.with_name(f"{job.output_path.stem}{_DRAFT}{job.output_path.suffix}"),
    )


def _default_interpreter(folder: Path) -> Path:
    names = ("Scripts/python.exe",) if sys.platform == "win32" else ("bin/python",)
    for name in names:
        if (candidate := folder / ".venv" / name).exists():
            return candidate
    return Path(sys.executable)
