"""What tools print is read: bars, phases, causes of failure."""

from __future__ import annotations

import pytest

from engines.declared.diagnose import diagnose
from engines.declared.progress import PhaseReader
from execution.step import GPU_MEMORY, HOST_MEMORY, Progress
from tests.standin_declared import tool_of


def test_bars_belong_to_the_phase_that_was_named_last():
    reader = PhaseReader({"landmark Det": "finding the face", "Face Renderer": "rendering"})
    assert reader.read("hello") is None
    line = "landmark Det:: 100%|██████████| 1/1 [00:00<00:00,  8.87it/s]"
    assert reader.read(line) == Progress("finding the face", 1.0, "1 of 1")
    line = "Face Renderer::  25%|██▌       | 5/20 [00:01<00:03,  4.4it/s]"
    assert reader.read(line) == Progress("rendering", 0.25, "5 of 20")
    assert reader.read(" 50%|█████     | 15/30 [00:10<00:10,  1.5it/s]") == Progress(
        "rendering", 0.5, "15 of 30"
    )
    assert reader.read("0%|          | 0/0 [00:00<?, ?it/s]") is None


@pytest.mark.parametrize(
    ("name", "line", "cause"),
    [
        (
            "musepose",
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.47 GiB",
            GPU_MEMORY,
        ),
        ("musepose", "RuntimeError: DefaultCPUAllocator: can't allocate memory", HOST_MEMORY),
        ("musepose", "cv2.error: error: (-2:Unspecified error) The function is not implemented.", "opencv"),
        ("liveportrait", "Exception: No face detected in the frame #0", "no-face"),
        ("sadtalker", "can not detect the landmark from source image", "no-face"),
        ("animateanyone", "RuntimeError: stack expects each tensor to be equal size, but got", "lengths"),
        ("magicanimate", "NameError: name 'control' is not defined", "motion-kind"),
        ("magicanimate", "ModuleNotFoundError: No module named 'xformers'", "xformers"),
        ("animateanyone", "ModuleNotFoundError: No module named 'einops'", "module-missing"),
        ("animateanyone", "OSError: [Errno 28] No space left on device", "disk-full"),
        ("animateanyone", "AssertionError: Torch not compiled with CUDA enabled", "gpu"),
    ],
)
def test_a_failure_is_told_by_its_cause(name, line, cause):
    found = diagnose(tool_of(name), f"Loading\r\nTraceback (most recent call last):\n{line}\n")
    assert found is not None and found.cause == cause and found.text


def test_what_is_not_understood_is_not_explained():
    assert diagnose(tool_of("musepose"), "ValueError: something new") is None
