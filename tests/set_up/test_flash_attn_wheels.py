"""The wheel of flash-attn for a machine: real published names, machines reasoned by hand, and any machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from set_up.flash_attn.names import parse_wheel_name
from set_up.flash_attn.wheels import Choice, Machine, NoWheel, choose, fits, published, unfit

DATA = Path(__file__).parents[1] / "data" / "flash_attn"
PUBLISHED = [
    line.split("\t")
    for line in (DATA / "wheel_names.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
MACHINES = json.loads((DATA / "machines.json").read_text(encoding="utf-8"))
SYSTEM = {"linux": "Linux", "win": "Windows"}


def test_the_tables_are_as_large_as_was_asked_for():
    assert len({name for name, _ in PUBLISHED}) >= 60
    assert len({json.dumps(row["machine"]) + str(row.get("community")) for row in MACHINES}) >= 30
    assert all(source for _, source in PUBLISHED)


@pytest.mark.parametrize("name", [name for name, _ in PUBLISHED])
def test_every_published_name_is_read_and_written_back_letter_for_letter(name):
    parsed = parse_wheel_name(name)
    assert str(parsed) == name
    assert parsed.platforms <= {"linux_x86_64", "linux_aarch64", "win_amd64"}


def test_the_parts_of_a_name_are_what_they_say():
    official = parse_wheel_name("flash_attn-2.5.8+cu122torch2.3cxx11abiFALSE-cp310-cp310-linux_x86_64.whl")
    assert (official.cuda_version, official.torch_version, official.cxx11abi) == ((12, 2), (2, 3), False)
    many = parse_wheel_name(
        "flash_attn-2.8.3+cu124torch2.6-cp311-cp311-"
        "manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl"
    )
    assert (set(many.platforms), many.glibc, many.cxx11abi) == ({"linux_x86_64"}, (2, 17), None)
    assert parse_wheel_name(PUBLISHED[0][0]).cuda_version == (12,)


@pytest.mark.parametrize(
    "name",
    [
        "flash_attn_3-3.0.0+cu130torch2.9gite2743ab-cp39-abi3-linux_x86_64.whl",  # version 3
        "flash_attn-2.8.3-cp311-cp311-win_amd64.whl",  # for which torch?
        "flash_attn-2.7.4.post1-cu128-torch2.8.0-cp310-cp310-win_amd64.whl",  # no wheel's name at all
        "flash_attn-2.6.3+rocm62torch2.4cxx11abiTRUE-cp310-cp310-linux_x86_64.whl",  # for AMD
        "causal_conv1d-1.6.1+cu13torch2.10cxx11abiTRUE-cp310-cp310-linux_aarch64.whl",
        "flash_attn-1.0.9+cu118torch2.0-cp310-cp310-linux_x86_64.whl",
        "flash_attn-2.8.3+cu12torch2.8cxx11abiTRUE-cp311-cp311-linux_x86_64.whl.part",
        "",
    ],
)
def test_other_names_are_not_taken_for_one(name):
    with pytest.raises(ValueError, match="is not named as"):
        parse_wheel_name(name)


@pytest.mark.parametrize("row", MACHINES, ids=lambda row: row["because"][:60])
def test_each_machine_gets_the_wheel_that_was_reasoned_by_hand(row):
    chosen = choose(machine_of(row["machine"]), community=row.get("community", False))
    if row["wheel"] is None:
        assert isinstance(chosen, NoWheel)
        assert row["why"] in chosen.why
        assert "".join(chosen.torch_commands[:1]).startswith(row.get("first", ""))
        assert bool(chosen.torch_commands) == ("first" in row)
        return
    assert isinstance(chosen, Choice)
    assert str(chosen.wheel.name) == row["wheel"]
    sources = dict(PUBLISHED)
    assert row["wheel"] in sources, "only names that somebody published count"
    if tag := re.search(r" (v[\w.]+)$", sources[row["wheel"]]):
        assert f"/{tag[1]}/" in chosen.wheel.address


def test_what_is_chosen_without_being_asked_for_is_said_to_be_a_community_build():
    chosen = choose(machine_of({"python": "cp312", "platform": "win_amd64", "cxx11abi": False}))
    assert isinstance(chosen, Choice)
    assert "community build by mjun0812/flash-attention-prebuild-wheels" in chosen.notes[0]


def test_another_minor_of_cuda_is_said():
    chosen = choose(machine_of({"platform": "win_amd64", "cuda": "12.9", "torch": "2.8.0+cu129"}))
    assert isinstance(chosen, Choice)
    assert any("built with CUDA 12.8, torch is for 12.9" in note for note in chosen.notes)


def test_without_an_official_wheel_the_community_build_is_offered_and_not_taken():
    chosen = choose(machine_of({"torch": "2.9.1+cu128"}))
    assert isinstance(chosen, NoWheel)
    assert chosen.community is not None
    assert chosen.community.project == "mjun0812/flash-attention-prebuild-wheels"


def test_wheels_that_lack_a_head_size_of_upstreams_are_never_chosen():
    """kingbri1's: real names are in the list, and none of them is among those to choose from."""
    theirs = {name for name, source in PUBLISHED if source == "A kingbri1/flash-attention v2.8.3"}
    assert theirs <= unfit().keys()
    assert not theirs & {str(wheel.name) for wheel in published()}


def test_the_torch_that_is_proposed_has_a_wheel():
    """For every machine without one, each proposed torch is put in, with the interface of its own wheels."""
    tried = 0
    for row in MACHINES:
        community = row.get("community", False)
        chosen = choose(machine_of(row["machine"]), community=community)
        for command in chosen.torch_commands if isinstance(chosen, NoWheel) else ():
            match = re.fullmatch(r"torch==(\S+) torchvision torchaudio --index-url \S+/cu(\d\d)(\d)", command)
            assert match is not None
            torch, cuda = match[1], f"{match[2]}.{match[3]}"
            release = tuple(map(int, torch.split(".")[:2]))
            new = release >= (2, 7) or (release == (2, 6) and cuda == "12.6")
            changed = {**row["machine"], "torch": torch, "cuda": cuda, "cxx11abi": new}
            assert isinstance(choose(machine_of(changed), community=community), Choice), command
            tried += 1
    assert tried >= 15


VERSIONS = st.tuples(st.integers(0, 15), st.integers(0, 3)).map(lambda two: f"2.{two[0]}.{two[1]}")
ANY_MACHINE = st.builds(
    Machine,
    python=st.sampled_from(["cp38", "cp39", "cp310", "cp311", "cp312", "cp313", "cp313t", "cp314", "pp310"]),
    platform=st.sampled_from(
        ["linux_x86_64", "linux_aarch64", "win_amd64", "macosx_11_0_arm64", "win_arm64"]
    ),
    torch=st.builds(str.__add__, VERSIONS, st.sampled_from(["", "+cu128", "+cpu", "a0+git1234"])),
    cuda=st.one_of(
        st.none(), st.sampled_from(["11.8", "12.1", "12.4", "12.6", "12.8", "12.9", "13.0", "13.2"])
    ),
    cxx11abi=st.booleans(),
    glibc=st.one_of(st.none(), st.tuples(st.just(2), st.integers(17, 40))),
)


@given(ANY_MACHINE, st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_choice_contradicts_the_machine_and_no_refusal_overlooks_a_wheel(machine, community):
    chosen = choose(machine, community=community)
    if isinstance(chosen, NoWheel):
        assert chosen.why.endswith(".")
        official = [wheel for wheel in published() if wheel.official or community]
        assert not any(fits(wheel.name, machine, wheel.glibc) for wheel in official)
        return
    name = chosen.wheel.name
    assert name.python_abi == machine.python
    assert machine.platform in name.platforms
    assert machine.torch.startswith(f"2.{name.torch_version[1]}.")
    assert machine.cuda is not None
    assert machine.cuda.startswith(name.cuda[:2] + ".")
    if machine.platform.startswith("linux") and name.cxx11abi is not None:
        assert name.cxx11abi == machine.cxx11abi
    if machine.glibc is not None and chosen.wheel.glibc is not None:
        assert chosen.wheel.glibc <= machine.glibc
    assert chosen.wheel.official or any("community build" in note for note in chosen.notes)


def machine_of(facts) -> Machine:
    """The usual machine, but for these facts."""
    usual = {"python": "cp311", "platform": "linux_x86_64", "torch": "2.8.0+cu128", "cuda": "12.8"}
    glibc = facts.get("glibc")
    return Machine(**{"cxx11abi": True, **usual, **facts, "glibc": tuple(glibc) if glibc else None})
