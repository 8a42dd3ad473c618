"""Builds the stand-in's predictor."""

from __future__ import annotations

from typing import Any

from sam2.sam2_video_predictor import MODEL


class MissingConfigException(Exception):
    """As Hydra's."""


def build_sam2_video_predictor(
    config_file: str, ckpt_path: None, device: str, hydra_overrides_extra: list[str]
) -> Any:
    assert ckpt_path is None
    if MODEL.__name__ == "OldPredictor" and "2.1" in config_file:
        raise MissingConfigException(config_file)
    (override,) = hydra_overrides_extra
    print("a library's line on standard output, as some have")
    return MODEL(int(override.removeprefix("++model.image_size=")))
