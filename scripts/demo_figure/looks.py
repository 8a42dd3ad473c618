"""What the two figures look like."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Looks:
    """What sets a figure apart. Colours are sRGB 0..1, lengths decimetres; sleeve: 0 shoulder .. 1 wrist."""

    targets: dict[str, float]
    stature: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    eyes: tuple[float, float, float]
    lips: tuple[float, float, float]
    shirt: tuple[float, float, float]
    accent: tuple[float, float, float]
    trousers: tuple[float, float, float]
    shoes: tuple[float, float, float]
    sleeve: float = 0.42
    pattern: str = "plain"
    hair_length: float = 0.75
    hair_style: str = "short"
    stubble: float = 0.0
    brows: float = 1.0
    face: dict[str, float] = field(default_factory=dict)


MACRO = "macrodetails"
DRIVER = Looks(
    targets={
        f"{MACRO}/caucasian-male-young": 0.5,
        f"{MACRO}/african-male-young": 0.3,
        f"{MACRO}/asian-male-young": 0.2,
        f"{MACRO}/universal-male-young-averagemuscle-minweight": 0.75,
        f"{MACRO}/proportions/male-young-averagemuscle-averageweight-idealproportions": 0.3,
        "head/head-scale-horiz-incr": 0.3,
        "head/head-scale-vert-incr": 0.25,
        "head/head-scale-depth-incr": 0.3,
        "eyes/l-eye-scale-incr": 0.4,
        "eyes/r-eye-scale-incr": 0.4,
        "hands/l-hand-fingers-distance-decr": 0.7,
        "hands/r-hand-fingers-distance-decr": 0.7,
    },
    stature=17.6,
    skin=(0.78, 0.58, 0.46),
    hair=(0.23, 0.16, 0.12),
    eyes=(0.36, 0.24, 0.15),
    lips=(0.66, 0.40, 0.36),
    shirt=(0.20, 0.50, 0.62),
    accent=(0.92, 0.90, 0.84),
    trousers=(0.27, 0.28, 0.34),
    shoes=(0.72, 0.30, 0.22),
    sleeve=0.42,
    pattern="yoke",
    hair_length=0.95,
    hair_style="short",
    stubble=0.3,
    brows=1.15,
)
REFERENCE = Looks(
    targets={
        f"{MACRO}/caucasian-female-young": 0.5,
        f"{MACRO}/asian-female-young": 0.5,
        f"{MACRO}/universal-female-young-averagemuscle-minweight": 0.6,
        f"{MACRO}/proportions/female-young-averagemuscle-averageweight-idealproportions": 0.4,
        "head/head-scale-horiz-incr": 0.2,
        "head/head-scale-vert-incr": 0.2,
        "head/head-scale-depth-incr": 0.2,
        "eyes/l-eye-scale-incr": 0.4,
        "eyes/r-eye-scale-incr": 0.4,
        "hands/l-hand-fingers-distance-decr": 0.7,
        "hands/r-hand-fingers-distance-decr": 0.7,
    },
    stature=16.6,
    skin=(0.89, 0.71, 0.60),
    hair=(0.42, 0.22, 0.13),
    eyes=(0.30, 0.42, 0.36),
    lips=(0.78, 0.40, 0.40),
    shirt=(0.91, 0.66, 0.26),
    accent=(0.96, 0.93, 0.87),
    trousers=(0.21, 0.30, 0.45),
    shoes=(0.52, 0.33, 0.22),
    sleeve=0.93,
    pattern="stripes",
    hair_length=2.3,
    hair_style="bob",
    face={"mouth-corner-puller": 0.55},
)
