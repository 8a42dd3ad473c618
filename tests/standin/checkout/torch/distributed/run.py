"""Stand-in for `python -m torch.distributed.run`: several ranks, each in a session of its own.

SIGTERM and SIGINT are passed on to the ranks as SIGTERM; ranks that are still there after 30 s
(STANDIN_TORCHRUN_GRACE) are killed. The first rank that fails ends the others. Exit code 0 or 1.
SIGKILL to this process leaves the ranks alive. All of it was seen with torch 2.13.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from types import FrameType

NOTICE = f"""
{"*" * 41}
Setting OMP_NUM_THREADS environment variable for each process to be 1 in default, to avoid your system being \
overloaded, please further tune the variable for optimal performance in your application as needed.
{"*" * 41}"""


class SignalException(Exception):
    """torchrun was told to stop."""


class ChildFailedError(Exception):
    """A rank ended with an error."""


def parse_arguments() -> argparse.Namespace:
    """The options of torchrun that matter for one machine; both spellings of each."""
    parser = argparse.ArgumentParser(prog="run.py")
    for name, default in (("nnodes", "1"), ("nproc", "1"), ("master", "29500"), ("rdzv", "")):
        names = {
            "nnodes": ("--nnodes",),
            "nproc": ("--nproc-per-node", "--nproc_per_node"),
            "master": ("--master-port", "--master_port"),
            "rdzv": ("--rdzv-endpoint", "--rdzv_endpoint"),
        }[name]
        parser.add_argument(*names, type=str, default=default)
    parser.add_argument("--standalone", action="store_true")
    parser.add_argument("script")
    parser.add_argument("script_arguments", nargs=argparse.REMAINDER)
    return parser.parse_args()


def start_ranks(arguments: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    count = int(arguments.nproc_per_node)
    if count > 1 and "OMP_NUM_THREADS" not in os.environ:
        print(NOTICE, file=sys.stderr, flush=True)
    ranks = []
    for rank in range(count):
        environment = {
            "OMP_NUM_THREADS": "1", **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "MASTER_ADDR": "localhost",
            "MASTER_PORT": str(arguments.master_port),
        }  # fmt: skip
        command = [sys.executable, "-u", arguments.script, *arguments.script_arguments]
        ranks.append(subprocess.Popen(command, env=environment, start_new_session=True))
    return ranks


def wait_for(ranks: list[subprocess.Popen[bytes]]) -> None:
    """Wait until all ranks ended well. Raises ChildFailedError for the first that did not."""
    while any(process.poll() is None for process in ranks):
        if any(process.returncode for process in ranks):
            break
        time.sleep(0.02)
    for rank, process in enumerate(ranks):
        if process.returncode:
            raise ChildFailedError(
                f"\nRoot Cause (first observed failure):\n[0]:\n  rank      : {rank} (local_rank: {rank})\n"
                f"  exitcode  : {process.returncode} (pid: {process.pid})"
            )


def stop(ranks: list[subprocess.Popen[bytes]]) -> None:
    """SIGTERM to every rank that is alive, then SIGKILL after the grace."""
    grace = float(os.environ.get("STANDIN_TORCHRUN_GRACE", "30"))
    alive = [process for process in ranks if process.poll() is None]
    for process in alive:
        process.terminate()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(process.poll() is None for process in alive):
        time.sleep(0.02)
    for process in alive:
        if process.poll() is None:
            process.kill()
        process.wait()


def told_to_stop(number: int, _: FrameType | None) -> None:
    raise SignalException(f"Process {os.getpid()} got signal: {number}")


def main() -> None:
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, told_to_stop)
    signal.signal(signal.SIGINT, told_to_stop)
    ranks = start_ranks(arguments)
    try:
        wait_for(ranks)
    finally:
        stop(ranks)


if __name__ == "__main__":
    main()
