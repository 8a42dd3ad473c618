"""Which SAM 2 a file holds, whatever it is called; and what is said of everything else."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masks.errors import MaskError
from masks.sam2_checkpoint import find_checkpoint, recognise_checkpoint
from masks.sam2_tensors import NotReadable, Shapes, tensor_shapes
from tests.masks.sam2_files import Stored, sam2_shapes, write_pt, write_safetensors, write_sam2

CONFIGS = {
    ("2.0", "tiny"): "sam2_hiera_t.yaml",
    ("2.0", "small"): "sam2_hiera_s.yaml",
    ("2.0", "base_plus"): "sam2_hiera_b+.yaml",
    ("2.0", "large"): "sam2_hiera_l.yaml",
    ("2.1", "tiny"): "configs/sam2.1/sam2.1_hiera_t.yaml",
    ("2.1", "small"): "configs/sam2.1/sam2.1_hiera_s.yaml",
    ("2.1", "base_plus"): "configs/sam2.1/sam2.1_hiera_b+.yaml",
    ("2.1", "large"): "configs/sam2.1/sam2.1_hiera_l.yaml",
}


def stored(shapes: Shapes) -> OrderedDict[str, Stored]:
    return OrderedDict((name, Stored(shape)) for name, shape in shapes.items())


@pytest.mark.parametrize(("version", "size"), CONFIGS)
def test_size_and_version_are_told_by_content_in_both_formats(tmp_path, version, size):
    shapes = sam2_shapes(size, version)
    files = [
        write_safetensors(tmp_path / "a.pt", shapes),
        write_pt(tmp_path / "b.safetensors", {"model": stored(shapes)}),
        write_pt(tmp_path / "bare.pt", dict(stored(shapes)), protocol=4),
    ]
    for path in files:
        model = recognise_checkpoint(path)
        assert (model.version, model.size) == (version, size)
        assert model.config_name == CONFIGS[version, size]
        assert model.notice is None


@pytest.mark.parametrize(
    ("name", "notice"),
    [
        ("sam2_hiera_tiny.pt", False),
        ("sam2_hiera_large.pt", True),
        ("sam2.1_hiera_tiny.pt", True),
        ("sam2-hiera-base-plus.pt", True),
        ("mine.pt", False),
    ],
)
def test_a_name_that_says_otherwise_is_told(tmp_path, name, notice):
    model = recognise_checkpoint(write_sam2(tmp_path / name))
    assert (model.notice is not None) is notice
    if model.notice:
        assert f"{name} holds SAM 2.0 tiny" in model.notice


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def shaped(**shapes: tuple[int, ...]) -> Shapes:
    return {name.replace("__", "."): shape for name, shape in shapes.items()}


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 897952466\n"
BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "absent": (lambda path: path, "missing", "There is no SAM 2 checkpoint"),
    "folder": (lambda path: path.mkdir(), "missing", "cannot be read"),
    "text": (lambda path: path.write_text("<html>Not found</html>"), "not-sam2", "neither a .pt nor"),
    "empty": (lambda path: path.write_bytes(b""), "damaged", "neither"),
    "blank": (lambda path: path.write_bytes(bytes(4096)), "damaged", "neither"),
    "pointer": (lambda path: path.write_bytes(LFS), "damaged", "Git LFS"),
    "half a zip": (
        lambda path: cut(write_pt(path, {"model": stored(sam2_shapes())}), 0.6),
        "damaged",
        "cut off",
    ),
    "half a safetensors": (lambda path: cut(write_sam2(path), 0.6), "damaged", "of .* bytes are there"),
    "half a header": (lambda path: cut(write_sam2(path), 0.01), "damaged", "header"),
    "no JSON": (lambda path: path.write_bytes(struct.pack("<Q", 9) + b"{not json"), "damaged", "header"),
    "SAM": (
        lambda path: write_pt(path, stored(shaped(image_encoder__blocks__0__norm1__weight=(1280,)))),
        "not-sam2",
        "the first SAM",
    ),
    "transformers": (
        lambda path: write_safetensors(path, shaped(vision_encoder__neck__weight=(1,))),
        "not-sam2",
        "layout of transformers",
    ),
    "SAM 3": (lambda path: write_pt(path, stored(shaped(detector__x=(1,)))), "not-sam2", "SAM 3"),
    "another model": (
        lambda path: write_safetensors(path, shaped(block__0=(1,))),
        "not-sam2",
        "1 tensors, but",
    ),
    "no tensors": (lambda path: write_pt(path, {"epoch": 3}), "not-sam2", "no named tensors"),
    "no dictionary": (lambda path: write_pt(path, [1, 2]), "not-sam2", "no named tensors"),
    "another zip": (lambda path: not_torch(path), "not-sam2", "PyTorch"),
    "a fifth size": (
        lambda path: write_safetensors(path, {**sam2_shapes("large"), **blocks(50)}),
        "not-sam2",
        "none of its sizes has 50 blocks and 144 first channels",
    ),
}


def blocks(count: int) -> Shapes:
    return {f"image_encoder.trunk.blocks.{number}.norm1.weight": (2,) for number in range(count)}


def not_torch(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_checkpoint_of_sam2_is_refused_with_what_it_is(tmp_path, case):
    make, code, says = BAD[case]
    path = tmp_path / "sam2_hiera_large.pt"
    make(path)
    with pytest.raises(MaskError, match=says) as caught:
        recognise_checkpoint(path)
    assert caught.value.code == f"mask.checkpoint-{code}"
    assert str(path) in caught.value.what
    assert caught.value.remedy


class Harmful:
    """Pickled, it would write a file when loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self.path)!r}, 'w')",)


def test_nothing_in_the_pickle_is_carried_out(tmp_path):
    trap = tmp_path / "carried out"
    value = {"model": stored(sam2_shapes()), "harm": Harmful(trap), "list": [Harmful(trap), True, None, 1.5]}
    assert recognise_checkpoint(write_pt(tmp_path / "a.pt", value)).size == "tiny"
    assert not trap.exists()


@given(st.binary(max_size=400), st.sampled_from([b"", b"PK\x03\x04", struct.pack("<Q", 30) + b"{"]))
def test_any_bytes_end_in_an_answer_or_one_kind_of_error(tmp_path_factory, content, start):
    path = tmp_path_factory.mktemp("bytes") / "a"
    path.write_bytes(start + content)
    with pytest.raises(NotReadable):
        tensor_shapes(path)


@given(st.binary(max_size=60))
def test_any_pickle_ends_in_an_answer_or_one_kind_of_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickles") / "a"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + content + b".")
    with contextlib.suppress(NotReadable):
        assert tensor_shapes(path) == {}


def test_upstreams_checkpoint_is_found_first_and_else_the_largest(tmp_path):
    folder = tmp_path / "process_checkpoint" / "sam2"
    assert find_checkpoint(tmp_path) is None
    folder.mkdir(parents=True)
    assert find_checkpoint(tmp_path) is None
    (folder / "readme.md").write_text("x" * 100)
    (folder / "b.pt").write_text("x")
    (folder / "a.safetensors").write_text("xx")
    assert find_checkpoint(tmp_path) == folder / "a.safetensors"
    (folder / "sam2_hiera_large.pt").write_text("")
    assert find_checkpoint(tmp_path) == folder / "sam2_hiera_large.pt"
