"""The launcher in front of a script: what is prepared, and that nothing else is changed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from engines.wan22.plan import LAUNCHER
from tests.standin import make_standin, read_record

SCRIPT = """
import json, sys
found = {"argv": sys.argv, "name": __name__, "path": sys.path[0], "file": __file__}
found["cv2"] = "cv2" in sys.modules
import torch
import beside
found |= {"precision": torch.get_float32_matmul_precision(), "beside": beside.__file__}
print(json.dumps(found))
sys.exit(int(sys.argv[-1]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A script with a module beside it, where a stand-in torch lies as well; odd letters in its path."""
    folder = make_standin(tmp_path / "check out's ü")
    (folder / "beside.py").write_text("")
    path = folder / "script.py"
    path.write_text(SCRIPT)
    return path


def launch(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(LAUNCHER), str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=script.parents[1],
    )


def test_the_script_runs_as_if_python_had_been_given_it(script):
    done = launch(script, "--prompt", "-a b", "0")
    found = json.loads(done.stdout)
    assert found["argv"] == [str(script), "--prompt", "-a b", "0"]
    assert (found["name"], found["file"]) == ("__main__", str(script))
    assert found["path"] == str(script.parent) and found["beside"] == str(script.with_name("beside.py"))


def test_opencv_is_there_first_and_tf32_is_on(script):
    found = json.loads(launch(script, "0").stdout)
    assert (found["cv2"], found["precision"]) == (True, "high")


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_exit_code_is_the_scripts(script, code):
    assert launch(script, str(code)).returncode == code


def test_a_crash_ends_with_the_scripts_own_traceback(script):
    script.write_text("raise RuntimeError('of the script')")
    done = launch(script)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("RuntimeError: of the script") and str(script) in done.stderr


def test_it_imports_nothing_of_ours(script):
    """It runs in upstream's interpreter, which has none of our libraries."""
    script.write_text("import sys; print(' '.join(sys.modules))")
    loaded = set(launch(script).stdout.split())
    assert not loaded & {"config", "engines", "execution", "preprocess", "click", "rich", "psutil", "av"}


def test_a_png_reference_is_decoded_because_of_it(finished, tmp_path):
    """The stand-in dies of a PNG as upstream does, unless OpenCV came first."""
    record = tmp_path / "record.jsonl"
    done = finished.run("pipeline.py", *finished.inputs, "--seed", "1", STANDIN_RECORD=str(record))
    assert done.returncode == 0, done.stderr
    assert (finished / "process_results" / "src_ref.png").read_bytes().startswith(b"\x89PNG")
    (started,) = [entry for entry in read_record(record) if entry["event"] == "start"]
    assert started["cv2_first"] and started["float32_matmul_precision"] == "high"
