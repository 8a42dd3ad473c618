"""Files for torch, written without it: loaded by the real torch, and looked at by their structure."""

from __future__ import annotations

import hashlib
import importlib
import math
import pickletools
import random
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.wan22.weight_files import DamagedFile, check_torch_file
from masks.sam2_tensors import tensor_shapes
from set_up.comfyui import torch_file
from set_up.comfyui.safetensors import Tensor
from set_up.comfyui.torch_file import STORAGES, strides, unfinished_path, write_torch_file, written_from
from tests.set_up.comfyui_tree import Layout, contents, write_safetensors

EVERYTHING: Layout = {
    "matrix": ("F32", (3, 5)),
    "half": ("F16", (2, 1, 4)),
    "brain": ("BF16", (7,)),
    "double": ("F64", (2,)),
    "scalar": ("I64", ()),
    "whole": ("I32", (3,)),
    "short": ("I16", (3,)),
    "signed": ("I8", (9,)),
    "bytes": ("U8", (11,)),
    "flags": ("BOOL", (5,)),
    "nothing": ("F32", (0, 4)),
    "nothing within": ("F32", (2, 0, 3)),
    "späť.weight": ("F32", (1,)),
}
SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
LAYOUTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(
        lambda name: name != "__metadata__"
    ),
    st.tuples(st.sampled_from(sorted(STORAGES)), SHAPES),
    max_size=6,
)


TORCH_NAMES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def check_with_torch(path: Path, layout: Layout, data: dict[str, bytes], wrapped_in: str | None) -> None:
    torch = importlib.import_module("torch")

    for mapped in (False, True):
        loaded = torch.load(path, weights_only=True, mmap=mapped)
        if wrapped_in is not None:
            assert list(loaded) == [wrapped_in]
            loaded = loaded[wrapped_in]
        assert type(loaded) is dict
        assert list(loaded) == list(layout)
        for name, (dtype, shape) in layout.items():
            tensor = loaded[name]
            assert (str(tensor.dtype), tuple(tensor.shape)) == (f"torch.{TORCH_NAMES[dtype]}", shape)
            assert tensor.stride() == torch.empty(shape).stride()
            in_bytes = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else tensor
            assert bytes(in_bytes.flatten().tolist()) == data[name]


def entries(path: Path) -> dict[str, tuple[bytes, int]]:
    """Content of each entry, and where it begins."""
    with zipfile.ZipFile(path) as archive, path.open("rb") as stream:
        found = {}
        for entry in archive.infolist():
            stream.seek(entry.header_offset + 26)
            lengths = stream.read(4)
            start = (
                entry.header_offset
                + 30
                + sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
            )
            found[entry.filename] = (archive.read(entry), start)
        assert archive.testzip() is None
    return found


@pytest.mark.needs("torch")
@pytest.mark.parametrize("wrapped_in", [None, "model"])
@pytest.mark.parametrize("layout", [EVERYTHING, {}], ids=["every type", "no tensor"])
def test_torch_loads_every_type_bit_for_bit(tmp_path, layout, wrapped_in):
    data = contents(layout)
    source = write_safetensors(tmp_path / "source.safetensors", layout, data)
    write_torch_file(tmp_path / "made.pt", source, wrapped_in=wrapped_in)
    check_with_torch(tmp_path / "made.pt", layout, data, wrapped_in)


@pytest.mark.needs("torch")
@settings(max_examples=25, deadline=None)
@given(layout=LAYOUTS, seed=st.integers(0, 9))
def test_torch_loads_any_shapes(tmp_path_factory, layout, seed):
    folder = tmp_path_factory.mktemp("any")
    data = contents(layout, seed)
    source = write_safetensors(folder / "source.safetensors", layout, data)
    write_torch_file(folder / "made.pt", source, wrapped_in=None)
    check_with_torch(folder / "made.pt", layout, data, None)


@pytest.mark.needs("torch")
def test_torch_loads_a_file_with_the_long_fields_of_one_over_4_gib(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 8)
    data = contents(EVERYTHING)
    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING, data)
    write_torch_file(tmp_path / "made.pt", source, wrapped_in=None)
    check_with_torch(tmp_path / "made.pt", EVERYTHING, data, None)
    assert all(start % 64 == 0 for _, start in entries(tmp_path / "made.pt").values())
    check_torch_file(tmp_path / "made.pt")


@pytest.mark.needs("torch")
def test_torch_saves_what_we_write_in_the_same_order_of_entries(tmp_path):
    torch = importlib.import_module("torch")

    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING)
    write_torch_file(tmp_path / "weights.pt", source, wrapped_in=None)
    ours = entries(tmp_path / "weights.pt")
    torch.save(torch.load(tmp_path / "weights.pt", weights_only=True), tmp_path / "weights.pth")
    torchs = entries(tmp_path / "weights.pth")
    assert [name for name in torchs if name in ours] == list(ours)
    same = [name for name in ours if name != "weights/data.pkl"]
    assert {name: ours[name][0] for name in same} == {name: torchs[name][0] for name in same}


@settings(max_examples=40, deadline=None)
@given(layout=LAYOUTS, wrapped_in=st.sampled_from([None, "model"]))
def test_every_tensor_is_an_aligned_entry_with_its_bytes(tmp_path_factory, layout, wrapped_in):
    folder = tmp_path_factory.mktemp("any")
    data = contents(layout)
    source = write_safetensors(folder / "source.safetensors", layout, data)
    written = write_torch_file(folder / "made.pt", source, wrapped_in=wrapped_in)
    check_torch_file(folder / "made.pt")
    assert tensor_shapes(folder / "made.pt") == {name: shape for name, (_, shape) in layout.items()}
    found = entries(folder / "made.pt")
    assert [found.pop(f"made/data/{number}")[0] for number in range(len(layout))] == list(data.values())
    assert found.pop("made/byteorder")[0] == b"little"
    assert found.pop("made/version")[0] == b"3\n"
    assert list(found) == ["made/data.pkl"]
    assert all(start % 64 == 0 for _, start in entries(folder / "made.pt").values())
    assert written == written_from(folder / "made.pt", source, wrapped_in=wrapped_in)
    assert written.size == (folder / "made.pt").stat().st_size


@settings(max_examples=50, deadline=None)
@given(shape=SHAPES)
def test_strides_lead_to_each_item_once(shape):
    places = [0]
    for length, step in zip(shape, strides(shape), strict=True):
        places = [place + index * step for place in places for index in range(length)]
    assert sorted(places) == list(range(math.prod(shape)))


def test_numbers_beyond_31_bits_are_written_long():
    for number in (2**31, 2**40 + 7, 2**63):
        written = torch_file.pickle_of([Tensor("huge", "U8", (number,), 0, number)], None)
        values = [
            argument for operation, argument, _ in pickletools.genops(written) if operation.name == "LONG1"
        ]
        assert values == [number, number]


def test_the_hash_is_that_of_the_file(tmp_path):
    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING)
    written = write_torch_file(tmp_path / "made.pt", source, wrapped_in=None)
    assert written.sha256 == hashlib.sha256((tmp_path / "made.pt").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda whole: whole[:-1],
        lambda whole: whole + b"\0",
        lambda whole: whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
        lambda whole: b"",
    ],
    ids=["cut off", "longer", "one bit", "empty"],
)
def test_a_file_that_is_not_quite_the_same_is_told(tmp_path, spoil):
    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING)
    made = tmp_path / "made.pt"
    write_torch_file(made, source, wrapped_in=None)
    assert written_from(made, source, wrapped_in=None)
    assert written_from(made, source, wrapped_in="model") is None
    made.write_bytes(spoil(made.read_bytes()))
    assert written_from(made, source, wrapped_in=None) is None


def test_a_type_that_torch_saves_otherwise_is_refused_before_anything_is_written(tmp_path):
    layout: Layout = {"good": ("F32", (2,)), "small": ("F8_E4M3", (4,))}
    source = write_safetensors(tmp_path / "source.safetensors", layout)
    with pytest.raises(DamagedFile, match="F8_E4M3, such as small"):
        write_torch_file(tmp_path / "made.pt", source, wrapped_in=None)
    assert [path.name for path in tmp_path.iterdir()] == ["source.safetensors"]


def test_broken_off_it_leaves_nothing_and_the_old_file_as_it_was(tmp_path):
    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING)
    made = tmp_path / "made.pt"
    made.write_bytes(b"old")

    def stop(done, total):
        assert unfinished_path(made).exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_torch_file(made, source, wrapped_in=None, report=stop)
    assert made.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.pt", "source.safetensors"]


def test_what_a_kill_left_is_replaced_and_never_written_through(tmp_path):
    source = write_safetensors(tmp_path / "source.safetensors", EVERYTHING)
    precious = tmp_path / "precious.pt"
    precious.write_bytes(b"of ComfyUI")
    unfinished_path(tmp_path / "made.pt").symlink_to(precious)
    write_torch_file(tmp_path / "made.pt", source, wrapped_in=None)
    assert precious.read_bytes() == b"of ComfyUI"
    assert not (tmp_path / "made.pt").is_symlink()
    assert not unfinished_path(tmp_path / "made.pt").is_symlink()


def test_a_source_that_becomes_shorter_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "PIECE", 64)
    source = write_safetensors(tmp_path / "source.safetensors", {"long": ("U8", (1000,))})

    def cut(done, total):
        with source.open("r+b") as stream:
            stream.truncate(200)

    with pytest.raises(DamagedFile, match="became shorter"):
        write_torch_file(tmp_path / "made.pt", source, wrapped_in=None, report=cut)
    assert not (tmp_path / "made.pt").exists()


def test_progress_ends_at_the_total(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "PIECE", 64)
    source = write_safetensors(tmp_path / "source.safetensors", {"a": ("U8", (100,)), "b": ("U8", (150,))})
    reports = []
    write_torch_file(tmp_path / "made.pt", source, wrapped_in=None, report=lambda *pair: reports.append(pair))
    assert reports == [(64, 250), (100, 250), (164, 250), (228, 250), (250, 250)]


def test_memory_stays_the_same_for_a_file_ten_times_as_large(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "PIECE", 2**18)
    peaks = []
    for count in (2**21, 10 * 2**21):
        layout: Layout = {"one": ("U8", (count // 2,)), "other": ("U8", (count // 2,))}
        random_bytes = random.Random(1).randbytes(count // 2)
        source = write_safetensors(
            tmp_path / "source.safetensors", layout, dict.fromkeys(layout, random_bytes)
        )
        del random_bytes
        tracemalloc.start()
        try:
            write_torch_file(tmp_path / "made.pt", source, wrapped_in=None)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**18
    assert peaks[1] < 4 * 2**18
