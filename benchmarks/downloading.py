"""What the download costs beside the hub's own client, and how fast ``--verify`` hashes, both in one run.

The hub is a process of its own on loopback. Each client fetches the same files in as many threads:
huggingface_hub with its function for one file, which compares no hashes; ModelScope's with its function for a
repository, which does. Ours hashes and syncs every file: what has its name is whole after a power cut too.
The clients do not sync. So each pair is measured twice: as it is, and with the clients' files synced as well,
until the bytes of both are on the disk. The order alternates.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.row import ROOT, Row, seconds
from engines.wan22 import checkout

if TYPE_CHECKING:
    from set_up.session import Session
    from set_up.weights.fetching import WeightsRequest

ROUNDS = 5
LARGE = (
    "diffusion_pytorch_model-00001-of-00002.safetensors",
    "diffusion_pytorch_model-00002-of-00002.safetensors",
    checkout.T5,
    checkout.CLIP,
)
MEBIBYTES = 256
OVERHEAD_BOUND = 1.05
VERIFY_BOUND = 0.8


def rows() -> Iterator[Row]:
    """The client's time against ours for each hub, and the verification against sha256sum."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = "127.0.0.1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as name, _hub(Path(name) / "hub") as url:
        for synced in (False, True):
            yield _download_row("huggingface_hub", "hf", _with_huggingface_hub, Path(name), url, synced)
            yield _download_row("modelscope", "modelscope", _with_modelscope, Path(name), url, synced)
        yield _verify_row(Path(name), url)


@contextlib.contextmanager
def _hub(folder: Path) -> Iterator[str]:
    from tests.set_up.made_weights import make_repositories

    make_repositories(folder)
    for name in LARGE:
        (folder / checkout.WEIGHTS_REPOSITORY / name).write_bytes(os.urandom(2**20) * MEBIBYTES)
    command = [sys.executable, "-m", "tests.set_up.hub_server", str(folder)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def _download_row(
    client: str, source: str, theirs: Callable[[str, Path], None], folder: Path, url: str, synced: bool
) -> Row:
    from set_up.weights.fetching import fetch_weights

    def ours(url: str, place: Path) -> None:
        fetch_weights(_request(place, url, source), _session())

    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS + 1):  # the first warms both up
        times.append((_seconds_of(ours, url, folder, synced), _seconds_of(theirs, url, folder, synced)))
    ratio = statistics.median(mine / other for mine, other in times[1:])
    mine, other = (statistics.median(column) for column in zip(*times[1:], strict=True))
    return Row(
        f"download of {len(LARGE) * MEBIBYTES} MiB, against {client} alone"
        + (", synced too" if synced else ""),
        f"{ratio:.2f}x ({mine:.2f} s, {other:.2f} s)",
        f"<= {OVERHEAD_BOUND}x",
        ratio <= OVERHEAD_BOUND,
    )


def _seconds_of(download: Callable[[str, Path], None], url: str, folder: Path, synced: bool) -> float:
    place = folder / "place"
    os.sync()  # nobody pays for what another has written
    began = time.perf_counter()
    download(url, place)
    for name in LARGE if synced else ():
        with (place / name).open("rb+") as file:
            os.fsync(file.fileno())
    taken = time.perf_counter() - began
    assert all((place / name).stat().st_size == MEBIBYTES * 2**20 for name in LARGE)
    shutil.rmtree(place)
    return taken


def _with_huggingface_hub(url: str, place: Path) -> None:
    from huggingface_hub import HfApi, hf_hub_download

    info = HfApi(endpoint=url).model_info(checkout.WEIGHTS_REPOSITORY)

    def fetch(name: str) -> None:
        hf_hub_download(
            checkout.WEIGHTS_REPOSITORY, name, revision=info.sha, local_dir=str(place), endpoint=url
        )

    _in_threads(fetch)


def _with_modelscope(url: str, place: Path) -> None:
    from modelscope_hub import HubApi

    from tests.set_up.made_weights import ANIMATE

    HubApi(endpoint=url).download_repo(
        checkout.WEIGHTS_REPOSITORY, "model", local_dir=place, allow_patterns=list(ANIMATE), max_workers=4
    )


def _in_threads(fetch: Callable[[str], None]) -> None:
    from tests.set_up.made_weights import ANIMATE

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fetch, (*LARGE, *(name for name in ANIMATE if name not in LARGE))))


def _verify_row(folder: Path, url: str) -> Row:
    from set_up.weights.fetching import fetch_weights, verify_weights

    program = shutil.which("sha256sum") or shutil.which("shasum")
    if program is None:
        return Row("verifying", "no sha256sum on this system", "", True)
    request = _request(folder / "place", url, "hf")
    fetch_weights(request, _session())
    words = [program] if program.endswith("sha256sum") else [program, "-a", "256"]
    command = [*words, *(str(path) for path in request.ckpt_dir.rglob("*") if path.is_file())]
    ratios = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        assert verify_weights(request, _session())
        mine = time.perf_counter() - began
        ratios.append(seconds(command) / mine)
    ratio = statistics.median(ratios)
    return Row("--verify, against sha256sum", f"{ratio:.2f}x", f">= {VERIFY_BOUND}x", ratio >= VERIFY_BOUND)


def _request(place: Path, url: str, source: str) -> WeightsRequest:
    from set_up.weights.fetching import WeightsRequest

    return WeightsRequest(ckpt_dir=place, features=("animate",), mirror=url, source=source)


def _session() -> Session:
    from rich.console import Console

    from set_up.session import Session

    return Session(console=Console(file=io.StringIO()))
