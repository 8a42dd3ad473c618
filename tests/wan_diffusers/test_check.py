"""What would make a job fail on diffusers is said before anything starts. No heavy library is needed here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import config
from config import FINISHING, GENERATION, Job
from engines import machine
from engines.interface import Prediction
from engines.wan22.interpreter import Interpreter
from engines.wan_diffusers import ENGINE, check, machine_check, memory_plans
from engines.wan_diffusers.model_folder import ModelFolder
from execution.step import GPU_MEMORY, HOST_MEMORY
from tests.wan_diffusers import tiny
from tests.wan_diffusers.folders import write_source_folder

PACKAGES = {
    "diffusers": "0.42.1",
    "torch": "2.13.0+cpu",
    "transformers": "5.23.0",
    "accelerate": "1.15.0",
    "safetensors": "0.8.0",
    "ftfy": "6.3.1",
    "peft": "0.21.2",
    "gguf": "0.19.0",
    "torchao": "0.18.0",
}
BILLION = 10**9
REAL = ModelFolder(
    Path("real"),
    {
        "transformer": 17_270_000_000,
        "text_encoder": 5_700_000_000,
        "image_encoder": 630_000_000,
        "vae": 127_000_000,
    },
    (),
    {},
)
"""The sizes of the real model."""
QUICK_LOOK = Prediction(width=832, height=480, frames=77, frame_num=77, windows=1, tokens=32_760)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny.make_model(tmp_path / "tiny")
    write_source_folder(tmp_path / "animate", frames=5)
    packages_are(monkeypatch, **PACKAGES)
    return tmp_path


def packages_are(monkeypatch: pytest.MonkeyPatch, **packages: str) -> None:
    """The interpreter for diffusers has these packages."""

    def probed(path: Path) -> Interpreter:
        return Interpreter(path, (3, 11, 7), "linux", path.parent, ".so", packages, {}, {})

    monkeypatch.setattr(check, "probe_interpreter", probed)


def job_of(place: Path, **flags: object) -> Job:
    given = {
        "engine": "wan_diffusers",
        "src_root_path": str(place / "animate"),
        "diffusers_model": str(place / "tiny"),
        "diffusers_device": "cpu",
        "no_audio": True,
        **flags,
    }
    return config.load_job((GENERATION, FINISHING), given)


def errors(job: Job) -> dict[str, str]:
    """What refuses the job: code and words."""
    found = ENGINE.check(job)
    assert all(each.remedy for each in found if each.level == "error")
    return {each.code: each.what for each in found if each.level == "error"}


def test_a_whole_model_and_a_whole_folder_stand_in_nobodys_way(place):
    assert errors(job_of(place)) == {}


# -------------------------------------------------------------------------------------------- the model


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def of_another_pipeline(path: Path) -> None:
    path.write_text(json.dumps({"_class_name": "WanImageToVideoPipeline"}))


def officials(path: Path) -> None:
    path.unlink()
    (path.parent / "Wan2.1_VAE.pth").touch()


TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"
SPOILED: list[tuple[str, Callable[[Path], object], str]] = [
    (TRANSFORMER, cut_off, "is damaged"),
    (TRANSFORMER, Path.unlink, "is missing"),
    (TRANSFORMER, lambda path: path.write_text("version https://git-lfs"), r"is no \.safetensors file"),
    ("tokenizer/tokenizer.json", Path.unlink, "lacks tokenizer/tokenizer.json"),
    ("scheduler/scheduler_config.json", Path.unlink, "lacks scheduler/scheduler_config.json"),
    ("model_index.json", of_another_pipeline, "holds a WanImageToVideoPipeline"),
    ("model_index.json", Path.unlink, "no model_index.json"),
    ("model_index.json", officials, "the official script's layout"),
    ("model_index.json", lambda path: path.write_text("{"), "is no JSON file"),
]


@pytest.mark.parametrize(("name", "spoil", "words"), SPOILED)
def test_a_model_that_is_not_whole_or_is_another_is_refused(place, name, spoil, words):
    spoil(place / "tiny" / name)
    found = errors(job_of(place))
    assert list(found) == ["diffusers.model"]
    assert re.search(words, found["diffusers.model"]), found


def test_a_missing_shard_of_several_is_named(place):
    index = {"weight_map": {"a": "x-00001-of-00002.safetensors", "b": "x-00002-of-00002.safetensors"}}
    (place / "tiny" / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert (
        "x-00001-of-00002.safetensors is missing (2 such files)" in errors(job_of(place))["diffusers.model"]
    )


# ----------------------------------------------------------------------------------------- the interpreter


@pytest.mark.parametrize(
    ("without", "flags"),
    [
        *((name, {}) for name in ("diffusers", "torch", "transformers", "accelerate", "ftfy")),
        ("torchao", {"memory": "int8"}),
        ("gguf", {"memory": "gguf", "transformer_file": "m.gguf"}),
        ("peft", {"lora": "one.safetensors"}),
    ],
)
def test_a_package_that_fails_late_is_asked_for_at_once(place, monkeypatch, without, flags):
    (place / "m.gguf").write_bytes(b"GGUF")
    tiny.write_lora(place / "one.safetensors")
    assert errors(job_of(place, **flags)) == {}
    packages_are(monkeypatch, **{name: entry for name, entry in PACKAGES.items() if name != without})
    assert f"{without} is missing" in errors(job_of(place, **flags))["diffusers.packages"]


def test_a_diffusers_without_wan_animate_or_its_single_files_is_too_old(place, monkeypatch):
    packages_are(monkeypatch, **{**PACKAGES, "diffusers": "0.35.2"})
    assert "diffusers 0.35.2 is older than 0.36" in errors(job_of(place))["diffusers.packages"]
    packages_are(monkeypatch, **{**PACKAGES, "diffusers": "0.37.0"})
    assert errors(job_of(place)) == {}
    (place / "m.gguf").write_bytes(b"GGUF")
    found = errors(job_of(place, transformer_file="m.gguf"))
    assert "diffusers 0.37.0 is older than 0.37.1" in found["diffusers.packages"]


def test_a_python_that_is_none_is_refused(place, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(place)
    (place / "no python").write_text("")
    assert "diffusers.python" in errors(job_of(place, diffusers_python=str(place / "no python")))


# ------------------------------------------------------------------------------------------------- LoRAs


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: None, "is not there"),
        (lambda path: tiny.write_lora(path, "sdxl"), "is for another kind of model"),
        (lambda path: tiny.write_lora(path, width=32), "is for a model of width 32; this one has 24"),
        (lambda path: tiny.save(path, {"a.weight": np.ones((2, 2), np.float32)}), "holds no LoRA"),
        (lambda path: path.write_text("<html>"), "cannot be read"),
    ],
)
def test_a_lora_that_would_load_nothing_is_refused(place, write, words):
    write(place / "one.safetensors")
    assert words in errors(job_of(place, lora="one.safetensors:0.5"))["diffusers.lora"]


@pytest.mark.parametrize("names", ["diffusers", "comfyui", "peft", "wrapped"])
def test_a_lora_of_this_model_passes_in_every_notation(place, names):
    tiny.write_lora(place / "one.safetensors", names)
    assert errors(job_of(place, lora="one.safetensors")) == {}


def test_a_relighting_lora_is_looked_for_beside_the_models(place):
    source = write_source_folder(place / "replace", replace=True, frames=5)
    flags: dict[str, Any] = {"replace": True, "use_relighting_lora": True, "src_root_path": str(source)}
    assert "relighting_lora.safetensors is not there" in errors(job_of(place, **flags))["diffusers.lora"]
    tiny.write_lora(place / "tiny" / "relighting_lora.safetensors")
    assert errors(job_of(place, **flags)) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.safetensors", (("a.safetensors", 1.0),)),
        ("a.safetensors:0.5, b.safetensors:-1", (("a.safetensors", 0.5), ("b.safetensors", -1.0))),
        ([["a.safetensors", 0.25]], (("a.safetensors", 0.25),)),
    ],
)
def test_loras_are_written_with_their_weights(place, text, expected):
    assert job_of(place, lora=text).lora == tuple((place / name, weight) for name, weight in expected)


@pytest.mark.parametrize("text", ["a.safetensors:", "a.safetensors:strong", "", ",", ":1", 3])
def test_a_lora_without_a_name_or_with_a_weight_that_is_no_number_is_refused(place, text):
    with pytest.raises(config.SettingsError) as raised:
        job_of(place, lora=text)
    assert [problem.code for problem in raised.value.problems] == ["settings.value.lora"]


# -------------------------------------------------------------------------------------------------- GGUF


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"memory": "gguf"}, "there is none"),
        ({"memory": "full", "transformer_file": "m.gguf"}, "it is full"),
        ({"transformer_file": "none.gguf"}, "cannot be read"),
        ({"transformer_file": "tiny/model_index.json"}, "is no GGUF file"),
    ],
)
def test_a_single_file_that_does_not_fit_the_request_is_refused(place, flags, words):
    assert words in errors(job_of(place, **flags))["diffusers.gguf"]


# ------------------------------------------------------------------------------------------------ frames


def test_one_frame_is_refused_because_the_library_fails_on_an_empty_list(place):
    write_source_folder(place / "animate", frames=1)
    assert "diffusers.shorter-than-overlap" in errors(job_of(place))


def test_a_size_that_is_no_multiple_of_16_is_refused(place):
    write_source_folder(place / "animate", frames=5, size=(40, 32))
    assert list(errors(job_of(place))) == ["diffusers.size"]


def test_clips_of_different_length_are_refused_because_the_library_pads_them_in_silence(place):
    write_source_folder(place / "animate", frames=5, face_frames=4)
    assert list(errors(job_of(place))) == ["source.files"]


# ----------------------------------------------------------------------------------------------- machine


def test_without_a_gpu_the_engine_refuses_unless_the_cpu_is_asked_for(place, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "")
    monkeypatch.setattr(machine, "gpu_files_exist", lambda: False)
    assert list(errors(job_of(place, diffusers_device="gpu"))) == ["diffusers.no-gpu"]
    assert errors(job_of(place)) == {}


def test_model_offload_needs_a_gpu(place):
    assert list(errors(job_of(place, memory="model_offload"))) == ["diffusers.memory-on-cpu"]


@pytest.mark.parametrize(
    ("gigabytes", "offload"), [(80, "none"), (60, "model"), (40, "group"), (24, "group")]
)
def test_auto_takes_the_first_exact_plan_that_the_free_memory_allows(place, monkeypatch, gigabytes, offload):
    monkeypatch.setenv("STANDIN_GPUS", f"1x{gigabytes}")
    held = memory_plans.choose(job_of(place, diffusers_device="gpu"), REAL, QUICK_LOOK)
    assert (held.weights, held.offload, held.device) == ("bf16", offload, "cuda")
    assert held.as_facts()["free_gpu_bytes"] == held.free_gpu_bytes is not None


def test_fp8_leaves_the_model_whole_on_a_gpu_where_bf16_would_have_to_move(place, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x48")
    job = job_of(place, diffusers_device="gpu")
    assert memory_plans.choose(job, REAL, QUICK_LOOK).offload == "group"
    assert memory_plans.choose(replace(job, memory="fp8"), REAL, QUICK_LOOK).offload == "none"


def test_a_named_plan_is_kept_and_a_warning_says_that_it_may_not_fit(place, monkeypatch):
    monkeypatch.setenv("STANDIN_GPUS", "1x24")
    job = job_of(place, diffusers_device="gpu", memory="full")
    found = list(machine_check.findings(job, REAL, QUICK_LOOK))
    assert memory_plans.choose(job, REAL, QUICK_LOOK).offload == "none"
    assert "diffusers.gpu-memory" in {each.code for each in found}


def test_the_whole_clip_counts_because_the_library_keeps_it_on_the_gpu(place):
    job = job_of(place)
    long = replace(QUICK_LOOK, frames=1800, windows=24)
    assert memory_plans.clip_bytes(job, long) > 20 * memory_plans.clip_bytes(job, QUICK_LOOK) > 10**9


def test_weights_that_the_host_cannot_hold_are_refused(place, monkeypatch):
    small = machine.Memory(total=32 * BILLION, available=30 * BILLION)
    monkeypatch.setattr(machine, "host_memory", lambda: small)
    found = machine_check.findings(job_of(place, diffusers_device="gpu"), REAL, None)
    assert "diffusers.host-memory" in {each.code for each in found}


def test_relief_offloads_first_then_tiles_then_shortens_windows(place):
    job, rungs = job_of(place, diffusers_device="gpu", memory="full"), []
    while (relieved := ENGINE.relief(job, GPU_MEMORY)) is not None:
        job, rung = relieved
        rungs.append(rung)
    assert rungs == [
        *("--memory model_offload", "--memory group_offload", "--vae_tiling"),
        *("--frame_num 61", "--frame_num 45", "--frame_num 33"),
    ]
    assert ENGINE.relief(job_of(place), HOST_MEMORY) is None


# ------------------------------------------------------------------------------------------------ doctor


def test_the_doctor_names_packages_model_and_machine(place):
    things = {thing.area: thing for thing in ENGINE.examine(job_of(place))}
    assert list(things) == ["packages", "model", "GPU and memory"]
    assert things["model"].state == "works"
    missing = {thing.area: thing for thing in ENGINE.examine(job_of(place, diffusers_model="none"))}
    assert missing["model"].state == "missing"


def test_stage_1_is_another_engines_and_says_what_it_lacks(place):
    given = {
        "engine": "wan_diffusers",
        "video_path": "none.mp4",
        "refer_path": "none.png",
        "diffusers_model": str(place / "tiny"),
        "diffusers_device": "cpu",
    }
    for stage_1, its_own in (("preview", False), ("wan22", True)):
        job = config.load_job((1, 4, 2, 3), {**given, "stage_1": stage_1})
        found = errors(job)
        assert "media.missing" in found and ("install.checkout" in found) == its_own
        assert job.engine_of(1) == stage_1 and job.engine_of(2) == "wan_diffusers"
