"""Which folders are looked through: ComfyUI's own, and those of extra_model_paths.yaml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from set_up.comfyui.folders import EXTRA_PATHS, extra_folders, find_files
from set_up.errors import SetUpError
from tests.set_up.comfyui_tree import write


@pytest.fixture
def root(tmp_path):
    """ComfyUI's folder, with one model."""
    write(tmp_path / "ComfyUI" / "models" / "vae" / "a.safetensors", b"?")
    return tmp_path / "ComfyUI"


def find(folder: Path, apart_from: Path = Path("nowhere")) -> tuple[list[str], list[str]]:
    """Names of the files, and the warnings."""
    warnings: list[str] = []
    found = find_files(folder, apart_from=apart_from, warn=warnings.append)
    assert all(file.path.is_absolute() for file in found)
    assert all(file.size == file.path.stat().st_size for file in found)
    return [file.path.name for file in found], warnings


@pytest.mark.parametrize("given", [".", "models"])
@pytest.mark.parametrize("place", [".", "models"])
def test_the_extra_file_is_read_in_the_folder_and_above_it(root, tmp_path, given, place):
    if (given, place) == (".", "models"):
        return  # ComfyUI's own folder is given: what lies within models is not beside it
    write(tmp_path / "disk" / "b.pth", b"?")
    write(root / place / EXTRA_PATHS, f"other:\n  vae: {tmp_path / 'disk'}\n".encode())
    names, warnings = find(root / given)
    assert [name for name in names if name != EXTRA_PATHS] == ["a.safetensors", "b.pth"]
    assert warnings == []


@pytest.mark.parametrize(
    ("text", "folders"),
    [
        ("one:\n  base_path: BASE\n  vae: models/vae\n", ["BASE/models/vae"]),
        ("one:\n  base_path: BASE/\n  loras: |\n    a\n    b/c/\n\n", ["BASE/a", "BASE/b/c"]),
        ("one:\n  vae: relative/vae\n", ["HERE/relative/vae"]),
        ("one:\n  base_path: ../shared\n  vae: vae\n", ["HERE/../shared/vae"]),
        ("one:\n  base_path: BASE\n  vae: /elsewhere/vae\n", ["/elsewhere/vae"]),
        ("one:\n  base_path: ~/ai\n  vae: vae\n", ["HOME/ai/vae"]),
        ("one:\n  base_path: $MODELS/x\n  vae: vae\n", ["VARIABLE/x/vae"]),
        ("one:\n  base_path: ${MODELS}\n  is_default: true\n  vae: vae\n", ["VARIABLE/vae"]),
        ("one:\n  base_path: BASE\n  custom_nodes: nodes\n  clip: clip\n", ["BASE/clip"]),
        ("one:\n  base_path: BASE\n  a: x\n  b: x\ntwo:\n  base_path: BASE\n  c: y\n", ["BASE/x", "BASE/y"]),
        ("one:\ntwo:\n  base_path: BASE\n  vae:\n", []),
        ("# all of it commented out\n", []),
    ],
)
def test_the_forms_that_comfyui_reads(tmp_path, monkeypatch, text, folders):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.setenv("MODELS", str(tmp_path / "variable"))
    places = {"BASE": "base", "HERE": "here", "HOME": "home", "VARIABLE": "variable"}
    extra = write(tmp_path / "here" / EXTRA_PATHS, text.replace("BASE", str(tmp_path / "base")).encode())
    for place, name in places.items():
        folders = [folder.replace(place, str(tmp_path / name)) for folder in folders]
    warnings: list[str] = []
    assert extra_folders(extra, warnings.append) == [Path(os.path.normpath(folder)) for folder in folders]
    assert warnings == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"one: [unclosed", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"one: 2001-99-99", "cannot be read"),
        (b"!!python/object/apply:os.mkdir [evaluated]", "cannot be read"),
        (b"[" * 400, "cannot be read"),
        (b"- a\n- b\n", "has no sections"),
        (b"one: text\n", "the section one is not as ComfyUI reads it"),
        (b"one:\n  base_path: [1]\n", "the section one is not as ComfyUI reads it"),
        (b"one:\n  vae: [a, b]\n", "vae is no text of one path a line"),
        (b"one:\n  base_path: ~nobody-of-that-name/x\n  vae: y\n", "~nobody-of-that-name/x is left out"),
        (b"one:\n  vae: gone\n", "gone, which is not there"),
    ],
)
def test_what_cannot_be_read_is_named_and_left_out(root, content, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    write(root / EXTRA_PATHS, content)
    names, warnings = find(root)
    assert names == ["a.safetensors"]
    assert len(warnings) == 1
    assert words in warnings[0]
    assert EXTRA_PATHS in warnings[0]
    assert not (tmp_path / "evaluated").exists()


def test_a_folder_that_is_not_there_is_a_wrong_request(tmp_path):
    with pytest.raises(SetUpError, match="there is no folder") as raised:
        find(tmp_path / "gone")
    assert raised.value.exit_code == 2


def test_a_folder_without_a_model_is_a_wrong_request(tmp_path):
    write(tmp_path / "models" / "put_models_here.txt", b"")
    write(tmp_path / EXTRA_PATHS, f"one:\n  vae: {tmp_path / 'models'}\n".encode())
    with pytest.raises(SetUpError, match=r"no model file in .* names") as raised:
        find(tmp_path)
    assert raised.value.exit_code == 2


def test_folders_that_link_in_a_circle_are_looked_through_once(root, tmp_path):
    write(tmp_path / "other disk" / "b.onnx", b"?")
    (root / "models" / "more").symlink_to(tmp_path / "other disk")
    (root / "models" / "again").symlink_to(tmp_path / "other disk")
    (root / "models" / "circle").symlink_to(root / "models")
    names, _ = find(root)
    assert sorted(names) == ["a.safetensors", "b.onnx"]


def test_git_folders_dangling_links_and_the_checkpoint_folder_are_left_out(root, tmp_path):
    write(root / "models" / ".git" / "objects" / "c.bin", b"?")
    (root / "models" / "gone.pth").symlink_to(tmp_path / "gone")
    write(root / "models" / "weights" / "d.pth", b"?")
    assert find(root, root / "models" / "weights") == (["a.safetensors"], [])


def test_a_relative_folder_is_made_absolute(root, monkeypatch):
    monkeypatch.chdir(root)
    assert find(Path("models"))[0] == ["a.safetensors"]
    assert find(Path())[0] == ["a.safetensors"]
