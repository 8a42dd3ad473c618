"""What is to be drawn: one clip, as plain data that both interpreters understand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

PROMPT: Final = (
    "1person standing idle, subtle breathing, natural pose, photorealistic, detailed face, soft lighting"
)
NEGATIVE_PROMPT: Final = "motion blur, fast movement, running, jumping, bad quality, deformed, ugly, blurry"
FPS: Final = 30
LARGEST_SEED: Final = 2**63 - 1
SIDE_STEP, SMALLEST_SIDE = 8, 64
"""The VAE works in squares of 8 pixels."""
MOST_STEPS: Final = 1000
CONTEXT_LENGTH, CONTEXT_STRIDE = 16, 4
"""FreeNoise: frames that the motion adapter sees at once, and by how many it moves on."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Values that go together. They are smoke tests: for good motion a model wants more steps."""

    frames: int
    steps: int
    width: int
    height: int
    guidance: float


PRESETS: Final[Mapping[str, Preset]] = {
    "a": Preset(frames=8, steps=8, width=768, height=768, guidance=7.0),
    "b": Preset(frames=16, steps=12, width=1024, height=1024, guidance=7.5),
    "c": Preset(frames=24, steps=20, width=1024, height=1024, guidance=8.0),
}

MOTION_LORAS: Final[Mapping[str, str]] = {
    "zoom-in": "v2_lora_ZoomIn",
    "zoom-out": "v2_lora_ZoomOut",
    "pan-left": "v2_lora_PanLeft",
    "pan-right": "v2_lora_PanRight",
    "tilt-up": "v2_lora_TiltUp",
    "tilt-down": "v2_lora_TiltDown",
    "rolling-clockwise": "v2_lora_RollingClockwise",
    "rolling-anticlockwise": "v2_lora_RollingAnticlockwise",
}
"""The eight camera moves, and how their official files are called. They belong to the v2 motion module."""


@dataclass(frozen=True)
class Weighted:
    """A LoRA and how much of it; ``name`` tells it from others."""

    name: str
    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class SparseControl:
    """SparseCtrl: pictures that some frames shall look like (rgb), or be drawn after (scribble).

    ``path`` is the model's folder; the model says which it is. ``indices`` has a frame for each picture; -1
    is the last.
    """

    path: Path
    images: tuple[Path, ...]
    indices: tuple[int, ...]
    scale: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip. Sides in pixels; ``prompts`` are (frame, text): one from frame 0 on, or several to travel."""

    checkpoint: Path
    motion_adapter: Path
    pipeline_config: Path | None = None
    prompts: tuple[tuple[int, str], ...] = ((0, PROMPT),)
    negative_prompt: str = NEGATIVE_PROMPT
    frames: int
    steps: int
    width: int
    height: int
    guidance: float
    seed: int
    fps: int = FPS
    warmup: bool = False
    loras: tuple[Weighted, ...] = ()
    domain_adapter: Weighted | None = None
    sparse_control: SparseControl | None = None
    context_length: int = CONTEXT_LENGTH
    attention: str = "auto"
    device: str = "auto"
    family: str = field(default="")

    def as_data(self) -> dict[str, Any]:
        """As plain data: what the worker is given."""
        data: dict[str, Any] = plain(asdict(self))
        return data

    @property
    def weights(self) -> tuple[Path, ...]:
        """Every file or folder of weights that is loaded."""
        extras = [*self.loras, *([self.domain_adapter] if self.domain_adapter else [])]
        control = [self.sparse_control.path] if self.sparse_control else []
        return (self.checkpoint, self.motion_adapter, *(extra.path for extra in extras), *control)

    @property
    def file_name(self) -> str:
        """A name that tells the values, the same for the same values."""
        return f"seed{self.seed}_{self.width}x{self.height}_f{self.frames}_s{self.steps}"


def plain(value: Any) -> Any:
    """Paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value
