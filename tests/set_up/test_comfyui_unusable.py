"""--from_comfyui: why a file that is there cannot be used, in one line for each needed file."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from engines.wan22 import checkout
from engines.wan22.weights import _PUBLISHED
from set_up.comfyui.adopting import adopt
from set_up.comfyui.plan import POSE_MODEL
from set_up.comfyui.safetensors import read_tensors
from set_up.comfyui.tensors import SAM2, upstream_tensors
from tests.set_up.comfyui_tree import (
    ITEM_BYTES,
    SMALL,
    TEXT,
    TRACKER,
    VAE,
    hub_file,
    needed_weights,
    retyped,
    session,
    write,
    write_safetensors,
)

FLUX = f"process_checkpoint/{checkout.FLUX}/model_index.json"
SHARD = "diffusion_pytorch_model-00001-of-00004.safetensors"
DIFFUSION = {"pose_patch_embedding.weight": ("BF16", (4, 4)), "blocks.0.self_attn.q.weight": ("BF16", (8, 8))}
LARGE = {"vision_model.embeddings.patch_embedding.weight": ("F16", (1280, 3, 14, 14))}


def say(models: Path, needed, tmp_path, convertible=SMALL):
    """What is said when nothing can be used."""
    on, said = session()
    assert adopt(models, needed, tmp_path / "weights", on, copy=False, convertible=convertible) == []
    assert not (tmp_path / "weights").exists()
    return " ".join(said.getvalue().split())


@pytest.mark.parametrize(
    ("name", "layout", "needed", "words"),
    [
        ("wan_2.1_vae", retyped(VAE, "BF16"), checkout.VAE, "rounded to 16 bits; upstream's has 32"),
        ("wan_vae_fp8", retyped(VAE, "F8_E4M3"), checkout.VAE, "rounded to 8 bits; upstream's has 32"),
        ("wan_vae_fp64", retyped(VAE, "F64"), checkout.VAE, "its numbers are F64, upstream's F32"),
        ("umt5-xxl-enc-fp8", retyped(TEXT, "F8_E4M3"), checkout.T5, "rounded to 8 bits; upstream's has 16"),
        ("umt5-xxl-enc-fp16", retyped(TEXT, "F16"), checkout.T5, "its numbers are F16, upstream's BF16"),
        (
            "sam2.1_hiera_large",
            {**TRACKER, "no_obj_embed_spatial": ("F32", (1,))},
            SAM2,
            "it also has no_obj_embed_spatial",
        ),
        ("sam2_half", dict(list(TRACKER.items())[:2]), SAM2, "it lacks trunk.bias"),
        (
            "sam2_hiera_tiny",
            {**TRACKER, "trunk.weight": ("F32", (2, 6))},
            SAM2,
            "of another size: trunk.weight",
        ),
        ("qwen_image_vae", VAE, checkout.VAE, "other models have the same names and sizes"),
        (
            "vae_diffusers",
            {"encoder.conv_in.weight": ("F32", (96, 3, 3, 3, 3))},
            checkout.VAE,
            "in the layout of diffusers",
        ),
        (
            "umt5_xxl_fp8_e4m3fn_scaled",
            {"shared.weight": ("F8_E4M3", (256384, 1))},
            checkout.T5,
            "Hugging Face's layout, rounded to 8 bits",
        ),
        ("clip_vision_h", LARGE, checkout.CLIP, "only the half that sees pictures"),
        (
            "sam2-transformers",
            {"vision_encoder.backbone.patch_embed.projection.weight": ("F32", (1,))},
            SAM2,
            "layout of transformers",
        ),
        ("wan2.2_animate_14B_bf16", DIFFUSION, SHARD, "a single file; upstream's loader reads the official"),
        ("Wan2_2-Animate_fp8", retyped(DIFFUSION, "F8_E4M3"), SHARD, "rounded to 8 bits (fp8 or int8)"),
        (
            "WanAnimate_relight_lora_fp16",
            {"blocks.0.lora_A.weight": ("F16", (2, 2))},
            checkout.RELIGHTING,
            "rounded to 16 bits, without the dictionary",
        ),
        ("flux1-dev-kontext_fp8", {"img_in.weight": ("F8_E4M3", (2,))}, FLUX, "loads the whole folder"),
    ],
)
def test_the_reason_is_told_for_what_a_safetensors_file_holds(tmp_path, name, layout, needed, words):
    models = tmp_path / "models"
    write_safetensors(models / f"{name}.safetensors", layout)
    write_safetensors(models / "loras" / "unrelated.safetensors", {"lora_up.weight": ("F16", (3,))})
    said = say(models, [hub_file(needed)], tmp_path)
    assert f"{name}.safetensors: " in said
    assert words in said
    assert "unrelated" not in said


@pytest.mark.parametrize(
    ("name", "needed", "words"),
    [
        ("Wan2.2-Animate-14B-Q8_0.gguf", SHARD, "GGUF: rounded to few bits, and upstream's loader"),
        ("umt5-xxl-encoder-Q5_K_M.gguf", checkout.T5, "GGUF: rounded to few bits, with other names"),
        ("wan_2.1_vae.gguf", checkout.VAE, "GGUF: rounded to few bits"),
        ("vitpose_h_wholebody_model.onnx", f"{POSE_MODEL}/end2end.onnx", "packed in another way"),
        ("vitpose-l-wholebody.onnx", f"{POSE_MODEL}/end2end.onnx", "ViTPose L, a smaller model"),
        ("Wan2.1_VAE.pth", checkout.VAE, "another file of that name (4 bytes, not 16)"),
        ("flux1-kontext-dev-Q4.gguf", FLUX, "loads the whole folder"),
    ],
)
def test_the_reason_is_told_for_what_other_files_are_named(tmp_path, name, needed, words):
    models = tmp_path / "models"
    write(models / name, b"toy.")
    said = say(models, [hub_file(needed)], tmp_path)
    assert words in said
    assert name in said


def test_another_file_of_the_same_name_and_size_is_told(tmp_path):
    write(tmp_path / "models" / "Wan2.1_VAE.pth", b"WHAT THE HUB HAS")
    assert "another file of that name (other bytes)" in say(
        tmp_path / "models", [hub_file(checkout.VAE)], tmp_path
    )


def test_what_is_not_there_is_said_plainly(tmp_path):
    write(tmp_path / "models" / "unrelated.ckpt", b"?")
    said = say(tmp_path / "models", [hub_file(checkout.CLIP), *needed_weights()], tmp_path)
    assert said.count("nothing") == 4
    assert said.count("left to the download") == 4
    assert "0 of 4 files come from ComfyUI" in said


def test_many_names_that_differ_are_cut_short(tmp_path):
    layout = {f"x{number}": ("F32", (1,)) for number in range(4)}
    write_safetensors(tmp_path / "models" / "sam2.safetensors", {**TRACKER, **layout})
    assert "it also has x0, x1, x2 and 1 more" in say(tmp_path / "models", needed_weights(), tmp_path)


# ---------------------------------------------------------------------------------------- damaged files


def header(entries: object, data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(start: int = 0, end: int = 4, **other: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [1], "data_offsets": [start, end], **other}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"{", "is no safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of git-lfs"),
        (b"<!doctype html>", "is a web page"),
        (struct.pack("<Q", 2**63) + b"{}", "is no safetensors file"),
        (struct.pack("<Q", 999) + b"{}", "within its header"),
        (header([1, 2]), "is no safetensors file"),
        (struct.pack("<Q", 4) + b"{nul", "damaged header"),
        (struct.pack("<Q", 60007) + b'{"a":' + b"[" * 60000 + b"} ", "damaged header"),
        (header({"a": entry()}, b"123"), "is cut off: "),
        (header({"a": entry()}, b"12345"), "1 bytes too many"),
        (header({"a": entry(), "b": entry(2, 6)}, b"123456"), "overlap or leave holes"),
        (header({"a": entry(), "b": entry(8, 12)}, b"1234" * 3), "overlap or leave holes"),
        (header({"a": entry(-4, 0)}), "damaged header"),
        (header({"a": entry(4, 0, shape=[-1])}), "damaged header"),
        (header({"a": entry(0, 2**70, dtype="NEW")}), "is cut off: "),
        (header({"a": entry(shape=[10**30])}, b"1234"), "damaged header"),
        (header({"a": entry(shape=[True])}, b"1234"), "damaged header"),
        (header({"a": entry(dtype=7)}, b"1234"), "damaged header"),
        (header({"a": {"dtype": "F32"}}), "damaged header"),
        (header({"a": entry(end=8)}, b"12345678"), "damaged header"),
    ],
)
def test_a_damaged_file_is_named_and_the_others_are_still_used(tmp_path, content, words):
    bad = write(tmp_path / "models" / "bad.safetensors", content)
    write_safetensors(tmp_path / "models" / "wan_vae_fp32.safetensors", VAE)
    on, said = session()
    adopted = adopt(
        tmp_path / "models", needed_weights(), tmp_path / "weights", on, copy=False, convertible=SMALL
    )
    assert [one.path for one in adopted] == [checkout.VAE]
    line = next(line for line in said.getvalue().splitlines() if str(bad) in line)
    assert line.strip().startswith("warning:")
    assert words in line


@pytest.mark.parametrize("length", [0x13C, 0x3C20])
def test_a_header_whose_length_looks_like_a_web_page_is_one_all_the_same(tmp_path, length):
    text = json.dumps({"a": entry()}).encode().ljust(length)
    assert struct.pack("<Q", len(text)).lstrip()[:1] == b"<"
    path = write(tmp_path / "a.safetensors", struct.pack("<Q", len(text)) + text + b"1234")
    assert [tensor.name for tensor in read_tensors(path)] == ["a"]


# ---------------------------------------------------------------------------------------- upstream's lists


@pytest.mark.parametrize(
    ("path", "size", "count"),
    [
        (checkout.VAE, _PUBLISHED[checkout.VAE][0], 194),
        (checkout.T5, _PUBLISHED[checkout.T5][0], 242),
        (checkout.CLIP, _PUBLISHED[checkout.CLIP][0], 784),
        (SAM2, 897_952_466, 900),
    ],
)
def test_a_list_adds_up_to_the_published_file_but_for_its_table_of_contents(path, size, count):
    tensors = upstream_tensors()[path].tensors
    total = 0
    for dtype, shape in tensors.values():
        length = ITEM_BYTES[dtype]
        for axis in shape:
            length *= axis
        total += length
    assert len(tensors) == count
    assert 100 * count < size - total < 500 * count


def test_the_text_encoders_list_makes_the_header_of_the_published_repacking_to_the_byte():
    """umt5-xxl-enc-bf16.safetensors, as people have it for ComfyUI, has 11,361,845,464 bytes."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, shape) in sorted(upstream_tensors()[checkout.T5].tensors.items()):
        size = ITEM_BYTES[dtype]
        for axis in shape:
            size *= axis
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    length = len(json.dumps(entries, separators=(",", ":")))
    assert 8 + length + -length % 8 + end == 11_361_845_464
