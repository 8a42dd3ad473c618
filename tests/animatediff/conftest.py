"""Tiny checkpoints for the tests of AnimateDiff, made once a session by the real library."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.animatediff.clip import Clip


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all tiny models."""
    import warnings

    import torch

    torch.set_num_threads(1)  # with more, tiny kernels spend their time waiting for each other
    folder = tmp_path_factory.mktemp("tiny")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import diffusers
        import transformers

        from tests.animatediff import tiny_models

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        tiny_models.make_all(folder)
    return folder


@pytest.fixture
def sd15(tiny: Path) -> Clip:
    return Clip(
        checkpoint=tiny / "sd15.safetensors",
        motion_adapter=tiny / "v2",
        pipeline_config=tiny / "sd15",
        prompts=((0, "a cat"),),
        negative_prompt="bad",
        frames=4,
        steps=2,
        width=64,
        height=64,
        guidance=7.5,
        seed=1,
        family="sd15",
    )


@pytest.fixture
def sdxl(tiny: Path) -> Clip:
    return Clip(
        checkpoint=tiny / "sdxl.safetensors",
        motion_adapter=tiny / "sdxl_adapter",
        pipeline_config=tiny / "sdxl",
        prompts=((0, "a cat"),),
        negative_prompt="bad",
        frames=4,
        steps=2,
        width=64,
        height=72,
        guidance=7.5,
        seed=1,
        family="sdxl",
    )
