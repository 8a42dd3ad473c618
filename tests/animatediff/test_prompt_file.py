"""Prompt files in the official form and by name become the same clips."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from engines.animatediff.checking import clip_findings
from engines.animatediff.clip import Clip, SparseControl, Weighted
from engines.animatediff.problems import Refused
from engines.animatediff.prompt_file import read_prompt_file
from tests.animatediff.weightless import SD15_NAMES, write_adapter, write_base_folder, write_named


@pytest.fixture
def like(tmp_path: Path) -> Clip:
    write_named(tmp_path / "base.safetensors", SD15_NAMES)
    write_adapter(tmp_path / "v2.safetensors", 4, mid=True, limit=24)
    write_base_folder(tmp_path / "sd15", sdxl=False)
    write_named(tmp_path / "zoom.safetensors", ["down_blocks.0.to_q_lora.down.weight"])
    return Clip(
        checkpoint=tmp_path / "base.safetensors",
        motion_adapter=tmp_path / "v2.safetensors",
        pipeline_config=tmp_path / "sd15",
        frames=16,
        steps=25,
        width=512,
        height=512,
        guidance=7.5,
        seed=42,
    )


def read(like: Clip, content: object) -> list[tuple[str, Clip]]:
    path = like.checkpoint.parent / "prompts.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return [(each.name, each.clip) for each in read_prompt_file(path, like)]


ENTRY = {
    "motion_module": "v2.safetensors",
    "motion_module_lora_configs": [{"path": "zoom.safetensors", "alpha": 0.5}],
    "adapter_lora_path": "zoom.safetensors",
    "adapter_lora_scale": 0.7,
    "dreambooth_path": "base.safetensors",
    "inference_config": "configs/inference/inference-v2.yaml",
    "seed": [1, 2],
    "steps": 20,
    "guidance_scale": 8,
    "W": 384,
    "H": 256,
    "L": 8,
    "prompt": ["a cat", "a dog"],
    "n_prompt": ["bad"],
}


def test_the_official_list_and_entries_by_name_are_the_same_clips(like):
    official, named = read(like, [ENTRY]), read(like, {"Toon": ENTRY})
    assert [name for name, _ in official] == ["prompts_0_0", "prompts_0_1"]
    assert [name for name, _ in named] == ["Toon_0", "Toon_1"]
    assert [clip for _, clip in official] == [clip for _, clip in named]
    first, second = (clip for _, clip in named)
    assert (first.prompts, second.prompts) == (((0, "a cat"),), ((0, "a dog"),))
    assert (first.seed, second.seed) == (1, 2)
    assert first.negative_prompt == second.negative_prompt == "bad"
    assert (first.width, first.height, first.frames, first.steps, first.guidance) == (384, 256, 8, 20, 8.0)
    zoom = like.checkpoint.parent / "zoom.safetensors"
    assert first.loras == (Weighted("lora_0", zoom, 0.5),)
    assert first.domain_adapter == Weighted("domain", zoom, 0.7)
    assert not [each for each in clip_findings(first) if each.level == "error"]


def test_the_plainer_form_with_a_path_and_a_list_of_one_module(like):
    entry = {"path": "base.safetensors", "base": "", "motion_module": ["v2.safetensors"], "prompt": "a cat"}
    ((name, clip),) = read(like, {"ToonYou": entry})
    assert name == "ToonYou" and clip.motion_adapter == like.motion_adapter and clip.frames == 16


def test_sparse_control_and_prompt_travel(like):
    entry = {
        "prompt": {0: "a cat", 8: "a dog"},
        "controlnet_path": "rgb",
        "controlnet_images": ["a.png", "b.png"],
        "controlnet_image_indexs": [0, -1],
    }
    ((_, clip),) = read(like, [entry])
    folder = like.checkpoint.parent
    assert clip.prompts == ((0, "a cat"), (8, "a dog"))
    assert clip.sparse_control == SparseControl(folder / "rgb", (folder / "a.png", folder / "b.png"), (0, -1))
    told = " ".join(each.what for each in clip_findings(clip))
    assert "holds no config.json" in told and "picture not found" in told
    assert "SparseCtrl draws a clip at once" in told


def test_a_random_seed_is_drawn_once_and_known(like):
    ((_, clip),) = read(like, [{"prompt": "a cat", "seed": -1}])
    assert 0 <= clip.seed < 2**31


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "neither a list"),
        ("text", "neither a list"),
        ([{"prompt": "x", "promt": "y"}], "key 'promt' is not known; did you mean 'prompt'"),
        ([{"steps": 4}], "there is no prompt"),
        ([{"prompt": ["a", "b", "c"], "seed": [1, 2]}], "seed has 2 values for 3 prompts"),
        ([{"prompt": "x", "motion_module": ["a", "b"]}], "an entry for each"),
        ([{"prompt": "x", "W": "wide"}], "W must be a whole number"),
        ({"Toon": "x"}, "must hold lines"),
        ({"Toon": {"prompt": "x", "loras": [{"file": "x"}]}}, "must have a path"),
        ({"Toon": {"prompt": "x", "loras": ["none.ckpt"]}}, "Toon: LoRA not found"),
        ({"Toon": {"prompt": 3}}, "a prompt must be text"),
    ],
)
def test_a_mistake_is_told_with_its_entry(content, words, like):
    with pytest.raises(Refused, match=words):
        read(like, content)


@pytest.mark.parametrize(("indices", "words"), [((0,), "2 pictures and 1"), ((0, 16), "no frame 16")])
def test_frames_of_control_pictures_are_checked(indices, words, like, tmp_path):
    from dataclasses import replace

    control = SparseControl(tmp_path, (tmp_path / "a.png", tmp_path / "b.png"), indices)
    told = [each.what for each in clip_findings(replace(like, sparse_control=control))]
    assert any(words in each for each in told), told
