"""The weights: each thing that can be wrong with a download has its own finding, and nothing is loaded."""

from __future__ import annotations

import json
import shutil
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from config import FINISHING, GENERATION, PREPROCESSING, Job, load_job
from engines.findings import Finding
from engines.wan22 import weights
from engines.wan22.weight_files import (
    DamagedFile,
    ExternalTensor,
    check_torch_file,
    external_tensors,
    safetensors_names,
)
from engines.wan22.weights import weights_findings
from tests.standin.weights import POSE_TENSORS, write_onnx, write_safetensors, write_torch_file

T5 = "models_t5_umt5-xxl-enc-bf16.pth"
SHARD = "diffusion_pytorch_model-00002-of-00003.safetensors"
INDEX = "diffusion_pytorch_model.safetensors.index.json"
DETECTOR = "process_checkpoint/det/yolov10m.onnx"
POSE = "process_checkpoint/pose2d/vitpose_h_wholebody.onnx"
SAM2 = "process_checkpoint/sam2/sam2_hiera_large.pt"
FLUX = "process_checkpoint/FLUX.1-Kontext-dev"


@pytest.fixture
def job(workplace) -> Job:
    flags = {"video_path": workplace.video, "refer_path": workplace.picture}
    return load_job((PREPROCESSING, GENERATION, FINISHING), flags)


def found(job: Job) -> list[Finding]:
    return list(weights_findings(job))


def only(job: Job) -> Finding:
    (finding,) = found(job)
    return finding


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "empty":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(content[:-1])
    elif how == "half":
        path.write_bytes(content[: len(content) // 2])
    elif how == "text":
        path.write_text("something else altogether\n")
    elif how == "longer":
        path.write_bytes(content + b"more")
    elif how == "pointer":
        path.write_text(
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 11361920418\n"
        )
    elif how == "page":
        path.write_text("\n<!DOCTYPE html><html><title>Log in</title></html>\n")
    elif how == "xml":
        path.write_text("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")


@pytest.mark.parametrize(
    "changes", [{}, {"replace": True, "use_relighting_lora": True}, {"use_flux": True}, {"stages": (1,)}]
)
def test_nothing_is_found_when_all_is_well(job, changes):
    assert found(replace(job, **changes)) == []


def test_without_the_checkout_its_own_message_names_the_weights_too(job):
    shutil.rmtree(job.wan22_dir)
    shutil.rmtree(job.ckpt_dir)
    assert found(job) == []


# ---------------------------------------------------------------------------------------------- presence


def test_all_that_is_missing_is_one_finding(job):
    shutil.rmtree(job.ckpt_dir)
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights", "error")
    for name in (T5, DETECTOR, POSE, "google/umt5-xxl", "xlm-roberta-large", "Wan2.1_VAE.pth", INDEX):
        assert name in finding.what
    assert SAM2 not in finding.what and "scripts/download_weights.py" in finding.remedy


@pytest.mark.parametrize(
    ("removed", "named"),
    [
        (("google/umt5-xxl/tokenizer_config.json",), "google/umt5-xxl/tokenizer_config.json"),
        (
            ("google/umt5-xxl/tokenizer.json", "google/umt5-xxl/spiece.model"),
            "google/umt5-xxl/tokenizer.json",
        ),
        (
            ("xlm-roberta-large/tokenizer.json", "xlm-roberta-large/sentencepiece.bpe.model"),
            "xlm-roberta-large/tokenizer.json",
        ),
        ((f"{POSE}/end2end.onnx",), f"{POSE}/end2end.onnx"),
        ((SHARD,), SHARD),
    ],
)
def test_a_missing_part_of_a_folder_is_named(job, removed, named):
    for name in removed:
        (job.ckpt_dir / name).unlink()
    finding = only(job)
    assert finding.code == "install.weights" and f"{named} missing" in finding.what


@pytest.mark.parametrize("name", ["google/umt5-xxl/spiece.model", "xlm-roberta-large/config.json"])
def test_one_form_of_a_tokenizer_will_do(job, name):
    (job.ckpt_dir / name).unlink()
    assert found(job) == []


def test_the_pose_model_may_be_one_file(job):
    shutil.rmtree(job.ckpt_dir / POSE)
    write_onnx(job.ckpt_dir / POSE)
    assert found(job) == []


@pytest.mark.parametrize(
    "leftover",
    [".cache/huggingface/download/abc.0123.incomplete", f"{SHARD}.incomplete", f"{POSE}/x.incomplete"],
)
def test_a_download_that_was_broken_off_is_to_be_continued(job, leftover):
    (job.ckpt_dir / SHARD).unlink()
    (job.ckpt_dir / POSE / "end2end.onnx").unlink()
    (job.ckpt_dir / leftover).parent.mkdir(parents=True, exist_ok=True)
    (job.ckpt_dir / leftover).touch()
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights-unfinished", "error")
    assert SHARD in finding.what and "Go on with it: python scripts/download_weights.py" in finding.remedy


@pytest.mark.parametrize(
    ("changes", "name", "features"),
    [
        ({"use_relighting_lora": True}, "relighting_lora.ckpt", " --for animate,replace,relighting "),
        ({"use_flux": True}, f"{FLUX}/model_index.json", " --for animate,replace,flux "),
        ({}, T5, "download_weights.py --ckpt_dir "),
    ],
)
def test_the_command_asks_for_what_is_missing_and_no_more(job, changes, name, features):
    (job.ckpt_dir / name).unlink()
    assert features in only(replace(job, **changes)).remedy


def test_a_leftover_of_a_download_that_was_finished_later_does_no_harm(job):
    (job.ckpt_dir / f"{SHARD}.incomplete").touch()
    assert found(job) == []


# --------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize("how", ["empty", "cut", "half", "text"])
@pytest.mark.parametrize(
    "name", [T5, "Wan2.1_VAE.pth", SHARD, DETECTOR, f"{POSE}/end2end.onnx", "config.json"]
)
def test_a_file_that_is_not_whole_is_named(job, name, how):
    spoil(job.ckpt_dir / name, how)
    if (name, how) == ("config.json", "cut"):
        (job.ckpt_dir / name).write_text('{"dim": ')
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights-damaged", "error")
    assert name in finding.what and "again" in finding.remedy


def test_bytes_behind_the_tensors_are_noticed(job):
    spoil(job.ckpt_dir / SHARD, "longer")
    assert "4 bytes too many" in only(job).what


@pytest.mark.parametrize(
    ("how", "code"), [("pointer", "lfs-pointer"), ("page", "web-page"), ("xml", "web-page")]
)
@pytest.mark.parametrize("name", [T5, SHARD, DETECTOR, "google/umt5-xxl/tokenizer.json", "config.json"])
def test_what_is_often_found_in_a_files_place_is_recognised(job, name, how, code):
    spoil(job.ckpt_dir / name, how)
    finding = only(job)
    assert (finding.code, finding.level) == (f"install.weights-{code}", "error")
    assert name in finding.what


def test_a_pointer_in_place_of_a_tokenizers_binary_file_is_recognised(job):
    spoil(job.ckpt_dir / "google/umt5-xxl/spiece.model", "pointer")
    assert only(job).code == "install.weights-lfs-pointer"


def test_what_this_job_does_not_load_is_not_looked_at(job):
    for name in (SAM2, "relighting_lora.ckpt", f"{FLUX}/model_index.json"):
        spoil(job.ckpt_dir / name, "empty")
    assert found(job) == []
    assert found(replace(job, stages=(GENERATION,), replace=True)) == []
    spoil(job.ckpt_dir / T5, "empty")
    assert found(replace(job, stages=(PREPROCESSING,))) == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"replace": True}, SAM2),
        ({"replace": True, "use_relighting_lora": True}, "relighting_lora.ckpt"),
        ({"use_flux": True}, f"{FLUX}/model_index.json"),
    ],
)
def test_what_this_job_does_load_is(job, changes, name):
    spoil(job.ckpt_dir / name, "text")
    finding = only(replace(job, **changes))
    assert finding.code == "install.weights-damaged" and name in finding.what


@pytest.mark.parametrize("how", ["missing", "cut"])
def test_tensor_files_of_the_pose_model_are_looked_for(job, how):
    tensor = job.ckpt_dir / POSE / POSE_TENSORS[1]
    tensor.unlink() if how == "missing" else spoil(tensor, "cut")
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights-tensors", "error")
    assert f"1 of 2 tensor files of {POSE}/end2end.onnx" in finding.what and POSE_TENSORS[1] in finding.what


def test_an_index_of_another_download_is_noticed(job):
    write_safetensors(job.ckpt_dir / SHARD, ["another.block"])
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights-index", "error")
    assert SHARD in finding.what and "block.1" in finding.what


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": ["a"]}'])
def test_an_unreadable_index_is_named(job, text):
    (job.ckpt_dir / INDEX).write_text(text)
    finding = only(job)
    assert finding.code == "install.weights" and f"{INDEX} (unreadable)" in finding.what


# --------------------------------------------------------------------------------------------------- FLUX


def make_flux(folder: Path) -> None:
    index = {
        "_class_name": "FluxKontextPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "feature_extractor": [None, None],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    for part in ("scheduler", "transformer"):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text("{}")
    shards = ("a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors")
    for number, name in enumerate(shards):
        write_safetensors(folder / "transformer" / name, [f"x.{number}"])
    table = {"weight_map": {f"x.{number}": name for number, name in enumerate(shards)}}
    (folder / "transformer" / "a.safetensors.index.json").write_text(json.dumps(table))


def test_a_whole_flux_folder_is_fine(job):
    make_flux(job.ckpt_dir / FLUX)
    assert found(replace(job, use_flux=True)) == []


def test_a_flux_folder_without_its_index_is_incomplete(job):
    (job.ckpt_dir / FLUX / "model_index.json").unlink()
    assert f"{FLUX}/model_index.json missing" in only(replace(job, use_flux=True)).what


@pytest.mark.parametrize("name", ["scheduler", "transformer/a-00002-of-00002.safetensors"])
def test_a_missing_part_of_flux_is_named(job, name):
    make_flux(job.ckpt_dir / FLUX)
    path = job.ckpt_dir / FLUX / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    finding = only(replace(job, use_flux=True))
    assert finding.code == "install.weights" and f"{FLUX}/{name} missing" in finding.what


@pytest.mark.parametrize(
    "name", ["transformer/a-00001-of-00002.safetensors", "transformer/a.safetensors.index.json"]
)
def test_a_damaged_part_of_flux_is_named(job, name):
    make_flux(job.ckpt_dir / FLUX)
    spoil(job.ckpt_dir / FLUX / name, "half")
    finding = only(replace(job, use_flux=True))
    assert finding.code == "install.weights-damaged" and name in finding.what


# -------------------------------------------------------------------------------------------------- sizes


def test_sound_files_of_another_size_are_one_warning(job, monkeypatch):
    size = (job.ckpt_dir / T5).stat().st_size
    table = {T5: (size + 1, 0.0), "Wan2.1_VAE.pth": (size, 0.0), DETECTOR: (1000, 0.02), POSE: (2000, 0.02)}
    monkeypatch.setattr(weights, "_PUBLISHED", table)
    finding = only(job)
    assert (finding.code, finding.level) == ("install.weights-other", "warning")
    assert all(name in finding.what for name in (T5, DETECTOR, POSE)) and "VAE" not in finding.what


def test_the_size_of_a_model_of_several_files_is_that_of_all_together(job, monkeypatch):
    shards = sum(path.stat().st_size for path in job.ckpt_dir.glob("*.safetensors"))
    pose = sum(path.stat().st_size for path in (job.ckpt_dir / POSE).iterdir())
    table = {"diffusion_pytorch_model.safetensors": (shards, 0.0), POSE: (pose, 0.0)}
    monkeypatch.setattr(weights, "_PUBLISHED", table)
    assert found(job) == []
    table["diffusion_pytorch_model.safetensors"] = (shards + 1, 0.0)
    assert only(job).code == "install.weights-other"


def test_a_damaged_file_is_not_called_another_one_besides(job, monkeypatch):
    monkeypatch.setattr(weights, "_PUBLISHED", {T5: ((job.ckpt_dir / T5).stat().st_size, 0.0)})
    spoil(job.ckpt_dir / T5, "cut")
    assert only(job).code == "install.weights-damaged"


def test_models_made_small_on_purpose_are_not_spoken_of(job):
    """docs/upstream_on_cpu.md says how; the stand-in's are such, too."""
    assert (job.ckpt_dir / T5).stat().st_size < 1000 and found(job) == []


# ---------------------------------------------------------------------------------------- the file formats


def test_a_safetensors_file_is_noticed_wherever_it_is_cut(tmp_path):
    whole = write_safetensors(tmp_path / "whole", ["a", "b"]).read_bytes()
    assert safetensors_names(tmp_path / "whole") == {"a", "b"}
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            safetensors_names(tmp_path / "cut")


@pytest.mark.parametrize("header", ["[]", "{", '{"a": 1}', '{"a": {"data_offsets": []}}', '"text"'])
def test_a_safetensors_file_with_a_senseless_header_is_noticed(tmp_path, header):
    path = tmp_path / "file"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(DamagedFile):
        safetensors_names(path)


def test_metadata_in_a_safetensors_header_is_no_tensor(tmp_path):
    header = json.dumps({"__metadata__": {"format": "pt"}, "a": {"data_offsets": [0, 2]}}).encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + b"xx")
    assert safetensors_names(tmp_path / "file") == {"a"}


def long_zip(content: bytes) -> bytes:
    """The same archive, ended as large archives are; torch ends all its files so."""
    at = content.rindex(b"PK\x05\x06")
    count, length, offset = struct.unpack_from("<HLL", content, at + 10)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:at] + record + locator + end


@pytest.mark.parametrize("is_long", [False, True])
def test_a_file_of_torch_is_noticed_wherever_it_is_cut(tmp_path, is_long):
    whole = write_torch_file(tmp_path / "whole").read_bytes()
    if is_long:
        whole = long_zip(whole)
        (tmp_path / "whole").write_bytes(whole)
        assert zipfile.ZipFile(tmp_path / "whole").namelist()
    check_torch_file(tmp_path / "whole")
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            check_torch_file(tmp_path / "cut")


@pytest.mark.parametrize("is_long", [False, True])
def test_a_hole_in_a_file_of_torch_is_noticed(tmp_path, is_long):
    whole = write_torch_file(tmp_path / "file", b"\x80\x02" + b"x" * 500).read_bytes()
    whole = long_zip(whole) if is_long else whole
    (tmp_path / "file").write_bytes(whole[:200] + whole[400:])
    with pytest.raises(DamagedFile):
        check_torch_file(tmp_path / "file")


def test_the_older_format_of_torch_is_taken(tmp_path):
    (tmp_path / "file").write_bytes(b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.")
    check_torch_file(tmp_path / "file")


def test_an_onnx_file_is_noticed_wherever_it_is_cut(tmp_path):
    whole = write_onnx(tmp_path / "whole", external=["weight", "bias"]).read_bytes()
    assert external_tensors(tmp_path / "whole") == (ExternalTensor("weight", 16), ExternalTensor("bias", 16))
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(DamagedFile):
            external_tensors(tmp_path / "cut")


def test_a_file_of_weights_is_never_unpickled(job):
    bomb = b"cbuiltins\nexit\n(S'unpickled'\ntR."
    write_torch_file(job.ckpt_dir / T5, bomb)
    (job.ckpt_dir / "Wan2.1_VAE.pth").write_bytes(b"\x80\x02" + bomb)
    assert found(job) == []


@pytest.mark.parametrize("first", [0x3C, 0x20, 0x0A])
def test_a_header_whose_length_begins_like_a_page_is_no_page(tmp_path, first):
    """The length is little-endian: 0x3c20 bytes of header begin with a space and then '<'."""
    for length in ((first << 8) | 0x20, (0x3C << 8) | first):
        header = json.dumps({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        path = tmp_path / f"{length}.safetensors"
        path.write_bytes(struct.pack("<Q", length) + header.ljust(length) + bytes(4))
        assert safetensors_names(path) == {"x"}
