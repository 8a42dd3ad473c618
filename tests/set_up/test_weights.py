"""The download with both real clients, against a hub on loopback that misbehaves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
from pathlib import Path

import pytest
from rich.console import Console

import set_up.weights.checks
import set_up.weights.fetching
from engines.wan22 import checkout
from execution.lock import hold
from set_up.errors import SetUpError
from set_up.session import Session
from set_up.weights.fetching import WeightsRequest, fetch_weights, weights_in_place
from set_up.weights.hub import HubError
from set_up.weights.manifest import manifest_path
from set_up.weights.needed import FLUX_REPOSITORY
from set_up.weights.transfer import Patience, downloads_folder
from tests.set_up.hub_server import COMMIT, LISTING, HubServer, Kind
from tests.set_up.made_weights import (
    ANIMATE,
    BIG,
    BIG_SIZE,
    FLUX_FILES,
    SAM2,
    SECOND_SHARD,
    make_repositories,
)

QUICK = Patience(tries=4, first_wait=0.01, longest_wait=0.02, longest_asked_wait=0.05)
BOTH = pytest.mark.parametrize("source", ["hf", "modelscope"])
LOST = 2**17
"""At most so many bytes that came in are lost when a connection breaks off."""
WAN = checkout.WEIGHTS_REPOSITORY


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    make_repositories(folder)
    return folder


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def server(repositories):
    with HubServer(repositories) as server:
        yield server


@pytest.fixture
def hub(server, monkeypatch):
    server.reset()
    # Another test in this process may have imported it under HF_HUB_OFFLINE, as the engines' workers do.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    return server


class World:
    """One checkpoint folder, and what was said."""

    def __init__(self, hub: HubServer, folder: Path) -> None:
        self.hub, self.ckpt_dir = hub, folder
        self.output = io.StringIO()

    def session(self, dry_run: bool = False, terminal: bool = False) -> Session:
        return Session(console=Console(file=self.output, width=200, force_terminal=terminal), dry_run=dry_run)

    def request(self, source: str = "hf", features: tuple[str, ...] = ("animate",), **more) -> WeightsRequest:
        more.setdefault("mirror", self.hub.url)
        return WeightsRequest(ckpt_dir=self.ckpt_dir, features=features, source=source, **more)

    def fetch(self, source: str = "hf", *, dry_run: bool = False, **more) -> None:
        fetch_weights(self.request(source, **more), self.session(dry_run), QUICK)

    def error(self, source: str = "hf", **more) -> SetUpError:
        with pytest.raises(SetUpError) as caught:
            self.fetch(source, **more)
        return caught.value

    def files(self) -> set[str]:
        return {
            path.relative_to(self.ckpt_dir).as_posix()
            for path in self.ckpt_dir.rglob("*")
            if path.is_file() and ".understudy" not in path.parts
        }

    def is_right(self, names=ANIMATE, repository: str = WAN, below: str = "") -> bool:
        return all(
            (self.ckpt_dir / below / name).read_bytes() == (self.hub.folder / repository / name).read_bytes()
            for name in names
        )

    def partial(self) -> Path:
        """What has come of the largest file."""
        return max(downloads_folder(self.ckpt_dir).glob("*.partial"), key=lambda path: path.stat().st_size)

    def manifest(self):
        return json.loads(manifest_path(self.ckpt_dir).read_text())


@pytest.fixture
def world(hub, tmp_path):
    return World(hub, tmp_path / "weights")


# ------------------------------------------------------------------------------------------- what is fetched


@BOTH
def test_exactly_what_the_feature_needs_is_fetched_and_verified(world, source):
    world.fetch(source)
    assert world.files() == set(ANIMATE)
    assert world.is_right()
    known = world.manifest()
    assert set(known["files"]) == set(ANIMATE)
    content = (world.ckpt_dir / BIG).read_bytes()
    assert known["files"][BIG]["sha256"] == hashlib.sha256(content).hexdigest()
    assert known["repositories"][WAN] == {"source": source, "revision": None, "commit": COMMIT}
    assert not list(downloads_folder(world.ckpt_dir).iterdir())


def test_features_add_their_own_files(world):
    world.fetch(features=("animate", "replace", "relighting", "flux"))
    below = f"{checkout.PREPROCESS_CHECKPOINTS}/{checkout.FLUX}"
    assert world.files() == {*ANIMATE, SAM2, checkout.RELIGHTING, *(f"{below}/{name}" for name in FLUX_FILES)}
    assert world.is_right(FLUX_FILES, FLUX_REPOSITORY, below)


@BOTH
def test_a_second_run_asks_nobody_and_loads_no_client(world, source, monkeypatch):
    world.fetch(source)
    world.hub.reset()
    monkeypatch.setattr(set_up.weights.fetching, "hub_named", None)
    monkeypatch.setattr(set_up.weights.fetching, "adopt_what_is_there", None)
    world.fetch(source)
    assert world.hub.requests == []
    assert weights_in_place(world.request(source))


def test_a_later_feature_fetches_only_what_it_adds(world):
    world.fetch()
    world.hub.reset()
    world.fetch("modelscope", features=("animate", "replace"))
    assert [one.path for one in world.hub.fetched()] == [SAM2]
    assert world.is_right([*ANIMATE, SAM2])


def test_what_the_hub_lacks_is_named_before_anything_is_fetched(world, tmp_path):
    make_repositories(tmp_path / "hub")
    (tmp_path / "hub" / WAN / checkout.VAE).unlink()
    with HubServer(tmp_path / "hub") as hub:
        error = world.error(mirror=hub.url)
        assert checkout.VAE in str(error)
        assert not hub.fetched()


def test_a_shard_that_the_index_names_and_the_hub_lacks_is_named(world, tmp_path):
    make_repositories(tmp_path / "hub")
    (tmp_path / "hub" / WAN / SECOND_SHARD).unlink()
    with HubServer(tmp_path / "hub") as hub:
        assert SECOND_SHARD in str(world.error(mirror=hub.url))
        assert not weights_in_place(world.request())


def test_a_path_that_leads_out_of_the_folder_is_refused(world, monkeypatch):
    listed = HubServer.listed
    evil = ("google/umt5-xxl/../../../evil", 3, "0" * 64, "0" * 40)
    monkeypatch.setattr(HubServer, "listed", lambda hub, name: [*listed(hub, name), evil])
    assert "out of its folder" in str(world.error())
    assert not world.hub.fetched()


def test_a_dry_run_changes_nothing(world):
    world.fetch(dry_run=True)
    assert not world.ckpt_dir.exists()
    assert not world.hub.fetched()
    assert BIG in world.output.getvalue()


def test_the_preview_asks_no_hub(world, monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(set_up.weights.fetching, "_preview_is_missing", lambda request: not asked)
    monkeypatch.setattr(set_up.weights.fetching, "fetch_models", lambda report: asked.append(report))
    world.fetch(features=("preview",))
    assert len(asked) == 1
    assert world.hub.requests == []


# -------------------------------------------------------------------------------------------- broken off


@BOTH
def test_a_file_cut_in_the_middle_is_resumed_where_it_broke_off(world, source):
    world.hub.fail(BIG, "cut", times=3)
    world.fetch(source)
    assert world.is_right()
    starts = [one.start for one in world.hub.fetched(BIG)]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert starts[3] >= BIG_SIZE * 7 // 8 - 3 * LOST
    assert sum(one.sent for one in world.hub.fetched(BIG)) <= BIG_SIZE + 3 * LOST  # nothing else came twice


@BOTH
@pytest.mark.parametrize("other", ["hf", "modelscope"])
def test_a_later_run_goes_on_within_the_file_from_either_hub(world, source, other):
    world.hub.fail(BIG, "cut")
    world.hub.fail(BIG, "status", times=None, status=503)
    assert "run the same command again" in str(world.error(source))
    assert not (world.ckpt_dir / BIG).exists()
    here = world.partial().stat().st_size
    assert here >= BIG_SIZE // 2 - LOST
    world.hub.reset()
    world.fetch(other)
    assert [(one.start, one.sent) for one in world.hub.fetched(BIG)] == [(here, BIG_SIZE - here)]
    assert world.is_right()


@BOTH
def test_a_hub_that_ignores_ranges_still_gives_the_right_file(world, source):
    world.hub.fail(BIG, "cut")
    world.hub.fail(BIG, "ignore range", times=None)
    world.fetch(source)
    assert world.is_right()


def test_a_partial_file_that_is_longer_than_the_hubs_starts_over(world):
    world.hub.fail(BIG, "cut")
    world.hub.fail(BIG, "status", times=None, status=503)
    world.error()
    world.partial().write_bytes(b"x" * (BIG_SIZE + 1))
    world.hub.reset()
    world.fetch()
    assert world.is_right()


def test_wrong_bytes_in_what_an_earlier_run_left_are_found(world):
    world.hub.fail(BIG, "cut")
    world.hub.fail(BIG, "status", times=None, status=503)
    world.error()
    here = world.partial().stat().st_size
    world.partial().write_bytes(bytes(here))
    world.hub.reset()
    world.fetch()
    assert world.is_right()
    assert [one.start for one in world.hub.fetched(BIG)] == [here, 0]


@BOTH
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_hub_is_asked_again(world, source, status):
    world.hub.fail(BIG, "status", times=2, status=status, retry_after="0")
    world.hub.fail(LISTING, "status", status=status, retry_after="0")
    world.fetch(source)
    assert world.is_right()
    assert [one.status for one in world.hub.requests if one.path == BIG] == [status, status, 200]


def test_how_long_is_waited():
    usual = Patience()
    assert [usual.wait(failures, None) for failures in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert usual.wait(50, None) == usual.longest_wait
    assert usual.wait(1, 7.0) == 7.0
    assert usual.wait(1, 1e9) == usual.longest_asked_wait


def test_the_first_wait_can_be_set(monkeypatch):
    monkeypatch.setenv("UNDERSTUDY_RETRY_SECONDS", "0.25")
    assert Patience.usual().first_wait == 0.25
    monkeypatch.setenv("UNDERSTUDY_RETRY_SECONDS", "soon")
    assert Patience.usual() == Patience()


@BOTH
def test_redirects_are_followed_also_when_resuming(world, source):
    world.hub.fail(BIG, "redirect")
    world.hub.fail(BIG, "cut")
    world.hub.fail(BIG, "redirect")
    world.fetch(source)
    assert world.is_right()
    assert len(world.hub.fetched(BIG)) == 2
    assert world.hub.fetched(BIG)[1].start >= BIG_SIZE // 2 - LOST
    assert all(one.from_redirect for one in world.hub.fetched(BIG))


# -------------------------------------------------------------------------------------------- wrong bytes


@BOTH
def test_a_corrupt_file_is_fetched_again_alone(world, source):
    world.hub.fail(BIG, "wrong bytes", times=2)
    world.fetch(source)
    assert world.is_right()
    assert [one.start for one in world.hub.fetched(BIG)] == [0, 0, 0]
    assert len(world.hub.fetched(SECOND_SHARD)) == 1


@BOTH
@pytest.mark.parametrize("name", [BIG, f"{checkout.T5_TOKENIZER}/tokenizer.json"])
def test_a_file_that_stays_corrupt_never_gets_its_name(world, source, name):
    world.hub.fail(name, "wrong bytes", times=None)
    error = world.error(source)
    listed = {path: hashes for path, _, *hashes in world.hub.listed(WAN)}[name]
    assert name in str(error)
    assert any(hash_ in str(error) for hash_ in listed)
    assert error.exit_code == 1
    assert world.files() == set(ANIMATE) - {name}  # the others came all the same
    assert not weights_in_place(world.request(source))


def test_a_wrong_hash_in_the_listing_is_an_error_with_both_hashes(world):
    world.hub.fail(BIG, "wrong hash")
    error = world.error()
    sha256 = hashlib.sha256((world.hub.folder / WAN / BIG).read_bytes()).hexdigest()
    assert sha256 in str(error)
    assert sha256[::-1] in str(error)
    assert not (world.ckpt_dir / BIG).exists()


@BOTH
def test_a_listed_file_that_the_hub_does_not_give_is_named(world, source):
    world.hub.fail(SECOND_SHARD, "status", times=None, status=404)
    assert SECOND_SHARD in str(world.error(source))
    assert world.files() == set(ANIMATE) - {SECOND_SHARD}


# -------------------------------------------------------------------------------------- what is there already


@BOTH
def test_right_files_that_are_there_are_kept_and_wrong_ones_fetched(world, source):
    theirs = world.hub.folder / WAN
    for name in ANIMATE:
        path = world.ckpt_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((theirs / name).read_bytes())
    (world.ckpt_dir / SECOND_SHARD).write_bytes(bytes(90_000))
    (world.ckpt_dir / checkout.VAE).write_bytes(b"short")
    world.fetch(source)
    assert {one.path for one in world.hub.fetched()} == {SECOND_SHARD, checkout.VAE}
    assert world.is_right()
    assert world.manifest()["files"][BIG]["origin"] == "was there"


def test_a_wrong_link_is_replaced_and_what_it_led_to_stays(world, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes(bytes(90_000))
    world.ckpt_dir.mkdir()
    (world.ckpt_dir / SECOND_SHARD).symlink_to(other)
    (world.ckpt_dir / checkout.VAE).symlink_to(tmp_path / "nothing")
    world.fetch()
    assert world.is_right()
    assert not (world.ckpt_dir / SECOND_SHARD).is_symlink()
    assert other.read_bytes() == bytes(90_000)


def test_a_right_link_is_kept_and_known_by_where_it_leads(world, tmp_path):
    other = tmp_path / "other.safetensors"
    other.write_bytes((world.hub.folder / WAN / SECOND_SHARD).read_bytes())
    world.ckpt_dir.mkdir()
    (world.ckpt_dir / SECOND_SHARD).symlink_to(other)
    world.fetch()
    assert (world.ckpt_dir / SECOND_SHARD).is_symlink()
    assert world.manifest()["files"][SECOND_SHARD]["came_from"] == str(other.resolve())
    assert not world.hub.fetched(SECOND_SHARD)
    other.write_bytes(bytes(90_000))
    assert not weights_in_place(world.request())
    world.fetch()
    assert world.is_right()
    assert other.read_bytes() == bytes(90_000)


@pytest.mark.parametrize("copy", [False, True])
def test_what_comfyui_has_is_linked_or_copied_and_not_fetched(world, tmp_path, copy):
    theirs = tmp_path / "ComfyUI" / "models" / "clip_vision" / checkout.CLIP
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes((world.hub.folder / WAN / checkout.CLIP).read_bytes())
    world.fetch(from_comfyui=tmp_path / "ComfyUI", copy=copy)
    assert world.is_right()
    assert not world.hub.fetched(checkout.CLIP)
    assert (world.ckpt_dir / checkout.CLIP).is_symlink() != copy
    known = world.manifest()["files"][checkout.CLIP]
    assert (known["origin"], known["came_from"]) == ("copied" if copy else "linked", str(theirs))
    assert weights_in_place(world.request())


def test_a_folder_in_a_files_place_is_said(world):
    (world.ckpt_dir / BIG).mkdir(parents=True)
    error = world.error()
    assert BIG in str(error)
    assert "folder" in str(error)


def test_a_manifest_that_cannot_be_read_means_hashing_not_fetching(world):
    world.fetch()
    manifest_path(world.ckpt_dir).write_text('{"schema": 1, "files": 3}')
    world.hub.reset()
    world.fetch()
    assert not world.hub.fetched()
    assert weights_in_place(world.request())


# ----------------------------------------------------------------------------------- before the first byte


def test_too_little_disk_is_said_before_the_first_byte(world, monkeypatch):
    monkeypatch.setattr(set_up.weights.checks, "free_space", lambda folder: (0, 1_000_000))
    error = world.error()
    assert error.exit_code == 2
    assert "1.5 MB" in str(error)
    assert "1.0 MB" in str(error)
    assert not world.hub.fetched()


def test_what_arrived_earlier_needs_no_room_again(world, monkeypatch):
    world.hub.fail(BIG, "cut", after=1_100_000)
    world.hub.fail(BIG, "status", times=None, status=503)
    world.error()
    world.hub.reset()
    monkeypatch.setattr(set_up.weights.checks, "free_space", lambda folder: (0, 600_000))
    world.fetch()
    assert world.is_right()


def test_a_file_for_a_folder_is_said(world):
    world.ckpt_dir.write_text("a file")
    error = world.error()
    assert (error.exit_code, str(world.ckpt_dir) in str(error)) == (2, True)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_a_folder_without_rights_is_said(world):
    world.ckpt_dir.mkdir(mode=0o500)
    assert "permission" in str(world.error())


def test_a_folder_that_the_system_does_not_let_write_is_said(world, monkeypatch):
    """As above, for those whom no rights bind."""
    world.ckpt_dir.mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != world.ckpt_dir)
    error = world.error()
    assert "permission" in str(error) and error.exit_code == 2
    assert not world.hub.fetched()


def test_a_folder_that_another_set_up_holds_is_said(world):
    with hold(world.ckpt_dir / ".understudy" / "set_up.lock"):
        error = world.error()
    assert f"process {os.getpid()}" in str(error)
    assert error.exit_code == 1
    assert world.hub.requests == []


# ------------------------------------------------------------------------------------- refused, not reached


@BOTH
@pytest.mark.parametrize("status", [401, 403])
def test_gated_weights_say_what_to_accept_and_how_to_give_a_token(world, source, status):
    world.hub.fail("model_index.json", "status", times=None, status=status)
    for name in FLUX_FILES:
        world.hub.fail(name, "status", times=None, status=status)
    error = world.error(source, features=("animate", "flux"))
    assert FLUX_REPOSITORY in str(error)
    assert ("HF_TOKEN" if source == "hf" else "MODELSCOPE_API_TOKEN") in str(error)
    assert "accept" in str(error)
    assert not (world.ckpt_dir / BIG).exists()  # said before the first byte of anything large


@BOTH
def test_a_hub_that_is_not_there_is_said(world, source, monkeypatch):
    monkeypatch.setattr("modelscope_hub._legacy_api.REPO_TREE_PAGE_MAX_ATTEMPTS", 1)  # it waits 1, 2, 4 s
    error = world.error(source, mirror="http://127.0.0.1:9")
    assert "127.0.0.1" in str(error)
    assert "--mirror" in str(error)


@BOTH
def test_a_hub_without_the_repository_is_said(world, source, tmp_path):
    (tmp_path / "empty").mkdir()
    with HubServer(tmp_path / "empty") as hub:
        error = world.error(source, mirror=hub.url)
    assert WAN in str(error)


def test_errors_of_hubs_hold_no_secrets(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "a-token-of-no-known-form")
    assert "no-known-form" not in str(HubError("failed with a-token-of-no-known-form"))
    assert "abcdef" not in str(HubError("GET https://cdn.example/x?X-Amz-Signature=abcdef&a=1 failed"))


# ---------------------------------------------------------------------------------------------- whatever


KINDS: tuple[Kind, ...] = ("cut", "wrong bytes", "status", "redirect", "ignore range", "wrong hash")


def misbehave(hub: HubServer, rng: random.Random) -> None:
    for name in rng.sample(sorted(ANIMATE), rng.randint(1, 6)):
        for _ in range(rng.randint(1, 4)):
            kind: Kind = rng.choice(KINDS)
            hub.fail(
                name,
                kind,
                times=rng.choice([1, 1, 2, None]),
                status=rng.choice([429, 500, 503, 404, 403]),
                retry_after=rng.choice([None, "0"]),
                after=rng.choice([None, 0, 1, 100]),
            )


def check_whatever(world: World, seed: int) -> None:
    rng = random.Random(seed)
    misbehave(world.hub, rng)
    source = rng.choice(["hf", "modelscope"])
    try:
        world.fetch(source)
    except SetUpError:
        assert not weights_in_place(world.request())
    else:
        assert world.is_right()
    for name in world.files():  # whatever has its name has its bytes
        assert world.is_right([name])
    world.hub.reset()
    world.fetch(rng.choice(["hf", "modelscope"]))
    assert world.is_right()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_the_files_are_right_or_it_is_said(world, seed):
    check_whatever(world, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 300))
def test_whatever_happens_the_files_are_right_or_it_is_said_in_many_ways(world, seed):
    check_whatever(world, seed)
