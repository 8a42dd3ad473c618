"""From a bare machine to a table that is green but for the GPU, however often it is killed on the way.

With the real git, venv and pip, and the hub's real client against a hub on loopback.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

import set_up.everything
import set_up.weights.checks
from set_up.environment.making import EnvironmentRequest
from set_up.errors import SetUpError
from set_up.everything import SetUpRequest
from set_up.repository import RepositoryRequest
from set_up.session import Session
from set_up.weights.fetching import WeightsRequest
from tests.set_up.set_up_world import World, made_world
from tests.workplace import ROOT, wait_until


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with made_world(tmp_path_factory.mktemp("world")) as made:
        yield made


def states(world: World) -> dict[str, str]:
    """What the doctor says of the default engine, by area."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "doctor.py"), "--json"],
        cwd=world.place,
        env=world.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    areas = json.loads(done.stdout)["engines"]["wan22"]["areas"]
    return {area["area"]: area["state"] for area in areas}


def assert_green_but_for_the_gpu(world: World) -> None:
    found = states(world)
    extras = {"weights for relighting", "weights for --use_flux"}  # not asked for
    assert {area for area, state in found.items() if state != "works"} == {"GPU", *extras}, found
    assert {"checkout", "Python", "packages", "flash-attn", "weights", "weights for --replace"} <= set(found)


def test_killed_again_and_again_the_one_command_still_ends_in_a_green_table(world):
    """A few moments; all fifty are in the long test below."""
    chance = random.Random(5)
    for _ in range(2):
        world.run_and_kill(chance.uniform(1, 6))
    done = world.run()
    assert done.returncode == 0, done.stderr
    assert "wan22: cannot run here yet" in done.stdout and "No NVIDIA GPU was found" in done.stdout
    assert_green_but_for_the_gpu(world)
    _a_second_run_asks_nobody(world)
    _another_set_up_at_the_same_time_is_told_who_works_here(world)


def _a_second_run_asks_nobody(world: World) -> None:
    asked = len(world.server.requests)
    before = {path: path.stat().st_mtime_ns for path in world.place.rglob("*") if path.is_file()}
    done = world.run(PATH="")  # no git either
    assert done.returncode == 0, done.stderr
    assert len(world.server.requests) == asked and " $ " not in done.stderr
    after = {path: path.stat().st_mtime_ns for path in world.place.rglob("*") if path.is_file()}
    assert {path for path in before | after if before.get(path) != after.get(path)} <= {
        path for path in before | after if ".understudy" in path.parts and "lock" in path.name
    }


def _another_set_up_at_the_same_time_is_told_who_works_here(world: World) -> None:
    source = (
        "import sys; from pathlib import Path; from execution.lock import hold\n"
        "with hold(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()\n"
    )
    lock = world.place / ".understudy" / "Wan2.2.set_up.lock"
    first = subprocess.Popen(
        [sys.executable, "-c", source, str(lock)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout is not None and first.stdout.readline() == "held\n"
        second = world.run()
    finally:
        first.communicate()
    assert second.returncode == 1
    assert f"process {first.pid}" in second.stderr and "in use" in second.stderr


def test_a_dry_run_prints_every_command_and_changes_nothing(tmp_path, world):
    asked = len(world.server.requests)
    done = subprocess.run(
        world.command("--dry_run"),
        cwd=tmp_path,
        env=world.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
    commands = [line.split("$ ")[1] for line in done.stderr.splitlines() if "  $ " in line]
    order = ["git ", "-m venv", "torch==2.8.0", "packages.txt", "sam2==1.1.0", "flash_attn-2.8.3"]
    places = [next(n for n, line in enumerate(commands) if word in line) for word in order]
    assert places == sorted(places)
    assert all(request.method == "GET" for request in world.server.requests[asked:])


def test_weights_that_do_not_fit_on_the_disk_are_refused_before_anything_starts(tmp_path, world, monkeypatch):
    monkeypatch.setattr(set_up.weights.checks, "free_space", lambda folder: (0, 100))
    request = SetUpRequest(
        repository=RepositoryRequest(wan22_dir=tmp_path / "Wan2.2", source="none"),
        environment=EnvironmentRequest(wan22_dir=tmp_path / "Wan2.2"),
        weights=WeightsRequest(ckpt_dir=tmp_path / "weights", mirror=world.server.url),
    )
    said = io.StringIO()
    with pytest.raises(SetUpError, match="too little") as refused:
        set_up.everything.set_up(request, Session(console=Console(file=said)))
    assert refused.value.exit_code == 2 and said.getvalue() == ""
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_fails_stops_those_that_need_it_and_no_others(tmp_path, world):
    """Both spellings of a flag are the same."""
    command = world.command("--from", str(tmp_path / "none"), "--wan22-dir", "Wan2.2")
    done = subprocess.run(
        command, cwd=tmp_path, env=world.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "git fetch failed" in done.stderr and "left out" in done.stderr
    assert (tmp_path / "Wan2.2-Animate-14B" / "config.json").is_file()
    assert not (tmp_path / "Wan2.2").exists()
    assert "Not done: repo" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path, world):
    silent = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    address = f"http://127.0.0.1:{silent.getsockname()[1]}/x.git"
    process = subprocess.Popen(
        world.command("--only", "repo", "--from", address),
        cwd=tmp_path,
        env=world.environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    clone = tmp_path / ".understudy" / "Wan2.2.clone" / ".git" / "config"
    wait_until(lambda: clone.is_file() and "origin" in clone.read_text(), "git to begin")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    silent.close()
    assert process.returncode == 130 and "same command" in said


@pytest.mark.long
def test_killed_at_fifty_random_moments_it_still_ends_there(world):
    """Each time it gets further it is killed later; what is finished three times over is begun afresh."""
    chance = random.Random(50)
    world.forget()
    began = time.monotonic()
    assert world.run().returncode == 0
    whole = time.monotonic() - began
    world.forget()
    finished = 0
    for _ in range(50):
        if world.run_and_kill(chance.uniform(0.2, whole)) == 0:
            finished += 1
            assert_green_but_for_the_gpu(world)
            world.forget()
    done = world.run()
    assert done.returncode == 0, done.stderr
    assert_green_but_for_the_gpu(world)


def test_help_names_every_part_and_imports_little():
    source = "import sys; sys.argv = ['setup_wan22.py', '--help']\nimport scripts.setup_wan22 as s\n"
    source += "try: s.main()\nexcept SystemExit: pass\n"
    source += "print('heavy', *(set(sys.modules) & {'rich', 'numpy', 'yaml'}))"
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "heavy"
    for flag in ("--only", "--from_comfyui", "--torch_index", "--cpu", "--mirror", "--for", "--dry_run"):
        assert flag in done.stdout.replace("-", "_").replace("__", "--")
