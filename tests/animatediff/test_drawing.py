"""Clips drawn by the real pipelines with tiny checkpoints: repeatable, of the right size, with all extras."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.animatediff.clip import Clip, SparseControl, Weighted
from engines.animatediff.weight_files import WeightsError

pytestmark = [pytest.mark.needs("diffusers"), pytest.mark.filterwarnings("ignore")]


LONG = pytest.mark.long


@dataclass
class Told:
    """Keeps what is told; cancels after so many steps."""

    cancel_after: int = 10**9
    steps: list[str] = field(default_factory=list)

    @property
    def cancelled(self) -> bool:
        return len(self.steps) >= self.cancel_after

    def stage(self, name: str) -> None:
        pass

    def progress(self, phase: str, fraction: float | None, detail: str) -> None:
        self.steps.append(detail)


@pytest.fixture
def draw(tmp_path):
    def drawn(clip: Clip, loaded: Any = None, told: Told | None = None) -> np.ndarray:
        from engines.animatediff.diffusion import drawing

        job = {**clip.as_data(), "frames_path": str(tmp_path / "frames.npy")}
        drawing.draw(job, loaded or load(clip), told or Told())
        frames: np.ndarray = np.load(tmp_path / "frames.npy")
        return frames

    return drawn


@cache
def load(clip: Clip) -> Any:
    """Loaded once, for tests that leave it as it is."""
    return load_anew(clip)


def load_anew(clip: Clip) -> Any:
    from engines.animatediff.diffusion import loading

    return loading.load(clip.as_data())


@pytest.mark.parametrize("family", [pytest.param("sd15", marks=pytest.mark.long), "sdxl"])
def test_the_same_seed_gives_the_same_clip_to_the_bit(family, request, draw):
    clip = request.getfixturevalue(family)
    loaded = load(clip)
    first = draw(clip, loaded)
    assert first.shape == (clip.frames, clip.height, clip.width, 3) and first.dtype == np.uint8
    assert first.std() > 5, "a picture, and no plain grey"
    other = draw(replace(clip, seed=2), loaded)
    assert (draw(replace(clip, warmup=True), loaded) == first).all(), "whatever was drawn before"
    assert (other != first).any()


@LONG
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_single_file_and_a_folder_are_the_same_model(family, request, draw):
    clip = request.getfixturevalue(family)
    folder = replace(clip, checkpoint=clip.checkpoint.with_suffix(""), pipeline_config=None)
    assert (draw(folder) == draw(clip)).all()


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_no_weight_is_left_as_chance_made_it(family, request):
    """The library forgets SDXL's add_embedding: it was random, other in each process."""
    import torch

    clip = request.getfixturevalue(family)
    loaded = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        loaded.append(load_anew(clip).pipe.unet.state_dict())
    different = [name for name in loaded[0] if not torch.equal(loaded[0][name], loaded[1][name])]
    assert not different


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_the_scheduler_has_the_four_settings_on_the_checkpoints_own_betas(family, request):
    config = load(request.getfixturevalue(family)).pipe.scheduler.config
    assert config.beta_schedule == "linear" and config.steps_offset == 1
    assert config.clip_sample is False and config.timestep_spacing == "linspace"
    assert (config.beta_start, config.beta_end) == (0.00085, 0.012)


@LONG
def test_our_decoding_is_the_librarys(sdxl, draw):
    import torch

    loaded = load(sdxl)
    ours = draw(sdxl, loaded)
    theirs = loaded.pipe(
        prompt="a cat",
        negative_prompt="bad",
        num_frames=4,
        num_inference_steps=2,
        height=72,
        width=64,
        guidance_scale=7.5,
        generator=torch.Generator("cpu").manual_seed(1),
        output_type="np",
    ).frames[0]
    assert np.abs(ours - theirs * 255).max() <= 1


def test_half_precision_is_decoded_where_the_library_fails(sdxl):
    """The library, 0.36 to 0.42: Input type (c10::Half) and bias type (float) should be the same."""
    import torch

    from engines.animatediff.diffusion.drawing import decoded

    loaded = load_anew(sdxl)
    latents = torch.randn(1, 4, 5, 9, 8, generator=torch.Generator().manual_seed(0))
    whole = np.concatenate(list(decoded(loaded, latents)))
    loaded.pipe.vae.to(torch.float16)
    half = np.concatenate(list(decoded(loaded, latents.to(torch.float16))))
    assert half.shape == (5, 72, 64, 3) and loaded.pipe.vae.dtype == torch.float16
    assert np.abs(half.astype(int) - whole).max() <= 8


@pytest.mark.parametrize(
    "form",
    ["original.ckpt", *(pytest.param(f"{form}.safetensors", marks=LONG) for form in ("lone", "original"))],
)
def test_an_adapter_is_the_same_in_every_form(form, sd15, tiny, draw):
    lone = replace(sd15, motion_adapter=tiny / f"v2_{form}")
    assert (draw(lone) == draw(sd15)).all()


@LONG
def test_v3_has_no_middle_and_draws_otherwise(sd15, tiny, draw):
    third = replace(sd15, motion_adapter=tiny / "v3_original.ckpt")
    loaded = load(third)
    assert loaded.pipe.motion_adapter.mid_block is None
    assert (draw(third, loaded) != draw(sd15)).any()


def test_a_lora_moves_the_same_in_all_three_notations(sd15, tiny, draw):
    names = ("v2_lora_ZoomIn.ckpt", "lora_library.safetensors", "lora_peft.safetensors")
    drawn = [draw(replace(sd15, loras=(Weighted("move", tiny / name, 0.8),))) for name in names]
    assert (drawn[0] != draw(sd15)).any()
    assert (drawn[1] == drawn[0]).all() and (drawn[2] == drawn[0]).all()


@LONG
def test_several_loras_and_the_domain_adapter_each_count_by_their_weight(sd15, tiny, draw):
    official, peft = tiny / "v2_lora_ZoomIn.ckpt", tiny / "lora_peft.safetensors"
    one = replace(sd15, loras=(Weighted("one", official, 0.8),))
    with_nothing = replace(sd15, loras=(Weighted("one", official, 0.8), Weighted("two", peft, 0.0)))
    domain = replace(with_nothing, domain_adapter=Weighted("domain", tiny / "domain.ckpt", 1.0))
    loaded = load(domain)
    assert loaded.lora_layers["one"] == loaded.lora_layers["two"] > loaded.lora_layers["domain"] == 2
    first = draw(one)
    assert (draw(with_nothing) == first).all()
    assert (draw(domain, loaded) != first).any()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("v2_lora_ZoomIn.ckpt", "80 of its 84 layers"),
        pytest.param("v3_lone.safetensors", "fit|nothing|no LoRA", marks=LONG),
    ],
)
def test_a_lora_that_does_not_load_whole_is_an_error(name, words, sd15, tiny):
    with pytest.raises(WeightsError, match=words):
        load(replace(sd15, motion_adapter=tiny / "v3", loras=(Weighted("one", tiny / name),)))


@pytest.mark.parametrize("kind", ["rgb", pytest.param("scribble", marks=LONG)])
def test_sparse_control_follows_its_pictures_and_is_repeatable(kind, sd15, tiny, tmp_path, draw):
    made = []
    for number in (0, 1):
        picture = _picture(tmp_path / f"{number}.png", number)
        control = SparseControl(tiny / kind, (picture, picture), (0, -1))
        clip = replace(sd15, motion_adapter=tiny / "v3", sparse_control=control)
        loaded = load(
            replace(sd15, motion_adapter=tiny / "v3", sparse_control=SparseControl(tiny / kind, (), ()))
        )
        made += [draw(clip, loaded), draw(clip, loaded)]
    assert (made[0] == made[1]).all() and (made[2] == made[3]).all()
    assert (made[0] != made[2]).any()


def _picture(path: Path, seed: int) -> Path:
    import preprocess

    pixels = np.random.default_rng(seed).integers(0, 255, (50, 70, 3), np.uint8)
    preprocess.write_picture(path, pixels)
    return path


def test_a_clip_beyond_the_adapters_frames_is_drawn_part_by_part(sd15, tiny, draw):
    long = replace(sd15, frames=20, context_length=8)
    loaded = load(long)
    assert loaded.context == 8
    assert draw(long, loaded).shape[0] == 20


@LONG
def test_prompts_travel_with_a_lora(sd15, tiny, draw):
    plain = replace(sd15, frames=12, context_length=8, loras=(Weighted("one", tiny / "v2_lora_ZoomIn.ckpt"),))
    same = replace(plain, prompts=((0, "a cat"), (8, "a cat")))
    travels = replace(plain, prompts=((0, "a cat"), (8, "a red house")))
    first, other = draw(same), draw(travels)
    assert first.shape[0] == 12 and (first != other).any()


@LONG
def test_a_clip_that_is_too_long_for_sdxl_is_refused_by_its_adapter(sdxl):
    with pytest.raises(WeightsError, match="knows 16 frames"):
        load(replace(sdxl, frames=17))


def test_an_adapter_with_a_tensor_missing_is_refused(sd15, tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    state = load_file(tiny / "v2_lone.safetensors")
    state.pop(next(name for name in state if "to_k" in name))
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(WeightsError, match="1 tensors are missing"):
        load(replace(sd15, motion_adapter=tmp_path / "part.safetensors"))


def test_a_pickle_with_code_in_it_is_not_run(sd15, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsError, match="weights only"):
        load(replace(sd15, motion_adapter=tmp_path / "evil.ckpt"))
    assert not (tmp_path / "ran").exists()


@LONG
def test_cancelled_at_a_step_the_pipeline_serves_again(sd15, draw):
    from engines.animatediff.diffusion.drawing import Cancelled

    loaded = load(sd15)
    told = Told(cancel_after=1)
    with pytest.raises(Cancelled):
        draw(sd15, loaded, told)
    assert told.steps == ["step 1 of 2"]
    assert (draw(sd15, loaded) == draw(sd15)).all()


@LONG
def test_numbers_that_are_none_are_an_error(sd15, draw):
    import torch

    from engines.animatediff.diffusion.drawing import NotFinite

    loaded = load_anew(sd15)
    with torch.no_grad():
        loaded.pipe.unet.conv_out.weight.fill_(float("nan"))
    with pytest.raises(NotFinite):
        draw(sd15, loaded)
