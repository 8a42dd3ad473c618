"""The installation of the official repository: each thing that can be wrong with it has its own finding."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from config import FINISHING, GENERATION, PREPROCESSING, Job, load_job
from engines.findings import Finding
from engines.wan22 import checkout, interpreter
from engines.wan22.installation import installation_findings
from engines.wan22.interpreter import InterpreterError, probe_interpreter
from engines.wan22.packages import NEEDED, release
from tests.standin import PACKAGES, remove_package, set_version
from tests.standin.python import site_packages

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="programs are shell scripts here")
REAL = ("numpy", "cv2")
"""The environment finds these two by their modules as well, for the stand-in's scripts to run."""


@pytest.fixture
def job(workplace) -> Job:
    flags = {"video_path": workplace.video, "refer_path": workplace.picture}
    return load_job((PREPROCESSING, GENERATION, FINISHING), flags)


def found(job: Job) -> list[Finding]:
    return list(installation_findings(job))


def only(job: Job) -> Finding:
    (finding,) = found(job)
    return finding


def stage(job: Job, number: int) -> Job:
    return replace(job, stages=(number,))


def write_program(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(("#!/bin/sh", *lines, "")))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("changes", [{}, {"replace": True}, {"use_flux": True}])
def test_nothing_is_found_when_all_is_well(job, changes):
    assert found(replace(job, **changes)) == []


# ------------------------------------------------------------------------------------------------- code


@pytest.mark.parametrize("script", [checkout.PREPROCESS_SCRIPT, checkout.GENERATE_SCRIPT])
def test_a_checkout_that_is_not_there_is_the_only_finding(job, script):
    (job.wan22_dir / script).unlink()
    finding = only(job)
    assert (finding.code, finding.level) == ("install.checkout", "error")
    assert (
        str(script) in finding.what
        and "scripts/setup_wan22.py" in finding.remedy
        and "preview" in finding.remedy
    )


@pytest.fixture
def files_of_ours(job, monkeypatch, tmp_path) -> dict[str, str]:
    """The stand-in's own files as the table of what a checkout must hold."""
    import hashlib

    paths = checkout.source_files(job.wan22_dir)
    names = {path.relative_to(job.wan22_dir).as_posix(): path for path in paths}
    table = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in names.items()}
    (tmp_path / "table.json").write_text(json.dumps({"files": table}))
    monkeypatch.setattr(checkout, "_TABLE", tmp_path / "table.json")
    return table


def test_an_unchanged_checkout_is_not_spoken_of(job, files_of_ours):
    assert len(files_of_ours) > 3 and found(job) == []


def test_line_ends_of_windows_are_no_change(job, files_of_ours):
    for name in files_of_ours:
        path = job.wan22_dir / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert found(job) == []


def test_edited_files_are_named(job, files_of_ours):
    (job.wan22_dir / "generate.py").write_text("print('mine')\n")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.edited", "warning")
    assert "generate.py" in finding.what and "git -C" in finding.remedy


def test_missing_files_are_named(job, files_of_ours):
    (job.wan22_dir / "wan" / "__init__.py").unlink()
    finding = only(job)
    assert (finding.code, finding.level) == ("install.incomplete", "warning")
    assert "wan/__init__.py" in finding.what


def test_edited_files_of_another_commit_are_that_commit(job, files_of_ours):
    (job.wan22_dir / "generate.py").write_text("print('of tomorrow')\n")
    (job.wan22_dir / ".git").mkdir()
    (job.wan22_dir / ".git" / "HEAD").write_text("0123456789" * 4 + "\n")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.commit", "warning")
    assert "0123456" in finding.what and checkout.UPSTREAM_COMMIT[:7] in finding.what


def test_another_commit_with_the_same_code_is_not_spoken_of(job, files_of_ours):
    (job.wan22_dir / ".git").mkdir()
    (job.wan22_dir / ".git" / "HEAD").write_text("0123456789" * 4 + "\n")
    assert found(job) == []


def test_a_program_that_is_not_upstreams_at_all_is_not_compared(job):
    assert checkout.differences(job.wan22_dir) == checkout.Differences((), ())


def test_the_table_holds_all_code_that_the_model_imports():
    table = json.loads(Path(checkout.__file__).with_name("upstream_files.json").read_text())
    assert table["commit"] == checkout.UPSTREAM_COMMIT
    scripts = {checkout.PREPROCESS_SCRIPT.as_posix(), checkout.GENERATE_SCRIPT.as_posix(), "wan/animate.py"}
    assert scripts <= set(table["files"])
    assert all(len(digest) == 64 for digest in table["files"].values())


COMMIT = "fedcba9876543210fedcba9876543210fedcba98"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({".git/HEAD": COMMIT}, COMMIT),
        ({".git/HEAD": "ref: refs/heads/a/b", ".git/refs/heads/a/b": COMMIT}, COMMIT),
        (
            {".git/HEAD": "ref: refs/heads/a", ".git/packed-refs": f"# pack\n{COMMIT} refs/heads/a\n"},
            COMMIT,
        ),
        ({".git": "gitdir: ../main/x", "../main/x/HEAD": COMMIT}, COMMIT),
        (
            {
                ".git": "gitdir: ../main/.git/worktrees/w",
                "../main/.git/worktrees/w/HEAD": "ref: refs/heads/a",
                "../main/.git/worktrees/w/commondir": "../..",
                "../main/.git/refs/heads/a": COMMIT,
            },
            COMMIT,
        ),
        ({".git/HEAD": "ref: refs/heads/unborn"}, None),
        ({".git/HEAD": "nonsense"}, None),
        ({}, None),
    ],
)
def test_the_commit_is_read_from_gits_own_files(tmp_path, files, expected):
    folder = tmp_path / "Wan2.2"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    assert checkout.commit_of(folder) == expected


# ------------------------------------------------------------------------------------------------ Python


def test_an_interpreter_that_is_no_program_is_refused(job, workplace):
    for path in (workplace / workplace.video, workplace.folder, workplace / "none"):
        finding = only(replace(job, wan22_python=path))
        assert (finding.code, finding.level) == ("install.python", "error")
        assert str(path) in finding.what


@posix_only
@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("exit 3",), "exit code 3"),
        (("echo hello",), "does not answer as a Python 3 does"),
        (("echo 'no such option' >&2", "exit 2"), "no such option"),
        (("echo '{}'",), "does not answer"),
        (("echo '[1]'",), "does not answer"),
    ],
)
def test_a_program_that_is_no_python_is_refused(job, tmp_path, lines, words):
    program = write_program(tmp_path / "program", *lines)
    finding = only(replace(job, wan22_python=program))
    assert finding.code == "install.python" and words in finding.what


@posix_only
def test_a_program_that_never_answers_is_refused(job, tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "_PATIENCE", 0.2)
    finding = only(replace(job, wan22_python=write_program(tmp_path / "program", "exec sleep 60")))
    assert finding.code == "install.python" and "did not answer" in finding.what


@posix_only
def test_a_file_that_says_it_is_a_program_and_is_none_is_refused(job, tmp_path):
    path = tmp_path / "program"
    path.write_bytes(b"\x7fELF nothing of the kind")
    path.chmod(0o755)
    assert only(replace(job, wan22_python=path)).code == "install.python"


@posix_only
@pytest.mark.parametrize(("version", "code"), [("3, 9, 18", "install.python-old"), ("3, 10, 0", None)])
def test_an_old_python_is_refused(job, tmp_path, version, code):
    real = job.wan22_python
    lines = (f'"{real}" "$@" | sed "s/\\"python\\": .[0-9, ]*.,/\\"python\\": [{version}],/"',)
    program = write_program(tmp_path / "program", *lines)
    codes = [finding.code for finding in found(replace(job, wan22_python=program))]
    assert codes == ([code] if code else [])


def test_our_own_python_is_told_from_upstreams(job):
    """What happens when nobody made an environment for upstream."""
    for name in PACKAGES:
        remove_package(job.wan22_dir, name)
    finding = only(job)
    assert (finding.code, finding.level) == ("install.environment", "error")
    assert "scripts/setup_wan22.py --only env" in finding.remedy


def test_an_interpreter_is_asked_once_until_something_is_installed(job, monkeypatch):
    first = probe_interpreter(job.wan22_python)
    assert probe_interpreter(job.wan22_python) is first
    set_version(job.wan22_dir, "loguru", "9.9")
    second = probe_interpreter(job.wan22_python)
    assert second is not first and second.packages["loguru"] == "9.9"


def test_what_is_installed_is_read_without_importing_it(job):
    packages = site_packages(job.wan22_dir)
    (packages / "torch.py").write_text("raise SystemExit('imported')\n")
    python = probe_interpreter(job.wan22_python)
    assert python.packages == PACKAGES
    assert python.modules["torch"] == packages / "torch.py"
    assert python.python == sys.version_info[:3]


def test_names_of_all_kinds_of_metadata_are_read(job):
    packages = site_packages(job.wan22_dir)
    (packages / "PyYAML-5.4.1-py3.8.egg-info").write_text("Metadata-Version: 1.2\nVersion: 5.4.1\n")
    (packages / "Odd.Name_x.egg-info").mkdir()
    (packages / "Odd.Name_x.egg-info" / "PKG-INFO").write_text("Name: x\nVersion: 7\n\nVersion: 8\n")
    (packages / "half_removed-1.0.dist-info").mkdir()
    (packages / "~orch-2.0.dist-info").mkdir()
    (packages / "~orch-2.0.dist-info" / "METADATA").touch()
    found_now = probe_interpreter(job.wan22_python).packages
    assert found_now == {**PACKAGES, "pyyaml": "5.4.1", "odd-name-x": "7"}


def test_python_path_counts_as_it_does_for_upstream_and_our_folder_does_not(job, tmp_path, monkeypatch):
    (tmp_path / "more" / "extra-1.0.dist-info").mkdir(parents=True)
    (tmp_path / "more" / "extra-1.0.dist-info" / "METADATA").touch()
    (Path.cwd() / "json.py").write_text("raise SystemExit('the current folder was on the path')")
    (Path.cwd() / "here-1.0.dist-info").mkdir()
    (Path.cwd() / "here-1.0.dist-info" / "METADATA").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    python = probe_interpreter(job.wan22_python)
    assert "extra" in python.packages and "here" not in python.packages


@posix_only
def test_an_unreadable_interpreter_names_the_reason(tmp_path):
    path = tmp_path / "python"
    path.touch()
    with pytest.raises(InterpreterError, match="cannot be started"):
        probe_interpreter(path)


# ---------------------------------------------------------------------------------------------- packages


@pytest.mark.parametrize("package", [entry for entry in NEEDED if entry.module not in REAL], ids=str)
def test_each_package_that_is_missing_is_named_with_its_command(job, package):
    for name in package.names:
        remove_package(job.wan22_dir, name)
    wanting = replace(stage(job, package.stages[0]), use_flux=package.only_flux)
    finding = only(wanting)
    assert (finding.code, finding.level) == ("install.modules", "error")
    assert package.names[0] in finding.what
    assert f"{job.wan22_python} -m pip install" in finding.remedy and package.names[0] in finding.remedy


def test_all_missing_packages_are_one_finding(job):
    for name in ("easydict", "loguru", "moviepy"):
        remove_package(job.wan22_dir, name)
    assert only(job).what.endswith("lacks moviepy, loguru, easydict.")


@pytest.mark.parametrize(
    ("number", "unneeded"),
    [
        (PREPROCESSING, ("peft", "librosa", "flash-attn", "easydict")),
        (GENERATION, ("moviepy", "sam2", "loguru", "onnxruntime-gpu")),
    ],
)
def test_what_the_stage_does_not_import_may_be_missing(job, number, unneeded):
    for name in unneeded:
        remove_package(job.wan22_dir, name)
    assert found(stage(job, number)) == []


@pytest.mark.parametrize(
    ("removed", "instead", "version"),
    [
        ("opencv-python", "opencv-contrib-python-headless", "4.11.0.86"),
        ("decord", "eva-decord", "0.7.0"),
        ("sam2", "SAM-2", "1.1.0"),
    ],
)
def test_a_package_under_its_other_name_counts(job, removed, instead, version):
    remove_package(job.wan22_dir, removed)
    set_version(job.wan22_dir, instead, version)
    assert found(job) == []


def test_a_module_without_metadata_counts(job):
    remove_package(job.wan22_dir, "easydict")
    (site_packages(job.wan22_dir) / "easydict.py").touch()
    assert found(job) == []


def test_missing_torch_is_named_with_a_version_that_flash_attn_has_wheels_for(job):
    remove_package(job.wan22_dir, "torch")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.torch", "error")
    assert "torch==2.8.*" in finding.remedy


@pytest.mark.parametrize(
    "changes", [{}, {"replace": True, "stages": (1,)}, {"use_flux": True, "stages": (1,)}]
)
def test_a_torch_for_cpus_is_refused_where_a_gpu_is_needed(job, changes):
    set_version(job.wan22_dir, "torch", "2.8.0+cpu")
    finding = only(replace(job, **changes))
    assert (finding.code, finding.level) == ("install.torch-cpu", "error")


def test_a_torch_for_cpus_will_do_for_stage_1_in_animate_mode(job):
    set_version(job.wan22_dir, "torch", "2.8.0+cpu")
    assert found(stage(job, PREPROCESSING)) == []


@pytest.mark.parametrize(
    ("version", "written", "codes"),
    [
        ("2.8.0", "cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", []),
        ("2.8.0", "cuda = None\nhip = None\n", ["install.torch-cpu"]),
        ("2.8.0", "cuda: Optional[str] = None\nhip: Optional[str] = '6.4'\n", []),
        ("2.8.0+cpu", "nothing to see", ["install.torch-cpu"]),
    ],
)
def test_torchs_own_file_tells_its_build(job, version, written, codes):
    metadata = set_version(job.wan22_dir, "torch", version)
    (metadata.parent / "torch").mkdir()
    (metadata.parent / "torch" / "version.py").write_text(written)
    assert [finding.code for finding in found(job)] == codes


def test_sam_2_is_needed_in_every_mode(job):
    remove_package(job.wan22_dir, "sam2")
    for in_replace_mode in (False, True):
        finding = only(replace(stage(job, PREPROCESSING), replace=in_replace_mode))
        assert (finding.code, finding.level) == ("install.sam2", "error")


@pytest.mark.parametrize(
    ("version", "is_compiled", "in_replace_mode", "codes"),
    [
        ("1.0", False, True, ["install.sam2-extension"]),
        ("1.0", True, True, []),
        ("1.0", False, False, []),
        ("1.1.0", False, True, []),
    ],
)
def test_an_old_sam_2_needs_its_compiled_part_in_replace_mode(
    job, version, is_compiled, in_replace_mode, codes
):
    folder = set_version(job.wan22_dir, "sam2", version).parent / "sam2"
    folder.mkdir()
    (folder / "__init__.py").touch()
    if is_compiled:
        (folder / "_C.so").touch()
    assert [finding.code for finding in found(replace(job, replace=in_replace_mode))] == codes


@pytest.mark.parametrize(
    ("name", "version", "code", "level"),
    [
        ("diffusers", "0.34.0", "install.diffusers", "error"),
        ("numpy", "2.2.6", "install.numpy", "error"),
        ("transformers", "4.52.0", "install.versions", "warning"),
        ("transformers", "4.48.3", "install.versions", "warning"),
        ("tokenizers", "0.20.2", "install.versions", "warning"),
        ("accelerate", "1.0.1", "install.versions", "warning"),
        ("opencv-python", "4.8.1.78", "install.versions", "warning"),
    ],
)
def test_a_version_that_does_not_fit_is_named(job, name, version, code, level):
    set_version(job.wan22_dir, name, version)
    finding = only(job)
    assert (finding.code, finding.level) == (code, level)
    assert f"{name} {version}".lower() in finding.what.lower()


@pytest.mark.parametrize(("name", "version"), [("diffusers", "0.34.0"), ("moviepy", "2.2.1")])
def test_a_version_that_only_the_other_stage_minds_is_not_spoken_of(job, name, version):
    set_version(job.wan22_dir, name, version)
    assert found(stage(job, GENERATION)) == []


def test_numpy_2_is_a_warning_where_nothing_is_written_with_it(job):
    set_version(job.wan22_dir, "numpy", "2.2.6")
    finding = only(stage(job, GENERATION))
    assert (finding.code, finding.level) == ("install.versions", "warning")


@posix_only
def test_numpy_2_in_a_python_that_numpy_1_does_not_know_needs_another_python(job, tmp_path):
    set_version(job.wan22_dir, "numpy", "2.2.6")
    lines = (f'"{job.wan22_python}" "$@" | sed "s/\\"python\\": .[0-9, ]*.,/\\"python\\": [3, 13, 1],/"',)
    finding = only(replace(job, wan22_python=write_program(tmp_path / "program", *lines)))
    assert finding.code == "install.numpy" and "3.10 to 3.12" in finding.remedy


def test_versions_are_compared_as_numbers():
    assert release("0.35.0.dev0") >= release("0.35.0") > release("0.9.1")
    assert release("2.8.0+cu128") == release("2.8.0a0+git") == (2, 8, 0)
    assert release("unknown") == ()


def test_onnx_runtime_for_cpus_is_a_warning(job):
    remove_package(job.wan22_dir, "onnxruntime-gpu")
    set_version(job.wan22_dir, "onnxruntime", "1.23.2")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.onnxruntime-cpu", "warning")
    assert "pip uninstall onnxruntime" in finding.remedy and "onnxruntime-gpu" in finding.remedy


def test_two_builds_of_onnx_runtime_are_a_warning(job):
    set_version(job.wan22_dir, "onnxruntime", "1.23.2")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.onnxruntime-both", "warning")


# -------------------------------------------------------------------------------------------- flash-attn


def test_missing_flash_attn_is_refused_with_the_command_that_installs_it(job):
    remove_package(job.wan22_dir, "flash-attn")
    for path in site_packages(job.wan22_dir).glob("flash_attn_2_cuda*"):
        path.unlink()
    finding = only(job)
    assert (finding.code, finding.level) == ("install.flash-attn", "error")
    assert "no text" in finding.why
    assert f"python scripts/install_flash_attn.py --python {job.wan22_python}" in finding.remedy


@pytest.mark.parametrize(("name", "version"), [("flash-attn", "1.0.9"), ("flash-attn-3", "3.0.0b1")])
def test_another_major_version_of_flash_attn_is_refused(job, name, version):
    remove_package(job.wan22_dir, "flash-attn")
    set_version(job.wan22_dir, name, version)
    finding = only(job)
    assert (finding.code, finding.level) == ("install.flash-attn-version", "error")
    assert version in finding.what


@pytest.mark.parametrize("instead", ["flash_attn_2_cuda.cpython-37m-x86_64-linux-gnu.so", None])
def test_flash_attn_compiled_for_another_python_is_refused(job, instead):
    (compiled,) = site_packages(job.wan22_dir).glob("flash_attn_2_cuda*")
    compiled.unlink()
    if instead:
        compiled.with_name(instead).touch()
    finding = only(job)
    assert (finding.code, finding.level) == ("install.flash-attn-compiled", "error")
    assert (instead or "none") in finding.what


WHEEL = "https://x/v2.8.3/flash_attn-2.8.3%2Bcu12torch{}cxx11abi{}-cp311-cp311-linux_x86_64.whl"


@pytest.mark.parametrize(
    ("torch", "origin", "words"),
    [
        ("2.8.0+cu128", WHEEL.format("2.8", "TRUE"), None),
        ("2.8.0+cu128", WHEEL.format("2.8", "TRUE").replace("cu12", "cu122"), None),
        ("2.8.0+cu128", "file:///src/flash-attention", None),
        ("2.8.0+cu128", WHEEL.format("2.7", "TRUE"), "torch 2.7"),
        ("2.8.0+cu128", WHEEL.format("2.8", "TRUE").replace("cu12", "cu11"), "CUDA 11"),
        ("2.8.0+cu128", WHEEL.format("2.8", "FALSE"), "cxx11abiFALSE"),
        ("2.6.0+cu124", WHEEL.format("2.6", "FALSE"), None),
    ],
)
def test_flash_attn_built_for_another_torch_is_refused_where_its_origin_tells(job, torch, origin, words):
    set_version(job.wan22_dir, "torch", torch)
    metadata = set_version(job.wan22_dir, "flash-attn", "2.8.3")
    (metadata / "direct_url.json").write_text(json.dumps({"url": origin, "archive_info": {}}))
    if words is None:
        assert found(job) == []
        return
    finding = only(job)
    assert (finding.code, finding.level) == ("install.flash-attn-torch", "error")
    assert words in finding.what and torch in finding.what


def test_the_version_itself_may_tell_for_which_torch_it_was_built(job):
    set_version(job.wan22_dir, "flash-attn", "2.8.3+cu12torch2.7cxx11abiTRUE")
    assert only(job).code == "install.flash-attn-torch"


def test_a_damaged_note_of_its_origin_is_no_error(job):
    metadata = set_version(job.wan22_dir, "flash-attn", "2.8.3")
    (metadata / "direct_url.json").write_text("{")
    assert found(job) == []


def test_the_stand_ins_environment_runs_as_a_copy(job, tmp_path):
    """A workplace is a copy of another: its interpreter must be its own."""
    shutil.copytree(job.wan22_dir, tmp_path / "copy", symlinks=True)
    copied = tmp_path / "copy" / job.wan22_python.relative_to(job.wan22_dir)
    assert probe_interpreter(copied).prefix.samefile(tmp_path / "copy" / ".venv")
