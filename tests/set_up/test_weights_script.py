"""scripts/download_weights.py as a program: killed, interrupted, refused; and what it never prints."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.wan22 import checkout
from set_up.weights.transfer import downloads_folder
from tests.set_up.hub_server import HubServer
from tests.set_up.made_weights import ANIMATE, BIG, BIG_SIZE, FLUX_FILES, make_repositories

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "download_weights.py"
TOKEN = "a-token-that-has-no-known-form"  # noqa: S105 - it is made up here
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    make_repositories(folder)
    with HubServer(folder) as hub:
        yield hub


@pytest.fixture
def hub(server):
    server.reset()
    return server


def command(hub: HubServer, ckpt_dir: Path, *more: str) -> list[str]:
    where = ["--ckpt_dir", str(ckpt_dir), "--mirror", hub.url]
    return [sys.executable, str(SCRIPT), *where, "--for", "animate", *more]


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path / "hf"),
        "UNDERSTUDY_CACHE": str(tmp_path / "cache"),
        "UNDERSTUDY_RETRY_SECONDS": "0.01",
        "HF_TOKEN": TOKEN,
        "MODELSCOPE_API_TOKEN": TOKEN,
    }


def run(hub: HubServer, ckpt_dir: Path, tmp_path: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(hub, ckpt_dir, *more), env=environment(tmp_path), capture_output=True, text=True, timeout=120
    )


def started_and_in_the_middle(hub: HubServer, ckpt_dir: Path, tmp_path: Path) -> subprocess.Popen[str]:
    hub.fail(BIG, "slow", seconds=0.05)
    process = subprocess.Popen(
        command(hub, ckpt_dir), env=environment(tmp_path), stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while largest_part(ckpt_dir) < 2**18:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process


def largest_part(ckpt_dir: Path) -> int:
    """Bytes of the largest file that is under way. Small ones get their names while one looks."""
    sizes = [0]
    for path in downloads_folder(ckpt_dir).glob("*.partial"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return max(sizes)


def is_right(hub: HubServer, ckpt_dir: Path) -> bool:
    return all(
        (ckpt_dir / name).read_bytes() == (hub.folder / checkout.WEIGHTS_REPOSITORY / name).read_bytes()
        for name in ANIMATE
    )


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_ended_in_the_middle_of_a_file_the_next_run_goes_on_there(hub, tmp_path, number):
    ckpt_dir = tmp_path / "weights"
    process = started_and_in_the_middle(hub, ckpt_dir, tmp_path)
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == (-number if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert "run the same command again" in said
    assert not (ckpt_dir / BIG).exists()
    hub.reset()
    again = run(hub, ckpt_dir, tmp_path)
    assert again.returncode == 0, again.stderr
    assert is_right(hub, ckpt_dir)
    assert "arrived in an earlier run" in again.stderr
    (request,) = hub.fetched(BIG)
    assert 0 < request.start == BIG_SIZE - request.sent


def test_a_token_is_used_and_never_said_or_stored(hub, tmp_path):
    ckpt_dir = tmp_path / "weights"
    for name in FLUX_FILES:
        hub.fail(name, "status", times=None, status=403)
    said = ""
    for source in ("hf", "modelscope"):
        refused = run(hub, ckpt_dir, tmp_path, "--source", source, "--for", "animate,flux", "--verbose")
        assert refused.returncode == 1
        said += refused.stdout + refused.stderr
    fetched = run(hub, ckpt_dir, tmp_path, "--verbose")
    assert fetched.returncode == 0, fetched.stderr
    said += fetched.stdout + fetched.stderr
    assert "licence" in said
    assert {one.authorization for one in hub.requests} == {f"Bearer {TOKEN}"}
    assert TOKEN not in said
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


def test_exit_codes(hub, tmp_path):
    ckpt_dir = tmp_path / "weights"
    assert run(hub, ckpt_dir, tmp_path, "--mirror", "nowhere").returncode == 2
    assert run(hub, ckpt_dir, tmp_path, "--verify").returncode == 1
    hub.fail(BIG, "wrong bytes", times=None)
    corrupt = run(hub, ckpt_dir, tmp_path)
    assert (corrupt.returncode, BIG in corrupt.stderr) == (1, True)


def test_the_help_loads_no_client(tmp_path):
    watch = "import sys; sys.addaudithook(lambda event, args: event == 'import' and print(args[0]))"
    (tmp_path / "sitecustomize.py").write_text(watch, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.splitlines())
    assert "click" in imported
    assert not imported & {"huggingface_hub", "modelscope", "modelscope_hub", "requests", "rich"}
