"""Which build of torch a machine gets."""

from __future__ import annotations

import platform
import sys

import pytest

from set_up.environment.torch_choice import choose_torch, driver_cuda
from set_up.errors import WRONG_REQUEST, SetUpError


@pytest.fixture(autouse=True)
def linux_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


def machine(monkeypatch, cuda: int, generation: str = "8.9", gpus: str = "1x24") -> None:
    """A machine whose driver knows this CUDA (12080 is 12.8), with such GPUs."""
    import pynvml

    monkeypatch.setenv("STANDIN_GPUS", gpus)
    monkeypatch.setenv("STANDIN_GPU_GENERATION", generation)
    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion", lambda: cuda)


@pytest.mark.parametrize(
    ("cuda", "generation", "tag"),
    [
        (13000, "8.9", "cu129"),
        (12090, "8.0", "cu129"),
        (12080, "9.0", "cu128"),
        (12070, "8.6", "cu126"),
        (12060, "8.9", "cu126"),
        (12050, "8.9", "cu126"),
        (12000, "8.0", "cu126"),
        (12080, "10.0", "cu128"),
        (12080, "12.0", "cu128"),
        (12090, "12.1", "cu129"),
        (12070, "12.0", "cu128"),  # the one for 12.6 has no code for it
        (12090, "7.0", "cu126"),  # and the later ones none for these
        (13000, "6.1", "cu126"),
        (12080, "7.5", "cu128"),
    ],
)
def test_the_newest_build_that_driver_and_gpu_can_use(monkeypatch, cuda, generation, tag) -> None:
    machine(monkeypatch, cuda, generation)
    choice = choose_torch(index=None, cpu=False)
    assert choice.tag == tag
    assert choice.options == ("--index-url", f"https://download.pytorch.org/whl/{tag}")
    assert choice.requirements == (
        f"torch==2.8.0+{tag}",
        f"torchvision==0.23.0+{tag}",
        f"torchaudio==2.8.0+{tag}",
    )


@pytest.mark.parametrize("cuda", [12000, 12020, 12050])
def test_a_driver_older_than_every_build_is_said_to_do_by_minor_version_compatibility(
    monkeypatch, cuda
) -> None:
    machine(monkeypatch, cuda)
    notes = " ".join(choose_torch(index=None, cpu=False).notes)
    assert "minor version compatibility" in notes
    machine(monkeypatch, 12060)
    assert not choose_torch(index=None, cpu=False).notes


@pytest.mark.parametrize("cuda", [11080, 11040, 10020])
def test_a_driver_before_cuda_12_is_too_old_for_any(monkeypatch, cuda) -> None:
    machine(monkeypatch, cuda)
    with pytest.raises(SetUpError) as failure:
        choose_torch(index=None, cpu=False)
    assert failure.value.exit_code == WRONG_REQUEST
    assert f"CUDA {cuda // 1000}.{cuda % 1000 // 10}" in failure.value.what
    assert "525" in failure.value.remedy


def test_an_old_driver_does_not_matter_without_cuda(monkeypatch) -> None:
    machine(monkeypatch, 11040)
    assert choose_torch(index=None, cpu=True).tag == "cpu"


def test_without_a_driver_the_disk_is_made_ready_for_a_machine_that_has_one(monkeypatch) -> None:
    monkeypatch.setenv("STANDIN_GPUS", "")
    choice = choose_torch(index=None, cpu=False)
    assert driver_cuda() is None
    assert choice.tag == "cu129"
    assert "--engine preview" in choice.notes[0] and "--cpu" in choice.notes[0]


def test_the_build_that_is_there_stays_while_it_can_serve(monkeypatch) -> None:
    machine(monkeypatch, 12040, "8.9")
    assert choose_torch(index=None, cpu=False, installed="cu129").tag == "cu129"
    monkeypatch.setenv("STANDIN_GPUS", "")
    assert choose_torch(index=None, cpu=False, installed="cu126").tag == "cu126"


def test_the_build_that_is_there_goes_where_it_cannot_serve(monkeypatch) -> None:
    machine(monkeypatch, 12080, "12.0")
    assert choose_torch(index=None, cpu=False, installed="cu126").tag == "cu128"
    assert choose_torch(index=None, cpu=False, installed="cpu").tag == "cu128"
    assert choose_torch(index=None, cpu=True, installed="cu128").tag == "cpu"


def test_gpus_that_no_build_has_together_get_the_one_for_the_newest(monkeypatch) -> None:
    import pynvml

    machine(monkeypatch, 13000, gpus="2x24")
    monkeypatch.setattr(
        pynvml, "nvmlDeviceGetCudaComputeCapability", lambda device: ((6, 1), (12, 0))[device.number]
    )
    assert choose_torch(index=None, cpu=False).tag == "cu129"


def test_an_index_of_ones_own_takes_the_place_of_pytorchs(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("STANDIN_GPUS", "")
    choice = choose_torch(index="https://mirror.example/whl/cu128", cpu=False)
    assert choice.options == ("--index-url", "https://mirror.example/whl/cu128")
    assert choice.requirements == ("torch==2.8.0", "torchvision==0.23.0", "torchaudio==2.8.0")
    choice = choose_torch(index=str(tmp_path), cpu=False)
    assert choice.options == ("--no-index", "--find-links", str(tmp_path))


def test_an_index_that_is_no_address_and_no_folder_is_refused(tmp_path) -> None:
    with pytest.raises(SetUpError, match="neither the address") as failure:
        choose_torch(index=str(tmp_path / "none"), cpu=False)
    assert failure.value.exit_code == WRONG_REQUEST


@pytest.mark.parametrize(
    ("system", "processor"), [("darwin", "arm64"), ("linux", "aarch64"), ("win32", "ARM64")]
)
@pytest.mark.parametrize("cpu", [False, True])
def test_machines_on_which_upstream_cannot_run_are_refused(monkeypatch, system, processor, cpu) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    with pytest.raises(SetUpError, match="--engine preview") as failure:
        choose_torch(index=None, cpu=cpu)
    assert failure.value.exit_code == WRONG_REQUEST


def test_windows_uses_the_same_indexes(monkeypatch) -> None:
    machine(monkeypatch, 12080)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert choose_torch(index=None, cpu=False).options[1].endswith("/cu128")


def test_a_driver_that_does_not_answer_counts_as_none(monkeypatch) -> None:
    import pynvml

    def fail() -> int:
        raise pynvml.NVMLError("unknown error")

    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion", fail)
    assert driver_cuda() is None
    assert pynvml._opened is False
