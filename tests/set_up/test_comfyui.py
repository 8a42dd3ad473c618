"""--from_comfyui: what of a made installation is taken over, how, and what is said of the rest."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.wan22 import checkout
from engines.wan22.weight_files import check_torch_file
from masks.sam2_tensors import tensor_shapes
from set_up.comfyui import adopting, torch_file
from set_up.comfyui.adopting import Adopted, adopt
from set_up.comfyui.plan import POSE_MODEL
from set_up.comfyui.tensors import SAM2
from set_up.comfyui.torch_file import unfinished_path
from set_up.errors import SetUpError
from set_up.weights.hub_files import HubFile
from tests.set_up.comfyui_tree import (
    SMALL,
    TEXT,
    TRACKER,
    VAE,
    hub_file,
    needed_weights,
    session,
    snapshot,
    write,
    write_safetensors,
)

DETECTOR = f"process_checkpoint/{checkout.DETECTOR}"


@pytest.fixture
def models(tmp_path):
    """ComfyUI's models folder."""
    folder = tmp_path / "ComfyUI" / "models"
    write(folder / "checkpoints" / "another.safetensors", b"something else")
    return folder


@pytest.fixture
def ckpt(tmp_path):
    """The checkpoint folder, which is not there yet."""
    return tmp_path / "Wan2.2-Animate-14B"


def take(
    models: Path, needed: list[HubFile], ckpt: Path, *, copy: bool = False, dry_run: bool = False
) -> tuple[list[Adopted], str]:
    """What was adopted, and what was said."""
    on, said = session(dry_run=dry_run)
    adopted = adopt(models, needed, ckpt, on, copy=copy, convertible=SMALL)
    return adopted, " ".join(said.getvalue().split())


# ------------------------------------------------------------------------------------------- same bytes


@pytest.mark.parametrize("given", ["models", "."])
def test_a_file_with_the_same_bytes_is_linked_whatever_its_name(models, ckpt, given):
    origin = write(models / "detection" / "renamed.onnx", b"a detector")
    write(models / "detection" / "decoy.onnx", b"A detector")
    adopted, said = take(models.parent / given, [hub_file(DETECTOR, b"a detector")], ckpt)
    sha256 = hashlib.sha256(b"a detector").hexdigest()
    assert adopted == [Adopted(path=DETECTOR, how="linked", origin=origin, size=10, sha256=sha256)]
    assert (ckpt / DETECTOR).readlink() == origin
    assert (ckpt / DETECTOR).readlink().is_absolute()
    assert "1 of 1 files come from ComfyUI (10 bytes)" in said


def test_small_files_are_told_by_the_name_that_git_gives_their_content(models, ckpt):
    path = f"{checkout.T5_TOKENIZER}/tokenizer.json"
    write(models / "tokenizers" / "wrong.json", b'{"b": 1}')
    origin = write(models / "tokenizers" / "right.json", b'{"a": 1}')
    adopted, _ = take(models, [hub_file(path, b'{"a": 1}', git=True)], ckpt)
    assert [(one.path, one.origin) for one in adopted] == [(path, origin)]
    assert adopted[0].sha256 == hashlib.sha256(b'{"a": 1}').hexdigest()


def test_of_files_with_the_same_bytes_the_one_of_the_same_name_is_taken(models, ckpt):
    write(models / "a.onnx", b"a detector")
    origin = write(models / "z" / "yolov10m.onnx", b"a detector")
    adopted, _ = take(models, [hub_file(DETECTOR, b"a detector")], ckpt)
    assert adopted[0].origin == origin


def test_an_empty_file_is_not_taken_for_another_empty_one(models, ckpt):
    write(models / "empty.bin", b"")
    adopted, _ = take(models, [hub_file("config.json", b"")], ckpt)
    assert adopted == []


def test_copy_copies_and_comfyui_is_as_it_was(models, ckpt):
    write(models / "detection" / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "vae" / "wan_vae_fp32.safetensors", VAE)
    before = snapshot(models)
    adopted, _ = take(models, [hub_file(DETECTOR, b"a detector"), *needed_weights()], ckpt, copy=True)
    assert [one.how for one in adopted] == ["copied", "converted"]
    assert not (ckpt / DETECTOR).is_symlink()
    assert (ckpt / DETECTOR).read_bytes() == b"a detector"
    assert snapshot(models) == before
    assert not list(ckpt.rglob("*.unfinished"))


def test_a_file_that_changes_while_it_is_copied_gets_no_name(models, ckpt, monkeypatch):
    origin = write(models / "yolov10m.onnx", b"a detector")
    monkeypatch.setattr(adopting, "show", lambda tasks, on: origin.write_bytes(b"A detector"))
    with pytest.raises(SetUpError, match="changed while it was copied"):
        take(models, [hub_file(DETECTOR, b"a detector")], ckpt, copy=True)
    assert list((ckpt / DETECTOR).parent.iterdir()) == []


def test_where_no_link_can_be_made_copy_is_the_remedy(models, ckpt, monkeypatch):
    write(models / "yolov10m.onnx", b"a detector")

    def refuse(self, target):
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    with pytest.raises(SetUpError, match=r"No link can be made in .*: A required privilege.*Add --copy"):
        take(models, [hub_file(DETECTOR, b"a detector")], ckpt)


# ---------------------------------------------------------------------------- the pose model's tensor files


def pose_files(count: int = 3) -> dict[str, bytes]:
    """What the hub lists of it."""
    named = {f"{POSE_MODEL}/end2end.onnx": b"the graph"}
    return named | {f"{POSE_MODEL}/tensor_{number}": b"tensor %d" % number for number in range(count)}


def test_a_folder_of_tensor_files_is_linked_file_by_file(models, ckpt):
    files = pose_files()
    for path, content in files.items():
        write(models / "pose" / Path(path).name, content)
    adopted, said = take(models, [hub_file(*pair) for pair in files.items()], ckpt)
    assert [(one.path, one.how) for one in adopted] == [(path, "linked") for path in files]
    assert {path: (ckpt / path).read_bytes() for path in files} == files
    assert f"{POSE_MODEL}, 33 bytes in 4 files" in said
    assert "the same file, 4 of 4: pose/" in said


def test_onnx_runtime_gets_no_links_into_several_folders(models, ckpt):
    files = pose_files()
    for number, (path, content) in enumerate(files.items()):
        write(models / ("pose" if number < 3 else "elsewhere") / Path(path).name, content)
    adopted, said = take(models, [hub_file(*pair) for pair in files.items()], ckpt)
    assert [one.how for one in adopted] == ["linked", "linked", "linked", "copied"]
    assert {path: (ckpt / path).read_bytes() for path in files} == files
    assert "ONNX Runtime" in said


def test_tensor_files_are_copied_beside_a_model_that_is_downloaded(models, ckpt):
    files = pose_files()
    for path, content in list(files.items())[1:]:
        write(models / "pose" / Path(path).name, content)
    adopted, _ = take(models, [hub_file(*pair) for pair in files.items()], ckpt)
    assert [one.how for one in adopted] == ["copied"] * 3


def test_the_folder_that_holds_most_of_the_pose_model_is_linked_to(models, ckpt):
    files = pose_files()
    write(models / "a" / "end2end.onnx", b"the graph")
    for path, content in files.items():
        write(models / "pose" / Path(path).name, content)
    adopted, _ = take(models, [hub_file(*pair) for pair in files.items()], ckpt)
    assert {(one.how, one.origin.parent.name) for one in adopted} == {("linked", "pose")}


# ------------------------------------------------------------------------------------------ same tensors


def test_the_same_tensors_are_converted_as_upstream_wraps_them(models, ckpt):
    origins = {
        checkout.VAE: write_safetensors(models / "vae" / "Wan2_1_VAE_fp32.safetensors", VAE),
        checkout.T5: write_safetensors(models / "text_encoders" / "umt5-xxl-enc-bf16.safetensors", TEXT),
        SAM2: write_safetensors(models / "sam2" / "sam2_hiera_large.safetensors", TRACKER),
    }
    adopted, said = take(models, needed_weights(), ckpt)
    assert [(one.path, one.how, one.origin) for one in adopted] == [
        (path, "converted", origin) for path, origin in origins.items()
    ]
    for one in adopted:
        made = ckpt / one.path
        check_torch_file(made)
        shapes = {name: shape for name, (_, shape) in SMALL[one.path].tensors.items()}
        assert tensor_shapes(made) == shapes
        content = made.read_bytes()
        assert (one.size, one.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert (b"X\5\0\0\0model" in content) == (one.path == SAM2)
    assert "there is nothing to compare them with" in said


def test_the_originals_come_before_a_conversion(models, ckpt):
    write_safetensors(models / "vae" / "wan_vae_fp32.safetensors", VAE)
    origin = write(models / "vae" / "Wan2.1_VAE.pth", b"the original")
    adopted, _ = take(models, [hub_file(checkout.VAE, b"the original")], ckpt)
    assert [(one.how, one.origin) for one in adopted] == [("linked", origin)]


def test_a_second_run_finds_what_the_first_made_and_writes_nothing(models, ckpt):
    write(models / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    needed = [hub_file(DETECTOR, b"a detector"), *needed_weights()]
    first, _ = take(models, needed, ckpt)
    before = snapshot(ckpt)
    second, said = take(models, needed, ckpt)
    assert second == first
    assert [one.how for one in first] == ["linked", "converted"]
    assert snapshot(ckpt) == before
    assert "linked already" in said
    assert "converted already" in said


def test_broken_off_in_a_conversion_a_rerun_finishes(models, ckpt, monkeypatch):
    monkeypatch.setattr(torch_file, "PIECE", 16)
    write(models / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    needed = [hub_file(DETECTOR, b"a detector"), *needed_weights()]
    write_whole = torch_file.write_torch_file

    def break_off(path, source, *, wrapped_in, report):
        def stop(done, total):
            if done > total / 2:
                raise KeyboardInterrupt

        return write_whole(path, source, wrapped_in=wrapped_in, report=stop)

    with monkeypatch.context() as patch:
        patch.setattr(adopting, "write_torch_file", break_off)
        with pytest.raises(KeyboardInterrupt):
            take(models, needed, ckpt)
    assert not (ckpt / checkout.VAE).exists()
    write(unfinished_path(ckpt / checkout.VAE), b"as a kill would leave it")
    adopted, _ = take(models, needed, ckpt)
    assert [(one.path, one.how) for one in adopted] == [(DETECTOR, "linked"), (checkout.VAE, "converted")]
    check_torch_file(ckpt / checkout.VAE)
    assert not list(ckpt.rglob("*.unfinished"))


STOPS_HALFWAY = """
import sys, time
from pathlib import Path
from rich.console import Console
from engines.wan22 import checkout
from set_up.comfyui import torch_file
from set_up.comfyui.adopting import adopt
from set_up.session import Session
from tests.set_up.comfyui_tree import SMALL, needed_weights
whole = torch_file._pieces
def pieces(stream, tensor, before, total, report):
    yield from whole(stream, tensor, before, total, report)
    if before:
        print("halfway", flush=True)
        time.sleep(60)
torch_file._pieces = pieces
folder, ckpt = map(Path, sys.argv[1:])
adopt(folder, needed_weights(), ckpt, Session(console=Console(stderr=True)), copy=False, convertible=SMALL)
"""


def test_killed_in_a_conversion_nothing_has_its_name_and_a_rerun_finishes(models, ckpt):
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    command = [sys.executable, "-c", STOPS_HALFWAY, str(models), str(ckpt)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "halfway\n"
        child.kill()
    assert [path.name for path in ckpt.iterdir()] == [unfinished_path(ckpt / checkout.VAE).name]
    adopted, _ = take(models, needed_weights(), ckpt)
    assert [one.path for one in adopted] == [checkout.VAE]
    assert [path.name for path in ckpt.iterdir()] == [checkout.VAE]


# ---------------------------------------------------------------------------------- what is there already


def test_another_file_in_its_place_is_left_for_the_download(models, ckpt):
    write(models / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    write(ckpt / DETECTOR, b"A detector")
    write(ckpt / checkout.VAE, b"half a download")
    before = snapshot(ckpt)
    adopted, said = take(models, [hub_file(DETECTOR, b"a detector"), *needed_weights()], ckpt)
    assert adopted == []
    assert snapshot(ckpt) == before
    assert said.count("another file is in its place") == 2


def test_the_right_file_in_its_place_stays(models, ckpt):
    write(models / "yolov10m.onnx", b"a detector")
    write(ckpt / DETECTOR, b"a detector")
    adopted, said = take(models, [hub_file(DETECTOR, b"a detector")], ckpt)
    assert [one.how for one in adopted] == ["copied"]
    assert not (ckpt / DETECTOR).is_symlink()
    assert "copied already" in said


def test_a_link_whose_file_is_gone_is_replaced(models, ckpt, tmp_path):
    origin = write(models / "yolov10m.onnx", b"a detector")
    (ckpt / DETECTOR).parent.mkdir(parents=True)
    (ckpt / DETECTOR).symlink_to(tmp_path / "moved away")
    take(models, [hub_file(DETECTOR, b"a detector")], ckpt)
    assert (ckpt / DETECTOR).readlink() == origin


def test_what_lies_in_the_checkpoint_folder_is_not_comfyuis(models):
    ckpt = models / "Wan2.2-Animate-14B"
    write(ckpt / "elsewhere.onnx", b"a detector")
    (models / "link.onnx").symlink_to(ckpt / "elsewhere.onnx")
    adopted, _ = take(models, [hub_file(DETECTOR, b"a detector")], ckpt)
    assert adopted == []


# ----------------------------------------------------------------------------------- room, and dry runs


def test_a_dry_run_says_what_would_be_and_changes_nothing(models, ckpt, tmp_path):
    write(models / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    before = snapshot(tmp_path)
    adopted, said = take(models, [hub_file(DETECTOR, b"a detector"), *needed_weights()], ckpt, dry_run=True)
    assert [(one.path, one.how) for one in adopted] == [(DETECTOR, "linked"), (checkout.VAE, "converted")]
    assert snapshot(tmp_path) == before
    assert "would be linked" in said
    assert "would be converted" in said


@pytest.mark.parametrize("copy", [True, False])
def test_a_disk_that_is_too_small_is_told_before_anything_is_written(models, ckpt, monkeypatch, copy):
    write(models / "yolov10m.onnx", b"a detector")
    write_safetensors(models / "wan_vae_fp32.safetensors", VAE)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(2**20, 2**20, 99))
    with pytest.raises(SetUpError, match=r"too little room: .* to write, 99 bytes free") as raised:
        take(models, [hub_file(DETECTOR, b"a detector"), *needed_weights()], ckpt, copy=copy)
    assert raised.value.exit_code == 2
    assert ("leave --copy out" in raised.value.remedy) == copy
    assert not ckpt.exists()


def test_links_need_no_room(models, ckpt, monkeypatch):
    write(models / "yolov10m.onnx", b"a detector")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(2**20, 2**20, 0))
    assert len(take(models, [hub_file(DETECTOR, b"a detector")], ckpt)[0]) == 1


def test_a_place_that_cannot_be_written_is_named(models, ckpt):
    write(models / "yolov10m.onnx", b"a detector")
    write(ckpt / "process_checkpoint", b"a file where a folder belongs")
    with pytest.raises(SetUpError, match="process_checkpoint"):
        take(models, [hub_file(DETECTOR, b"a detector")], ckpt)


def test_files_that_cannot_be_read_are_named_and_the_rest_goes_on(models, ckpt, monkeypatch):
    bad = write(models / "bad.onnx", b"a detector")
    good = write(models / "good.onnx", b"a detector")
    broken = write(models / "broken.safetensors", b"?" * 30)
    opened = Path.open

    def fail(self, *rest, **more):
        if self in (bad, broken):
            raise OSError(5, "Input/output error")
        return opened(self, *rest, **more)

    monkeypatch.setattr(Path, "open", fail)
    adopted, said = take(models, [hub_file(DETECTOR, b"a detector"), *needed_weights()], ckpt)
    assert [one.origin for one in adopted] == [good]
    assert f"{bad} cannot be read: Input/output error." in said
    assert f"{broken} cannot be read: Input/output error." in said


def test_a_file_that_breaks_while_it_is_hashed_is_named_and_the_rest_goes_on(models, ckpt, monkeypatch):
    bad = write(models / "bad.onnx", b"a detector")
    good = write(models / "good.onnx", b"a detector")
    digest = hashlib.file_digest

    def fail(stream, name):
        if Path(stream._file.name) == bad:
            raise OSError(5, "Input/output error")
        return digest(stream, name)

    monkeypatch.setattr(hashlib, "file_digest", fail)
    adopted, said = take(models, [hub_file(DETECTOR, b"a detector")], ckpt)
    assert [one.origin for one in adopted] == [good]
    assert f"{bad} cannot be read: Input/output error." in said
