"""The launcher and the real torch: TF32 is in force when upstream's script runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from engines.wan22.plan import LAUNCHER

SCRIPT = """
import sys
before = "cv2" in sys.modules
import torch
print(before, torch.get_float32_matmul_precision(), sys.argv[1:], __name__)
"""


@pytest.mark.needs("torch")
def test_tf32_is_on_and_opencv_is_first_in_the_real_torch(tmp_path: Path) -> None:
    script = tmp_path / "generate.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, str(LAUNCHER), str(script), "--task", "animate-14B"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "True high ['--task', 'animate-14B'] __main__", run.stderr
