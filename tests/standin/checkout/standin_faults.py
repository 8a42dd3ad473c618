"""How the stand-in misbehaves: what it can be asked for, and the failures that tell their cause in a message.

STANDIN_FAULT=STAGE:MODE[,STAGE:MODE]   STAGE is `preprocess` or `generate`; MODE is one of

Bad files, with the log of a good run and exit 0:
    exit0_no_file          no video is written
    truncated_file         the last video is cut in half
    damaged_file           the last video has its index, but rubbish for its second half
    empty_file             the last video has 0 bytes
    wrong_frame_count      preprocess: src_face.mp4 lacks its last 3 frames; generate: the result does
    mask_empty, mask_full  preprocess in replace mode: the mask is black, or white, throughout
    background_not_black   preprocess in replace mode: the person is still in src_bg.mp4
    background_late        preprocess in replace mode: src_bg.mp4 is four frames behind its mask
    wrong_canvas           preprocess: src_pose.mp4 (in replace mode: src_bg.mp4) is 16 pixels wider
    face_wrong_size        preprocess: src_face.mp4 is 256x256
    reference_missing      preprocess: src_ref.png is not written
    black_video            generate: the result is black
    half_black_video       generate: the last two thirds of the result are black
    frozen_video           generate: the result is its first picture throughout
    wrong_size             generate: the result is 16 pixels wider
    save_failed            generate: "save_video failed, error: ..." then "Finished.", no file

Failures with a message and a traceback, exit 1; see MESSAGES for the words of most:
    at the start           no_cuda, driver_too_old, module_missing, flash_attn_other_torch, port_in_use
    while loading          hub, weights_broken
    before files           preprocess: face_lost; in replace mode: empty_mask, thin_mask
    in the middle          out_of_memory, host_memory, disk_full, crash_midway; generate: einops, libpng,
                           flash_attn_missing, nccl_timeout

Other ends, and no end:
    killed                 SIGKILL to itself in the middle of the work, as the kernel does when memory ends
    hang                   prints, then sleeps for ever in the middle of the work; dies of SIGTERM
    ignore_sigterm         the same, but ignores SIGTERM and SIGINT
    ignore_sigterm_child   hangs beside a child in its own session that ignores SIGTERM and SIGINT;
                           both process ids go to the record

Odd, but well in the end:
    chatty                 some MB of lines on both streams
    invalid_utf8           bytes that are no UTF-8 on both streams
    slow                   spreads its work (STANDIN_SECONDS)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from standin_support import record

START, LOADING, POSES, MASKS, MIDDLE = "start", "loading", "poses", "masks", "middle"
"""MIDDLE: of stage 1's writing and of stage 2's last window."""

# Fault: (moment, class with its module, message). The words are those of real runs.
MESSAGES = {
    "no_cuda": (START, "AssertionError", "Torch not compiled with CUDA enabled"),
    "driver_too_old": (
        START, "RuntimeError",
        "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by "
        "downloading and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx",
    ),
    "module_missing": (START, "ModuleNotFoundError", "No module named 'librosa'"),
    "flash_attn_other_torch": (
        START, "ImportError",
        "/env/lib/python3.11/site-packages/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so: undefined "
        "symbol: _ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE",
    ),
    "port_in_use": (
        START, "torch.distributed.DistNetworkError",
        "The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, "
        "code: -98, name: EADDRINUSE, message: address already in use",
    ),
    "hub": (
        LOADING, "huggingface_hub.errors.HFValidationError",
        "Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/google/umt5-xxl'. "
        "Use `repo_type` argument if needed.",
    ),
    "weights_broken": (
        LOADING, "RuntimeError",
        "PytorchStreamReader failed reading zip archive: failed finding central directory. This is an "
        "internal miniz error. If you are seeing this error, there is a high likelihood that your "
        "checkpoint file is corrupted.",
    ),
    "out_of_memory": (
        MIDDLE, "torch.OutOfMemoryError",
        "CUDA out of memory. Tried to allocate 2.47 GiB. GPU 0 has a total capacity of 79.15 GiB of which "
        "1.02 GiB is free. Including non-PyTorch memory, this process has 78.12 GiB memory in use. Of the "
        "allocated memory 74.90 GiB is allocated by PyTorch, and 2.51 GiB is reserved by PyTorch but "
        "unallocated. If reserved but unallocated memory is large try setting "
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation.",
    ),
    "host_memory": (
        MIDDLE, "RuntimeError",
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you "
        "tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)",
    ),
    "disk_full": (MIDDLE, "OSError", "[Errno 28] No space left on device"),
    "crash_midway": (
        MIDDLE, "RuntimeError",
        "The size of tensor a (20) must match the size of tensor b (21) at non-singleton dimension 2",
    ),
    "empty_mask": (
        MASKS, "ValueError", "zero-size array to reduction operation minimum which has no identity",
    ),
    "thin_mask": (MASKS, "ValueError", "range() arg 3 must not be zero"),
    "face_lost": (
        POSES, "cv2.error",
        "OpenCV(4.11.0) /io/opencv/modules/imgproc/src/resize.cpp:4208: error: (-215:Assertion failed) "
        "!ssize.empty() in function 'resize'\n",
    ),
    "einops": (
        MIDDLE, "einops.EinopsError",
        ' Error while processing rearrange-reduction pattern "B (L S) H D -> (B L) S H D".\n'
        " Input tensor shape: torch.Size([1, 31900, 40, 128]). Additional info: {'L': 21}.\n"
        " Shape mismatch, can't divide axis of length 31900 in chunks of 21",
    ),
    "nccl_timeout": (
        MIDDLE, "torch.distributed.DistBackendError",
        "[Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=808, OpType=ALLGATHER, "
        "NumelIn=9801523, NumelOut=9801523, Timeout(ms)=600000) ran for 600020 milliseconds before timing "
        "out.",
    ),
}  # fmt: skip

BAD_FILES = {"exit0_no_file", "truncated_file", "damaged_file", "empty_file", "wrong_frame_count"}
BAD_SOURCES = {
    "mask_empty", "mask_full", "background_not_black", "background_late", "wrong_canvas", "face_wrong_size",
    "reference_missing",
}  # fmt: skip
BAD_RESULTS = {"black_video", "half_black_video", "frozen_video", "wrong_size", "save_failed"}
ENDS = {"killed", "hang", "ignore_sigterm", "ignore_sigterm_child"}
HARMLESS = {"chatty", "invalid_utf8", "slow"}

_BOTH = BAD_FILES | ENDS | HARMLESS | {
    "out_of_memory", "host_memory", "disk_full", "crash_midway",
}  # fmt: skip
FAULTS = {
    "preprocess": _BOTH | BAD_SOURCES | {"empty_mask", "thin_mask", "face_lost"},
    "generate": _BOTH | BAD_RESULTS | {
        "no_cuda", "driver_too_old", "module_missing", "flash_attn_other_torch", "flash_attn_missing",
        "port_in_use", "hub", "weights_broken", "einops", "libpng", "nccl_timeout",
    },
}  # fmt: skip


def fault_of(stage: str) -> str:
    """The fault asked for in this stage, or an empty string. An unknown fault ends the process (exit 70)."""
    wanted = ""
    for item in filter(None, os.environ.get("STANDIN_FAULT", "").split(",")):
        name, _, mode = item.partition(":")
        if mode not in FAULTS.get(name, set()):
            print(f"stand-in: unknown fault {item!r}", file=sys.stderr)
            raise SystemExit(70)
        if name == stage:
            wanted = mode
    return wanted


def strike(fault: str, moment: str) -> None:
    """Carry out the faults of this moment; return for all others."""
    when, name, message = MESSAGES.get(fault, ("", "", ""))
    if when == moment:
        _fail(name, message)
    if moment == MIDDLE:
        _strike_without_words(fault)


def _fail(name: str, message: str) -> NoReturn:
    """Raise what is called `name` in the traceback, without the library whose error it is."""
    module, _, plain = name.rpartition(".")
    raise type(plain, (Exception,), {"__module__": module or "builtins"})(message)


def _strike_without_words(fault: str) -> None:
    if fault == "flash_attn_missing":
        _attend()
    if fault == "libpng":
        print("libpng error: bad parameters to zlib", file=sys.stderr)
        _fail("TypeError", "'NoneType' object is not subscriptable")
    if fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "ignore_sigterm_child":
        _hang_beside_child()
    if fault in ("hang", "ignore_sigterm"):
        if fault == "ignore_sigterm":
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
        record(event="hang", child=None)
        _sleep_for_ever()
    if fault == "chatty":
        for number in range(20_000):
            line = f"noise {number:06d} {'x' * 100}\n"
            sys.stdout.write(line)
            sys.stderr.write(line)
    if fault == "invalid_utf8":
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            stream.buffer.write(b"bad bytes \xff\xfe\xc3\x28 end\n")
            stream.buffer.flush()


def _attend() -> None:
    """The assertion that has no text: only the traceback's source line tells."""
    FLASH_ATTN_2_AVAILABLE = False  # noqa: N806  upstream's name
    assert FLASH_ATTN_2_AVAILABLE


def _sleep_for_ever() -> NoReturn:
    sys.stdout.flush()
    sys.stderr.flush()
    while True:
        time.sleep(3600)


def _hang_beside_child() -> NoReturn:
    code = "import signal,time;[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGINT)];" \
        "print('ready', flush=True);time.sleep(3600)"  # fmt: skip
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    record(event="hang", child=child.pid)
    _sleep_for_ever()


def spoil(path: Path, fault: str) -> None:
    """Damage a finished file where the fault asks for it."""
    if fault == "truncated_file":
        os.truncate(path, path.stat().st_size // 2)
    elif fault == "empty_file":
        os.truncate(path, 0)
    elif fault == "damaged_file":
        data = bytearray(path.read_bytes())
        start, end = data.index(b"mdat") + 4, data.rindex(b"moov") - 4
        middle = (start + end) // 2
        data[middle:end] = bytes(255 - value for value in data[middle:end])
        path.write_bytes(data)
