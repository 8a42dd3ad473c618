"""How a machine fails upstream, as its log shows it: memory, disk, installed packages, GPUs, processes.

The order matters: the first that matches is told. An error about memory comes before what the other processes
say when one of them dies of it. Spellings were taken from real runs wherever a CPU can bring
them about, else from reports of users.
"""

from __future__ import annotations

from typing import Final

from engines.wan22.signature import signature
from execution.step import GPU_MEMORY, HOST_MEMORY

_LESS_HOST: Final = (
    "All frames are held in memory: use a shorter clip, a smaller --resolution, or a smaller driving video; "
    "with several GPUs every process holds the whole model while it loads."
)

MEMORY: Final = (
    signature(
        HOST_MEMORY,
        r"DefaultCPUAllocator: (?:can't allocate|not enough) memory|\(-4:Insufficient memory\)"
        r"|^(?:[\w.]*\.)?_?(?:Array)?MemoryError\b|std::bad_alloc|\[Errno 12\] Cannot allocate memory",
        f"The machine's memory (not the GPU's) ran out. {_LESS_HOST}",
    ),
    signature(
        HOST_MEMORY,
        r"/dev/shm.*No space left|Insufficient shared memory|creating shared memory segment|"  # noqa: S108
        r"unable to (?:write to file|open shared memory object|mmap .*) </torch_",
        "The shared memory /dev/shm is full. In a container, start it with --ipc=host or a larger "
        "--shm-size.",
    ),
    signature(
        GPU_MEMORY,
        r"torch\.(?:cuda\.)?OutOfMemoryError|CUDA out of memory|CUDA (?:driver )?error: out of memory|"
        r"CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_ALLOC_FAILED|CUDA failure 2: out of memory|"
        r"Cuda failure (?:2 )?'out of memory'|BFCArena::AllocateRaw.* Failed to allocate memory|"
        r"Failed to CUDA (?:calloc|host alloc)",
        "The GPU ran out of memory. Try --t5_cpu, a smaller --frame_num, a smaller --resolution in stage 1, "
        "or several GPUs with --multi_gpu; see that no other program uses the GPU. --on_oom retry tries the "
        "first three by itself.",
    ),
)

SAVING: Final = (
    signature(
        "save-failed",
        r"save_video failed, error: (?P<reason>.*)",
        "Upstream could not write its video and hid the error: {reason}. Check the space and the "
        "permissions of the result's folder, and that imageio-ffmpeg is installed for upstream's Python.",
    ),
    signature(
        "disk-full",
        r"No space left on device",
        "The disk is full. Free some space, or choose a folder on another disk.",
    ),
    signature("disk-full", r"Disk quota exceeded", "Your disk quota is used up. Free some space."),
    signature(
        "permission",
        r"^PermissionError: \[Errno 1?3\] .*?: (?P<path>'.*')|^OSError: \[Errno 30\] .*?: (?P<other>'.*')",
        "Upstream may not use {path}{other}. Change its permissions, or choose another folder.",
    ),
)

INSTALLATION: Final = (
    signature(
        "flash-attn-torch",
        r"^ImportError: .*flash_attn.*(?:undefined symbol|cannot open shared object|GLIBC)",
        "flash-attn was built for another torch (or another Python or system) than the one beside it. "
        "Install the one that fits: python scripts/install_flash_attn.py",
    ),
    signature(
        "flash-attn-missing",
        r"^ModuleNotFoundError: No module named 'flash_attn|^\s*assert FLASH_ATTN_2_AVAILABLE|"
        r"flash_attn_func\([\s\S]*^TypeError: 'NoneType' object is not callable",
        "flash-attn 2 is missing from upstream's Python, and Wan2.2-Animate cannot do without it. Install "
        "it: python scripts/install_flash_attn.py",
    ),
    signature(
        "sam2-extension",
        r"^ImportError: cannot import name '_C' from 'sam2'|^ImportError: .*sam2.*undefined symbol|"
        r"^KeyError: 'frames_tracked_per_obj'",
        "SAM 2 does not fit: its compiled part is missing or of another torch, or its version is not the "
        "one that upstream's code works with. Install the one that needs no compiled part: "
        "SAM2_BUILD_CUDA=0 <upstream's python> -m pip install --no-deps --no-build-isolation sam2==1.1.0",
    ),
    signature(
        "diffusers-version",
        r"^ImportError: cannot import name 'FluxKontextPipeline'",
        "The diffusers of upstream's Python is too old: stage 1 needs 0.35 in every mode. Install it: "
        '<upstream\'s python> -m pip install "diffusers>=0.35"',
    ),
    signature(
        "numpy-version",
        r"compiled using NumPy 1\.x cannot be run in|^AttributeError: _ARRAY_API not found|"
        r"numpy\.dtype size changed",
        "The NumPy of upstream's Python is too new for its other packages. Install an older one: "
        '<upstream\'s python> -m pip install "numpy<2"',
    ),
    signature(
        "system-library",
        r"^ImportError: (?P<library>lib[\w.+-]+): cannot open shared object file",
        "The system library {library} is missing. For libGL or libgthread, use opencv-python-headless in "
        "upstream's Python; otherwise install the library with the system's package manager.",
    ),
    signature(
        "ffmpeg-missing",
        r"No ffmpeg exe could be found",
        "Upstream's Python has no ffmpeg to write videos with. Install it: <upstream's python> -m pip "
        "install imageio-ffmpeg",
    ),
)

GPU: Final = (
    signature(
        "driver-too-old",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|"
        r"forward compatibility was attempted on non supported HW",
        "The GPU's driver is too old for the CUDA version of upstream's torch. Update the driver, or "
        "install a torch built for an older CUDA.",
    ),
    signature(
        "gpu-not-supported",
        r"no kernel image is available|FlashAttention only supports Ampere GPUs or newer|"
        r"is not compatible with the current PyTorch installation",
        "The installed torch or flash-attn was not built for this GPU. Install builds that name its "
        "generation (flash-attn 2 needs Ampere or newer), or use another GPU.",
    ),
    signature(
        "gpu-count",
        r"CUDA error: invalid device ordinal",
        "There are fewer GPUs than processes were asked for. Lower --nproc_per_node, or show more GPUs with "
        "CUDA_VISIBLE_DEVICES.",
    ),
    signature(
        "no-gpu",
        r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available|"
        r"no CUDA-capable device is detected|CUDA unknown error",
        "Upstream's torch finds no GPU. Install a CUDA build of torch and the driver, check "
        "CUDA_VISIBLE_DEVICES and (in a container) that it was started with the GPUs; nvidia-smi should "
        "list them. --engine preview needs none.",
    ),
    signature(
        "gpu-fault",
        r"an illegal memory access was encountered|uncorrectable ECC error|device-side assert triggered|"
        r"unspecified launch failure|CUDA error: misaligned address",
        "The GPU reported a fault in the middle of its work. Run it again; if it comes back, check the fit "
        "of torch, flash-attn and driver, and the GPU itself with nvidia-smi -q.",
    ),
)

PROCESSES: Final = (
    signature(
        "port-in-use",
        r"EADDRINUSE|[Aa]ddress already in use",
        "Another run on this machine uses the same network port. Start it again; with --multi_gpu each run "
        "looks for a free port of its own.",
    ),
    signature(
        HOST_MEMORY,
        r"(?:Root Cause|first observed failure)[\s\S]*?exitcode\s*: -9\b",
        f"A process was killed by the system, most often because the machine's memory ran out. {_LESS_HOST}",
    ),
    signature(
        HOST_MEMORY,
        r"(?:Root Cause|first observed failure)[\s\S]*?exitcode\s*: -7\b|Fatal Python error: Bus error",
        "A process died of a bus error: memory that it uses as a file is gone, most often because /dev/shm "
        "is full. In a container, start it with --ipc=host or a larger --shm-size.",
    ),
    signature(
        "crashed",
        r"(?:Root Cause|first observed failure)[\s\S]*?exitcode\s*: -11\b|"
        r"Fatal Python error: Segmentation fault",
        "A library crashed. Most often compiled packages do not fit each other: reinstall torch, flash-attn "
        "and SAM 2 for each other, and try another driving video to see whether it is the clip.",
    ),
    signature(
        "gpus-lost-touch",
        r"Watchdog caught collective operation timeout|ncclRemoteError|NCCL (?:error|timeout)|"
        r"DistBackendError|ncclInternalError|ncclSystemError",
        "The GPUs lost touch with each other (NCCL). Often one process died or hangs: look for an earlier "
        "error in the whole output. Otherwise try NCCL_P2P_DISABLE=1, fewer GPUs, or one.",
    ),
)
