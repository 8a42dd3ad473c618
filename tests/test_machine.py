"""What the machine has, and whether that is enough for a job: on made-up GPUs, memories and disks."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from config import FINISHING, GENERATION, PREPROCESSING, Job, load_job
from engines import machine
from engines.findings import Finding
from engines.interface import Prediction
from engines.wan22 import needs
from engines.wan22.machine_check import machine_findings
from tests.standin import MACHINE

GB = 2**30
ROOT = Path(__file__).parents[1]
PREDICTED = Prediction(width=1280, height=720, frames=300, tokens=75_600, frame_num=77, windows=4)
"""Ten seconds in upstream's default size."""


@pytest.fixture
def job(workplace) -> Job:
    flags = {"video_path": workplace.video, "refer_path": workplace.picture}
    return load_job((PREPROCESSING, GENERATION, FINISHING), flags)


@pytest.fixture
def weights(job, monkeypatch) -> dict[str, int]:
    """Sizes of the real weights, in bytes, in place of the stand-in's; the tests may change them."""
    sizes = {
        "models_t5_umt5-xxl-enc-bf16.pth": 11_361_920_418,
        "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth": 4_772_359_047,
        "Wan2.1_VAE.pth": 507_609_880,
        "yolov10m.onnx": 61_700_000,
        "vitpose_h_wholebody.onnx": 2_550_000_000,
        "sam2_hiera_large.pt": 900_000_000,
        "FLUX.1-Kontext-dev": 34_000_000_000,
        **{f"diffusion_pytorch_model-0000{n}-of-00003.safetensors": 11_500_000_000 for n in (1, 2, 3)},
    }
    monkeypatch.setattr(needs, "size_of", lambda path: sizes.get(path.name, 0))
    return sizes


@pytest.fixture
def host(monkeypatch) -> Callable[[float, float], None]:
    """Sets the host's memory: total and available, in GB."""

    def set_memory(total: float, available: float) -> None:
        memory = machine.Memory(total=int(total * GB), available=int(available * GB))
        monkeypatch.setattr(machine, "host_memory", lambda: memory)

    set_memory(1000, 1000)
    return set_memory


@pytest.fixture
def disks(monkeypatch) -> dict[str, tuple[int, int]]:
    """Disk and free bytes by the name of the folder; by default one large disk."""
    table: dict[str, tuple[int, int]] = {}
    plenty = (1, 10**12)
    monkeypatch.setattr(machine, "free_space", lambda folder: table.get(folder.name, plenty))
    return table


def found(job: Job, predicted: Prediction | None = PREDICTED) -> list[Finding]:
    return list(machine_findings(job, predicted))


def only(job: Job, predicted: Prediction | None = PREDICTED) -> Finding:
    (finding,) = found(job, predicted)
    return finding


def stage(job: Job, number: int) -> Job:
    return replace(job, stages=(number,))


# ------------------------------------------------------------------------------------------------- GPUs


def test_the_gpus_are_those_that_the_driver_names(monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x80/79.5,2x24")
    first, second, third = machine.gpus()
    assert (first.index, first.memory_total, first.memory_free) == (0, 80 * GB, int(79.5 * GB))
    assert (second.index, third.index, third.memory_total) == (1, 2, 24 * GB)
    assert first.name == "Stand-in GPU 80 GB" and first.uuid != second.uuid
    assert first.generation == (9, 0)


def test_without_a_driver_there_are_none(monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "")
    assert machine.gpus() == ()


UUID = "GPU-0000000{}-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("2", [2]),
        ("3,1", [3, 1]),
        (" 0 , 2 ", [0, 2]),
        ("0,1,7,2", [0, 1]),
        ("1,-1,2", [1]),
        ("0,0", [0]),
        ("", []),
        ("-1", []),
        ("none", []),
        (UUID.format(3), [3]),
        ("GPU-00000002,0", [2, 0]),
        ("GPU-9", []),
    ],
)
def test_only_visible_gpus_count_as_cuda_has_it(monkeypatch, visible, expected):
    monkeypatch.setenv("STANDIN_GPUS", "4x80")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.index for gpu in machine.gpus()] == expected


def test_a_part_of_a_gpu_is_seen_as_a_gpu(monkeypatch):
    part = UUID.format(1).replace("GPU", "MIG")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", part)
    (gpu,) = machine.gpus()
    assert gpu.uuid == part
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-unknown")
    assert machine.gpus() == ()


def test_a_gpu_that_does_not_answer_is_left_out(monkeypatch):
    import pynvml

    def describe(handle: object) -> None:
        raise pynvml.NVMLError("GPU is lost")

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", describe)
    assert machine.gpus() == ()


REAL = """
import inspect, json, pynvml
from engines import machine
def needed(function):
    return [value.default is value.empty for value in inspect.signature(function).parameters.values()]
names = {name: needed(value) for name, value in vars(pynvml).items() if inspect.isfunction(value)}
print(json.dumps({"file": pynvml.__file__, "functions": names, "gpus": len(machine.gpus()),
                  "described": sorted(machine.describe_machine())}))
"""


def test_the_real_library_has_what_is_asked_and_without_a_driver_there_is_no_gpu():
    """Whatever this machine has: the real library answers, and has every function of the stand-in."""
    done = subprocess.run(
        [sys.executable, "-c", REAL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    real = json.loads(done.stdout)
    assert not Path(real["file"]).is_relative_to(MACHINE)
    import pynvml

    ours = {name: value for name, value in vars(pynvml).items() if inspect.isfunction(value)}
    shared = {name for name in ours if name.startswith("nvml")}
    assert len(shared) >= 10
    for name in shared:
        needed = real["functions"][name]
        assert sum(needed) <= len(inspect.signature(ours[name]).parameters) <= len(needed), name
    assert real["described"] == sorted(machine.describe_machine())


def test_nothing_is_found_on_a_large_machine(job, weights, host, disks):
    for changes in ({}, {"replace": True}, {"use_flux": True}, {"multi_gpu": True, "nproc_per_node": 8}):
        assert found(replace(job, **changes)) == []
        assert found(replace(job, **changes), None) == []


@pytest.mark.parametrize(
    ("changes", "code", "level"),
    [
        ({}, "machine.no-gpu", "error"),
        ({"stages": (GENERATION,)}, "machine.no-gpu", "error"),
        ({"stages": (PREPROCESSING,), "replace": True}, "machine.no-gpu", "error"),
        ({"stages": (PREPROCESSING,), "use_flux": True}, "machine.no-gpu", "error"),
        ({"stages": (PREPROCESSING,)}, "machine.no-gpu-for-poses", "warning"),
    ],
)
def test_without_a_gpu_only_poses_can_be_had(job, host, monkeypatch, tmp_path, changes, code, level):
    monkeypatch.setenv("STANDIN_GPUS", "")
    monkeypatch.setattr(machine, "DEVICE_FILES", tmp_path)
    finding = only(replace(job, **changes))
    assert (finding.code, finding.level) == (code, level)


def test_hidden_gpus_are_none_and_the_message_says_so(job, monkeypatch, host):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    finding = only(job)
    assert finding.code == "machine.no-gpu" and "CUDA_VISIBLE_DEVICES" in finding.what


def test_gpus_whose_driver_does_not_answer_are_no_reason_to_refuse(job, monkeypatch, tmp_path, host):
    """In a container the driver's management library may be missing though CUDA works."""
    monkeypatch.setenv("STANDIN_GPUS", "")
    monkeypatch.setattr(machine, "DEVICE_FILES", tmp_path)
    (tmp_path / "nvidia0").touch()
    finding = only(job)
    assert (finding.code, finding.level) == ("machine.gpu-unknown", "warning")


def test_more_gpus_than_there_are_are_refused(job, monkeypatch, host):
    monkeypatch.setenv("STANDIN_GPUS", "2x80")
    finding = only(replace(job, multi_gpu=True, nproc_per_node=4))
    assert (finding.code, finding.level) == ("machine.too-few-gpus", "error")
    assert "has 2 GPU(s)" in finding.what
    assert found(replace(job, multi_gpu=True, nproc_per_node=4, stages=(PREPROCESSING,))) == []


@pytest.mark.parametrize(
    ("generation", "codes"), [("7.5", ["machine.gpu-too-old"]), ("8.0", []), ("12.0", [])]
)
def test_a_gpu_before_ampere_is_refused(job, monkeypatch, host, generation, codes):
    monkeypatch.setenv("STANDIN_GPU_GENERATION", generation)
    assert [finding.code for finding in found(job)] == codes
    assert found(stage(job, PREPROCESSING)) == []


# ------------------------------------------------------------------------------------------- GPU memory


@pytest.mark.parametrize(
    ("gpus", "changes", "code", "remedy"),
    [
        # Weights alone are 37.9e9 bytes, with the text encoder 49.2e9, with activations of 720p 47.7e9.
        ("1x80", {}, None, ""),
        ("1x48", {}, "machine.gpu-memory-tight", "--t5_cpu"),
        ("1x45", {}, "machine.gpu-memory", "Add --t5_cpu"),
        ("1x40", {}, "machine.gpu-memory", "smaller --resolution or --frame_num, and --t5_cpu"),
        ("1x40", {"t5_cpu": True}, "machine.gpu-memory", "smaller --resolution or --frame_num."),
        ("1x24", {"t5_cpu": True}, "machine.gpu-memory", "Use 4 such GPUs"),
        ("1x16", {}, "machine.gpu-memory", "Use 5 such GPUs"),
        ("1x2", {}, "machine.gpu-memory", "larger GPUs"),
        ("1x56", {"no_offload": True}, "machine.gpu-memory-tight", ""),
        ("1x55", {"no_offload": True}, "machine.gpu-memory", "--t5_cpu"),
        ("2x40", {"multi_gpu": True, "nproc_per_node": 2}, "machine.gpu-memory-tight", ""),
        ("2x24", {"multi_gpu": True, "nproc_per_node": 2}, "machine.gpu-memory", "Use 4 such GPUs"),
        ("8x48", {"multi_gpu": True, "nproc_per_node": 8}, None, ""),
    ],
)
def test_gpu_memory_of_stage_2(job, weights, host, disks, monkeypatch, gpus, changes, code, remedy):
    monkeypatch.setenv("STANDIN_GPUS", gpus)
    findings = found(replace(stage(job, GENERATION), **changes))
    assert [finding.code for finding in findings] == ([code] if code else [])
    if code:
        assert findings[0].level == ("error" if code == "machine.gpu-memory" else "warning")
        assert remedy in findings[0].remedy and "Stage 2" in findings[0].what


@pytest.mark.parametrize(
    ("gpus", "changes", "code"),
    [
        ("1x10", {"replace": True}, None),
        ("1x6", {"replace": True}, "machine.gpu-memory"),  # models 3.5e9, 300 frames of 12.6e6, CUDA
        ("1x34", {"use_flux": True}, "machine.gpu-memory"),
        ("1x36", {"use_flux": True}, None),
        ("1x2", {}, None),  # the poses can be found on the CPU
    ],
)
def test_gpu_memory_of_stage_1(job, weights, host, disks, monkeypatch, gpus, changes, code):
    monkeypatch.setenv("STANDIN_GPUS", gpus)
    findings = found(replace(stage(job, PREPROCESSING), **changes))
    assert [finding.code for finding in findings] == ([code] if code else [])
    assert all("Stage 1" in finding.what for finding in findings)


def test_the_smallest_of_several_gpus_counts(job, weights, host, disks, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x80,1x16,2x80")
    two = replace(stage(job, GENERATION), multi_gpu=True, nproc_per_node=2)
    assert "16 GB" in only(two).what and only(two).code == "machine.gpu-memory"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert found(two) == []


def test_memory_that_others_hold_is_named_with_its_gpu(job, weights, host, disks, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x80,1x80/10")
    assert found(stage(job, GENERATION)) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    finding = only(stage(job, GENERATION))
    assert (finding.code, finding.level) == ("machine.gpu-memory-taken", "warning")
    assert "GPU 1" in finding.what and "10.7 GB are free" in finding.what and "nvidia-smi" in finding.remedy


# ----------------------------------------------------------------------------------- host memory and disk


@pytest.mark.parametrize(
    ("total", "available", "changes", "codes"),
    [
        (64, 40, {}, []),
        (20, 15, {}, ["machine.host-memory"]),  # the text encoder twice: 22.7e9 bytes
        (64, 20, {}, ["machine.host-memory-tight"]),
        (100, 80, {"multi_gpu": True, "nproc_per_node": 8}, ["machine.host-memory"]),  # 34.5e9 for each
        (300, 290, {"multi_gpu": True, "nproc_per_node": 8}, []),
    ],
)
def test_host_memory_of_stage_2(job, weights, host, disks, total, available, changes, codes):
    host(total, available)
    findings = found(replace(stage(job, GENERATION), **changes))
    assert [finding.code for finding in findings] == codes
    for finding in findings:
        assert finding.level == ("error" if finding.code == "machine.host-memory" else "warning")


@pytest.mark.parametrize(
    ("frames", "in_replace_mode", "codes"),
    [
        # For each pixel and padded frame at least 18 bytes, 43 in replace mode; 55 at the worst moment.
        (300, False, []),
        (1800, False, ["machine.host-memory-tight"]),
        (1800, True, ["machine.host-memory"]),
        (6000, False, ["machine.host-memory"]),
    ],
)
def test_long_clips_need_host_memory(job, weights, host, disks, frames, in_replace_mode, codes):
    host(64, 60)
    windows = -(-(frames - 1) // 76)
    predicted = replace(PREDICTED, frames=frames, windows=windows)
    job = replace(stage(job, GENERATION), replace=in_replace_mode)
    assert [finding.code for finding in found(job, predicted)] == codes


@pytest.mark.parametrize(
    ("size", "frames", "codes"),
    [
        ((1920, 1080), 300, []),
        ((3840, 2160), 1800, ["machine.host-memory"]),  # twice 1800 frames of 25 MB: 90e9 bytes
        ((3840, 2160), 1000, ["machine.host-memory-tight"]),
    ],
)
def test_stage_1_holds_the_driving_videos_frames_twice(
    job, weights, host, disks, monkeypatch, size, frames, codes
):
    from engines.wan22 import machine_check

    host(64, 32)
    monkeypatch.setattr(machine_check, "_source_pixels", lambda job: size[0] * size[1])
    findings = found(stage(job, PREPROCESSING), replace(PREDICTED, frames=frames))
    assert [finding.code for finding in findings] == codes
    assert all("Scale the driving video down" in finding.remedy for finding in findings)


def test_a_clip_that_cannot_be_read_is_no_error_here(job, workplace):
    (workplace / workplace.video).write_text("no video")
    assert found(job, None) == []


def test_a_full_disk_is_refused(job, weights, host, disks):
    disks[job.output_path.parent.name] = (2, 1_000_000)
    finding = only(job)
    assert (finding.code, finding.level) == ("machine.disk-full", "error")
    assert str(job.output_path.parent) in finding.what and "1 MB free" in finding.what


def test_a_disk_without_a_byte_is_refused_whatever_is_made(job, weights, host, disks):
    disks[job.save_path.name] = (2, 0)
    assert only(job, None).code == "machine.disk-full"


def test_a_disk_that_may_get_full_is_a_warning(job, weights, host, disks):
    disks[job.save_path.name] = (2, 10_000_000)
    finding = only(job)
    assert (finding.code, finding.level) == ("machine.disk-tight", "warning")


def test_both_stages_on_one_disk_share_its_space(job, weights, host, disks):
    """Stage 1 may write 21 MB, stage 2 33 MB."""
    for name in (job.save_path.name, job.output_path.parent.name):
        disks[name] = (2, 40_000_000)
    assert only(job).code == "machine.disk-tight"
    assert found(stage(job, PREPROCESSING)) == [] and found(stage(job, GENERATION)) == []


def test_a_disk_that_does_not_tell_is_no_error(job, weights, host, monkeypatch):
    def refuse(folder: Path) -> tuple[int, int]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "free_space", refuse)
    assert found(job) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a file system without a size")
def test_a_file_system_without_a_size_is_no_full_disk(job, weights, host):
    assert found(replace(job, save_path=Path("/proc/made"), output_path=Path("/proc/x.mp4"))) == []


def test_the_disk_of_a_folder_that_does_not_exist_yet_is_its_parents(tmp_path):
    assert machine.free_space(tmp_path / "a" / "b")[0] == tmp_path.stat().st_dev
    assert machine.free_space(tmp_path)[1] > 0


# ------------------------------------------------------------------------------- the machine's own figures


def test_the_hosts_memory_is_what_the_system_says(monkeypatch, tmp_path):
    import psutil

    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    memory = machine.host_memory()
    assert memory.total == psutil.virtual_memory().total + psutil.swap_memory().total
    assert 0 < memory.available <= memory.total


@pytest.mark.parametrize(
    "names",
    [
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ],
)
def test_a_containers_limit_counts_and_its_cached_files_are_not_held(monkeypatch, tmp_path, names):
    limit, used, statistics, cached = (name for name in names)
    for name, text in ((limit, "50000000"), (used, "30000000"), (statistics, f"anon 1\n{cached} 10000000\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    assert machine.host_memory() == machine.Memory(total=50_000_000, available=30_000_000)


@pytest.mark.parametrize("text", ["max", "9223372036854771712", ""])
def test_a_container_without_a_limit_has_the_hosts_memory(monkeypatch, tmp_path, text):
    (tmp_path / "memory.max").write_text(text + "\n")
    monkeypatch.setattr(machine, "CONTROL_GROUP", tmp_path)
    assert machine.host_memory().total > 10**8


def test_the_size_of_a_folder_is_that_of_all_its_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x").write_bytes(b"123")
    (tmp_path / "a" / "b" / "y").write_bytes(b"12")
    assert needs.size_of(tmp_path / "a") == 5 and needs.size_of(tmp_path / "none") == 0


def test_the_description_for_the_record_is_plain_data_without_names_of_people_or_networks(monkeypatch):
    import platform

    monkeypatch.setenv("STANDIN_GPUS", "2x80")
    described = machine.describe_machine()
    text = json.dumps(described)
    assert described["gpus"] == [{"name": "Stand-in GPU 80 GB", "memory_bytes": 80 * GB}] * 2
    assert (described["gpu_driver"], described["cuda_of_driver"]) == ("570.00.00", "12.8")
    assert platform.node() not in text and str(Path.home()) not in text and "GPU-0" not in text
    monkeypatch.setenv("STANDIN_GPUS", "")
    bare = machine.describe_machine()
    assert (bare["gpus"], bare["gpu_driver"], bare["cuda_of_driver"]) == ([], None, None)


def test_nothing_heavy_is_imported_to_ask_the_machine():
    watch = "import sys; from engines.machine import gpus, host_memory; gpus(); host_memory()"
    watch += "; print([name for name in ('torch', 'numpy', 'cv2', 'av') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", watch], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
