"""Stage 2 on diffusers: the real pipeline, in its own process, with a model of a few kilobytes on the CPU."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import config
from config import FINISHING, GENERATION, Job
from engines import finishing
from engines.wan_diffusers import plan, prediction
from execution.step import Progress, StepFailed, StepRun
from execution.worker import close_workers
from preprocess import probe_video, read_frames
from tests.wan_diffusers import tiny
from tests.wan_diffusers.folders import FRAMES, SIZE, write_source_folder
from tests.workplace import Workplace

pytestmark = pytest.mark.needs("diffusers")
Frames = np.ndarray[Any, Any]
FLAGS = ("--engine", "wan_diffusers", "--diffusers_model", "tiny", "--diffusers_device", "cpu")
QUICK = ("--sample_steps", "2", "--frame_num", "17", "--no_audio")


@pytest.fixture(scope="module", autouse=True)
def one_worker_for_all() -> Any:
    """Importing the libraries takes far longer than a tiny model does."""
    yield
    close_workers()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and what stage 1 leaves in both modes: one for all, so that the model stays loaded."""
    folder = tmp_path_factory.mktemp("made")
    tiny.make_model(folder / "tiny")
    write_source_folder(folder / "animate")
    write_source_folder(folder / "replace", replace=True)
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """A workplace where all that lies; it is not to be spoiled."""
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path, target_is_directory=True)
    return Workplace(tmp_path)


@pytest.fixture(scope="module")
def plain(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """What animate mode makes with no flag."""
    place = Workplace(tmp_path_factory.mktemp("plain"))
    return settled(job_of(place, made=made))[0]


@dataclass
class Watched:
    """What a step told while it ran."""

    told: list[Progress] = field(default_factory=list)
    stop_at: str = ""

    def progressed(self, progress: Progress) -> None:
        self.told.append(progress)
        if self.stop_at and self.stop_at in progress.detail:
            raise KeyboardInterrupt

    def phases(self) -> list[str]:
        return list(dict.fromkeys(entry.phase for entry in self.told))


def job_of(place: Workplace, mode: str = "animate", made: Path | None = None, **flags: Any) -> Job:
    made = made or (place / "tiny").resolve().parent
    given = {
        "engine": "wan_diffusers",
        "src_root_path": str(made / mode),
        "replace": mode == "replace",
        "diffusers_model": str(made / "tiny"),
        "diffusers_device": "cpu",
        "sample_steps": 2,
        "frame_num": 17,
        "output_path": str(place / "out.mp4"),
        **flags,
    }
    return config.load_job((GENERATION, FINISHING), given)


def generate(job: Job, watched: Watched | None = None) -> tuple[Frames, dict[str, Any]]:
    """Stage 2's step alone: the frames of its video, and the facts for the record."""
    watched = watched or Watched()
    step = plan.generate_step(job, prediction.predict_folder(job))
    scratch = job.output_path.parent / f"scratch {len(list(job.output_path.parent.iterdir()))}"
    target = scratch / finishing.generated_path(job).relative_to(job.output_path.parent)
    target.parent.mkdir(parents=True)
    assert step.function is not None and step.facts is not None
    step.function(StepRun(scratch, lambda *_: None, progressed=watched.progressed))
    step.verify(scratch)
    frames = np.stack(list(read_frames(target))).astype(int)
    return frames, dict(step.facts(""))


def settled(job: Job, *expected: Frames) -> tuple[Frames, dict[str, Any]]:
    """What a job makes: the first run that is like an earlier run of it, or like what is expected.

    Measured: 3 of 50 runs of one job differed from the others, by 0.3 to 0.8 of 255 on average; the cause was
    not found. What is wrong every time is still told: two such runs are alike.
    """
    seen = list(expected)
    for _ in range(4):
        frames, facts = generate(job)
        if any(alike(frames, other) for other in seen):
            return frames, facts
        seen.append(frames)
    raise AssertionError("no two of four runs of one job are alike")


def alike(first: Frames, second: Frames) -> bool:
    """The same video but for rounding: on some CPUs sums depend on where in memory their numbers lie."""
    return float(np.abs(first - second).mean()) < 0.05


def test_one_command_makes_the_result_and_again_it_is_up_to_date(place):
    arguments = ("--src_root_path", "animate", "--output_path", "out.mp4", *FLAGS, *QUICK)
    done = place.run_here("run_generation.py", *arguments)
    assert done.returncode == 0, done.stderr
    made = probe_video(place / "out.mp4")
    assert (made.frame_count, made.width, made.height) == (FRAMES, *SIZE)
    record = json.loads((place / "out.json").read_text())
    facts = next(step for step in record["steps"] if step["step"] == "generate")["facts"]
    assert facts["memory"]["weights"] == "bf16" and facts["memory"]["offload"] == "none"
    assert facts["windows"] == 2 and facts["frame_num"] == 17 and facts["seed"] == 42
    assert facts["upstream_packages"]["diffusers"]
    assert {Path(entry["path"]).parent.name for entry in record["weights"]} == {
        *("transformer", "text_encoder", "image_encoder", "vae")
    }
    again = place.run_here("run_generation.py", *arguments)
    assert again.stderr.count("up to date") == 2, again.stderr
    assert place.run_here("pipeline.py", "--verify", "out.json").returncode == 0


def test_both_stages_in_one_command_with_the_official_scripts_stage_1(workplace, made):
    flags = (*workplace.inputs, "--stage_1", "wan22", "--engine", "wan_diffusers", "--sample_steps", "1")
    where = ("--diffusers_model", str(made / "tiny"), "--diffusers_device", "cpu")
    done = workplace.run_here("pipeline.py", *flags, *where)
    assert done.returncode == 0, done.stderr
    record = json.loads((workplace / "output_wanimate.json").read_text())
    assert [(step["step"], step["engine"]) for step in record["steps"]] == [
        ("preprocess", "wan22"),
        ("generate", "wan_diffusers"),
        ("finish", "wan_diffusers"),
    ]
    alone = ("--src_root_path", "process_results", "--engine", "wan_diffusers", "--sample_steps", "1")
    again = workplace.run_here("run_generation.py", *alone, *where)
    assert again.stderr.count("up to date") == 2, again.stderr


def test_progress_is_told_step_by_step_over_all_windows(place):
    watched = Watched()
    generate(job_of(place), watched)
    steps = [(entry.fraction, entry.detail) for entry in watched.told if "window" in entry.detail]
    assert steps == [
        (0.25, "window 1 of 2, step 1 of 2"),
        (0.5, "window 1 of 2, step 2 of 2"),
        (0.75, "window 2 of 2, step 1 of 2"),
        (1.0, "window 2 of 2, step 2 of 2"),
    ]


def test_the_model_stays_loaded_and_a_seed_gives_the_same_video(place, plain):
    other, _ = generate(job_of(place, seed="43"))
    watched = Watched()
    again, _ = generate(job_of(place), watched)
    assert "loading" not in watched.phases() and "generating" in watched.phases()
    assert alike(again, plain) or alike(settled(job_of(place), again)[0], plain)
    assert not alike(again, other)


def test_a_cancelled_job_stops_at_the_step_and_the_next_finds_the_model_loaded(place, plain):
    stopped = Watched(stop_at="window 1 of 2, step 2")
    with pytest.raises(KeyboardInterrupt):
        generate(job_of(place, seed="7"), stopped)
    assert not any("window 2" in entry.detail for entry in stopped.told)
    watched = Watched()
    frames, _ = generate(job_of(place), watched)
    assert "loading" not in watched.phases()
    assert alike(frames, plain) or alike(settled(job_of(place), frames)[0], plain)


def test_replace_mode_uses_background_and_mask(place):
    frames, facts = generate(job_of(place, "replace", refert_num="5"))
    assert frames.shape == (FRAMES, SIZE[1], SIZE[0], 3) and facts["overlap"] == 5
    other = write_source_folder(place / "other", replace=True, masked_from=40)
    moved, _ = generate(job_of(place, "replace", refert_num="5", src_root_path=str(other)))
    assert not alike(frames, moved)


@pytest.mark.long
def test_guidance_and_the_sampler_take_effect(place, plain):
    changes: list[dict[str, Any]] = [
        {"sample_guide_scale": "2"},
        {"sample_solver": "dpm++"},
        {"sample_shift": "3"},
    ]
    for changed in changes:
        frames, _ = generate(job_of(place, **changed))
        assert not alike(frames, plain), changed
    assert alike(settled(job_of(place), plain)[0], plain), "the sampler of an earlier job must not stay"


def test_offloading_changes_no_picture(place, plain):
    frames, facts = settled(job_of(place, memory="group_offload"), plain)
    assert alike(frames, plain) and facts["memory"]["offload"] == "group"


def test_fp8_stores_less_and_makes_a_video(place, plain):
    frames, facts = generate(job_of(place, memory="fp8"))
    assert facts["memory"]["weights"] == "fp8" and not alike(frames, plain)


@pytest.mark.long
@pytest.mark.needs("torchao")
def test_int8_makes_a_video(place, plain):
    frames, facts = generate(job_of(place, memory="int8"))
    assert facts["memory"]["weights"] == "int8" and not alike(frames, plain)


@pytest.mark.needs("gguf")
@pytest.mark.parametrize(
    ("memory", "quantised"), [("gguf", False), pytest.param("auto", True, marks=pytest.mark.long)]
)
def test_a_gguf_file_under_upstreams_names_takes_the_transformers_place(place, plain, memory, quantised):
    file = tiny.write_gguf(place / "tiny", place / "model.gguf", quantised=quantised)
    model = tiny.make_model(place / "without")
    (model / "transformer" / "diffusion_pytorch_model.safetensors").unlink()  # the file is enough
    flags: dict[str, Any] = {"memory": memory, "transformer_file": str(file), "diffusers_model": str(model)}
    frames, facts = settled(job_of(place, **flags), plain)
    assert facts["memory"]["weights"] == "gguf"
    assert alike(frames, plain) != quantised


@pytest.mark.needs("peft")
def test_a_lora_has_the_same_effect_in_every_notation(place, plain):
    effect: dict[str, Frames] = {}
    for names in ("diffusers", "peft"):
        file = tiny.write_lora(place / "one.safetensors", names)
        effect[names], facts = settled(job_of(place, lora=f"{file}:0.8"), *effect.values())
        assert facts["loras"][0]["layers_loaded"] == facts["loras"][0]["layers_in_file"] == 6
        file.unlink()
    assert all(alike(frames, effect["diffusers"]) for frames in effect.values())
    assert not alike(effect["diffusers"], plain)
    file = tiny.write_lora(place / "one.safetensors")
    weaker, _ = generate(job_of(place, lora=f"{file}:0.2"))
    assert not alike(weaker, effect["diffusers"])


@pytest.mark.long
@pytest.mark.needs("peft")
@pytest.mark.parametrize("memory", ["fp8", "group_offload"])
def test_a_lora_works_with_a_memory_plan(place, memory):
    file = tiny.write_lora(place / "one.safetensors")
    frames, _ = generate(job_of(place, memory=memory, lora=str(file)))
    without, _ = generate(job_of(place, memory=memory))
    assert not alike(frames, without)


@pytest.mark.needs("peft")
def test_a_lora_that_changes_nothing_is_an_error_and_the_worker_goes_on(place):
    file = tiny.write_lora(place / "nothing.safetensors", strength=0)
    with pytest.raises(StepFailed, match=r"nothing\.safetensors was loaded and changes nothing"):
        generate(job_of(place, lora=str(file)))
    generate(job_of(place))


@pytest.mark.long
@pytest.mark.needs("peft")
def test_the_relighting_lora_is_read_from_upstreams_own_kind_of_file(place):
    import torch  # type: ignore[import-not-found, unused-ignore]

    halves = tiny.load(tiny.write_lora(place / "one.safetensors", "peft"))
    content = {"state_dict": {name: torch.tensor(value) for name, value in halves.items()}}
    torch.save(content, place / "light.ckpt")
    flags: dict[str, Any] = {"use_relighting_lora": True, "relighting_lora": str(place / "light.ckpt")}
    frames, facts = generate(job_of(place, "replace", **flags))
    plain, _ = generate(job_of(place, "replace"))
    assert not alike(frames, plain) and facts["loras"][0]["name"] == "relighting"


def test_pose_and_face_of_different_length_never_reach_the_library(place):
    other = write_source_folder(place / "other", face_frames=FRAMES - 1)
    with pytest.raises(StepFailed, match="The clips differ in length"):
        generate(job_of(place, src_root_path=str(other)))


@pytest.mark.long
def test_the_layout_of_the_tiny_model_is_what_the_library_saves(tmp_path):
    import subprocess

    script = (
        "import json, pathlib, sys; from tests.wan_diffusers import tiny_from_library as made; "
        "folder = made.make_model_with_library(pathlib.Path(sys.argv[1])); "
        "print(json.dumps(made.layout_of(folder)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=True,
    )
    saved = json.loads(done.stdout.splitlines()[-1])
    assert saved["tensors"] == json.loads(tiny.LAYOUT.read_text())["tensors"]
