"""The doctor: what works, what is missing, the command that mends it, and the exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest

import engines
from commands import examining
from commands.examining import examine
from config import ALL_ENGINES, job_without_media
from engines import machine
from engines.findings import Finding
from engines.interface import Examined
from engines.preview import check as preview_check
from tests.standin import remove_package, set_version
from tests.workplace import ROOT, Workplace


def areas(workplace: Workplace, engine: str = "wan22", **flags: str) -> dict[str, Examined]:
    return {thing.area: thing for thing in examine(job_without_media(flags)).examined[engine]}


@pytest.fixture
def large_gpu(monkeypatch):
    gpu = machine.Gpu(0, "NVIDIA H100", "GPU-0", 80 * 2**30, 79 * 2**30, (9, 0))
    monkeypatch.setattr(machine, "gpus", lambda: (gpu,))
    return gpu


def test_all_is_green_where_all_is_there(workplace, large_gpu):
    found = areas(workplace)
    assert {name: thing.state for name, thing in found.items()} == dict.fromkeys(found, "works")
    assert {"checkout", "Python", "packages", "flash-attn", "weights", "GPU", "memory", "disk"} <= set(found)
    assert "torch 2.8.0" in found["packages"].fine and "H100" in found["GPU"].fine
    assert examine(job_without_media({})).can_run("wan22")


def break_checkout(place: Workplace) -> None:
    shutil.rmtree(place / "Wan2.2" / "wan")


def break_python(place: Workplace) -> None:
    (place / "Wan2.2" / ".venv" / "pyvenv.cfg").unlink()
    python = place / "Wan2.2" / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)


def break_packages(place: Workplace) -> None:
    remove_package(place / "Wan2.2", "loguru")


def break_flash_attn(place: Workplace) -> None:
    set_version(place / "Wan2.2", "flash-attn", "1.0.9")


def break_weights(place: Workplace) -> None:
    (place / "Wan2.2-Animate-14B" / "Wan2.1_VAE.pth").unlink()


@pytest.mark.parametrize(
    ("spoil", "area", "command"),
    [
        (break_checkout, "checkout", "python scripts/setup_wan22.py --only repo"),
        (break_python, "Python", "python scripts/setup_wan22.py --only env"),
        (break_packages, "packages", "python scripts/setup_wan22.py --only env"),
        (break_flash_attn, "flash-attn", "python scripts/install_flash_attn.py --python"),
        (break_weights, "weights", "python scripts/download_weights.py"),
    ],
)
def test_what_is_missing_has_the_one_command_that_mends_it(workplace, large_gpu, spoil, area, command):
    spoil(workplace)
    found = areas(workplace)
    assert found[area].state == "missing" and found[area].mend.startswith(command)
    others = {name for name, thing in found.items() if thing.state == "missing"} - {area}
    assert others <= ({"Python"} if area == "checkout" else set())
    assert not examine(job_without_media({})).can_run("wan22")


def test_what_only_a_flag_needs_is_no_reason_not_to_run(workplace, large_gpu):
    weights = workplace / "Wan2.2-Animate-14B"
    (weights / "relighting_lora.ckpt").unlink()
    (weights / "process_checkpoint" / "sam2" / "sam2_hiera_large.pt").unlink()
    shutil.rmtree(weights / "process_checkpoint" / "FLUX.1-Kontext-dev")
    found = areas(workplace)
    for feature, area in (("replace", "--replace"), ("relighting", "relighting"), ("flux", "--use_flux")):
        thing = found[f"weights for {area}"]
        assert (thing.state, thing.mend) == (
            "optional",
            f"python scripts/download_weights.py --for {feature}",
        )
    assert found["weights"].state == "works"
    assert examine(job_without_media({})).can_run("wan22")
    assert found["weights for --use_flux"].findings[0].what.count("missing") == 1
    assert "SAM 2" in areas(workplace, "mask")


def test_the_commands_name_folders_that_are_not_the_default_ones(workplace, large_gpu):
    (workplace / "Wan2.2").rename(workplace / "elsewhere")
    found = areas(workplace, wan22_dir="elsewhere", ckpt_dir="none")
    assert found["checkout"].state == "works"
    assert found["weights"].mend == f"python scripts/download_weights.py --ckpt_dir {workplace / 'none'}"


def test_missing_libraries_of_our_own_are_named_with_the_command(workplace, monkeypatch):
    real = find_spec
    monkeypatch.setattr(preview_check, "find_spec", lambda name: None if name == "av" else real(name))
    thing = areas(workplace, "preview")["libraries"]
    assert thing.state == "missing" and "lacks av." in thing.findings[0].what
    assert thing.findings[0].code == "install.preview-libraries"
    assert "requirements.txt" in thing.mend


def test_a_finding_that_no_command_mends_says_itself_what_to_do(workplace, monkeypatch):
    monkeypatch.setattr(machine, "gpus", tuple)
    monkeypatch.setattr(machine, "gpu_files_exist", lambda: False)
    thing = areas(workplace)["GPU"]
    assert thing.state == "missing" and not thing.mend
    assert "preview" in thing.findings[0].remedy


def test_a_new_engine_is_listed_without_a_line_of_its_own(workplace, monkeypatch, capsys):
    finding = Finding(
        "install.made-up", "error", "Its library is not there.", "It cannot run.", "Install it."
    )
    things = [
        Examined(area="library", fine="1.0", findings=(finding,), mend="pip install made-up"),
        Examined(area="disk", fine="12 GB free"),
    ]
    made_up = ModuleType("engines.made_up")
    monkeypatch.setattr(made_up, "ENGINE", SimpleNamespace(examine=lambda job: iter(things)), raising=False)
    monkeypatch.setitem(sys.modules, "engines.made_up", made_up)
    for module in (engines, examining):
        monkeypatch.setattr(module, "ALL_ENGINES", (*ALL_ENGINES, "made_up"))
    report = examine(job_without_media({}))
    examining.show(report)
    shown = capsys.readouterr().out
    assert "made_up: cannot run here yet" in shown and "run: pip install made-up" in shown
    assert "12 GB free" in shown and "preview: can run here" in shown
    areas = report.as_data()["engines"]["made_up"]["areas"]
    assert [area["state"] for area in areas] == ["missing", "works"]
    assert areas[0]["findings"][0]["remedy"] == "Install it." and areas[0]["mend"] == "pip install made-up"


def test_every_engine_is_listed_with_what_it_needs(workplace):
    examined = examine(job_without_media({})).examined
    assert set(ALL_ENGINES) < set(examined)
    assert all(examined[name] for name in ALL_ENGINES)


# ------------------------------------------------------------------------------------------ the command


def doctor(place: Workplace, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return place.run("scripts/doctor.py", *words, **environment)


def test_the_table_is_for_people_and_json_is_the_same_as_data(workplace):
    told = doctor(workplace)
    assert told.returncode == 0, told.stderr
    assert "wan22: can run here" in told.stdout and "preview: can run here" in told.stdout
    data = json.loads(doctor(workplace, "--json").stdout)
    assert data["default_engine"] == "wan22" and data["engines"]["wan22"]["can_run"] is True
    for area in data["engines"]["wan22"]["areas"]:
        assert area["area"] in told.stdout
        if area["area"] not in ("memory", "disk"):  # other programs change them between the two
            assert area["found"] in told.stdout


def test_the_exit_code_is_about_the_default_engine_or_the_one_that_is_named(workplace):
    break_weights(workplace)
    assert doctor(workplace).returncode == 1
    assert doctor(workplace, "--engine", "preview").returncode == 0
    unknown = doctor(workplace, "--engine", "wan23")
    assert unknown.returncode == 2 and "wan22, preview" in unknown.stderr


def test_long_lines_are_not_broken_so_that_commands_can_be_copied(workplace):
    break_weights(workplace)
    folder = "a" * 90
    told = doctor(workplace, "--ckpt_dir", folder)
    assert f"run: python scripts/download_weights.py --ckpt_dir {workplace / folder}\n" in told.stdout


def test_nothing_is_started_and_nothing_is_written(workplace):
    before = workplace.contents()
    doctor(workplace)
    assert workplace.contents() == before


def test_help_is_quick():
    source = "import sys; sys.argv = ['doctor.py', '--help']\nimport scripts.doctor as d\n"
    source += "try: d.main()\nexcept SystemExit: pass\n"
    source += "print(*(set(sys.modules) & {'rich', 'numpy', 'yaml', 'cv2'}))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].strip() == ""


def test_a_job_without_media_is_one_that_the_checks_can_look_at():
    job = job_without_media({"wan22_dir": "x"})
    assert job.given == {"wan22_dir"} and replace(job, replace=False).ckpt_dir.is_absolute()
